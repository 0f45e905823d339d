"""All comparisons of many people's templates, counted in bounded memory.

A set of n pictures has n (n - 1) / 2 comparisons, so scores are not kept but counted, in bins of 1/50,000. How many
scores reached a bin's lower edge is exact, and thresholds are only ever put on edges.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core import calibration
from facegate.core.calibration import KNOTS_PER_DECADE, Calibration
from facegate.core.comparison import Templates, scores
from facegate.core.levelling import Levelling

BINS: Final = 100_000
"""Over [-1, 1]; a score of exactly 1 falls in a bin of its own above."""
BLOCK: Final = 512


def _counts() -> NDArray[np.int64]:
    return np.zeros(BINS + 1, np.int64)


@dataclass(slots=True, eq=False)
class Tally:
    """Mated scores, kept, and non-mated ones, counted in bins."""

    mated: list[NDArray[np.float32]] = field(default_factory=list)
    non_mated: NDArray[np.int64] = field(default_factory=_counts)

    def add(self, templates: Templates, people: NDArray[np.int64], rises: NDArray[np.float64] | None = None) -> None:
        """Compare all pictures of a source with one another; the first of two is the reference.

        Args:
            templates: float32 (n, d).
            people: int64 (n,): who it is.
            rises: float64 (n,): what is taken off the scores with each as a reference; None: nothing.
        """
        for top in range(0, len(people), BLOCK):
            rows = slice(top, top + BLOCK)
            alike = levelled(templates[rows], templates[top:], rises, rows)  # once: a row meets what comes after it
            after = np.arange(alike.shape[1])[None, :] > np.arange(alike.shape[0])[:, None]
            same = people[rows, None] == people[None, top:]
            self.mated.append(alike[after & same])
            self._count(alike[after & ~same])

    def add_strangers(self, left: Templates, right: Templates) -> None:
        """Compare every picture of one set with every one of another that shares no person with it."""
        for top in range(0, len(left), BLOCK):
            self._count(scores(left[top : top + BLOCK], right).ravel())

    def _count(self, values: NDArray[np.float32]) -> None:
        self.non_mated += np.bincount(bins_of(values), minlength=BINS + 1)

    @property
    def mated_scores(self) -> NDArray[np.float32]:
        """All mated scores."""
        return np.concatenate(self.mated) if self.mated else np.empty(0, np.float32)

    @property
    def non_mated_count(self) -> int:
        """How many non-mated comparisons were made."""
        return int(self.non_mated.sum())


def levelled(
    references: Templates, probes: Templates, rises: NDArray[np.float64] | None, rows: slice
) -> NDArray[np.float32]:
    """Return all scores of references (n, d) with probes (m, d), less the rises of these rows, float32 (n, m)."""
    alike = scores(references, probes)
    return alike if rises is None else np.maximum(alike - rises[rows, None].astype(np.float32), np.float32(-1.0))


def bins_of(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the bin of each score in [-1, 1]: the last whose lower edge is not above it."""
    at = np.floor((values.astype(np.float64) + 1) * (BINS / 2)).astype(np.int64)
    return np.clip(at, 0, BINS)


def edge(at: int) -> float:
    """Return a bin's lower edge."""
    return round(at * 2 / BINS - 1, 5)


def calibrated(
    tally: Tally, *, model: str, source: str, people: int, levelling: Levelling | None = None
) -> Calibration:
    """Return the calibration of everything that was counted.

    Args:
        tally: All scores, levelled or not.
        model: Name and digest of the network.
        source: Which people and pictures, for a person to read.
        people: How many people were compared.
        levelling: What was taken off the scores.

    Raises:
        NotEnoughScoresError: There were no mated or no non-mated comparisons.
    """
    reached = np.cumsum(tally.non_mated[::-1])[::-1]  # (BINS + 1,): scores at or above each lower edge
    total = int(reached[0])
    knots: list[tuple[float, int]] = []
    wanted = float(total)
    for at in np.flatnonzero(np.diff(np.append(reached, 0)) != 0) + 1:  # edges above which fewer are left
        count = int(reached[at]) if at <= BINS else 0
        if count <= wanted or count == 0:
            knots.append((edge(int(at)), count))
            wanted = count * 10 ** (-1 / KNOTS_PER_DECADE)
        if count == 0:
            break
    found = calibration.assemble(
        model=model, source=source, people=people, mated=tally.mated_scores, counted=knots, non_mated=total
    )
    return replace(found, levelling=levelling)
