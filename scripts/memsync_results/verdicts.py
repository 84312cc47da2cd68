"""Decides, for each cell and measure of two campaigns, whether anything changed.

A measure's differences are oriented so that positive is worse. REGRESSION: they lie beyond the
tolerance, with a family-wise error of 2.5 % over all judged cells (Holm). IMPROVED: likewise on
the other side. EQUIVALENT: within the tolerance on both sides (two one-sided tests at 2.5 %;
no correction, since a green needs every one of them). INCONCLUSIVE: none of these, or equal
only within a noise floor that the policy calls too high. NOT JUDGED: the controls failed.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from memsync_results import effects
from memsync_results.matching import Pair
from memsync_results.measures import Measure
from memsync_results.policy import Policy, Tolerance

REGRESSION, IMPROVED, EQUIVALENT, INCONCLUSIVE, NOT_JUDGED = WORDS = (
    "REGRESSION", "IMPROVED", "EQUIVALENT", "INCONCLUSIVE", "NOT JUDGED",
)
ALPHA = (1 - effects.CONFIDENCE) / 2  # one-sided
# Equality takes two tests, so each may miss half as often.
_POWER_OF_EACH = (1 + effects.POWER) / 2


@dataclass(frozen=True)
class Effect:
    """How head differs from base in one measure of one cell; no verdict yet."""

    pair: Pair
    measure: Measure
    tolerance: Tolerance
    pairs: int
    base_median: float | None
    head_median: float | None
    is_ratio: bool  # differences are log-ratios; else in the measure's unit (some value was 0)
    differences: np.ndarray  # (pairs,), positive is worse
    bound: float  # the tolerance on the differences' scale
    is_absolute: bool  # the bound is the tolerance's absolute one
    floor: float  # the A/A floor that went into the bound, a share
    shift: effects.Shift | None
    noise: float  # robust standard deviation of the differences
    p_worse: float  # that they lie beyond the bound; NaN where it can't be asked
    p_better: float
    p_equal: float

    def change(self, shift: float) -> float:
        """A shift of the differences as the change of the measure itself.

        A share (-0.1: a tenth less) where `is_ratio`, else in the measure's unit.
        """
        signed = shift if self.measure.better == "lower" else -shift
        return math.expm1(signed) if self.is_ratio else signed


@dataclass(frozen=True)
class Verdict:
    """What to say of one cell and measure, and why."""

    effect: Effect
    word: str
    reason: str  # "" unless INCONCLUSIVE or compared exactly
    p_adjusted: float  # of the word: Holm's for REGRESSION and IMPROVED
    smallest_effect: float  # on the differences' scale: found with a chance of 80 %; may be inf
    rounds_more: int | None  # roughly needed for a verdict; None: no number would do
    without_noisy: str = ""  # the word without rows marked noisy, "" where there are none

    @property
    def is_exact(self) -> bool:
        return self.effect.tolerance.exact


def effect_of(
    pair: Pair, measure: Measure, tolerance: Tolerance, floor: float = 0.0,
    keep_noisy: bool = True,
) -> Effect:
    """Measures one cell's change. `floor`: the A/A floor of this measure, as a share."""
    base, head = pair.values(measure.column, keep_noisy)
    differences, is_ratio = differences_of(base, head)
    if measure.better == "higher":
        differences = -differences
    median = float(np.median(base)) if base.size else None
    bound = _bound(tolerance, floor, median, is_ratio)
    asked = base.size > 0
    return Effect(
        pair=pair, measure=measure, tolerance=tolerance, pairs=base.size,
        base_median=median, head_median=float(np.median(head)) if asked else None,
        is_ratio=is_ratio, differences=differences, bound=bound,
        is_absolute=bool(asked and is_ratio
                         and tolerance.absolute > max(tolerance.relative, 2 * floor) * median),
        floor=floor,
        shift=effects.hodges_lehmann(differences), noise=effects.spread(differences),
        p_worse=effects.p_above(differences, bound) if asked else math.nan,
        p_better=effects.p_below(differences, -bound) if asked else math.nan,
        p_equal=max(effects.p_below(differences, bound), effects.p_above(differences, -bound))
        if asked else math.nan,
    )


def differences_of(base: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, bool]:
    """Log-ratios and True where every value is positive, else plain differences and False: (n,)."""
    if bool((base > 0).all() and (head > 0).all()):
        return np.log(head / base), True
    return head - base, False


def _bound(tolerance: Tolerance, floor: float, median: float | None, is_ratio: bool) -> float:
    """delta = max(the policy's, 2 x A/A floor), on the scale of the differences."""
    if median is None:
        return 0.0
    if is_ratio:
        return math.log1p(max(tolerance.of(median), 2 * floor))
    return max(tolerance.absolute, tolerance.relative * abs(median), 2 * floor * abs(median))


def judge(
    measured: list[Effect], fewest_pairs: int, largest_delta: float = math.inf
) -> list[Verdict]:
    """Verdicts in the order given; Holm's correction is over all of them together.

    largest_delta: a share; nothing is called equal within a noise floor that asks for more.
    """
    ranked = [e for e in measured if not e.tolerance.exact and e.pairs >= fewest_pairs]
    worse = effects.holm([e.p_worse for e in ranked])
    better = effects.holm([e.p_better for e in ranked])
    place = {id(effect): k for k, effect in enumerate(ranked)}
    verdicts = []
    for effect in measured:
        if effect.tolerance.exact:
            verdicts.append(_exact_verdict(effect))
        elif id(effect) not in place:
            verdicts.append(_too_few(effect, fewest_pairs))
        else:
            k = place[id(effect)]
            verdict = _verdict(effect, float(worse[k]), float(better[k]), len(ranked))
            verdicts.append(_within_limit(verdict, largest_delta))
    return verdicts


def _within_limit(verdict: Verdict, largest_delta: float) -> Verdict:
    """A change beyond even so large a delta is one; that there is none can't be said."""
    effect = verdict.effect
    median = abs(effect.base_median or 0.0)
    delta = 2 * effect.floor
    is_noise = delta * median > max(effect.tolerance.absolute, effect.tolerance.relative * median)
    if not is_noise or delta <= largest_delta or verdict.word in (REGRESSION, IMPROVED):
        return verdict
    return replace(verdict, word=INCONCLUSIVE, rounds_more=None, p_adjusted=math.nan,
                   reason=f"this machine is too noisy to tell less than {100 * delta:.0f} %: that "
                   "is twice its A/A floor")


def not_judged(verdicts: list[Verdict]) -> list[Verdict]:
    """The same measurements without a word about them: the controls failed."""
    return [replace(v, word=NOT_JUDGED, reason="the controls failed", p_adjusted=math.nan,
                    rounds_more=None, without_noisy="") for v in verdicts]


def _verdict(effect: Effect, p_worse: float, p_better: float, family: int) -> Verdict:
    level = ALPHA / family
    smallest = effects.smallest_effect(effect.noise, effect.pairs, effect.bound, level)
    for word, p_value in (
        (REGRESSION, p_worse), (IMPROVED, p_better), (EQUIVALENT, effect.p_equal),
    ):
        if p_value <= ALPHA:
            return Verdict(effect, word, "", p_value, smallest, 0)
    more = _rounds_more(effect, level)
    reason = ("the interval reaches over the tolerance; "
              + (f"about {more} more rounds would tell" if more else
                 "the effect is as large as the tolerance itself, so no number of rounds would "
                 "tell"))
    return Verdict(effect, INCONCLUSIVE, reason, min(p_worse, p_better, effect.p_equal), smallest,
                   more)


def _rounds_more(effect: Effect, level: float) -> int | None:
    """Rounds beyond those that were run until the nearest verdict, if the effect is as it seems."""
    size = abs(effect.shift.estimate)
    if size > effect.bound:
        needed = effects.pairs_needed(effect.noise, size - effect.bound, level)
    else:
        needed = effects.pairs_needed(effect.noise, effect.bound - size, ALPHA, _POWER_OF_EACH)
    return None if needed is None else max(1, needed - effect.pairs)


def rounds_to_tell(effect: Effect) -> int:
    """How many rounds it takes to call equal things EQUIVALENT, with this noise and tolerance.

    With a chance of effects.POWER; 10 000 stands for "more than anybody runs".
    """
    return effects.pairs_needed(effect.noise, effect.bound, ALPHA, _POWER_OF_EACH) or 10_000


def _too_few(effect: Effect, fewest_pairs: int) -> Verdict:
    planned = max(effect.pair.base.planned, effect.pair.head.planned)
    reason = (f"{effect.pairs} of {planned} repetitions pair up, a verdict needs at least "
              f"{fewest_pairs}")
    return Verdict(effect, INCONCLUSIVE, reason, math.nan, math.inf, fewest_pairs - effect.pairs)


def _exact_verdict(effect: Effect) -> Verdict:
    if effect.pairs == 0:
        return Verdict(effect, INCONCLUSIVE, "nothing to compare", math.nan, 0.0, 1)
    worst, best = float(effect.differences.max()), float(effect.differences.min())
    word = REGRESSION if worst > 0 else IMPROVED if best < 0 else EQUIVALENT
    reason = "" if word == EQUIVALENT else "compared exactly, and it differs"
    return Verdict(effect, word, reason, math.nan, 0.0, 0)


def with_noise_told(verdicts: list[Verdict], policy: Policy, floors: dict[str, float]
                    ) -> list[Verdict]:
    """The same verdicts, each with what it would be without the rows marked noisy."""
    if not policy.keep_noisy:
        return verdicts
    marked = [_has_noisy_rows(v.effect) for v in verdicts]
    quiet = judge(
        [effect_of(v.effect.pair, v.effect.measure, v.effect.tolerance,
                   floors.get(v.effect.measure.column, 0.0), keep_noisy=False) for v in verdicts],
        policy.fewest_pairs, policy.largest_delta,
    ) if any(marked) else verdicts
    return [replace(v, without_noisy=q.word) if is_marked else v
            for v, q, is_marked in zip(verdicts, quiet, marked, strict=True)]


def _has_noisy_rows(effect: Effect) -> bool:
    cells = (effect.pair.base, effect.pair.head)
    return any(bool((c.ok_rows["noisy"].to_numpy(dtype=float) == 1).any()) for c in cells)
