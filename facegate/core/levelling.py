"""How much more is asked of users whom a network tells from their like less well than it tells people at large.

A network knows some kinds of faces less well than others: those of which it has learnt few. It takes their owners for
one another more often, so that one threshold is too lax for them or too strict for all others. Which kind a face is of
need not be known, and nobody is asked: it is enough to hold it against strangers of whom the network does know many.
What a reference scores with the nearest of those is its commonness; the less, the more its owner has to score:

    rise(reference) = slope * max(0, ordinary - commonness)
    levelled score  = score - rise(reference)

Score normalisation by a cohort (Auckenthaler, Carey and Lloyd-Thomas, Digital Signal Processing 10, 2000) goes the
other way: it takes the cohort's score off, so that rare faces gain. That misses fewer where everybody is of the
cohort's kind, and lets in those for whom a threshold is too lax already.

Only the references are looked at, never who stands before a door: so nobody gets in more easily by looking strange, and
a threshold belongs to a user.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.comparison import Templates, scores

NEAREST: Final = 100
"""Strangers whose scores make a face's commonness."""
FEWEST: Final = 2 * NEAREST
"""Strangers of whom that many may be taken for the nearest."""
SLOPE: Final = 1.5
"""Of the rise over what a reference lacks in commonness. Chosen where groups fare alike: `models/verifier/tried.md`."""
ORDINARY: Final = 0.95
"""Share of people who are less common than what counts as ordinary: for nearly all of them something is asked for."""
BLOCK: Final = 4_096


@dataclass(frozen=True, slots=True, eq=False)
class Levelling:
    """Strangers of whom a network knows many, and what being unlike them costs.

    Attributes:
        crowd: float32, shape (s, d): their templates.
        ordinary: Commonness from which on nothing is asked for, in [-1, 1].
        slope: Rise of the threshold for each unit of commonness below that, >= 0.
        nearest: How many of the crowd count.
    """

    crowd: Templates
    ordinary: float
    slope: float
    nearest: int = NEAREST

    def __post_init__(self) -> None:
        """Refuse what would lower thresholds, or is no number.

        Raises:
            ValueError: It is, or the crowd is too small.
        """
        if not (-1.0 <= self.ordinary <= 1.0 and 0.0 <= self.slope < np.inf):
            raise ValueError("a levelling that lowers thresholds, or is no number")
        if not 1 <= self.nearest <= len(self.crowd):
            raise ValueError(f"a crowd of {len(self.crowd)} has no {self.nearest} nearest")

    def commonness(self, templates: Templates) -> NDArray[np.float64]:
        """Return the mean score of each template (n, d) with the nearest of the crowd, float64 (n,), in [-1, 1]."""
        found = np.empty(len(templates), np.float64)
        for top in range(0, len(templates), BLOCK):
            alike = scores(templates[top : top + BLOCK], self.crowd)
            nearest = np.partition(alike, alike.shape[1] - self.nearest, axis=1)[:, -self.nearest :]
            found[top : top + BLOCK] = nearest.mean(axis=1, dtype=np.float64)
        return found

    def rises(self, references: Templates) -> NDArray[np.float64]:
        """Return by how much the threshold of each reference (n, d) rises, float64 (n,), >= 0."""
        return self.slope * np.maximum(0.0, self.ordinary - self.commonness(references))


def levelled_by(crowd: Templates, references: Templates) -> Levelling:
    """Return the levelling by a crowd.

    Args:
        crowd: float32 (s, d): strangers' templates, one of each.
        references: float32 (n, d): of other people, who say what is ordinary.

    Raises:
        ValueError: The crowd has fewer than `FEWEST`.
    """
    if len(crowd) < FEWEST:
        raise ValueError(f"a crowd of {len(crowd)}, where it takes {FEWEST}")
    plain = Levelling(crowd, ordinary=1.0, slope=SLOPE)
    return replace(plain, ordinary=float(np.quantile(plain.commonness(references), ORDINARY)))
