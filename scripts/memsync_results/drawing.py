"""How memsync's figures look: style, legend, intervals; and files that repeat to the byte."""

import io
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from matplotlib.transforms import offset_copy

from memsync_results.cells import Cell
from memsync_results.files import write_whole
from memsync_results.load import Link, Series, Workload
from memsync_results.measures import Measure
from memsync_results.statistics import FEWEST_FOR_INTERVAL, MedianInterval
from memsync_results.units import quantity, rate, size

# The report replaces these two by its own light and dark colours, so nothing else uses them.
INK = "#1f2328"
PAPER = "#fefefe"
GRID = "#c8ccd1"

DASHED = (0, (4, 2))  # every theoretical bound

_STYLE = {
    "svg.hashsalt": "memsync",
    "svg.fonttype": "path",  # looks the same on every machine
    "pdf.fonttype": 42,
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.6,
    "hatch.linewidth": 0.6,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    ),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), PAPER),
}


@dataclass(frozen=True)
class Drawing:
    """A figure with the numbers it shows, and the sentences that belong under it."""

    name: str  # file name without extension
    title: str
    caption: str
    figure: Figure
    numbers: pd.DataFrame  # one row per cell, every plotted number


@dataclass(frozen=True)
class Drawn:
    """A figure's files, and the sentences that belong under it."""

    name: str
    title: str
    caption: str
    svg: Path
    pdf: Path
    csv: Path

    def as_json(self) -> dict[str, str]:
        return {key: str(value) for key, value in vars(self).items()}


def style() -> AbstractContextManager[None]:
    """The figures' settings, on top of matplotlib's defaults and not of the user's own."""
    return mpl.rc_context({**mpl.rcParamsDefault, **_STYLE, "backend": "agg"})


def save(drawing: Drawing, folder: Path) -> Drawn:
    """Writes NAME.svg, NAME.pdf and NAME.csv; the same drawing gives the same bytes."""
    drawn = Drawn(drawing.name, drawing.title, drawing.caption,
                  *(folder / f"{drawing.name}.{kind}" for kind in ("svg", "pdf", "csv")))
    with style():
        drawing.figure.draw_without_rendering()
        drawing.figure.set_layout_engine(None)  # laid out once: an engine costs a drawing per file
        svg, pdf = io.BytesIO(), io.BytesIO()
        about = {"Title": drawing.title}
        drawing.figure.savefig(
            svg, format="svg", metadata={**about, "Description": drawing.caption, "Date": None}
        )
        drawing.figure.savefig(
            pdf, format="pdf", metadata={**about, "Subject": drawing.caption, "CreationDate": None}
        )
    write_whole(drawn.svg, svg.getvalue())
    write_whole(drawn.pdf, pdf.getvalue())
    table = drawing.numbers.to_csv(index=False, lineterminator="\n")
    write_whole(drawn.csv, table.encode())
    return drawn


def format_axis(axis: Axis, unit: str) -> None:
    """Tick labels with SI prefixes, one prefix for all of a linear axis; call it after scaling."""

    def text(value: float, _: int) -> str:
        largest = float(np.abs(axis.get_view_interval()).max())
        return quantity(value, unit, like=largest if axis.get_scale() == "linear" else None)

    axis.set_major_formatter(FuncFormatter(text))
    axis.set_minor_formatter(NullFormatter())


def scale_axis(axes: Axes, which: str, values: Iterable[float], decades: float = 2) -> None:
    """Linear from 0, or logarithmic where `values` span more than this many decades.

    Zeros stay visible: an axis that must show one is linear below its smallest value.
    """
    shown = np.array([value for value in values if np.isfinite(value)], dtype=float)
    positive = shown[shown > 0]
    set_scale = axes.set_xscale if which == "x" else axes.set_yscale
    set_limit = axes.set_xlim if which == "x" else axes.set_ylim
    if positive.size and positive.max() / positive.min() > 10**decades:
        if positive.size < shown.size:
            set_scale("symlog", linthresh=positive.min(), linscale=0.5)
        else:
            set_scale("log")
    elif which == "y":
        set_limit(0, 1.08 * positive.max() if positive.size else 1)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))


def draw_intervals(
    axes: Axes, series: Series, measure: Measure, places: Iterable[tuple[float, Cell]],
    vertical: bool = True,
) -> None:
    """Light raw points, the interval as a bar (dotted when it is only the range), the median.

    The points stand a little beside the bar, or its marker would hide them.
    places: where on the other axis each cell stands; those without a value are left out. One
    artist holds what all cells have alike: thousands of them would take most of the time.
    """
    shown = [(at, cell.samples(measure.column), interval) for at, cell in places
             if (interval := cell.interval(measure.column))]
    if not shown:
        return
    order = (lambda x, y: (x, y)) if vertical else (lambda x, y: (y, x))
    beside = offset_copy(axes.transData, axes.figure, *order(-5.0, 0.0), units="points")
    axes.plot(*order(np.repeat([at for at, _, _ in shown], [s.size for _, s, _ in shown]),
                     np.concatenate([samples for _, samples, _ in shown])),
              linestyle="none", marker=".", markersize=4, markeredgewidth=0, color=series.colour,
              alpha=0.35, zorder=2, transform=beside)
    for is_confident in {interval.is_confident for _, _, interval in shown}:
        bars = [[order(at, i.low), order(at, i.high)] for at, _, i in shown
                if i.is_confident == is_confident]
        axes.add_collection(LineCollection(
            bars, colors=series.colour, linewidths=1.6, zorder=3,
            linestyles="-" if is_confident else [(0, (1, 1))],
            capstyle="projecting" if is_confident else "butt"))
    axes.plot(*order([at for at, _, _ in shown], [i.median for _, _, i in shown]), zorder=4,
              linestyle="none", clip_on=False, **marker_of(series))


def marker_of(series: Series) -> dict[str, object]:
    """Keywords that draw a series' marker."""
    if series.marker in "x+":
        return {"marker": series.marker, "color": series.colour, "markeredgewidth": 1.6}
    return {"marker": series.marker, "color": series.colour, "markeredgecolor": INK,
            "markeredgewidth": 0.4}


def absence(cell: Cell) -> str:
    """What stands in a figure where a cell has no value."""
    return {"unsupported": "n/a", "ok": "–"}.get(cell.status, cell.status)


def draw_legend(
    figure: Figure, series: Iterable[Series], joined: bool, intervals: Iterable[MedianInterval],
    bound: str,
) -> None:
    """A row (or more) of series, then a row saying what bars, points and dashes mean."""
    line = "-" if joined else "none"
    named: list[Artist] = [
        Line2D([], [], linestyle=line, label=one.name, **marker_of(one)) for one in series
    ]
    keys: list[Artist] = []
    confident = {interval.is_confident for interval in intervals}
    if True in confident:
        keys.append(Line2D([], [], color=INK, linewidth=1.6, label="95 % interval"))
    if False in confident:
        keys.append(
            Line2D([], [], color=INK, linewidth=1.6, linestyle=(0, (1, 1)),
                   label=f"full range (n < {FEWEST_FOR_INTERVAL})")
        )
    keys.append(Line2D([], [], color=INK, alpha=0.5, linestyle="none", marker=".", markersize=5,
                       markeredgewidth=0, label="one repetition"))
    if bound:
        keys.append(Line2D([], [], color=INK, linestyle=DASHED, linewidth=0.9, label=bound))
    letters = sum(len(str(entry.get_label())) for entry in named) / len(named)
    fitting = int(figure.get_figwidth() / (0.5 + 0.065 * letters))  # inches, estimated
    place_legend(figure, [named, keys], max(len(keys), min(len(named), fitting)))


def place_legend(figure: Figure, rows: list[list[Artist]], columns: int) -> None:
    """Above the panels; each list starts a new row. (matplotlib itself fills by column.)"""
    blank = Line2D([], [], linestyle="none", label=" ")
    cells = [entry for row in rows for entry in row + [blank] * (-len(row) % columns)]
    by_column = [cells[k] for c in range(columns) for k in range(c, len(cells), columns)]
    figure.legend(handles=by_column, loc="outside upper left", ncols=columns, columnspacing=1.5)


def link_label(link: Link) -> str:
    """Name and nature of a link on two or three lines."""
    lines = [link.name, f"{quantity(link.rtt_s, 's')}, {rate(link.rate_Bps)}"]
    disturbed = []
    if link.loss_ratio:
        disturbed.append(f"{quantity(100 * link.loss_ratio, '')} % loss")
    if link.jitter_s:
        disturbed.append(f"±{quantity(link.jitter_s, 's')}")
    return "\n".join(lines + ([", ".join(disturbed)] if disturbed else []))


def workload_label(workload: Workload) -> list[str]:
    """What was done: ["scan: read 64 MiB", "chunk 4 KiB", "sequential"]."""
    whole = size(workload.region_B)
    chunk = f"chunk {size(workload.chunk_B)}"
    if workload.does != "read":  # `access` is about reading; a writer has its own
        return [f"{workload.name}: {workload.does} {whole}", chunk]
    touched = (workload.accesses or 0) * (workload.touch_B or 0)
    if 0 < touched < workload.region_B:
        whole = f"{workload.accesses:.0f} × {size(workload.touch_B)} of {whole}"
    return [f"{workload.name}: read {whole}", chunk, *filter(None, [workload.access])]
