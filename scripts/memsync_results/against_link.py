"""Draws one measure against the link: a numeric RTT axis where only the RTT differs, a
category per link where anything else does, because a line through links of different
rates would show the rate as an effect of the RTT."""

from collections import Counter
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from memsync_results.captions import how_to_read, limits_named, missing_results, sentence_list
from memsync_results.cells import Cell
from memsync_results.comparing import YARDSTICK
from memsync_results.measures import Measure
from memsync_results.drawing import (
    DASHED, INK, Drawing, absence, draw_intervals, draw_legend, format_axis, link_label, scale_axis,
    workload_label,
)
from memsync_results.load import Link, Series, Workload
from memsync_results.units import quantity, rate

_LONGEST_LEVEL_WORD = 6  # letters that fit above one limit mark
_NARROWEST_LEVEL = 7.0  # points between limit marks below which their words would overlap
_PAGE_WIDTH = 7.6  # inches, the text width of a paper with little margin
_MOST_CATEGORIES = 8  # links whose labels fit beside each other; more go into further panels


class Bound(Enum):
    """The theoretical limit that a figure shows."""

    NONE = ""
    LIMIT = "limit"
    RTT = "one RTT"


@dataclass(frozen=True)
class Panel:
    """One pair of axes: one workload, and links that may be compared."""

    workload: Workload
    links: list[Link]
    cells: list[Cell]  # that share a scale: those of `links`, or of all categories of the workload
    is_sweep: bool  # only the RTT differs between the links

    def positions(self) -> dict[Link, float]:
        """Where each link stands: its RTT in seconds, or 0, 1, 2 ... by category."""
        return {link: link.rtt_s if self.is_sweep else k for k, link in enumerate(self.links)}


def draw_against_link(
    name: str, title: str, all_cells: list[Cell], does: str, measure: Measure, bound: Bound,
    definition: str, without_yardstick: bool = False,
) -> Drawing | None:
    """One panel per workload that `does` this; None when no such cell has a value.

    without_yardstick: the floor, orders of magnitude off, would press the rivals together.
    """
    every = [cell for cell in all_cells if cell.workload.does == does]
    if not any(cell.samples(measure.column).size for cell in every):
        return None
    cells = [cell for cell in every if cell.series.approach != YARDSTICK]
    if not without_yardstick or not any(cell.samples(measure.column).size for cell in cells):
        cells = every
    panels = panels_of(cells)
    series = list(dict.fromkeys(cell.series for cell in cells))
    slots = max(1 if panel.is_sweep else len(panel.links) * len(series) for panel in panels)
    width = min(0.8 + 0.25 * slots, _PAGE_WIDTH)
    columns = 2 if len(panels) > 1 and width <= _PAGE_WIDTH / 2 else 1
    rows = -(-len(panels) // columns)
    width = max(width, _PAGE_WIDTH / 2 if columns == 2 else 4.8)
    figure = Figure(figsize=(width * columns, 2.7 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels):]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):  # a last place may stay empty
        _draw_panel(axes, panel, series, measure, bound)
    intervals = [interval for cell in cells if (interval := cell.interval(measure.column))]
    draw_legend(figure, series, any(panel.is_sweep for panel in panels), intervals, bound.value)
    caption = sentence_list(
        definition,
        how_to_read([cell for cell in cells if cell.samples(measure.column).size], measure.column),
        _bound_sentence(cells, bound),
        "" if all(panel.is_sweep or len(panel.links) < 2 for panel in panels)
        else "The links differ in more than their RTT, so their points are not joined.",
        _left_out([cell for cell in every if cell not in cells], measure),
        missing_results(cells, measure.column),
    )
    return Drawing(name, title, caption, figure, _numbers(every, measure))


def panels_of(cells: list[Cell]) -> list[Panel]:
    """Splits cells by workload, and by link condition where each condition has several RTTs;
    categories into as few panels as can be read."""
    panels = []
    for workload in dict.fromkeys(cell.workload for cell in cells):
        mine = [cell for cell in cells if cell.workload == workload]
        groups: dict[tuple, list[Link]] = {}
        for link in sorted(dict.fromkeys(c.link for c in mine), key=_by_rtt_then_rate):
            groups.setdefault((link.rate_Bps, link.loss_ratio, link.jitter_s), []).append(link)
        is_sweep = all(len({link.rtt_s for link in links}) == len(links) >= 2
                       for links in groups.values())
        if is_sweep:
            panels += [Panel(workload, links, [cell for cell in mine if cell.link in links], True)
                       for links in groups.values()]
            continue
        links = sorted(sum(groups.values(), []), key=_by_rtt_then_rate)
        each = -(-len(links) // -(-len(links) // _MOST_CATEGORIES))  # evenly, rounded up
        panels += [Panel(workload, links[start:start + each], mine, False)
                   for start in range(0, len(links), each)]
    return panels


def _by_rtt_then_rate(link: Link) -> tuple[float, float]:
    return link.rtt_s, -(link.rate_Bps or float("inf"))


def _draw_panel(
    axes: Axes, panel: Panel, series: list[Series], measure: Measure, bound: Bound
) -> None:
    positions = panel.positions()
    step = 0 if panel.is_sweep else 0.8 / len(series)
    absent: Counter[float] = Counter()  # place -> words already there
    for k, one in enumerate(series):
        shift = (k - (len(series) - 1) / 2) * step
        mine = {cell.link: cell for cell in panel.cells if cell.series == one}
        places = [(positions[link] + shift, mine[link]) for link in panel.links if link in mine]
        if panel.is_sweep:  # a gap in the line where a cell has no value
            axes.plot([at for at, _ in places],
                      [_or_nan(cell.median(measure.column)) for _, cell in places],
                      color=one.colour, linewidth=0.9, zorder=2.5)
        draw_intervals(axes, one, measure, places)
        for at, cell in places:
            if cell.interval(measure.column) is None:
                _mark_absent(axes, at, cell, absent[at])
                absent[at] += 1
        if bound is Bound.LIMIT:
            _draw_limit(axes, one, places, panel, step)
    if bound is Bound.RTT:
        _draw_rtt(axes, panel, positions)
    _finish(axes, panel, positions, measure, bound)
    if bound is Bound.LIMIT and panel.is_sweep:
        _name_limits(axes, panel)


def _mark_absent(axes: Axes, at: float, cell: Cell, stack: int) -> None:
    """Says at the foot of the cell's place why nothing stands there."""
    axes.text(at, 0.02 + 0.06 * stack, absence(cell), transform=axes.get_xaxis_transform(),
              ha="center", va="bottom", color=cell.series.colour, fontsize=6.5, clip_on=False)


def _draw_limit(
    axes: Axes, series: Series, places: list[tuple[float, Cell]], panel: Panel, step: float
) -> None:
    limits = [(at, cell, _or_nan(cell.median("limit_Bps"))) for at, cell in places]
    if panel.is_sweep:
        axes.plot([at for at, _, _ in limits], [limit for _, _, limit in limits],
                  color=series.colour, linestyle=DASHED, linewidth=0.9, zorder=1.5)
        return
    known = [(at, cell, limit) for at, cell, limit in limits if np.isfinite(limit)]
    axes.hlines([limit for *_, limit in known], [at - 0.42 * step for at, *_ in known],
                [at + 0.42 * step for at, *_ in known], color=INK, linestyles=[(0, (2, 1))],
                linewidth=0.9, zorder=1.5)
    apart = axes.bbox.width / axes.figure.dpi * 72 * step / len(panel.links)
    for at, cell, limit in known if apart >= _NARROWEST_LEVEL else []:  # the caption has them too
        word = cell.most_frequent("limit_by")
        axes.annotate(word, (at, limit), xytext=(0, 1.5), textcoords="offset points",
                      ha="center", va="bottom", fontsize=6,
                      rotation=90 if len(word) > _LONGEST_LEVEL_WORD else 0)


def _name_limits(axes: Axes, panel: Panel) -> None:
    """Beside the right end of each limit line, what binds there; one label for lines that touch."""
    to_height = (axes.transData + axes.transAxes.inverted()).transform
    labels: list[tuple[float, list[str]]] = []  # height of the line as a share of the axes
    ends = [(cell.median("limit_Bps"), cell.most_frequent("limit_by"))
            for cell in panel.cells if cell.link == panel.links[-1]]
    for limit, binding in sorted((limit, binding) for limit, binding in ends if limit):
        height = float(to_height((panel.links[-1].rtt_s, limit))[1])
        if not labels or height - labels[-1][0] > 0.06:
            labels.append((height, []))
        if binding not in labels[-1][1]:
            labels[-1][1].append(binding)
    for height, bindings in labels:
        axes.annotate(",\n".join(bindings), (1, height), xycoords="axes fraction", xytext=(3, 0),
                      textcoords="offset points", va="center", fontsize=6.5)


def _draw_rtt(axes: Axes, panel: Panel, positions: dict[Link, float]) -> None:
    rtts = [measured_rtt(panel.cells, link) for link in panel.links]
    if panel.is_sweep:
        axes.plot([positions[link] for link in panel.links], rtts, color=INK, linestyle=DASHED,
                  linewidth=0.9, zorder=1.5)
        return
    for link, rtt in zip(panel.links, rtts, strict=True):
        axes.plot([positions[link] - 0.4, positions[link] + 0.4], [rtt, rtt], color=INK,
                  linestyle=DASHED, linewidth=0.9, zorder=1.5)


def measured_rtt(cells: list[Cell], link: Link) -> float:
    """Median of the calibrated RTT over a link's rows, in seconds; else the configured one."""
    rows = [cell.samples("rtt_p50_meas_s") for cell in cells if cell.link == link]
    measured = np.concatenate(rows) if rows else np.empty(0)
    return float(np.median(measured)) if measured.size else link.rtt_s


def _finish(
    axes: Axes, panel: Panel, positions: dict[Link, float], measure: Measure, bound: Bound
) -> None:
    values = [value for cell in panel.cells for value in cell.samples(measure.column)]
    if bound is Bound.LIMIT:
        values += [v for cell in panel.cells if (v := cell.median("limit_Bps")) is not None]
    elif bound is Bound.RTT:
        values += [rtt for link in panel.links if (rtt := measured_rtt(panel.cells, link)) > 0]
    # The panels of one workload's categories have one scale, whatever each of them shows.
    axes.update_datalim([(0.0, value) for value in values], updatex=False)
    scale_axis(axes, "y", values)
    absent = any(not cell.samples(measure.column).size for cell in panel.cells)
    if absent and axes.get_yscale() == "log":  # room for what stands there instead
        low, high = np.log10(axes.get_ylim())
        axes.set_ylim(10 ** (low - 0.07 * (high - low)))
    format_axis(axes.yaxis, measure.unit)
    axes.set_ylabel(f"{measure.title} ({measure.better} is better)")
    if panel.is_sweep:
        scale_axis(axes, "x", positions.values(), decades=1.5)
        _spread_x(axes, sorted(positions.values()))
        format_axis(axes.xaxis, "s")
        axes.set_xlabel("configured RTT")
    else:
        axes.set_xticks(list(positions.values()), [link_label(link) for link in panel.links])
        axes.tick_params(axis="x", length=0)
        axes.set_xlim(-0.5, len(panel.links) - 0.5)
        for boundary in range(1, len(panel.links)):
            axes.axvline(boundary - 0.5, color=INK, alpha=0.15, linewidth=0.5)
    what, *details = workload_label(panel.workload)
    if panel.is_sweep:
        details.append(rate(panel.links[0].rate_Bps))
    axes.set_title(f"{what}\n{', '.join(details)}")


def _spread_x(axes: Axes, values: list[float]) -> None:
    """Limits with an even margin, and labels on those of the ascending values that have room."""
    to_scale = axes.xaxis.get_transform()
    places = to_scale.transform(np.array(values))
    width = float(np.ptp(places))
    axes.set_xlim(*to_scale.inverted().transform(places[[0, -1]] + [-0.05 * width, 0.05 * width]))
    labelled = [0]
    for k in range(1, len(values) - 1):
        if min(places[k] - places[labelled[-1]], places[-1] - places[k]) > 0.16 * width:
            labelled.append(k)
    axes.xaxis.set_major_locator(FixedLocator([values[k] for k in [*labelled, -1]]))
    axes.xaxis.set_minor_locator(FixedLocator(values))


def _bound_sentence(cells: list[Cell], bound: Bound) -> str:
    if bound is Bound.RTT:
        return "Dashed: one round trip, as measured on the link."
    return limits_named(cells) if bound is Bound.LIMIT else ""


def _left_out(cells: list[Cell], measure: Measure) -> str:
    known = [median for cell in cells if (median := cell.median(measure.column))]
    if not known:
        return ""
    ends = dict.fromkeys(quantity(value, measure.unit) for value in (min(known), max(known)))
    return (f"Not drawn, so that the others are told apart: {YARDSTICK} (no transfer, the "
            f"harness's own cost), {' to '.join(ends)}; the CSV has it.")


def _numbers(cells: list[Cell], measure: Measure) -> pd.DataFrame:
    """One row per cell with everything drawn; SI units, empty = not measured."""
    rows = []
    for cell in cells:
        interval = cell.interval(measure.column)
        rows.append(
            {
                "workload": cell.workload.name, "link": cell.link.name,
                "series": cell.series.name, "approach": cell.series.approach,
                "options": cell.series.options, "rtt_cfg_s": cell.link.rtt_s,
                "rate_cfg_Bps": cell.link.rate_Bps,
                "rtt_p50_meas_s": cell.median("rtt_p50_meas_s"),
                "status": cell.status, "n_ok": cell.ok_count, "n_planned": cell.planned,
                "measure": measure.column,
                "median": interval and interval.median,
                "low": interval and interval.low, "high": interval and interval.high,
                "coverage": interval and interval.coverage,
                "limit_Bps": cell.median("limit_Bps"), "limit_by": cell.most_frequent("limit_by"),
                "samples": ";".join(repr(float(v)) for v in cell.samples(measure.column)),
            }
        )
    return pd.DataFrame(rows)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
