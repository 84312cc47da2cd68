"""Which series leads where, by how much and how sure, within one campaign.

Every rival is compared with the best median of its workload and link, its repetitions paired by
block; Holm's correction is over all comparisons of the campaign.
"""

from dataclasses import dataclass

from memsync_results import effects
from memsync_results.cells import Cell
from memsync_results.matching import Pair
from memsync_results.measures import BLACKOUT, FIRST_ACCESS, FULL, SETTLE, THROUGHPUT, Measure
from memsync_results.policy import Tolerance
from memsync_results.verdicts import ALPHA, Effect, effect_of

# The harness's own floor moves no bytes: a yardstick, and no rival.
YARDSTICK = "floor"
# Nor does a destination that reads from its own host (column `backend`).
_LOCAL = "local-"

JUDGED: dict[str, tuple[Measure, ...]] = {
    "read": (THROUGHPUT, FIRST_ACCESS),
    "update": (FULL,),
    "handover": (BLACKOUT, SETTLE),
}


@dataclass(frozen=True)
class Rank:
    """One cell against the best of its workload and link."""

    effect: Effect  # base: the best, head: this cell; positive is worse
    p_adjusted: float  # that it is worse at all; NaN where no repetitions pair up

    @property
    def measure(self) -> Measure:
        return self.effect.measure

    @property
    def best(self) -> Cell:
        return self.effect.pair.base

    @property
    def cell(self) -> Cell:
        return self.effect.pair.head

    @property
    def is_sure(self) -> bool:
        """Whether it is behind beyond chance: an exact paired test, corrected, at 2.5 %."""
        return self.p_adjusted <= ALPHA


def ranks(cells: list[Cell]) -> list[list[Rank]]:
    """Per workload, link and measure: the rivals behind the best one, nearest first."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if _is_rival(cell):
            groups.setdefault((cell.workload.name, cell.link.name), []).append(cell)
    measured = [
        [effect_of(Pair(ranked[0], cell), measure, Tolerance()) for cell in ranked[1:]]
        for group in groups.values()
        for measure in JUDGED[group[0].workload.does]
        if len(ranked := _by_median(group, measure)) > 1
    ]
    adjusted = iter(effects.holm([e.p_worse for group in measured for e in group]))
    return [[Rank(effect, float(next(adjusted))) for effect in group] for group in measured]


def _is_rival(cell: Cell) -> bool:
    moves_bytes = not cell.most_frequent("backend").startswith(_LOCAL)
    return moves_bytes and cell.series.approach != YARDSTICK and not cell.series.role


def _by_median(group: list[Cell], measure: Measure) -> list[Cell]:
    """The cells with a positive median, best first."""
    known = [(median, cell) for cell in group if (median := cell.median(measure.column) or 0) > 0]
    known.sort(key=lambda pair: pair[0], reverse=measure.better == "higher")
    return [cell for _, cell in known]
