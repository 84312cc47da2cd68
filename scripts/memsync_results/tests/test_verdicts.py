"""Verdicts on simulated campaigns of known truth, and at the edges."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from memsync_results import effects
from memsync_results.cells import Cell
from memsync_results.load import Link, Series, Workload
from memsync_results.matching import Pair
from memsync_results.measures import BLACKOUT, THROUGHPUT
from memsync_results.policy import Tolerance, load_policy
from memsync_results.verdicts import (
    EQUIVALENT, IMPROVED, INCONCLUSIVE, REGRESSION, Effect, effect_of, judge, rounds_to_tell,
    with_noise_told,
)

FIVE_PERCENT = Tolerance(relative=0.05)


def cell(values: list[float], column: str = "throughput_Bps", noisy: int = 0) -> Cell:
    rows = pd.DataFrame({"block": range(1, len(values) + 1), column: values, "backend": "memory",
                         "noisy": [noisy] + [0] * (len(values) - 1) if values else []})
    return Cell(
        cell_id="a/scan/lan", series=Series("a", "a", "", "#000000", "o"),
        workload=Workload("scan", "read", 1, 1, "text", "sequential", 1, 1),
        link=Link("lan", 1e8, 0.001, 0, 0, "tun"), status="ok", reason="", log="",
        planned=len(values), counts={"ok": len(values)}, ok_rows=rows,
    )


def verdict(base, head, tolerance=FIVE_PERCENT, measure=THROUGHPUT, fewest=6, floor=0.0):
    pair = Pair(cell(list(base), measure.column), cell(list(head), measure.column))
    return judge([effect_of(pair, measure, tolerance, floor)], fewest)[0]


def sample(seed: int, centre: float, count: int = 20, noise: float = 0.02) -> np.ndarray:
    return centre * np.exp(np.random.default_rng(seed).normal(0, noise, count))


def test_less_throughput_is_a_regression_and_more_an_improvement():
    base = sample(1, 1e8)
    assert verdict(base, sample(2, 0.9e8)).word == REGRESSION
    assert verdict(base, sample(2, 1.1e8)).word == IMPROVED
    assert verdict(base, sample(2, 1.0e8)).word == EQUIVALENT


def test_longer_downtime_is_a_regression_and_an_absolute_tolerance_counts_where_it_is_larger():
    base = sample(1, 0.040)
    head = base + 0.005
    assert verdict(base, head, FIVE_PERCENT, BLACKOUT).word == REGRESSION
    assert verdict(base, head, Tolerance(0.05, 0.010), BLACKOUT).word == EQUIVALENT
    assert verdict(base, base - 0.005, FIVE_PERCENT, BLACKOUT).word == IMPROVED


def test_the_change_is_told_as_the_measures_own():
    effect = verdict([100.0] * 8, [90.0] * 8).effect
    assert effect.change(effect.shift.estimate) == pytest.approx(-0.1)
    effect = verdict([1.0] * 8, [1.25] * 8, measure=BLACKOUT).effect
    assert effect.change(effect.shift.estimate) == pytest.approx(0.25)


def test_an_effect_within_twice_the_noise_floor_is_none():
    base = sample(1, 1e8)
    assert verdict(base, 0.93 * base, floor=0.0).word == REGRESSION
    assert verdict(base, 0.93 * base, floor=0.05).word == EQUIVALENT


def test_noise_as_large_as_the_tolerance_is_inconclusive_and_says_how_many_rounds_would_do():
    found = verdict(sample(1, 1e8, 10, 0.15), sample(2, 1e8, 10, 0.15))
    assert found.word == INCONCLUSIVE
    assert found.rounds_more > 10
    assert f"about {found.rounds_more} more rounds" in found.reason


def test_too_few_pairs_are_inconclusive_however_large_the_effect():
    found = verdict([1e8] * 5, [1e6] * 5)
    assert (found.word, found.rounds_more) == (INCONCLUSIVE, 1)
    assert "5 of 5 repetitions pair up, a verdict needs at least 6" in found.reason
    assert verdict([], []).word == INCONCLUSIVE


def test_values_without_variance_get_a_verdict():
    assert verdict([1e8] * 6, [1e8] * 6).word == EQUIVALENT
    assert verdict([1e8] * 6, [0.8e8] * 6).word == REGRESSION


def test_zeros_are_compared_by_difference():
    found = verdict([0.0] * 8, [0.0] * 8, measure=BLACKOUT, tolerance=Tolerance(0.05, 0.001))
    assert found.word == EQUIVALENT
    assert not found.effect.is_ratio
    found = verdict([0.0] * 8, [0.01] * 8, measure=BLACKOUT, tolerance=Tolerance(0.05, 0.001))
    assert found.word == REGRESSION


def test_an_exact_measure_needs_no_more_than_one_pair():
    exact = Tolerance(exact=True)
    assert verdict([5.0], [5.0], exact, BLACKOUT).word == EQUIVALENT
    assert verdict([5.0] * 3, [5.0, 5.0, 6.0], exact, BLACKOUT).word == REGRESSION
    assert verdict([5.0] * 3, [5.0, 5.0, 4.0], exact, BLACKOUT).word == IMPROVED


def test_only_blocks_that_both_have_pair_up():
    base, head = cell([1.0] * 8), cell([1.0] * 8)
    fewer = replace(head, ok_rows=head.ok_rows.drop(index=[0, 3]))
    assert effect_of(Pair(base, fewer), THROUGHPUT, FIVE_PERCENT).pairs == 6


def test_what_changes_without_noisy_rows_is_told():
    policy = load_policy(None)
    base, head = cell([1e8] * 10, noisy=1), cell([0.5e8] + [1e8] * 9, noisy=1)
    effect = effect_of(Pair(base, head), THROUGHPUT, FIVE_PERCENT)
    told = with_noise_told(judge([effect], 6), policy, {})[0]
    assert told.without_noisy in (INCONCLUSIVE, EQUIVALENT)  # nine are left, the policy asks for 10
    quiet = with_noise_told(
        judge([effect_of(Pair(cell([1e8] * 10), cell([1e8] * 10)), THROUGHPUT, FIVE_PERCENT)], 6),
        policy, {})[0]
    assert quiet.without_noisy == ""


def campaign_of_equals(random: np.random.Generator, cells: int, count: int) -> list:
    """Twins on one drifting machine with outliers: nothing differs."""
    drift = np.cumsum(random.normal(0, 0.02, count))
    effects_found = []
    for _ in range(cells):
        sides = [
            1e8 * np.exp(drift + random.normal(0, 0.02, count)
                         - np.where(random.random(count) < 0.05, random.uniform(0, 1, count), 0))
            for _ in range(2)
        ]
        pair = Pair(cell(list(sides[0])), cell(list(sides[1])))
        # No tolerance at all: what is called an effect here is a false alarm.
        effects_found.append(effect_of(pair, THROUGHPUT, Tolerance()))
    return effects_found


def test_false_alarms_over_a_whole_campaign_stay_below_five_percent():
    random = np.random.default_rng(5)
    trials = 300
    alarms = sum(
        any(v.word in (REGRESSION, IMPROVED)
            for v in judge(campaign_of_equals(random, 6, 20), 6))
        for _ in range(trials)
    )
    assert alarms / trials <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)


def test_a_planted_tenth_is_found_by_twenty_rounds_of_three_percent():
    found = [verdict(sample(2 * k, 1e8, 20, 0.03), sample(2 * k + 1, 0.9e8, 20, 0.03)).word
             for k in range(100)]
    assert found.count(REGRESSION) >= 95


def test_as_many_rounds_as_foretold_call_equal_things_equal():
    words = []
    for k in range(200):
        pilot, later = (effect_of(
            Pair(cell(list(sample(4 * k + i, 1e8, count, 0.05))),
                 cell(list(sample(4 * k + i + 1, 1e8, count, 0.05)))), THROUGHPUT, FIVE_PERCENT)
            for i, count in ((0, 15), (2, 200)))
        needed = rounds_to_tell(pilot)
        fewer = replace(later, pairs=needed, differences=later.differences[:needed])
        words.append(judge([remeasured(fewer)], 6)[0].word)
    assert words.count(EQUIVALENT) >= 0.7 * len(words)
    assert words.count(REGRESSION) <= 0.05 * len(words)


def remeasured(effect: Effect) -> Effect:
    """The same effect with the p-values of its own differences."""
    differences, bound = effect.differences, effect.bound
    return replace(effect, p_worse=effects.p_above(differences, bound),
                   p_better=effects.p_below(differences, -bound),
                   p_equal=max(effects.p_below(differences, bound),
                               effects.p_above(differences, -bound)))
