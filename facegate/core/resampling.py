"""Bounds that draw people: comparisons that share a person are not independent, people are.

Each round draws as many people as there are, with replacement. With w(p) the number of times that person p was drawn, a
mated comparison of p counts w(p) times and a non-mated one of p and q counts w(p) * w(q) times, so

    FMR(t) = sum {w(p) w(q) : s(p, q) >= t} / sum w(p) w(q)        FNMR(t) = sum {w(p) : s(p, p) < t} / sum w(p)

and everything that is made of them (EER, FNMR at a target FMR) is computed anew on the same draw. The bounds are the
percentiles of what comes out. They are wider than those of Clopper and Pearson, which take comparisons for independent:
one person with bad photos is many lost comparisons at once. (Bolle, Ratha, Pankanti 2004 call it the subset bootstrap.)

Of millions of non-mated comparisons only the highest are needed, as long as no rate that is asked for reaches below
them: the sum of all weights follows from how many photos each person has.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.counted import NotEnoughScoresError, Scores
from facegate.core.rates import Bounds

ROUNDS: Final = 500
CONFIDENCE: Final = 0.95

Weights = NDArray[np.float64]
"""float64, shape (people,): how often each person was drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Scores with the people who were compared; for mated comparisons both are the same.

    Attributes:
        scores: Floating, shape (n,).
        left: Integer, shape (n,): number of the one person.
        right: Integer, shape (n,): number of the other.
    """

    scores: Scores
    left: NDArray[np.integer]
    right: NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.scores)

    def where(self, mask: NDArray[np.bool_] | NDArray[np.int64]) -> "Comparisons":
        """Return some of the comparisons, by mask or by order."""
        return Comparisons(self.scores[mask], self.left[mask], self.right[mask])


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What the draws are made from; made by `trial_of`.

    Attributes:
        people: How many there are.
        mated: float64, ascending.
        owners: Whose each mated comparison is.
        top: The highest non-mated comparisons, descending; all of them, or as many as were kept.
        ends: Places in `top` after which a lower score follows: equal scores stand or fall together.
        below: For each of `ends`, how many mated scores lie below its score.
        photos: How many comparable photos each person has, of which every two were compared; None: a list of pairs.
        known_from: `top` holds every comparison at or above this score.
    """

    people: int
    mated: NDArray[np.float64]
    owners: NDArray[np.int64]
    top: Comparisons
    ends: NDArray[np.int64]
    below: NDArray[np.int64]
    photos: NDArray[np.float64] | None
    known_from: float

    def non_mated_sum(self, weights: Weights, passing: NDArray[np.float64]) -> float:
        """Return the weights of all non-mated comparisons, given the running sum over `top`."""
        if self.photos is None:
            return float(passing[-1])
        each = weights * self.photos
        return float(each.sum() ** 2 - (each**2).sum()) / 2


def trial_of(
    mated: Comparisons,
    non_mated: Comparisons,
    people: int,
    photos: NDArray[np.integer] | None = None,
    known_from: float = -math.inf,
) -> Trial:
    """Return a trial.

    Args:
        mated: Comparisons within people.
        non_mated: Comparisons across people: all, or where `photos` is given all at or above `known_from`.
        people: How many people there are; they are numbered from 0.
        photos: Integer, shape (people,): comparable photos of each, of which every two were compared.
        known_from: The score from which on `non_mated` is complete.

    Raises:
        NotEnoughScoresError: There are none of one kind.
    """
    if not len(mated) or not len(non_mated):
        raise NotEnoughScoresError("no comparisons of one of the two kinds")
    order = np.argsort(mated.scores, kind="stable")
    own = np.asarray(mated.scores, np.float64)[order]
    descending = np.argsort(-np.asarray(non_mated.scores, np.float64), kind="stable")
    top = Comparisons(
        np.asarray(non_mated.scores, np.float64)[descending], non_mated.left[descending], non_mated.right[descending]
    )
    ends = np.flatnonzero(np.append(top.scores[1:] != top.scores[:-1], True))
    below = np.searchsorted(own, top.scores[ends], "left")
    counts = None if photos is None else photos.astype(np.float64)
    owners = mated.left[order].astype(np.int64)
    return Trial(people, own, owners, top, ends, below.astype(np.int64), counts, known_from)


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """One round: the running sums of the weights.

    Attributes:
        trial: What was drawn from.
        missed: float64, shape (m + 1,): share of the mated weights before each place, from 0 to 1.
        passing: float64, shape of `trial.ends`: share of the non-mated weights down to each of `top`'s ends.
    """

    trial: Trial
    missed: NDArray[np.float64]
    passing: NDArray[np.float64]

    def fnmr(self, threshold: float) -> float:
        """Return the FNMR at a threshold."""
        return float(self.missed[np.searchsorted(self.trial.mated, threshold, "left")])

    def fmr(self, threshold: float) -> float:
        """Return the FMR at a threshold; NaN below the comparisons that were kept."""
        if threshold < self.trial.known_from:
            return math.nan
        ends = -self.trial.top.scores[self.trial.ends]  # ascending
        reached = int(np.searchsorted(ends, -threshold, "right"))
        return float(self.passing[reached - 1]) if reached else 0.0

    def fnmr_at_fmr(self, target: float) -> float:
        """Return the FNMR at the lowest drawn score that keeps the FMR at or below a target; NaN where none was kept.

        As `rates.threshold_at` chooses it: from observed scores. A stranger who was not drawn observed nothing, so the
        threshold does not slide down to theirs.
        """
        allowed = int(np.searchsorted(self.passing, target, "right"))
        if allowed == len(self.passing) and math.isfinite(self.trial.known_from):
            return math.nan
        reached = float(self.passing[allowed - 1]) if allowed else 0.0
        if reached:
            lowest = int(np.searchsorted(self.passing, reached, "left"))  # those after it add nothing: not drawn
            return float(self.missed[self.trial.below[lowest]])
        highest = self.trial.top.scores[self.trial.ends[allowed]]  # of those drawn, and it is more than is allowed
        return self.fnmr(float(np.nextafter(highest, np.inf)))

    def eer(self) -> float:
        """Return the mean of both rates where they are nearest to one another; NaN where none of that was kept."""
        trial = self.trial
        scores = np.append(np.inf, trial.top.scores[trial.ends])
        fmr = np.append(0.0, self.passing)
        highest = int(np.searchsorted(trial.mated, trial.top.scores[0], "right"))
        places = np.append(highest, trial.below)
        gap = fmr - self.missed[places]  # rises: FMR grows and FNMR falls on the way down
        after = int(np.searchsorted(gap, 0.0, "left"))
        if after == len(gap):
            return math.nan
        found = [(abs(gap[after]), fmr[after] + self.missed[places[after]])]
        if after > 0:  # between two strangers FMR stands still and FNMR falls
            lowest = int(np.searchsorted(trial.mated, scores[after], "right"))
            steps = np.arange(lowest, places[after - 1] + 1)
            fresh = np.append(np.diff(trial.mated, prepend=-np.inf) > 0, True)  # equal scores fall together
            between = self.missed[steps[fresh[steps]]]
            apart = np.abs(fmr[after - 1] - between)
            found.append((apart.min(), fmr[after - 1] + between[int(apart.argmin())]))
        return float(min(found)[1]) / 2


def draws(trial: Trial, generator: np.random.Generator, rounds: int = ROUNDS) -> Iterator[Draw]:
    """Draw people, round after round; a round without comparisons of one kind is left out."""
    for _ in range(rounds):
        times = np.bincount(generator.integers(trial.people, size=trial.people), minlength=trial.people)
        drawn = weighed(trial, times.astype(np.float64))
        if drawn is not None:
            yield drawn


def weighed(trial: Trial, weights: Weights) -> Draw | None:
    """Return the round in which each person counts by a weight; None if nothing is left of one kind."""
    missed = np.append(0.0, np.cumsum(weights[trial.owners]))
    passing = np.cumsum(weights[trial.top.left] * weights[trial.top.right])
    others = trial.non_mated_sum(weights, passing)
    if not missed[-1] or not others:
        return None
    return Draw(trial, missed / missed[-1], passing[trial.ends] / others)


def bounds_of(
    trial: Trial,
    figures: dict[str, Callable[[Draw], float]],
    generator: np.random.Generator,
    *,
    rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
) -> dict[str, Bounds | None]:
    """Return percentile bounds of several figures on the same draws.

    Args:
        trial: What to draw from.
        figures: What to compute from each draw.
        generator: Source of the draws.
        rounds: How many.
        confidence: Of the two-sided bounds.

    Returns:
        Bounds by the figures' names; None for one that had no value in more than one round of a hundred.
    """
    values: dict[str, list[float]] = {name: [] for name in figures}
    for drawn in draws(trial, generator, rounds):
        for name, figure in figures.items():
            values[name].append(figure(drawn))
    return {name: percentiles(np.array(found), confidence) for name, found in values.items()}


def percentiles(values: NDArray[np.float64], confidence: float) -> Bounds | None:
    """Return where the middle share of the values lies; None if too many are none."""
    valid = values[np.isfinite(values)]
    if not len(valid) or len(valid) < 0.99 * len(values):
        return None
    low, high = np.quantile(valid, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Bounds(float(low), float(high))
