"""Which series leads where, by how much and how sure, within one campaign.

The best median of a workload and link is compared with every rival, repetitions paired by block.
As it was picked by the same data, each pair of rivals counts as a comparison that was made: tests
are two-sided, and Holm's correction is over all pairs of all places.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from memsync_results import effects
from memsync_results.cells import Cell
from memsync_results.matching import Pair
from memsync_results.measures import BLACKOUT, FIRST_ACCESS, FULL, SETTLE, THROUGHPUT, Measure
from memsync_results.noise import is_too_noisy
from memsync_results.policy import Policy, Tolerance
from memsync_results.statistics import MedianInterval
from memsync_results.verdicts import Effect, differences_of, effect_of

# The harness's own floor moves no bytes: a yardstick, and no rival.
YARDSTICK = "floor"
LEVEL = 0.05  # of a two-sided test, after Holm's correction

WINS, TIE, ONLY, TOO_NOISY = "wins", "tie", "only candidate", "too noisy"
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

    effect: Effect  # base: the best, head: this cell; positive is worse; bound: the margin of a tie
    p_adjusted: float  # that they differ at all; NaN where no repetitions pair up
    comparisons: int  # that the correction is over

    @property
    def best(self) -> Cell:
        return self.effect.pair.base

    @property
    def cell(self) -> Cell:
        return self.effect.pair.head

    @property
    def distance(self) -> float:
        return self.effect.shift.estimate if self.effect.shift else math.inf

    @property
    def tie(self) -> str:
        """Why neither of the two can be called the better one; "" where the best one can."""
        effect = self.effect
        if effect.shift is None:
            return "no repetitions pair up"
        if effect.shift.estimate <= 0:
            return "paired by round the other one leads"
        if effect.shift.low <= 0:
            return "the interval holds 1" if effect.is_ratio else "the interval holds 0"
        if effect.shift.estimate < effect.bound:
            return f"less than {100 * effect.tolerance.relative:.3g} % apart"
        return ""

    @property
    def is_sure(self) -> bool:
        """Whether it is behind beyond chance, and by more than the margin of a tie."""
        return not self.tie and self.p_adjusted < LEVEL


@dataclass(frozen=True)
class Outcome:
    """What came out for one measure of one workload and link."""

    measure: Measure
    best: Cell  # by median
    behind: list[Rank]  # the rivals by median, best first
    too_noisy: bool

    @cached_property
    def next_best(self) -> Rank | None:
        """The rival nearest to the best one, paired by round."""
        return min(self.behind, key=lambda rank: rank.distance, default=None)

    @property
    def word(self) -> str:
        """WINS only where `best` may be named as the winner."""
        if self.too_noisy:
            return TOO_NOISY
        if self.next_best is None:
            return ONLY
        return TIE if self.next_best.tie else WINS

    @property
    def interval(self) -> MedianInterval | None:
        return self.best.interval(self.measure.column)

    def as_json(self) -> dict[str, Any]:
        rival, found = self.next_best, self.interval
        return {
            "workload": self.best.workload.name, "link": self.best.link.name,
            "measure": self.measure.column, "outcome": self.word,
            "reason": rival.tie if rival and self.word == TIE else "",
            "series": None if self.word == TOO_NOISY else self.best.series.name,
            "median": found.median if found else None, "low": found.low if found else None,
            "high": found.high if found else None,
            "next": rival.cell.series.name if rival and self.word != TOO_NOISY else None,
            "sure": bool(rival and rival.is_sure and self.word == WINS),
            "p_adjusted": rival.p_adjusted if rival and rival.effect.pairs else None,
            "comparisons": rival.comparisons if rival else 0,
        }


def outcomes(cells: list[Cell], policy: Policy) -> list[Outcome]:
    """Per workload, link and measure that anything was measured of, in the cells' order.

    policy: its shares say below which distance two are a tie.
    """
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if _is_rival(cell):
            groups.setdefault((cell.workload.name, cell.link.name), []).append(cell)
    places = [
        (measure, ranked) for group in groups.values()
        for measure in JUDGED[group[0].workload.does] if (ranked := _by_median(group, measure))
    ]
    p_values = [[_p_of(Pair(*pair), measure) for pair in combinations(ranked, 2)]
                for measure, ranked in places]
    adjusted = effects.holm([p for place in p_values for p in place])
    comparisons = int((adjusted == adjusted).sum())  # NaN is none
    too_noisy = is_too_noisy(cells)
    result, at = [], 0
    for (measure, ranked), of_place in zip(places, p_values, strict=True):
        tolerance = Tolerance(policy.margin(measure.column))
        # combinations() gives those with the best one first.
        behind = [Rank(effect_of(Pair(ranked[0], rival), measure, tolerance),
                       float(adjusted[at + k]), comparisons) for k, rival in enumerate(ranked[1:])]
        result.append(Outcome(measure, ranked[0], behind, too_noisy))
        at += len(of_place)
    return result


def _p_of(pair: Pair, measure: Measure) -> float:
    differences, _ = differences_of(*pair.values(measure.column))
    return effects.p_differs(differences) if differences.size else math.nan


def _is_rival(cell: Cell) -> bool:
    moves_bytes = not cell.most_frequent("backend").startswith(_LOCAL)
    return moves_bytes and cell.series.approach != YARDSTICK and not cell.series.role


def _by_median(group: list[Cell], measure: Measure) -> list[Cell]:
    """The cells with a positive median, best first."""
    known = [(median, cell) for cell in group if (median := cell.median(measure.column) or 0) > 0]
    known.sort(key=lambda pair: pair[0], reverse=measure.better == "higher")
    return [cell for _, cell in known]
