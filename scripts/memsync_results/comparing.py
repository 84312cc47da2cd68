"""Which series leads where: medians side by side, without a verdict.

A verdict needs repetitions paired by block and a correction over cells; here are only a
ratio of medians and whether the two intervals overlap, for a reader to look closer at.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from memsync_results.cells import BLACKOUT, FIRST_ACCESS, SETTLE, SHOWN, THROUGHPUT, Cell, Measure

# The harness's own floor moves no bytes: a yardstick, and no rival.
YARDSTICK = "floor"

JUDGED: dict[str, tuple[Measure, ...]] = {
    "read": (THROUGHPUT, FIRST_ACCESS),
    "update": SHOWN["update"][:1],
    "handover": (BLACKOUT, SETTLE),
}


@dataclass(frozen=True)
class Rank:
    """One cell against the best of its workload and link."""

    measure: Measure
    best: Cell
    cell: Cell
    factor: float  # how many times worse the median is, >= 1
    overlaps: bool  # the two intervals share a value


def ranks(cells: list[Cell]) -> Iterator[list[Rank]]:
    """Per workload, link and measure: every rival with a value, best first."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.series.approach != YARDSTICK:
            groups.setdefault((cell.workload.name, cell.link.name), []).append(cell)
    for group in groups.values():
        for measure in JUDGED[group[0].workload.does]:
            ranked = _rank(group, measure)
            if len(ranked) > 1:
                yield ranked


def _rank(group: list[Cell], measure: Measure) -> list[Rank]:
    known = [(interval, cell) for cell in group if (interval := cell.interval(measure.column))]
    known = [(interval, cell) for interval, cell in known if interval.median > 0]
    known.sort(key=lambda pair: pair[0].median, reverse=measure.better == "higher")
    result = []
    for interval, cell in known:
        best, best_cell = known[0]
        factor = interval.median / best.median
        result.append(
            Rank(
                measure, best_cell, cell,
                factor=1 / factor if measure.better == "higher" else factor,
                overlaps=interval.low <= best.high and best.low <= interval.high,
            )
        )
    return result
