"""What one cell's repetitions say: the median and how sure it is.

The interval is the order-statistic one: it assumes independent repetitions and nothing
about their distribution.
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
    Source: Conover, Practical Nonparametric Statistics, 3.2; the same as
    scipy.stats.quantile_test, whose ranks depend on n alone and are kept.
    """
    values = np.asarray(samples, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"samples have shape {values.shape}, expected (n,)")
    if not np.all(np.isfinite(values)):
        raise ValueError("samples hold a value that is not finite")
    if values.size == 0:
        return None
    ordered = np.sort(values)
    dropped = _dropped(values.size)
    return MedianInterval(
        values.size, float(np.median(values)), float(ordered[dropped]),
        float(ordered[values.size - 1 - dropped]), _coverage(values.size, dropped),
    )


@cache
def _dropped(count: int) -> int:
    """How many order statistics on each side lie outside the interval; 0: the full range."""
    return max(int(stats.binom.ppf((1 - CONFIDENCE) / 2, count, 0.5)) - 1, 0)


@cache
def _coverage(count: int, dropped: int) -> float:
    """Probability that the interval of `count` samples holds the median."""
    return 1 - 2 * float(stats.binom.cdf(dropped, count, 0.5))
