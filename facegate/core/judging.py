"""The judge: may a challenger take charge? Only if data that neither network was fitted to says so beyond doubt.

Two trials of the same probes, one a network. Each gets the threshold at which strangers of one part (`choosing`)
reach the target FMR; at that threshold are counted the users' own probes that fail (FNMR), and the strangers of another
part, `checking`, that pass (FMR). The challenger is promoted if

    1. FNMR falls at the target, and so it does in the mean over `AROUND` it: more users gain there than lose, and the
       fall's lower bound is above zero. People are drawn with replacement, since the probes of one person are not
       independent, and both networks are compared on each draw;
    2. the checking strangers' FMR is not above the target by more than its bound;
    3. nothing is wrong with the material (`doubts`): then the verdict is `refused`, and says whom it is about.

Otherwise it is kept on the shelf. Where exactly a threshold lies hangs on few strangers, and a door's own lies
elsewhere again: a gain that is there at one threshold and not beside it is luck, and one that is there at all of them
is seen sooner when all are counted. A target that is too low for so few strangers says nothing but where the luckiest
of them stands, so the judge compares at the lowest FMR that they support. Scores are similarities, and a score at the
threshold matches, as in `core.rates`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.rates import clopper_pearson, threshold_at

CONFIDENCE: Final = 0.95
"""Of the one-sided bound on the fall of FNMR."""
ROUNDS: Final = 2000
AROUND: Final = tuple(10 ** (step / 6) for step in range(-3, 4))
"""Times the target FMR: where the bound counts who fails. A decade, the target in its middle."""
LEAST_REACHED: Final = 5
"""So many comparisons of strangers must reach a threshold that is chosen by them."""
LEAST_USERS: Final = 3
"""Fewer people than this prove nothing, however many pictures of them there are."""

Scores = NDArray[np.float64]


class Verdict(StrEnum):
    """What became of a challenger."""

    PROMOTED = "promoted"
    KEPT = "kept"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Share:
    """A rate with its counts."""

    count: int
    of: int

    @property
    def rate(self) -> float:
        """In [0, 1]; of nothing: 0."""
        return self.count / self.of if self.of else 0.0

    def to_json(self) -> dict[str, float | int]:
        """Return rate, counts and exact bounds at 95 %."""
        if not self.of:
            return {"rate": 0.0, "count": 0, "of": 0, "lower": 0.0, "upper": 1.0}
        bounds = clopper_pearson(self.count, self.of)
        return {"rate": self.rate, "count": self.count, "of": self.of, "lower": bounds.lower, "upper": bounds.upper}


@dataclass(frozen=True, slots=True)
class Figures:
    """How a network does on data that it was not fitted to.

    Attributes:
        target_fmr: Of one comparison of a stranger with a user.
        threshold: At which the choosing strangers reach it.
        fnmr: The users' own probes below the threshold.
        outsiders: Comparisons of the checking strangers at or above it.
        users: How many users the probes are of.
    """

    target_fmr: float
    threshold: float
    fnmr: Share
    outsiders: Share
    users: int

    def to_json(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            "target_fmr": self.target_fmr,
            "threshold": self.threshold,
            "fnmr": self.fnmr.to_json(),
            "outsiders_fmr": self.outsiders.to_json(),
            "users": self.users,
        }


NO_FIGURES: Final = Figures(1.0, 1.0, Share(0, 0), Share(0, 0), 0)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What one network says of probes and strangers; the same pictures in the same order for both networks.

    Attributes:
        mated: float64 (n,): each probe's best score with the references of its own user.
        users: int64 (n,): whose probe it is.
        choosing: float64 (k,): strangers' best scores with each user; they choose the threshold.
        checking: float64 (m,): the same of other strangers; they check it.
    """

    mated: Scores
    users: NDArray[np.int64]
    choosing: Scores
    checking: Scores


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict and why."""

    verdict: Verdict
    reason: str
    before: Figures
    after: Figures


def figures(trial: Trial, target_fmr: float) -> Figures:
    """Return a network's figures at the threshold that its choosing strangers give."""
    threshold = threshold_at(target_fmr, trial.choosing).threshold
    missed, passed = int((trial.mated < threshold).sum()), int((trial.checking >= threshold).sum())
    users = len(np.unique(trial.users))
    return Figures(target_fmr, threshold, Share(missed, len(trial.mated)), Share(passed, len(trial.checking)), users)


def judge(
    champion: Trial, challenger: Trial, *, target_fmr: float, draw: np.random.Generator, doubts: Sequence[str] = ()
) -> Judgement:
    """Return the verdict on a challenger.

    Args:
        champion: Of the network in charge.
        challenger: Of the one that wants to be, on the same probes and strangers.
        target_fmr: The door's, of one comparison.
        draw: Draws people for the bound.
        doubts: What is wrong with the material, sentences that name users; any makes the verdict `refused`.

    Raises:
        ValueError: The trials are not of the same probes, or there are none.
    """
    if not (np.array_equal(champion.users, challenger.users) and len(champion.mated)):
        raise ValueError("the trials are not of the same probes")
    target_fmr = supported(target_fmr, min(len(champion.choosing), len(challenger.choosing)))
    before, after = figures(champion, target_fmr), figures(challenger, target_fmr)
    if doubts:
        return Judgement(Verdict.REFUSED, "; ".join(doubts), before, after)
    if before.users < LEAST_USERS:
        return Judgement(Verdict.KEPT, f"{before.users} users prove nothing: {LEAST_USERS} are wanted", before, after)
    risen = _risen(after, challenger.choosing)
    if risen:
        return Judgement(Verdict.KEPT, risen, before, after)
    gained = missed_around(champion, target_fmr) - missed_around(challenger, target_fmr)
    least = least_gain(gained, champion.users, draw) / len(AROUND)
    sure = least > 0 and gainers_over_losers(gained, champion.users) > 0
    told = (
        f"FNMR {_told(before.fnmr)} -> {_told(after.fnmr)}; the fall around there is at least {least:.2%} with"
        f" {CONFIDENCE:.0%} confidence; outsiders' FMR {_told(after.outsiders)}, target {target_fmr:g}"
    )
    promoted = sure and after.fnmr.count < before.fnmr.count
    return Judgement(Verdict.PROMOTED if promoted else Verdict.KEPT, told, before, after)


def missed_around(trial: Trial, target_fmr: float) -> Scores:
    """Return at how many of the thresholds around a target each probe fails: float64 (n,), whole numbers.

    Whole numbers, since they are added up and it must be exact whether anything is left.

    Args:
        trial: Of one network.
        target_fmr: The middle of `AROUND`; what is too low for the strangers is raised to what they support.
    """
    targets = Counter(supported(target_fmr * times, len(trial.choosing)) for times in AROUND)
    thresholds = {target: threshold_at(target, trial.choosing).threshold for target in targets}
    missed = np.zeros(len(trial.mated))
    for target, often in targets.items():
        missed += often * (trial.mated < thresholds[target])
    return missed


def supported(target_fmr: float, strangers: int) -> float:
    """Return the target, or the lowest FMR that so many comparisons of strangers support, at most 1."""
    return min(1.0, max(target_fmr, LEAST_REACHED / strangers))


def gainers_over_losers(gained: Scores, users: NDArray[np.int64]) -> int:
    """Return how many more users gain than lose."""
    return int(np.sign(_sums(gained, users)[0]).sum())


def _sums(gained: Scores, users: NDArray[np.int64]) -> tuple[Scores, Scores]:
    """Return each user's gain and number of probes, in an order that does not depend on who is who."""
    _, place = np.unique(users, return_inverse=True)
    sums = np.bincount(place, gained).astype(np.float64)
    counts = np.bincount(place).astype(np.float64)
    order = np.lexsort((counts, sums))
    return sums[order], counts[order]


def least_gain(gained: Scores, users: NDArray[np.int64], draw: np.random.Generator) -> float:
    """Return the lower bound of the mean gain, each user weighing as much as they have probes; people are drawn.

    Args:
        gained: float64 (n,): above zero where the champion failed more often than the challenger, below where less.
        users: int64 (n,).
        draw: Draws the people.
    """
    sums, counts = _sums(gained, users)
    drawn = draw.integers(len(sums), size=(ROUNDS, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return float(np.quantile(means, 1 - CONFIDENCE, method="lower"))  # a value that was drawn, so its sign is exact


def _risen(after: Figures, choosing: Scores) -> str:
    """Say how strangers gain by the challenger, or nothing: its checking strangers pass more often than chance has it.

    The threshold was chosen by few strangers, so the bound of their own share is what the others are held to.
    """
    if not after.outsiders.of:
        return "there were no strangers to check the threshold on"
    allowed = clopper_pearson(int((choosing >= after.threshold).sum()), len(choosing)).upper
    if clopper_pearson(after.outsiders.count, after.outsiders.of).lower > max(allowed, after.target_fmr):
        return f"outsiders' FMR {_told(after.outsiders)} is above the target {after.target_fmr:g}"
    return ""


def _told(share: Share) -> str:
    return f"{share.rate:.3%} ({share.count} of {share.of})"
