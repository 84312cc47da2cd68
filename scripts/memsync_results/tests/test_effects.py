"""The paired statistics against SciPy, a textbook and simulations of known truth."""

import math

import numpy as np
import pytest
from scipy import stats

from memsync_results import effects

# Hamilton depression scale before and after a tranquilizer, nine patients.
# Source: Hollander, Wolfe, Chicken, Nonparametric Statistical Methods, table 3.1.
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])


def test_the_textbook_example_comes_out_as_printed():
    shift = effects.hodges_lehmann(BEFORE - AFTER)
    assert shift.estimate == pytest.approx(0.46)
    assert (shift.low, shift.high) == pytest.approx((0.010, 0.786))
    assert shift.coverage == pytest.approx(0.961, abs=5e-4)
    assert effects.p_above(BEFORE - AFTER, 0.0) == pytest.approx(0.0195, abs=5e-5)


@pytest.mark.parametrize("count", [2, 5, 6, 10, 25, 40])
@pytest.mark.parametrize("seed", range(5))
def test_p_values_are_scipys(count: int, seed: int):
    values = np.random.default_rng(seed).normal(0.2, 1, count)
    for bound in (0.0, -0.3, 0.5):
        for ours, alternative in ((effects.p_above, "greater"), (effects.p_below, "less")):
            theirs = stats.wilcoxon(values - bound, alternative=alternative, method="exact").pvalue
            assert ours(values, bound) == pytest.approx(theirs, rel=1e-9)


def test_many_pairs_agree_with_the_normal_approximation_and_with_exact_ranks():
    values = np.random.default_rng(3).normal(0.05, 1, 199)
    longer = np.append(values, [0.01, -0.02])  # beyond the exact table
    assert effects.p_above(longer, 0.0) == pytest.approx(effects.p_above(values, 0.0), abs=0.02)
    theirs = stats.wilcoxon(longer, alternative="greater", correction=True, method="asymptotic")
    assert effects.p_above(longer, 0.0) == pytest.approx(theirs.pvalue, abs=1e-4)


@pytest.mark.parametrize("count", [6, 7, 12, 20, 33])
def test_the_interval_is_the_dual_of_the_test(count: int):
    values = np.random.default_rng(count).normal(1, 2, count)
    shift = effects.hodges_lehmann(values)
    alpha = (1 - effects.CONFIDENCE) / 2
    width = shift.high - shift.low
    for inside, bound in ((True, shift.low + 1e-6 * width), (False, shift.low - 1e-6 * width)):
        assert (effects.p_above(values, bound) > alpha) == inside
    for inside, bound in ((True, shift.high - 1e-6 * width), (False, shift.high + 1e-6 * width)):
        assert (effects.p_below(values, bound) > alpha) == inside


def test_too_few_pairs_give_the_full_range_and_what_it_is_worth():
    shift = effects.hodges_lehmann([3.0, 1.0, 2.0])
    assert (shift.low, shift.estimate, shift.high) == (1.0, 2.0, 3.0)
    assert shift.coverage == pytest.approx(0.75)
    assert effects.hodges_lehmann([]) is None
    assert effects.p_above([], 0.0) == 1.0


def test_equal_differences_are_no_evidence_at_the_bound_and_all_of_it_beside():
    same = np.full(8, 0.1)
    assert effects.p_above(same, 0.1) == 1.0
    assert effects.p_below(same, 0.1) == 1.0
    assert effects.p_above(same, 0.05) == 2.0**-8
    assert effects.spread(same) == 0.0


@pytest.mark.parametrize("values", [[1.0, math.nan], [math.inf], [[1.0]]])
def test_what_is_no_sample_is_refused(values):
    with pytest.raises(ValueError):
        effects.hodges_lehmann(values)


def test_holm_steps_down():
    assert effects.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    adjusted = effects.holm([0.02, math.nan, 0.03])
    assert adjusted[[0, 2]] == pytest.approx([0.04, 0.04])
    assert math.isnan(adjusted[1])
    assert effects.holm([]).size == 0


def test_no_number_of_rounds_shows_what_lies_on_the_bound():
    assert effects.pairs_needed(0.03, 0.0, 0.025) is None
    assert effects.smallest_effect(0.03, 3, 0.05, 0.025) == math.inf
    assert effects.pairs_needed(0.0, 0.01, 0.025) == effects.FEWEST_FOR_VERDICT


def rounds(random: np.random.Generator, count: int, noise: float, effect: float) -> np.ndarray:
    """Log-ratios of two cells that share a machine: drift, its jumps, noise, and outliers.

    The drift hits both cells of a round alike up to a tenth, as it would within seconds; one
    repetition in twenty is slowed down by up to a factor of three by something else.
    """
    drift = np.cumsum(random.normal(0, 0.02, count)) + 0.1 * (random.random(count) < 0.1)
    sides = []
    for shift in (0.0, effect):
        outliers = np.where(random.random(count) < 0.05, random.uniform(0, math.log(3), count), 0)
        sides.append(shift + drift * random.normal(1, 0.1, count) + outliers
                     + random.normal(0, noise / math.sqrt(2), count))
    return sides[1] - sides[0]


@pytest.mark.parametrize("count", [10, 20, 30])
def test_the_interval_covers_the_truth_as_often_as_it_says(count: int):
    random = np.random.default_rng(count)
    trials, truth = 3000, math.log(1.1)
    hits = 0
    for _ in range(trials):
        shift = effects.hodges_lehmann(rounds(random, count, 0.05, truth))
        hits += shift.low <= truth <= shift.high
    assert 0.93 <= hits / trials <= 0.97


def test_the_smallest_effect_is_found_four_times_in_five():
    random = np.random.default_rng(11)
    alpha, bound, noise, count = 0.025 / 8, 0.05, 0.04, 20
    smallest = effects.smallest_effect(noise, count, bound, alpha)
    found = [effects.p_above(random.normal(smallest, noise, count), bound) <= alpha
             for _ in range(2000)]
    assert 0.72 <= np.mean(found) <= 0.88


@pytest.mark.parametrize("noise", [0.03, 0.08])
def test_as_many_rounds_as_it_asks_for_are_enough_and_not_far_too_many(noise: float):
    random = np.random.default_rng(12)
    alpha, distance = 0.025 / 4, 0.05
    needed = effects.pairs_needed(noise, distance, alpha)

    def power(pairs: int) -> float:
        return float(np.mean([effects.p_above(random.normal(distance, noise, pairs), 0.0) <= alpha
                              for _ in range(1500)]))

    assert power(needed) >= 0.75
    assert needed <= 9 or power(needed // 2) < 0.6


@pytest.mark.parametrize("count", [6, 10, 40])
def test_the_spread_is_the_standard_deviation_and_hardly_feels_outliers(count: int):
    random = np.random.default_rng(count)
    samples = [random.normal(3, 0.1, count) for _ in range(300)]
    assert np.mean([effects.spread(s) for s in samples]) == pytest.approx(0.1, rel=0.1)
    if count == 40:
        for sample in samples:
            sample[:2] += 5
        assert np.mean([effects.spread(s) for s in samples]) < 0.14
