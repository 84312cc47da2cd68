"""The figure of prefetch policies: how long each takes, as a share of what faults alone take."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from memsync_results import effects
from memsync_results.captions import missing_results, sentence_list
from memsync_results.cells import Cell
from memsync_results.drawing import PAPER, Drawing, absence, link_label
from memsync_results.effects import Shift
from memsync_results.load import Link, Series, Workload
from memsync_results.matching import Pair
from memsync_results.statistics import FEWEST_FOR_INTERVAL

DURATION = "duration_s"
# Below this many policies a table says it as well.
FEWEST_POLICIES = 3
# What makes two series of one approach different policies and not different settings.
POLICY_OPTIONS = frozenset(("prefetch", "background", "around", "trace", "first", "eager"))
_DECADES_SHOWN = math.log(32)  # a ratio of 1/32 or 32 has the strongest colour
_ON_LIGHT, _ON_DARK = "#101418", "#f4f5f7"


@dataclass(frozen=True)
class _Compared:
    """A cell beside that of the same workload and link without prefetching."""

    cell: Cell
    base: Cell
    shift: Shift | None  # of the paired log-ratios; None where no repetitions pair up

    @property
    def ratio(self) -> float | None:
        return math.exp(self.shift.estimate) if self.shift else None

    @property
    def is_told_apart(self) -> bool:
        """Whether the interval leaves out 1 and is one."""
        return bool(self.shift and self.shift.count >= FEWEST_FOR_INTERVAL
                    and (self.shift.low > 0 or self.shift.high < 0))


def prefetching(cells: list[Cell]) -> Drawing | None:
    """Time of each prefetch policy relative to none, per access pattern and link."""
    compared = _compared(cells)
    policies = list(dict.fromkeys(one.cell.series for one in compared))
    if len(policies) < FEWEST_POLICIES:
        return None
    links = list(dict.fromkeys(one.cell.link for one in compared))
    workloads = list(dict.fromkeys(one.cell.workload for one in compared))
    columns = min(len(links), 3)
    rows = -(-len(links) // columns)
    names = max(len(series.name) for series in policies)
    figure = Figure(
        figsize=(0.3 + 0.075 * names + (0.55 * len(workloads) + 0.15) * columns,
                 (1.2 + 0.3 * len(policies)) * rows),
        layout="constrained",
    )
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for panel in grid.flat:
        panel.set_visible(False)
    for axes, link in zip(grid.flat, links):
        axes.set_visible(True)
        here = [one for one in compared if one.cell.link == link]
        _draw_panel(axes, here, policies, workloads, link)
    base = " or ".join(dict.fromkeys(one.base.series.name for one in compared))
    return Drawing("prefetching", "Prefetch policies against none", _caption(compared, base),
                   figure, _numbers(compared))


def options_of(canonical: str) -> dict[str, str]:
    """An `options` cell as a mapping; a value may hold semicolons ("first=0+1MiB;5MiB+1MiB")."""
    found: dict[str, str] = {}
    name = ""
    for piece in filter(None, canonical.split(";")):
        key, equals, value = piece.partition("=")
        if equals:
            name = key
            found[name] = value
        elif name:
            found[name] += ";" + piece
    return found


def _is_base(series: Series) -> bool:
    options = options_of(series.options)
    return options.get("prefetch") == "none" and options.get("background", "off") == "off"


def _settings(series: Series) -> tuple:
    """Approach and options that are no matter of policy: equal for whom a ratio compares."""
    options = options_of(series.options)
    return series.approach, *sorted((k, v) for k, v in options.items() if k not in POLICY_OPTIONS)


def _compared(cells: list[Cell]) -> list[_Compared]:
    reading = [cell for cell in cells if cell.workload.does == "read"]
    bases = {(cell.workload, cell.link, _settings(cell.series)): cell
             for cell in reading if _is_base(cell.series)}
    compared = []
    for cell in reading:
        base = bases.get((cell.workload, cell.link, _settings(cell.series)))
        if base is None or cell.series == base.series:
            continue
        before, after = Pair(base, cell).values(DURATION)
        known = (before > 0) & (after > 0)
        differences = np.log(after[known] / before[known])
        compared.append(_Compared(cell, base, effects.hodges_lehmann(differences)))
    return compared


def _draw_panel(axes: Axes, compared: list[_Compared], policies: list[Series],
                workloads: list[Workload], link: Link) -> None:
    logarithms = np.full((len(policies), len(workloads)), np.nan)
    colours = colormaps["PuOr_r"]
    for one in compared:
        row, column = policies.index(one.cell.series), workloads.index(one.cell.workload)
        if one.shift:
            logarithms[row, column] = one.shift.estimate
        axes.text(column + 0.5, row + 0.5, _text(one), ha="center", va="center", fontsize=7,
                  color=_text_colour(one, colours))
    axes.pcolormesh(logarithms, cmap=colours, vmin=-_DECADES_SHOWN, vmax=_DECADES_SHOWN,
                    edgecolors=PAPER, linewidth=1.5)
    axes.set_ylim(len(policies), 0)
    axes.set_xlim(0, len(workloads))
    axes.set_yticks(np.arange(len(policies)) + 0.5, [one.name for one in policies])
    axes.set_xticks(np.arange(len(workloads)) + 0.5, [one.name for one in workloads], rotation=40,
                    ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_title(link_label(link), fontsize=7.5)


def _text(one: _Compared) -> str:
    if one.ratio is None:
        return absence(one.cell if one.base.ok_count else one.base)
    digits = f"{one.ratio:.2f}" if one.ratio < 9.95 else f"{one.ratio:.0f}"
    return digits if one.is_told_apart else f"{digits}*"


def _text_colour(one: _Compared, colours: Colormap) -> str | None:
    """Readable on the cell's own colour, in a light and in a dark report alike."""
    if one.shift is None:
        return None  # no colour behind it: the ink
    red, green, blue, _ = colours(0.5 + one.shift.estimate / (2 * _DECADES_SHOWN))
    return _ON_LIGHT if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else _ON_DARK


def _caption(compared: list[_Compared], base: str) -> str:
    counts = sorted({one.shift.count for one in compared if one.shift})
    rounds = "–".join(str(n) for n in dict.fromkeys((*counts[:1], *counts[-1:]))) or "0"
    return sentence_list(
        f"Time from the call of open to the end of the last access, divided by that of {base} in "
        f"the same round (Hodges–Lehmann estimate, n = {rounds}): below 1 is faster, 0.10 a tenth "
        "of the time. Violet: faster; orange: slower.",
        f"*: fewer than {FEWEST_FOR_INTERVAL} rounds, or the 95 % interval holds 1; the CSV has "
        "the intervals, and the page faults."
        if any(one.shift and not one.is_told_apart for one in compared) else
        "The CSV has the intervals, and the page faults.",
        missing_results([one.cell for one in compared], DURATION),
    )


def _faults(cell: Cell) -> float | None:
    """Median of the page faults that the approach served; None where the column is missing."""
    if "faults" not in cell.ok_rows:
        return None
    values = pd.to_numeric(cell.ok_rows["faults"], errors="coerce").dropna()
    return float(values.median()) if len(values) else None


def _numbers(compared: list[_Compared]) -> pd.DataFrame:
    """One row per cell that is compared: the ratio with its interval, the times, the faults."""
    rows = []
    for one in compared:
        shift = one.shift
        rows.append({
            "workload": one.cell.workload.name, "access": one.cell.workload.access,
            "link": one.cell.link.name, "rtt_cfg_s": one.cell.link.rtt_s,
            "series": one.cell.series.name, "options": one.cell.series.options,
            "base": one.base.series.name, "status": one.cell.status,
            "n_ok": one.cell.ok_count, "n_planned": one.cell.planned,
            "n_pairs": shift.count if shift else 0, "ratio": one.ratio,
            "low": math.exp(shift.low) if shift else None,
            "high": math.exp(shift.high) if shift else None,
            "coverage": shift and shift.coverage,
            "duration_s_median": one.cell.median(DURATION),
            "base_duration_s_median": one.base.median(DURATION),
            "faults_median": _faults(one.cell), "base_faults_median": _faults(one.base),
        })
    return pd.DataFrame(rows)
