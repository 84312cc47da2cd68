import numpy as np
import pytest
from scipy import stats

from memsync_results.statistics import CONFIDENCE, median_interval


@pytest.mark.parametrize(
    ("count", "low_rank", "high_rank"),
    # Conover's table of order statistics for the median at 95 %.
    [(6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (15, 4, 12), (20, 6, 15), (30, 10, 21)],
)
def test_interval_is_the_published_order_statistics(count: int, low_rank: int, high_rank: int):
    interval = median_interval(np.random.default_rng(1).permutation(count) + 1.0)
    assert (interval.low, interval.high) == (low_rank, high_rank)


@pytest.mark.parametrize("count", range(1, 60))
def test_coverage_is_the_binomial_probability_of_the_ranks_used(count: int):
    interval = median_interval(np.arange(1.0, count + 1))
    inside = stats.binom.cdf(interval.high - 1, count, 0.5) - stats.binom.cdf(
        interval.low - 1, count, 0.5
    )
    assert interval.coverage == pytest.approx(inside)
    assert interval.is_confident == (count >= 6)
    assert interval.median == np.median(np.arange(1.0, count + 1))


@pytest.mark.parametrize("count", range(1, 6))
def test_too_few_repetitions_give_the_full_range_and_say_so(count: int):
    interval = median_interval(np.arange(count)[::-1])
    assert (interval.low, interval.high) == (0, count - 1)
    assert interval.coverage == pytest.approx(1 - 2 * 0.5**count)
    assert not interval.is_confident


def test_interval_covers_a_skewed_truth_as_often_as_promised():
    random = np.random.default_rng(20)
    truth = np.exp(0.3)
    rounds = 2000
    hits = 0
    for sample in random.lognormal(0.3, 1.0, (rounds, 20)):
        interval = median_interval(sample)
        hits += interval.low <= truth <= interval.high
    # The promise is 95.86 %; four standard errors of a simulation of this size either side.
    assert 0.9586 - 0.018 < hits / rounds < 0.9586 + 0.018
    assert hits / rounds > CONFIDENCE - 0.018


def test_equal_samples_give_an_interval_of_one_point():
    interval = median_interval([2.5] * 10)
    assert (interval.median, interval.low, interval.high) == (2.5, 2.5, 2.5)


def test_no_samples_give_no_interval():
    assert median_interval([]) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_missing_value_never_enters_a_sample(bad: float):
    with pytest.raises(ValueError, match="not finite"):
        median_interval([1.0, bad, 2.0])


def test_a_table_is_no_sample():
    with pytest.raises(ValueError, match="shape"):
        median_interval([[1.0, 2.0]])


@pytest.mark.parametrize("count", [6, 7, 20, 33, 100])
def test_the_interval_is_scipys(count: int):
    values = np.random.default_rng(count).normal(5, 2, count)
    theirs = stats.quantile_test(values, q=np.median(values), p=0.5).confidence_interval(CONFIDENCE)
    interval = median_interval(values)
    assert (interval.low, interval.high) == (theirs.low, theirs.high)
