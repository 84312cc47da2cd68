"""The figure of updates by how much changed: what a mechanism pays for the change, and what for
the region. One panel per region and link, a line per series."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from memsync_results.captions import how_to_read, missing_results, sentence_list
from memsync_results.cells import Cell
from memsync_results.comparing import YARDSTICK
from memsync_results.drawing import (
    DASHED, INK, Drawing, draw_intervals, draw_legend, format_axis, link_label,
)
from memsync_results.load import Link, Series
from memsync_results.measures import UPDATE
from memsync_results.units import size

SHARE = "dirty_ratio"
FEWEST_SHARES = 3  # below, a figure against the link says it


@dataclass(frozen=True)
class _Panel:
    region_B: float
    chunk_B: float
    link: Link
    cells: list[Cell]

    def shares(self) -> set[float]:
        return {share for cell in self.cells if (share := cell.median(SHARE))}


def against_share(cells: list[Cell]) -> Drawing | None:
    """Time of one update over the share of chunks that changed."""
    every = [cell for cell in cells if cell.workload.does == "update"]
    panels = [panel for panel in _panels(every) if len(panel.shares()) >= FEWEST_SHARES]
    if not panels:
        return None
    series = list(dict.fromkeys(cell.series for panel in panels for cell in panel.cells
                                if cell.samples(UPDATE.column).size))
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.8 * columns + (1 if columns == 1 else 0), 2.9 * rows + 0.6),
                    layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels):]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, panel, series)
    drawn = [cell for panel in panels for cell in panel.cells]
    draw_legend(figure, series, True,
                [interval for cell in drawn if (interval := cell.interval(UPDATE.column))],
                "one RTT" if any(panel.link.rtt_s for panel in panels) else "")
    caption = sentence_list(
        "One update: the source looks for what changed and the destination has it; the median of "
        "a repetition's rounds. Changed is one byte in each chunk of the share.",
        how_to_read([cell for cell in drawn if cell.samples(UPDATE.column).size], UPDATE.column),
        missing_results(drawn, UPDATE.column),
    )
    return Drawing("update-share", "An update against the share that changed", caption, figure,
                   _numbers(drawn))


def _panels(cells: list[Cell]) -> list[_Panel]:
    """The yardstick of no transfer aside, which would press the rivals together."""
    places = dict.fromkeys((cell.workload.region_B, cell.workload.chunk_B, cell.link)
                           for cell in cells)
    return [_Panel(region, chunk, link, [
        cell for cell in cells if cell.series.approach != YARDSTICK
        and (cell.workload.region_B, cell.workload.chunk_B, cell.link) == (region, chunk, link)
    ]) for region, chunk, link in places]


def _draw_panel(axes: Axes, panel: _Panel, series: list[Series]) -> None:
    for one in series:
        places = sorted(
            ((share, cell) for cell in panel.cells if cell.series == one
             and cell.samples(UPDATE.column).size and (share := cell.median(SHARE))),
            key=lambda place: place[0])
        axes.plot([share for share, _ in places],
                  [cell.median(UPDATE.column) for _, cell in places],
                  color=one.colour, linewidth=0.9, zorder=2.5)
        draw_intervals(axes, one, UPDATE, places)
    if panel.link.rtt_s:
        axes.axhline(panel.link.rtt_s, color=INK, linestyle=DASHED, linewidth=0.9, zorder=1.5)
    axes.set_xscale("log")
    shares = sorted(panel.shares())
    axes.set_xticks(shares)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(shares[0] / 1.6, shares[-1] * 1.6)
    axes.set_yscale("log")
    format_axis(axes.yaxis, UPDATE.unit)
    axes.set_xlabel("chunks that changed")
    axes.set_ylabel(f"{UPDATE.title} ({UPDATE.better} is better)")
    axes.set_title(f"{size(panel.region_B)} in chunks of {size(panel.chunk_B)}\n"
                   + link_label(panel.link).replace("\n", ": ", 1).replace("\n", ", "))


def _numbers(cells: list[Cell]) -> pd.DataFrame:
    """One row per cell that is drawn; seconds and ratios, empty = not measured."""
    rows = []
    for cell in cells:
        interval = cell.interval(UPDATE.column)
        rows.append({
            "workload": cell.workload.name, "link": cell.link.name, "series": cell.series.name,
            "options": cell.series.options, "region_B": cell.workload.region_B,
            SHARE: cell.median(SHARE), "rtt_cfg_s": cell.link.rtt_s, "status": cell.status,
            "n_ok": cell.ok_count, "n_planned": cell.planned, "measure": UPDATE.column,
            "median": interval and interval.median, "low": interval and interval.low,
            "high": interval and interval.high, "coverage": interval and interval.coverage,
            "samples": ";".join(repr(float(value)) for value in cell.samples(UPDATE.column)),
        })
    return pd.DataFrame(rows)
