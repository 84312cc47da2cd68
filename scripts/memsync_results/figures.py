"""The figures, one function each. To add one, write a function and name it in FIGURES."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from memsync_results.against_link import Bound, draw_against_link
from memsync_results.against_share import against_share
from memsync_results.captions import how_to_read, missing_results, sentence_list
from memsync_results.cells import Cell
from memsync_results.drawing import (
    DASHED, INK, PAPER, Drawing, Drawn, absence, draw_intervals, format_axis, link_label,
    place_legend, save, style,
)
from memsync_results.load import Link, Series
from memsync_results.measures import BLACKOUT, FIRST_ACCESS, PHASES, SETTLE, THROUGHPUT, UPDATE
from memsync_results.prefetching import prefetching
from memsync_results.processes import in_processes
from memsync_results.units import quantity

MOST_PANELS = 12  # of one figure: more can't be read
PHASE_LOOKS = {  # greys, so that no phase is mistaken for a series
    "suspend_s": ("#e3e3e3", ""),
    "collect_s": ("#c4c4c4", "////"),
    "transfer_s": ("#9a9a9a", ""),
    "resume_s": ("#d4d4d4", "...."),
}
OUTSIDE = "outside the approach"  # of the blackout, what no reported phase accounts for


def throughput(cells: list[Cell]) -> Drawing | None:
    """Checked bytes per second of the read workloads, with the limit that physics sets."""
    return draw_against_link(
        "throughput", "Throughput against RTT", cells, "read", THROUGHPUT, Bound.LIMIT,
        "Checked bytes ÷ time from open to the last access.", without_yardstick=True,
    )


def first_access(cells: list[Cell]) -> Drawing | None:
    """Time from the call of open to the first byte in hand, of the read workloads."""
    return draw_against_link(
        "first-access", "First access against RTT", cells, "read", FIRST_ACCESS, Bound.RTT,
        "From the call of open to the end of the first access, connecting included: a pull takes "
        "about three round trips, one to connect, one to agree on the region, one for the bytes.",
    )


def update(cells: list[Cell]) -> Drawing | None:
    """Time of one update, from looking for changes to having them at the destination."""
    return draw_against_link(
        "update", "An update against RTT", cells, "update", UPDATE, Bound.RTT,
        "One update: the source looks for what changed and the destination has it; the median of "
        "a repetition's rounds.", without_yardstick=True,
    )


def downtime(cells: list[Cell]) -> Drawing | None:
    """Blackout of the hand-over workloads, seen from outside the approach."""
    return draw_against_link(
        "downtime", "Downtime of a hand-over against RTT", cells, "handover", BLACKOUT, Bound.RTT,
        "Blackout: last operation at the source before the suspend to the first correct "
        "operation at the destination, seen by an observer on a fixed schedule.",
    )


def settle(cells: list[Cell]) -> Drawing | None:
    """How long after the hand-over the destination still depends on the source."""
    return draw_against_link(
        "settle", "Settling after a hand-over against RTT", cells, "handover", SETTLE, Bound.NONE,
        "Time from the end of the hand-over until nothing is left at the source.",
    )


def downtime_phases(cells: list[Cell]) -> Drawing | None:
    """Where the downtime goes: the approach's own phases above the observed blackout."""
    cells = [cell for cell in cells if cell.workload.does == "handover"]
    if not any(cell.samples("blackout_s").size for cell in cells):
        return None
    workloads = list(dict.fromkeys(cell.workload for cell in cells))
    every_link = sorted(dict.fromkeys(cell.link for cell in cells), key=lambda link: link.rtt_s)
    links = _spaced(every_link, MOST_PANELS)
    series = list(dict.fromkeys(cell.series for cell in cells))
    columns = 2 if len(links) == 4 else min(len(links), 3)
    rows_per_workload = -(-len(links) // columns)
    rows = rows_per_workload * len(workloads)
    figure = Figure(
        figsize=(max(2.5 * columns, 4.5), (0.7 + 0.42 * len(series)) * rows + 0.6),
        layout="constrained",
    )
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for panel in grid.flat:
        panel.set_visible(False)
    for w, workload in enumerate(workloads):
        for k, link in enumerate(links):
            axes = grid[w * rows_per_workload + k // columns][k % columns]
            axes.set_visible(True)
            here = [c for c in cells if c.workload == workload and c.link == link]
            _phase_panel(axes, here, series, link)
            heading = link_label(link).replace("\n", ": ", 1)
            axes.set_title(f"{workload.name}, {heading}" if len(workloads) > 1 else heading,
                           fontsize=7.5)
    figure.supxlabel("time without a running application", fontsize=8)
    bars, marks = _phase_legend(cells)
    place_legend(figure, [bars, marks], columns=max(len(bars), len(marks)))
    caption = sentence_list(
        "Upper bar of each pair: medians of the phases as the approach reports them (medians need "
        "not add up to the median of a sum). Below it: the blackout an outside observer saw. "
        f"Dotted, {OUTSIDE}: from the last write at the source to the stop, and from the resume "
        "to the end of the first operation at the destination.",
        how_to_read([cell for cell in cells if cell.samples("blackout_s").size], "blackout_s"),
        "Each panel has its own scale.",
        f"{len(links)} of {len(every_link)} links are drawn; the CSV has all of them."
        if len(links) < len(every_link) else "",
        missing_results(cells, "blackout_s"),
    )
    return Drawing("downtime-phases", "Downtime by phase", caption, figure, _phase_numbers(cells))


def _spaced(links: list[Link], most: int) -> list[Link]:
    """At most `most` of the links, first and last among them."""
    if len(links) <= most:
        return links
    return [links[k * (len(links) - 1) // (most - 1)] for k in range(most)]


def _phase_panel(axes: Axes, cells: list[Cell], series: list[Series], link: Link) -> None:
    largest = max([link.rtt_s] + [c.samples(BLACKOUT.column).max(initial=0) for c in cells])
    largest = max([largest] + [sum(c.median(p) or 0 for p in PHASES) for c in cells]) or 1.0
    ends = _draw_phases(axes, [c for c in cells if c.interval(BLACKOUT.column)], series)
    for cell in cells:
        row = series.index(cell.series)
        interval = cell.interval(BLACKOUT.column)
        if interval is None:
            axes.annotate(absence(cell), (0, row), xytext=(3, 0), textcoords="offset points",
                          fontsize=7, color=cell.series.colour, va="center")
            continue
        draw_intervals(axes, cell.series, BLACKOUT, [(row + 0.2, cell)], vertical=False)
        axes.annotate(quantity(interval.median, "s"), (max(interval.high, ends[cell]), row),
                      xytext=(6, 0), textcoords="offset points", va="center", fontsize=7,
                      bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5})
    axes.axvline(link.rtt_s, color=INK, linestyle=DASHED, linewidth=0.9, zorder=1)
    axes.set_xlim(0, 1.32 * largest)
    axes.set_ylim(len(series) - 0.5, -0.5)
    axes.set_yticks(range(len(series)), [one.name for one in series])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(4, prune="upper"))
    format_axis(axes.xaxis, "s")


def _draw_phases(axes: Axes, cells: list[Cell], series: list[Series]) -> dict[Cell, float]:
    """A bar of contiguous phases per cell; returns where each ends, in seconds."""
    rows = np.array([series.index(cell.series) for cell in cells], dtype=float)
    ends = np.zeros(len(cells))
    for phase in PHASES:
        lengths = np.array([cell.median(phase) or 0.0 for cell in cells])
        colour, hatch = PHASE_LOOKS[phase]
        axes.barh(rows - 0.17, lengths, left=ends, height=0.26, color=colour, hatch=hatch,
                  edgecolor=INK, linewidth=0.4)
        ends = ends + lengths
    outside = np.array([_outside(cell) for cell in cells])
    axes.barh(rows - 0.17, outside, left=ends, height=0.26, color=PAPER, edgecolor=INK,
              linewidth=0.6, linestyle=":")
    return dict(zip(cells, ends.tolist(), strict=True))


def _outside(cell: Cell) -> float:
    """Seconds of the median blackout beyond the medians of the phases, at least 0."""
    phases = sum(cell.median(phase) or 0.0 for phase in PHASES)
    return max(0.0, (cell.median(BLACKOUT.column) or 0.0) - phases)


def _phase_legend(cells: list[Cell]) -> tuple[list[Artist], list[Artist]]:
    """Entries for the bars that are there, and for the marks beside them."""
    bars: list[Artist] = [
        Patch(facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0.4,
              label=phase.removesuffix("_s"))
        for phase, (colour, hatch) in PHASE_LOOKS.items()
        if any(cell.median(phase) for cell in cells)
    ]
    if any(map(_outside, cells)):
        bars.append(Patch(facecolor=PAPER, edgecolor=INK, linewidth=0.6, linestyle=":",
                          label=OUTSIDE))
    seen = Line2D([], [], color=INK, marker="o", linewidth=1.6, label="blackout, with interval")
    bound = Line2D([], [], color=INK, linestyle=DASHED, linewidth=0.9, label="one RTT")
    return bars, [seen, bound]


def _phase_numbers(cells: list[Cell]) -> pd.DataFrame:
    """One row per cell: medians of the phases, the blackout with its interval; seconds."""
    rows = []
    for cell in cells:
        interval = cell.interval(BLACKOUT.column)
        rows.append(
            {
                "workload": cell.workload.name, "link": cell.link.name,
                "series": cell.series.name, "rtt_cfg_s": cell.link.rtt_s,
                "status": cell.status, "n_ok": cell.ok_count, "n_planned": cell.planned,
                **{f"{phase}_median": cell.median(phase) for phase in PHASES},
                "outside_s": _outside(cell) if interval else None,
                "blackout_s_median": interval and interval.median,
                "blackout_s_low": interval and interval.low,
                "blackout_s_high": interval and interval.high,
                "coverage": interval and interval.coverage,
                "samples": ";".join(repr(float(v)) for v in cell.samples(BLACKOUT.column)),
            }
        )
    return pd.DataFrame(rows)


# Name on the command line and of the files -> function. The report shows them in this order.
FIGURES: dict[str, Callable[[list[Cell]], Drawing | None]] = {
    "throughput": throughput,
    "first-access": first_access,
    "update": update,
    "update-share": against_share,
    "downtime": downtime,
    "downtime-phases": downtime_phases,
    "settle": settle,
    "prefetching": prefetching,
}


@contextmanager
def drawing(
    cells: list[Cell], folder: Path, names: list[str] | None = None
) -> Iterator[Callable[[], list[Drawn]]]:
    """Draws and writes the figures that have data, all or those named, beside what the caller does
    meanwhile: they take most of the time of a report. What it yields waits for them.

    Controls are left out: they are there to be judged, and the report says what they showed.
    """
    cells = [cell for cell in cells if not cell.series.role]
    with in_processes([partial(_draw, name, cells, folder) for name in names or FIGURES]) as wait:
        yield lambda: [drawn for drawn in wait() if drawn]


def draw_all(cells: list[Cell], folder: Path, names: list[str] | None = None) -> list[Drawn]:
    """As drawing(), for a caller that has nothing else to do."""
    with drawing(cells, folder, names) as wait:
        return wait()


def _draw(name: str, cells: list[Cell], folder: Path) -> Drawn | None:
    with style():
        made = FIGURES[name](cells)
    return save(made, folder) if made else None
