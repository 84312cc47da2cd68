"""What a suite demands of its cells, and whether it holds: ours against a peer or a limit.

A ratio is that of two repetitions of one round, so that what the machine did then is in both.
"""

import csv
import io
import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memsync_results.cells import Cell, cells_of
from memsync_results.effects import hodges_lehmann
from memsync_results.files import write_whole
from memsync_results.formula import evaluate
from memsync_results.load import Campaign
from memsync_results.page import Block, Heading, Paragraph, Table
from memsync_results.units import quantity, unit_of

FILE = "demands.csv"
COLUMNS = "demand,what,ours,theirs_or_limit,unit,ratio,required,met,n,note".split(",")
YES, NO, UNMEASURED = "yes", "no", "unmeasured"
# A word and a sign beside the colour, which not everybody sees.
_SHOWN = {YES: "✓ yes", NO: "✗ no", UNMEASURED: "– unmeasured"}
TONES = {_SHOWN[YES]: "good", _SHOWN[NO]: "alarm", _SHOWN[UNMEASURED]: "note"}
_COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True)
class Finding:
    """One demand and what the rows say of it; medians are of the rounds that have both sides."""

    demand: dict[str, Any]  # its entry in registry.json
    met: str
    note: str
    ours: float | None = None
    theirs: float | None = None
    ratio: float | None = None  # the median of the rounds' ratios
    pairs: int = 0

    @property
    def unit(self) -> str:
        return unit_of(self.demand["ours"]["column"])

    def record(self) -> dict[str, str]:
        """Its line of demands.csv: numbers in SI units, empty where nothing was measured."""
        numbers = {"ours": self.ours, "theirs_or_limit": self.theirs, "ratio": self.ratio}
        return {
            "demand": self.demand["id"], "what": self.demand["what"], "unit": self.unit,
            "required": self.demand["required"], "met": self.met, "n": str(self.pairs),
            "note": self.note,
            **{name: "" if value is None else f"{value:.6g}" for name, value in numbers.items()},
        }

    def shown(self) -> list[str]:
        """The same for people, in the order of COLUMNS without the unit."""
        return [
            self.demand["id"], self.demand["what"], quantity(self.ours, self.unit),
            quantity(self.theirs, self.unit), quantity(self.ratio, ""), self.demand["required"],
            _SHOWN[self.met], str(self.pairs), self.note,
        ]


class _Unmeasured(Exception):
    """Why nothing can be said; the text is for the note."""


def judge_demands(campaign: Campaign, cells: list[Cell] | None = None) -> list[Finding]:
    """One finding per demand, in the suite's order; [] for a suite that demands nothing."""
    demands = campaign.registry.get("demands") or []
    if not demands:
        return []
    known = {(cell.series.name, cell.workload.name, cell.link.name): cell
             for cell in (cells_of(campaign) if cells is None else cells)}
    return [_judge(demand, known) for demand in demands]


def _judge(demand: dict[str, Any], cells: dict[tuple, Cell]) -> Finding:
    try:
        ours, theirs = _paired(demand, cells)
    except _Unmeasured as reason:
        return Finding(demand, UNMEASURED, str(reason))
    ratios = ours / theirs
    ratio = float(np.median(ratios))
    measured = {"ours": float(np.median(ours)), "theirs": float(np.median(theirs)),
                "ratio": ratio, "pairs": ratios.size}
    if ratios.size < demand["pairs"]:
        return Finding(demand, UNMEASURED, f"{ratios.size} rounds have both sides, "
                       f"{demand['pairs']} are asked for", **measured)
    met = YES if _fulfils(demand, ratio) else NO
    return Finding(demand, met, _doubt(demand, ratios, met), **measured)


def _fulfils(demand: dict[str, Any], ratio: float) -> bool:
    return bool(_COMPARISONS[demand["comparison"]](ratio, demand["bound"]))


def _doubt(demand: dict[str, Any], ratios: np.ndarray, met: str) -> str:
    """What to know of a verdict that the interval does not share; "" where it does."""
    low, high = _interval(ratios)
    if _fulfils(demand, low) == _fulfils(demand, high) == (met == YES):
        return ""
    verdict = "met" if met == YES else "missed"
    return f"{verdict} by the median; interval {_short(low)} to {_short(high)}"


def _interval(ratios: np.ndarray) -> tuple[float, float]:
    """The exact signed-rank interval, of log-ratios where all are positive."""
    is_positive = bool((ratios > 0).all())
    shift = hodges_lehmann(np.log(ratios) if is_positive else ratios)
    assert shift is not None  # there is a pair
    ends = np.array([shift.low, shift.high])
    low, high = np.exp(ends) if is_positive else ends
    return float(low), float(high)


def _short(ratio: float) -> str:
    return quantity(ratio, "") if 0.001 <= ratio < 1e6 else f"{ratio:.3g}"


def _paired(demand: dict[str, Any], cells: dict[tuple, Cell]) -> tuple[np.ndarray, np.ndarray]:
    """What both sides measured in the rounds that have both: (n,) and (n,), n > 0, theirs > 0."""
    cell = _cell(demand["ours"], cells)
    blocks, ours = _measured(cell, demand["ours"]["column"])
    if demand["against"] is not None:
        other_blocks, theirs = _measured(_cell(demand["against"], cells),
                                         demand["against"]["column"])
    else:
        other_blocks, theirs = _limits(cell, demand["limit"])
    _, at_ours, at_theirs = np.intersect1d(blocks, other_blocks, return_indices=True)
    ours, theirs = ours[at_ours], theirs[at_theirs]
    if not ours.size:
        raise _Unmeasured("no round has both sides")
    if not (theirs > 0).all():
        raise _Unmeasured("the other side is 0, which nothing can be a share of")
    return ours, theirs


def _cell(place: dict[str, str], cells: dict[tuple, Cell]) -> Cell:
    name = "/".join(place[key] for key in ("series", "workload", "link"))
    cell = cells.get((place["series"], place["workload"], place["link"]))
    if cell is None:
        raise _Unmeasured(f"{name} is not in the plan: excluded or filtered out")
    if not cell.ok_count:
        raise _Unmeasured(f"{name} is {cell.status}: {cell.reason}")
    return cell


def _measured(cell: Cell, column: str) -> tuple[np.ndarray, np.ndarray]:
    if column not in cell.ok_rows:
        raise _Unmeasured(f"runs.csv has no column {column}")
    blocks, values = cell.by_block(column)
    if not values.size:
        raise _Unmeasured(f"{cell.cell_id}: its {column} is empty")
    return blocks, values


def _limits(cell: Cell, formula: str) -> tuple[np.ndarray, np.ndarray]:
    """The limit in each round of the cell that the demand is made of."""
    rows = cell.ok_rows
    try:
        value = evaluate(formula, lambda name: rows[name].to_numpy(dtype=float))
    except ValueError as problem:
        raise _Unmeasured(f"the limit: {problem}") from None
    values = np.broadcast_to(np.asarray(value, dtype=float), len(rows))
    kept = np.isfinite(values)
    if not kept.any():
        raise _Unmeasured(f"{cell.cell_id}: the limit {formula} needs a column that is empty")
    return rows["block"].to_numpy(dtype=float)[kept], values[kept]


def to_csv(findings: list[Finding]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(finding.record() for finding in findings)
    return text.getvalue()


def write_demands(directory: Path, findings: list[Finding]) -> Path:
    """Writes demands.csv into `directory`, whole or not at all."""
    path = directory / FILE
    write_whole(path, to_csv(findings).encode())
    return path


_TITLES = ["demand", "what", "ours", "theirs or limit", "ratio", "required", "met", "n", "note"]


def table_text(findings: list[Finding]) -> str:
    """An aligned table for a terminal."""
    rows = [_TITLES, *(finding.shown() for finding in findings)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(_TITLES))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def one_demand(finding: Finding) -> str:
    """A demand and what came of it, in a terminal or an annotation."""
    told = f"{finding.demand['id']}: {finding.demand['what']}"
    if finding.ratio is not None:
        told += f": {quantity(finding.ratio, '')}, required {finding.demand['required']}"
    return told + (f"; {finding.note}" if finding.note else "")


def headline(findings: list[Finding]) -> str:
    counts = {word: sum(finding.met == word for finding in findings)
              for word in (YES, NO, UNMEASURED)}
    return (f"{len(findings)} demands: {counts[YES]} met, {counts[NO]} missed, "
            f"{counts[UNMEASURED]} unmeasured")


def demand_blocks(findings: list[Finding]) -> list[Block]:
    """The section of a report; nothing for a suite without demands."""
    if not findings:
        return []
    return [
        Heading("What the suite demands"),
        Paragraph(headline(findings) + "."),
        Table("Ratio: the median of the rounds' ratios of ours to the other side (medians shown). A "
              "note tells where the exact 95 % signed-rank interval holds both answers",
              _TITLES, [finding.shown() for finding in findings], tones=TONES),
    ]
