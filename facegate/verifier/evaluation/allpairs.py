"""All photos of a folder of people against all, blockwise: 87 million comparisons in bounded memory.

Mated scores are kept: they are few. Of the non-mated ones the highest `MOST_KEPT` are kept with their people, since
thresholds and bounds lie there; the others are counted in the bins of `verifier.evaluation.scoring`. Where no more than
that were made, all are kept and every figure is exact; else a threshold below the kept ones stands on the edge of a
bin, on the side that lets fewer strangers in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.comparison import Templates
from facegate.core.counted import Counted, counted
from facegate.core.levelling import Levelling
from facegate.core.resampling import Comparisons
from facegate.errors import UnusableInputError
from facegate.verifier.evaluation.figures import Scored
from facegate.verifier.evaluation.scoring import BINS, bins_of, edge, levelled
from facegate.verifier.photos import Photo

MOST_KEPT: Final = 2_000_000
"""Non-mated comparisons that are kept, 16 bytes each, and as many again before they are thinned out."""
CELLS: Final = 2_000_000
"""Comparisons of one block."""
MOST_PHOTOS: Final = 200_000
"""20 thousand million comparisons, some hours."""

Progress = Callable[[int, int], None]
"""Takes how many photos are done, and of how many."""


@dataclass(slots=True, eq=False)
class Highest:
    """The highest comparisons of a stream, in no order."""

    most: int
    scores: list[NDArray[np.float32]] = field(default_factory=list)
    left: list[NDArray[np.int32]] = field(default_factory=list)
    right: list[NDArray[np.int32]] = field(default_factory=list)
    cut: float = -np.inf
    held: int = 0

    def add(self, values: NDArray[np.float32], left: NDArray[np.int32], right: NDArray[np.int32]) -> None:
        """Take in comparisons, and thin out what has become too much."""
        high = values > self.cut
        self.scores.append(values[high])
        self.left.append(left[high])
        self.right.append(right[high])
        self.held += int(high.sum())
        if self.held >= 2 * self.most:
            self._thin()

    def _thin(self) -> None:
        """Keep the highest; those that tie with the highest of the others go, so that what stays is above a cut."""
        values, left, right = np.concatenate(self.scores), np.concatenate(self.left), np.concatenate(self.right)
        self.cut = float(np.partition(values, len(values) - self.most - 1)[len(values) - self.most - 1])
        high = values > self.cut
        self.scores, self.left, self.right = [values[high]], [left[high]], [right[high]]
        self.held = int(high.sum())

    def comparisons(self) -> Comparisons:
        """Return them, thinned out to at most `most`."""
        if self.held > self.most:
            self._thin()
        none = np.empty(0, np.int32)
        return Comparisons(
            np.concatenate([np.empty(0, np.float32), *self.scores]).astype(np.float64),
            np.concatenate([none, *self.left]),
            np.concatenate([none, *self.right]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """All comparisons of some templates."""

    mated: Comparisons
    non_mated: Counted
    top: Comparisons


def compare_all(
    templates: Templates,
    owners: NDArray[np.integer],
    *,
    rises: NDArray[np.float64] | None = None,
    most: int = MOST_KEPT,
    progress: Progress | None = None,
) -> Compared:
    """Compare every template with every other; the first of two is the reference.

    Args:
        templates: float32, shape (n, d).
        owners: Integer, shape (n,): number of each one's person.
        rises: float64, shape (n,): what is taken off the scores with each as a reference; None: nothing.
        most: How many non-mated comparisons are kept.
        progress: Told after each block.

    Raises:
        NotEnoughScoresError: There are no two people.
    """
    numbers = owners.astype(np.int32)
    highest, bins = Highest(most), np.zeros(BINS + 1, np.int64)
    own: list[NDArray[np.float32]] = []
    whose: list[NDArray[np.int32]] = []
    rows = max(1, CELLS // max(1, len(numbers)))
    for top in range(0, len(numbers), rows):
        mine = slice(top, top + rows)
        alike = levelled(templates[mine], templates[top:], rises, mine)  # once: a row meets what comes after it
        first, second = np.nonzero(np.arange(alike.shape[1])[None, :] > np.arange(alike.shape[0])[:, None])
        values, left, right = alike[first, second], numbers[top + first], numbers[top + second]
        same = left == right
        own.append(values[same])
        whose.append(left[same])
        values, left, right = values[~same], left[~same], right[~same]
        bins += np.bincount(bins_of(values), minlength=BINS + 1)
        highest.add(values, left, right)
        if progress:
            progress(min(top + rows, len(numbers)), len(numbers))
    mated, people, top_ones = np.concatenate(own).astype(np.float64), np.concatenate(whose), highest.comparisons()
    return Compared(Comparisons(mated, people, people), _all_counted(bins, top_ones), top_ones)


def _all_counted(bins: NDArray[np.int64], top: Comparisons) -> Counted:
    """Return all non-mated scores: the kept ones as they are, the others at the lower edges of their bins."""
    rest = bins - np.bincount(bins_of(top.scores.astype(np.float32)), minlength=BINS + 1)
    filled = np.flatnonzero(rest)
    edges = np.array([edge(int(at)) for at in filled])
    return counted(
        np.concatenate((edges, top.scores)), np.concatenate((rest[filled], np.ones(len(top.scores), np.int64)))
    )


def score_people(
    people: Mapping[str, Sequence[Photo]],
    *,
    levelling: Levelling | None = None,
    most: int = MOST_KEPT,
    progress: Progress | None = None,
) -> Scored:
    """Compare every photo with every other.

    Args:
        people: Their photos.
        levelling: What is taken off the scores with each photo as a reference; None: nothing.
        most: How many non-mated comparisons are kept.
        progress: Told after each block.

    Raises:
        UnusableInputError: There are more photos than can be compared, or no comparisons of one kind.
    """
    photos = sum(len(own) for own in people.values())
    if photos > MOST_PHOTOS:
        raise UnusableInputError(f"{photos} photos are more than {MOST_PHOTOS}", "Evaluate a part of the folder")
    usable = [(at, photo.template) for at, own in enumerate(people.values()) for photo in own
              if photo.template is not None]  # fmt: skip
    if not usable:
        raise UnusableInputError("No photo shows a face that was found", "Name a folder of portraits")
    owners = np.array([at for at, _ in usable], np.int64)
    seen = np.bincount(owners, minlength=len(people))
    if seen.max() < 2 or np.count_nonzero(seen) < 2:  # noqa: PLR2004 - it takes two to be compared
        raise UnusableInputError("There are no comparisons of one of the two kinds", "Give more photos with a face")
    templates = np.stack([template for _, template in usable])
    rises = None if levelling is None else levelling.rises(templates)
    found = compare_all(templates, owners, rises=rises, most=most, progress=progress)
    of_each = np.array([len(own) for own in people.values()], np.int64)
    lost = pairs_among(of_each) - pairs_among(seen)
    all_lost = int(pairs_among(np.array([photos])).sum() - pairs_among(np.array([len(usable)])).sum())
    return Scored(
        mated=found.mated,
        non_mated=found.non_mated,
        top=found.top,
        lost=lost,
        non_mated_failures=all_lost - int(lost.sum()),
        failures_to_acquire=photos - len(usable),
        photos=photos,
        comparable=seen,
    )


def pairs_among(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many pairs so many photos make."""
    return counts * (counts - 1) // 2
