"""Bounds that leave out one person at a time, for groups of few people.

Percentiles of draws with replacement (`core.resampling`) are too narrow where people are few and most of the false
matches are two or three pairs of people: a draw without one of a pair has none of them, and one with both has many. The
jackknife sees that. With f the rate of all n people, and f(-p) that without person p,

    variance = (n - 1) / n * sum (f(-p) - mean of f(-p))^2

which is too large rather than too small (Tukey 1958; Efron and Stein, The jackknife estimate of variance, Annals of
Statistics 9, 1981), and Student's t with n - 1 degrees of freedom takes the place of the normal distribution.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.rates import beta_cdf

FEWEST: Final = 3
"""Of fewer people nothing is left to compare when one is left out."""


def least_fmr(
    left: NDArray[np.integer], right: NDArray[np.integer], photos: NDArray[np.int64], confidence: float = 0.95
) -> float | None:
    """Return a lower bound of the FMR among people whose photos were compared all with all.

    Args:
        left: Integer, shape (n,): of each false match, the number of the one person.
        right: Integer, shape (n,): that of the other.
        photos: int64, shape (people,): photos of each person; people without any do not count.
        confidence: Of the two-sided bounds of which this is the lower one.

    Returns:
        At least 0; None for fewer than three people.
    """
    people = np.flatnonzero(photos).tolist()
    if len(people) < FEWEST:
        return None
    matches = np.bincount(left, minlength=len(photos)) + np.bincount(right, minlength=len(photos))
    without = np.array([_rate(len(left) - matches[p], photos, p) for p in people])
    rate, n = _rate(len(left), photos), len(people)
    deviation = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
    return max(0.0, rate - student_t(n - 1, confidence) * deviation)


def _rate(false_matches: int, photos: NDArray[np.int64], without: int | None = None) -> float:
    """Return the FMR, perhaps without the photos of one person."""
    kept = photos if without is None else np.delete(photos, without)
    return false_matches / ((int(kept.sum()) ** 2 - int((kept**2).sum())) // 2)


def student_t(freedom: int, confidence: float = 0.95) -> float:
    """Return how many deviations from the mean the two-sided bounds of Student's t lie.

    The share outside of -t to t is I_x(freedom / 2, 1 / 2) with x = freedom / (freedom + t^2) (DLMF 8.17).

    >>> round(student_t(10), 3), round(student_t(1), 3), round(student_t(100_000), 3)
    (2.228, 12.706, 1.96)
    """
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2.0
        outside = beta_cdf(freedom / (freedom + middle**2), freedom / 2.0, 0.5)
        low, high = (middle, high) if outside > 1.0 - confidence else (low, middle)
    return high
