"""Scores with how often each was seen: sorted once, asked often. A few scores, or millions that came in bins.

Of scores s_1 <= ... <= s_n the number below a threshold t is |{s < t}|, so a score equal to the threshold matches; that
is the one rule about ties, and every rate is made of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
"""Floating, shape (n,), finite, higher is more alike."""


class NotEnoughScoresError(ValueError):
    """There is no score, so the rate has no value."""


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Sorted scores and how many lie below each.

    Attributes:
        scores: float64, shape (k,), ascending; equal ones may follow one another.
        below: int64, shape (k,): how many of all come before this place.
        total: How many there are in all, at least 1.
    """

    scores: NDArray[np.float64]
    below: NDArray[np.int64]
    total: int

    def under(self, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return how many scores lie below each threshold, int64, of the thresholds' shape."""
        return np.append(self.below, self.total)[np.searchsorted(self.scores, thresholds, "left")]

    def at_or_above(self, threshold: float) -> int:
        """Return how many scores match at a threshold."""
        return self.total - int(self.under(np.array([threshold]))[0])

    @property
    def observed(self) -> NDArray[np.float64]:
        """Each score once, ascending, and the next number above the highest."""
        return np.append(np.unique(self.scores), np.nextafter(self.scores[-1], np.inf))


def counted(scores: Scores | Counted, counts: NDArray[np.integer] | None = None) -> Counted:
    """Sort scores and add them up; what is counted already is returned as it is.

    Args:
        scores: Of any order.
        counts: Integer, shape of the scores, >= 0: how often each was seen; None: once each.

    Raises:
        NotEnoughScoresError: There are none.
        ValueError: One of them is no number, they are no vector, or the counts do not fit.

    >>> counted(np.array([0.9, 0.1, 0.5])).under(np.array([0.5, 0.6])).tolist()
    [1, 2]
    >>> counted(np.array([0.9, 0.1]), np.array([1, 1000])).at_or_above(0.5)
    1
    """
    if isinstance(scores, Counted):
        return scores
    values = np.asarray(scores, np.float64)
    often = np.ones(values.shape, np.int64) if counts is None else np.asarray(counts, np.int64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("scores are a vector of finite numbers")
    if often.shape != values.shape or (often < 0).any():
        raise ValueError("there is one count for each score, none negative")
    values, often = values[often > 0], often[often > 0]
    if not len(values):
        raise NotEnoughScoresError("no scores, so the rate has no value")
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(often[order])
    return Counted(values[order], upto - often[order], int(upto[-1]))
