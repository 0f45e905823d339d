"""From scores to error rates and back, by what was seen of strangers. A calibration belongs to one model.

The curve is stored as knots: a score, and how many of n non-mated comparisons reached it. What the door uses is not the
observed share but its one-sided upper bound at 95 % (Clopper and Pearson), and between two knots that of the lower one:
both are on the safe side. Above the highest score that was seen the bound is about 3/n, the rule of three, and nothing
below it is ever claimed. The bound takes comparisons for independent; those of few people are not, so `source` says
how many people there were.

A gallery of N references lets a stranger try N times, and a visit of k frames k times each: 1 - (1 - FMR)^(N k) of
strangers score this high against anybody. For shares as small as are asked for that is N k FMR, which bounds it
whatever the comparisons have in common.

Who looks for a way in need not be anybody: strangers of one's own group, of one sex or region, are taken for one more
often than strangers at large. Where a group was seen to fare worse than all, the curve is that group's.

A calibration may be of levelled scores (`core.levelling`): then whoever asks it takes the reference's rise off a score,
and adds it to a threshold.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.comparison import Templates
from facegate.core.counted import Counted, counted
from facegate.core.levelling import Levelling
from facegate.core.rates import NotEnoughScoresError, Scores, checked, fnmr, upper_bound

KNOTS_PER_DECADE: Final = 24
"""How fine the curve is: neighbouring knots differ by a tenth in their FMR."""

FORMAT: Final = 1

SPREAD: Final = 256
"""Places between two knots."""


class UnusableCalibrationError(ValueError):
    """The document is no calibration, or its curve is not monotone."""


@dataclass(frozen=True, slots=True)
class Knot:
    """So many of the non-mated scores were at or above `score`, so the FMR there is at most `fmr`."""

    score: float
    reached: int
    fmr: float


@dataclass(frozen=True, slots=True)
class Mated:
    """What was seen of mated comparisons: their number, and the share below each knot of the FMR curve."""

    comparisons: int
    fnmr: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class WorstGroup:
    """The group whose members are taken for one another most often, and how many times as often as people at large."""

    name: str
    ratio: float

    def __post_init__(self) -> None:
        """Refuse a ratio that would make a door laxer, or is no number.

        Raises:
            UnusableCalibrationError: It is below 1, or infinite.
        """
        if not 1.0 <= self.ratio < math.inf:
            raise UnusableCalibrationError(f"a worst group that fares {self.ratio} times as badly")


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one model's scores mean.

    Attributes:
        model: Name and digest of the network, `name@digest12`.
        source: Which people and pictures the scores are from, for a person to read.
        people: How many people were compared.
        non_mated: How many non-mated comparisons there were.
        knots: The FMR curve, scores ascending, FMR falling.
        mated: The same of the mated comparisons.
        worst_group: Whose curve it is, as far as strangers' scores were seen; None: that of everybody.
        levelling: What was taken off the scores; None: nothing.
    """

    model: str
    source: str
    people: int
    non_mated: int
    knots: tuple[Knot, ...]
    mated: Mated
    worst_group: WorstGroup | None = None
    levelling: Levelling | None = None

    def __post_init__(self) -> None:
        """Refuse a curve that is empty, not finite or not monotone.

        Raises:
            UnusableCalibrationError: It is.
        """
        scores, rates = [knot.score for knot in self.knots], [knot.fmr for knot in self.knots]
        rising = all(low < high for low, high in pairwise(scores))
        falling = all(low >= high for low, high in pairwise(rates))
        sane = all(math.isfinite(score) for score in scores) and all(0.0 < rate <= 1.0 for rate in rates)
        if not (self.knots and rising and falling and sane and len(self.mated.fnmr) == len(self.knots)):
            raise UnusableCalibrationError("the calibration's curve is no falling curve")

    @property
    def floor(self) -> float:
        """The lowest FMR that the counts support, about 3/n."""
        return self.knots[-1].fmr

    def set_by(self, group: WorstGroup) -> "Calibration":
        """Return the calibration of everybody as that of a group: every FMR rises by the group's ratio, up to 1.

        The ratio is known at one threshold, where a group as small as it is still has false matches to count, and is
        taken for that of all. Above every score that was seen there is nothing to multiply: the rule of three stays.

        Raises:
            UnusableCalibrationError: It is a group's already.
        """
        if self.worst_group is not None:
            raise UnusableCalibrationError(f"the calibration is set by {self.worst_group.name} already")
        raised = tuple(
            replace(knot, fmr=min(1.0, knot.fmr * group.ratio)) if knot.reached else knot for knot in self.knots
        )
        return replace(self, knots=raised, worst_group=group)

    def rises(self, references: Templates) -> NDArray[np.float64]:
        """Return what is taken off the scores with each reference (n, d), float64 (n,), >= 0."""
        return np.zeros(len(references)) if self.levelling is None else self.levelling.rises(references)

    @property
    def measured(self) -> bool:
        """Whether anybody was compared at all; if not, no target has a threshold and no door is armed."""
        return self.non_mated > 0

    def fmr(self, score: float) -> float:
        """Return the share of strangers who reach a score in one comparison, at most, in [floor, 1].

        NaN gives 1: a score that is none says nothing against a stranger.
        """
        at = bisect_right(self.knots, score, key=lambda knot: knot.score) if not math.isnan(score) else 0
        return self.knots[at - 1].fmr if at else 1.0

    def threshold(self, target_fmr: float) -> float | None:
        """Return the lowest score of the curve whose FMR is at most the target, or None where the counts support none.

        Args:
            target_fmr: Per comparison, in (0, 1).
        """
        return next((knot.score for knot in self.knots if knot.fmr <= target_fmr), None)

    def gallery_fmr(self, score: float, tries: float) -> float:
        """Return the share of strangers who reach a score in so many comparisons, in [0, 1]: one for each reference."""
        rate = self.fmr(score)
        return 0.0 if tries <= 0 else 1.0 if rate >= 1.0 else -math.expm1(tries * math.log1p(-rate))

    def gallery_threshold(self, target_fmr: float, tries: float) -> float | None:
        """Return the lowest score of the curve that at most `target_fmr` of strangers reach in so many comparisons.

        Args:
            target_fmr: Share of strangers who may be taken for any of the users, in (0, 1).
            tries: How many references there are; fewer than one counts as one.

        Returns:
            The threshold, or None where the counts do not support it for so many, or what is given is no number.
        """
        if math.isnan(target_fmr) or math.isnan(tries):
            return None  # it would sort before every rate, and the lowest score of all would do
        allowed = bisect_left(
            self.knots, -target_fmr, key=lambda knot: -self.gallery_fmr(knot.score, max(tries, 1.0))
        )  # the rates fall, so their negatives rise
        return self.knots[allowed].score if allowed < len(self.knots) else None

    def visit_threshold(
        self, target_far: float, *, references: int, attempts: float = 1.0, strictness: float = 1.0
    ) -> float | None:
        """Return the lowest score that at most `target_far` of strangers reach in a whole visit.

        A stranger has a try for each reference and each attempt: 1 - (1 - FMR)^(N k) of them reach the score. Frames of
        one visit are alike, so fewer do; how many fewer is another thing at every door and is not counted on.

        Args:
            target_far: Share of strangers' visits that may end in somebody's name, in (0, 1).
            references: N, how many there are.
            attempts: k, frames that a visit may have, over the frames that must agree: of strangers with a mean of m
                matching frames at most m/a have a of them (Markov).
            strictness: How many times more often strangers match this gallery than the curve says; at least 1.
        """
        tries = max(references, 1) * max(attempts, 1.0)
        return self.gallery_threshold(target_far, tries * max(strictness, 1.0))

    def visit_frames(
        self, target_far: float, *, references: int, frames: int, agreeing: int = 1, strictness: float = 1.0
    ) -> int:
        """Return how many frames a visit may have for a target: as many as wished, or as the counts support.

        Each is a stranger's try, so with many references the counts may support fewer than are wished. Then the visit
        has to end sooner; that is better than a door that nobody passes.

        Returns:
            At most `frames`; fewer than `agreeing`: the door cannot be armed for such visits.
        """
        if not self.measured or self.floor >= 1.0:
            return 0
        most = math.log1p(-target_far) / math.log1p(-self.floor) * (1 - 1e-9)
        return min(frames, int(most / (max(references, 1) * max(strictness, 1.0)) * agreeing))

    def counted_non_mated(self) -> Counted:
        """Return the non-mated scores: right at every knot, evenly spread between two, since more is not known."""
        reached = np.array([knot.reached for knot in self.knots])
        return self._spread(self.non_mated - reached, self.non_mated)

    def counted_mated(self) -> Counted:
        """Return the mated scores, in the same way."""
        below = np.rint(np.array(self.mated.fnmr) * self.mated.comparisons).astype(np.int64)
        return self._spread(below, self.mated.comparisons)

    def _spread(self, below: NDArray[np.int64], total: int) -> Counted:
        """Return `total` scores of which so many lie below each knot."""
        edges = np.array([-1.0, *(knot.score for knot in self.knots), 1.0])
        bins = np.diff(np.array([0, *below, total]))
        steps = np.arange(SPREAD)
        places = edges[:-1, None] + np.diff(edges)[:, None] * steps / SPREAD
        places = np.minimum(places, np.nextafter(edges[1:], -np.inf)[:, None])  # below the next knot in any case
        return counted(places.ravel(), ((bins[:, None] + SPREAD - 1 - steps) // SPREAD).ravel())

    def fnmr(self, score: float) -> float:
        """Return the share of mated comparisons that fell below the next knot at or above a score: at most so many."""
        at = next((at for at, knot in enumerate(self.knots) if knot.score >= score), len(self.knots) - 1)
        return self.mated.fnmr[at]

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as a JSON document; `from_json` is its inverse, given the crowd."""
        return {
            "format": FORMAT,
            "model": self.model,
            "source": self.source,
            "people": self.people,
            "non_mated": self.non_mated,
            "mated": self.mated.comparisons,
            "worst_group": None if self.worst_group is None else asdict(self.worst_group),
            **({} if self.levelling is None else {"levelling": _told(self.levelling)}),
            "curve": [
                {"score": knot.score, "reached": knot.reached, "fmr": knot.fmr, "fnmr": missed}
                for knot, missed in zip(self.knots, self.mated.fnmr, strict=True)
            ],
        }


def _told(levelling: Levelling) -> dict[str, Any]:
    return {"ordinary": levelling.ordinary, "slope": levelling.slope, "nearest": levelling.nearest}


def from_json(document: Mapping[str, Any], crowd: Templates | None = None) -> Calibration:
    """Read a calibration.

    Args:
        document: As `Calibration.to_json` gave it.
        crowd: float32 (s, d): the strangers of a levelled one, who lie in a file of their own.

    Raises:
        UnusableCalibrationError: The document is none, or is levelled by a crowd that is not there.
    """
    try:
        if document["format"] != FORMAT:
            raise UnusableCalibrationError(f"calibration of format {document['format']}, not {FORMAT}")
        curve, group = document["curve"], document.get("worst_group")  # it is not in documents of earlier versions
        return Calibration(
            model=str(document["model"]),
            source=str(document["source"]),
            people=int(document["people"]),
            non_mated=int(document["non_mated"]),
            knots=tuple(Knot(float(at["score"]), int(at["reached"]), float(at["fmr"])) for at in curve),
            mated=Mated(int(document["mated"]), tuple(float(at["fnmr"]) for at in curve)),
            worst_group=None if group is None else WorstGroup(str(group["name"]), float(group["ratio"])),
            levelling=_levelling(document.get("levelling"), crowd),
        )
    except (KeyError, TypeError, OverflowError) as error:
        raise UnusableCalibrationError(f"no calibration: {error!r}") from error


def _levelling(told: Mapping[str, Any] | None, crowd: Templates | None) -> Levelling | None:
    if told is None:
        return None
    if crowd is None:
        raise UnusableCalibrationError("a levelled calibration without its crowd")
    try:
        return Levelling(crowd, float(told["ordinary"]), float(told["slope"]), int(told["nearest"]))
    except ValueError as error:
        raise UnusableCalibrationError(str(error)) from error


def unmeasured(model: str) -> Calibration:
    """Return the calibration of a model of which nothing was measured: every score may be any stranger's."""
    return Calibration(model, "nobody was compared yet", 0, 0, (Knot(1.0, 0, 1.0),), Mated(0, (1.0,)))


def calibrate(*, model: str, source: str, people: int, mated: Scores, non_mated: Scores) -> Calibration:
    """Return the calibration of observed scores.

    Args:
        model: Name and digest of the network that made the templates.
        source: Which people and pictures; for a person to read.
        people: How many people were compared.
        mated: Scores of one person's pictures.
        non_mated: Scores of two persons' pictures; their highest values rule the strict thresholds, so a wrong label
            among them makes the door stricter, never laxer.

    Raises:
        NotEnoughScoresError: There are no scores of one kind.
    """
    own, other = checked(mated), checked(non_mated)
    return assemble(
        model=model,
        source=source,
        people=people,
        mated=own,
        counted=[(score, len(other) - int(np.searchsorted(other, score, "left"))) for score in _places(other)],
        non_mated=len(other),
    )


def _places(ordered: Scores) -> list[float]:
    """Return the knots' scores: evenly many a decade of FMR down to the highest score, and the next number above."""
    count = len(ordered)
    decades = math.log10(count) if count > 1 else 0.0
    ranks = {
        round(count * 10.0 ** -(step / KNOTS_PER_DECADE)) for step in range(1, int(decades * KNOTS_PER_DECADE) + 1)
    }
    places = {float(ordered[count - rank]) for rank in ranks | {1} if 1 <= rank <= count}
    return [*sorted(places), float(np.nextafter(ordered[-1], np.inf))]


def assemble(
    *, model: str, source: str, people: int, mated: Scores, counted: list[tuple[float, int]], non_mated: int
) -> Calibration:
    """Return the calibration of counts: pairs of a score and how many of `non_mated` scores reached it, ascending.

    Raises:
        NotEnoughScoresError: There are no mated scores or no counts.
    """
    if not counted:
        raise NotEnoughScoresError("no non-mated scores, so the FMR has no value")
    knots = tuple(Knot(score, reached, upper_bound(reached, non_mated)) for score, reached in counted)
    missed = tuple(fnmr(knot.score, mated) for knot in knots)
    return Calibration(model, source, people, non_mated, knots, Mated(len(mated), missed))
