"""What one cell's repetitions say: the median and how sure it is.

The interval is the order-statistic one: it assumes independent repetitions and nothing
about their distribution. SciPy computes it; this module only names what it means.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95
# Below six repetitions even the full range covers the median in less than 95 % of cases.
FEWEST_FOR_INTERVAL = 6


@dataclass(frozen=True)
class MedianInterval:
    """A median with its interval, in the unit of the samples."""

    count: int
    median: float
    low: float
    high: float
    coverage: float  # probability that [low, high] holds the true median

    @property
    def is_confident(self) -> bool:
        """Whether the interval reaches CONFIDENCE; if not, it is the full range."""
        return self.coverage >= CONFIDENCE


def median_interval(samples: ArrayLike) -> MedianInterval | None:
    """The sample median and its distribution-free 95 % interval.

    samples: (n,) any unit, finite. Returns None for n = 0. When n is too small for
    95 %, the interval is the full range and `coverage` says what that is worth.
    Raises ValueError for NaN or infinity: a missing measure has no place in a sample.
    Source: Conover, Practical Nonparametric Statistics, 3.2; scipy.stats.quantile_test.
    """
    values = np.asarray(samples, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"samples have shape {values.shape}, expected (n,)")
    if not np.all(np.isfinite(values)):
        raise ValueError("samples hold a value that is not finite")
    if values.size == 0:
        return None
    median = float(np.median(values))
    low, high = stats.quantile_test(values, q=median, p=0.5).confidence_interval(CONFIDENCE)
    if np.isnan(low) or np.isnan(high):
        low, high = values.min(), values.max()
    return MedianInterval(values.size, median, float(low), float(high), _coverage(values.size))


@cache
def _coverage(count: int) -> float:
    """Probability that the interval of `count` samples holds the median."""
    # quantile_test drops this many order statistics on each side; none when it gave up.
    dropped = max(int(stats.binom.ppf((1 - CONFIDENCE) / 2, count, 0.5)) - 1, 0)
    return 1 - 2 * float(stats.binom.cdf(dropped, count, 0.5))
