"""How much one set of repetitions differs from another: paired, by rank, without assuming a
distribution.

Everything is computed on paired differences d (log-ratios for relative effects, plain
differences for absolute ones). The estimate is Hodges and Lehmann's, the interval and the tests
are those of Wilcoxon's signed ranks, all three exact duals of one another.
Source: Hollander, Wolfe, Chicken, Nonparametric Statistical Methods, 3.1-3.3.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

CONFIDENCE = 0.95
# Below six pairs no exact two-sided test can reach 5 %.
FEWEST_FOR_VERDICT = 6
# The chance with which the smallest effect that is printed would have been found.
POWER = 0.8
# Exact ranks up to here; beyond, the normal approximation is as good.
_MOST_EXACT = 200


@dataclass(frozen=True)
class Shift:
    """A location estimate with its interval, on the scale of the differences."""

    count: int
    estimate: float
    low: float
    high: float
    coverage: float  # probability that [low, high] holds the true shift


def hodges_lehmann(differences: ArrayLike, confidence: float = CONFIDENCE) -> Shift | None:
    """The pseudo-median of paired differences and its exact signed-rank interval.

    differences: (n,), finite. None for n = 0. Where n is too small for `confidence` the interval
    is the full range, and `coverage` says what that is worth. Assumes differences that are
    symmetric about their centre, which pairing makes them when both sides vary alike.
    """
    values = _checked(differences)
    if values.size == 0:
        return None
    averages = _walsh_averages(values)
    dropped = _dropped(values.size, confidence)
    coverage = 1 - 2 * _lower_tail(values.size, dropped) if dropped >= 0 else 1.0
    at = max(dropped, 0)
    return Shift(values.size, float(np.median(averages)), float(averages[at]),
                 float(averages[averages.size - 1 - at]),
                 coverage if dropped >= 0 else 1 - 2.0 ** (1 - values.size))


def p_above(differences: ArrayLike, bound: float) -> float:
    """One-sided exact p-value of "the shift is at most `bound`": small when it lies above.

    1.0 for n = 0. Differences equal to `bound` speak for the hypothesis.
    """
    return _p_of_ranks(differences, bound, lambda above, below: above)


def p_below(differences: ArrayLike, bound: float) -> float:
    """One-sided exact p-value of "the shift is at least `bound`"."""
    return _p_of_ranks(differences, bound, lambda above, below: below)


def p_differs(differences: ArrayLike) -> float:
    """Two-sided exact p-value of "the shift is 0"."""
    return min(1.0, 2 * _p_of_ranks(differences, 0.0, max))


def _p_of_ranks(
    differences: ArrayLike, bound: float, which: Callable[[float, float], float]
) -> float:
    """P(W >= w) for the rank sum w that `which` takes of those above and below `bound`."""
    values = _checked(differences)
    if values.size == 0:
        return 1.0
    # A tie with the bound belongs to neither side, so that it can never make an effect.
    moved = values - bound
    moved[np.abs(moved) <= 1e-12 * max(1.0, float(np.abs(values).max()))] = 0.0
    ranks = stats.rankdata(np.abs(moved))
    statistic = math.floor(float(which(ranks[moved > 0].sum(), ranks[moved < 0].sum())) + 1e-9)
    most = values.size * (values.size + 1) // 2
    # P(W >= w) = P(W <= most - w), by symmetry.
    return _lower_tail(values.size, most - statistic)


def fewest_pairs(comparisons: int, level: float) -> int:
    """With how many pairs at least one of `comparisons` can reach a two-sided p < `level` at all.

    Holm's correction multiplies the smallest p-value by their number, and that of n pairs which
    all point one way is 2^(1-n).
    """
    return math.floor(math.log2(max(1, comparisons) / level)) + 2


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's step-down adjusted p-values, (n,), in the order given; NaN stays NaN and uncounted.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scand. J. Stat. 6 (1979).
    """
    raw = np.asarray(p_values, dtype=float)
    adjusted = np.full(raw.shape, np.nan)
    known = np.flatnonzero(~np.isnan(raw))
    ordered = known[np.argsort(raw[known], kind="stable")]
    highest = 0.0
    for position, index in enumerate(ordered):
        highest = max(highest, min(1.0, raw[index] * (ordered.size - position)))
        adjusted[index] = highest
    return adjusted


def spread(differences: ArrayLike) -> float:
    """The standard deviation of normal differences that would give the same interval.

    So it is what decides the power of the tests above, and outliers, which a busy machine makes,
    hardly move it. 0 for fewer than two values.
    Source: Lehmann, Nonparametric Confidence Intervals for a Shift Parameter, 1963.
    """
    shift = hodges_lehmann(differences)
    if shift is None or shift.count < 2:
        return 0.0
    quantile = special.stdtrit(shift.count - 1, (1 + shift.coverage) / 2)
    return float((shift.high - shift.low) / 2 / quantile * math.sqrt(3 / math.pi * shift.count))


def smallest_effect(noise: float, pairs: int, bound: float, alpha: float) -> float:
    """The smallest shift that `pairs` pairs of this noise would show to lie beyond `bound`, with
    a chance of POWER at a one-sided level `alpha`; infinity where no number of hits could.

    On the scale of the differences.
    """
    return bound + noise * _distance_found(pairs, alpha, POWER)


def pairs_needed(
    noise: float, distance: float, alpha: float, power: float = POWER
) -> int | None:
    """How many pairs show a shift that lies `distance` beyond a bound, one-sided at `alpha`, with
    a chance of `power`.

    None where the distance is not positive, or no 10 000 would do.
    """
    if distance <= 0:
        return None
    candidates = range(FEWEST_FOR_VERDICT, 10_000)
    at = bisect_left(candidates, True,
                     key=lambda pairs: noise * _distance_found(pairs, alpha, power) <= distance)
    return candidates[at] if at < len(candidates) else None


@cache
def _distance_found(pairs: int, alpha: float, power: float) -> float:
    """How far from the bound a shift must lie, in standard deviations of a difference.

    Normal theory at the level that the exact test attains, with the efficiency of signed ranks,
    3/pi; the pairs taken off are what simulation shows it to be too hopeful by.
    """
    dropped = _dropped(pairs, 1 - 2 * alpha)
    if dropped < 0:
        return math.inf
    level = _lower_tail(pairs, dropped)
    quantile = special.stdtrit(pairs - 1, 1 - level) + special.ndtri(power)
    return float(quantile) * math.sqrt(math.pi / 3 / (pairs - 1 - 1 / (dropped + 1)))


def _checked(differences: ArrayLike) -> np.ndarray:
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"differences have shape {values.shape}, expected (n,)")
    if not np.all(np.isfinite(values)):
        raise ValueError("differences hold a value that is not finite")
    return values


def _walsh_averages(values: np.ndarray) -> np.ndarray:
    """All means of two of `values`, each with itself included: (n (n+1) / 2,), sorted."""
    first, second = np.triu_indices(values.size)
    return np.sort((values[first] + values[second]) / 2)


@cache
def _tail_table(count: int) -> np.ndarray:
    """P(W <= w) for w = 0 ... n (n+1) / 2, the signed-rank statistic under its null."""
    chances = np.ones(1)
    for rank in range(1, count + 1):
        longer = np.zeros(chances.size + rank)
        longer[: chances.size] += chances / 2
        longer[rank:] += chances / 2
        chances = longer
    return np.cumsum(chances)


def _lower_tail(count: int, statistic: float) -> float:
    """P(W <= statistic)."""
    if statistic < 0:
        return 0.0
    if count <= _MOST_EXACT:
        table = _tail_table(count)
        return float(min(1.0, table[min(int(statistic), table.size - 1)]))
    mean = count * (count + 1) / 4
    deviation = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    return float(special.ndtr((statistic + 0.5 - mean) / deviation))


@cache
def _dropped(count: int, confidence: float) -> int:
    """The largest w with P(W <= w) <= (1 - confidence) / 2; -1 when there is none.

    Walsh averages number w + 1 from either end, counted from 1, bound the interval.
    """
    tail = (1 - confidence) / 2
    low, high = -1, count * (count + 1) // 2
    while high - low > 1:
        middle = (low + high) // 2
        if _lower_tail(count, middle) <= tail + 1e-15:
            low = middle
        else:
            high = middle
    return low
