"""Error rates of a model on comparisons of photos, failures to acquire counted in, as one JSON document.

A mated pair with a photo that shows no face is a false non-match at every threshold; a non-mated one is no comparison
and counts in no FMR. For the accuracy both are errors: a gate that cannot see is not right by accident.

Each rate has two pairs of bounds at 95 %: `lower` and `upper` are exact and take comparisons for independent (Clopper
and Pearson); `people_lower` and `people_upper` draw people with replacement, so that one person with bad photos is one
case and not a hundred (`core.resampling`). These are never narrower than those: draws of no error at all show none.

An FNMR at a target FMR that the non-mated scores cannot support is refused: its figures are null, and `refused` says
how many scores it takes. `supported` is true from three times as many on (`core.rates`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from facegate.core import rates
from facegate.core.counted import Counted, counted
from facegate.core.rates import Bounds, UnsupportedTargetError
from facegate.core.resampling import ROUNDS, Comparisons, Draw, Trial, bounds_of, trial_of

TARGETS: Final = (1e-2, 1e-3, 1e-4, 1e-5)
DET_TARGETS: Final = tuple(digit * 10.0**-power for power in range(1, 9) for digit in (5, 2, 1))
FOLDS: Final = 10
NEVER: Final = -1.0
"""The score of a mated pair that could not be compared: at or above no threshold that lets anybody out."""
SEED: Final = 15
LEAST_PEOPLE: Final = 5
"""Of fewer people draws say nothing: most of them are the same."""
LEAST_KEPT: Final = 100_000
"""Comparisons that draws of people see in any case: few people weigh very differently from draw to draw."""
MOST_WEIGHED: Final = 100_000_000
"""Comparisons that are weighed in all rounds of drawing people; of very many there are fewer rounds."""
FEWEST_ROUNDS: Final = 200


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What became of all comparisons.

    Attributes:
        mated: Mated comparisons with their people.
        non_mated: All non-mated scores, as they are or counted.
        top: The highest non-mated comparisons with their people, or all of them.
        lost: int64, shape (people,): mated pairs of each person that could not be compared.
        non_mated_failures: Non-mated pairs that could not.
        failures_to_acquire: Photos without a template.
        photos: Photos in all.
        comparable: int64, shape (people,): photos of each person that were compared, all with all; None: a list of
            pairs, and then `top` is whole.
    """

    mated: Comparisons
    non_mated: Counted
    top: Comparisons
    lost: NDArray[np.int64]
    non_mated_failures: int
    failures_to_acquire: int
    photos: int
    comparable: NDArray[np.int64] | None

    @property
    def people(self) -> int:
        """How many people there are."""
        return len(self.lost)

    @property
    def mated_failures(self) -> int:
        """Mated pairs that could not be compared."""
        return int(self.lost.sum())

    @property
    def whole(self) -> bool:
        """Whether every non-mated comparison was kept."""
        return len(self.top) == self.non_mated.total

    @property
    def tries(self) -> Comparisons:
        """All mated pairs; those that could not be compared never match."""
        owners = np.repeat(np.arange(self.people), self.lost)
        people = np.concatenate((self.mated.left, owners))
        return Comparisons(np.concatenate((self.mated.scores, np.full(len(owners), NEVER))), people, people)

    def trial(self) -> Trial:
        """Return what bounds over people are drawn from."""
        needed = self.needed()
        known_from = -math.inf if len(needed) == self.non_mated.total else float(needed.scores.min())
        return trial_of(self.tries, needed, self.people, self.comparable, known_from)

    def needed(self) -> Comparisons:
        """Return the non-mated comparisons down to well below every threshold that is looked at."""
        point = rates.eer(mated=self.tries.scores, non_mated=self.non_mated)
        kept = max(LEAST_KEPT, int(2 * max(*TARGETS, point.fmr + 1e-3) * self.non_mated.total))
        if self.comparable is None or kept >= len(self.top):
            return self.top
        cut = np.partition(self.top.scores, -kept)[-kept]
        return self.top.where(self.top.scores >= cut)


def report(scored: Scored, *, threshold: float | None, model: str, max_fmr: float) -> dict[str, Any]:
    """Return every figure with its counts and bounds, ready for JSON.

    Args:
        scored: All comparisons.
        threshold: The shipped one; None: the network has no calibration.
        model: Its id.
        max_fmr: FMR that the shipped threshold is for.
    """
    mated, non_mated = counted(scored.tries.scores), scored.non_mated
    bounds = people_bounds(scored, threshold)
    return {
        "model": model,
        "photos": scored.photos,
        "people": scored.people,
        "failures_to_acquire": scored.failures_to_acquire,
        "pairs": mated.total + non_mated.total + scored.non_mated_failures,
        "mated": mated.total,
        "non_mated": non_mated.total,
        "pairs_not_compared": {"mated": scored.mated_failures, "non_mated": scored.non_mated_failures},
        **accuracy_out_of_fold(scored),
        "eer": rates.equal_error_rate(mated=mated, non_mated=non_mated),
        "eer_bounds": told(eer_bounds(mated, non_mated, bounds["eer"])),
        "bounds": "lower, upper: Clopper-Pearson, comparisons independent; people_*: people drawn with replacement",
        "at_shipped_threshold": None
        if threshold is None
        else at_threshold(threshold, max_fmr, scored, bounds["fmr"], bounds["fnmr"]),
        "fnmr_at_fmr": {
            f"{target:g}": at_target(target, mated, non_mated, bounds[f"{target:g}"]) for target in TARGETS
        },
        "fnmr_at_no_false_match": at_none(mated, non_mated),
        "det": det_points(mated, non_mated),
    }


def at_none(mated: Counted, non_mated: Counted) -> dict[str, Any]:
    """Return the FNMR just above the highest non-mated score, and the FMR that this many strangers bound there.

    Where a target FMR is refused, networks can still be compared by this on the same photos; it is no promise.
    """
    threshold = float(np.nextafter(non_mated.scores[-1], np.inf))
    missed = mated.total - mated.at_or_above(threshold)
    return {"threshold": threshold, "fmr_upper": rates.upper_bound(0, non_mated.total), **share(missed, mated.total)}


def det_points(mated: Counted, non_mated: Counted) -> list[dict[str, float]]:
    """Return points of the DET at FMRs of 0.5, 0.2, 0.1, ... as far down as the non-mated scores support them."""
    points = [rates.threshold_at(target, non_mated) for target in DET_TARGETS if target * non_mated.total >= 1]
    return [{"threshold": at.threshold, "fmr": at.fmr, "fnmr": rates.fnmr(at.threshold, mated)} for at in points]


def people_bounds(scored: Scored, threshold: float | None) -> Mapping[str, Bounds | None]:
    """Return bounds over people: of the EER, of the FNMR at each target, of both rates at the shipped threshold.

    Of very few people there are none.
    """
    figures: dict[str, Callable[[Draw], float]] = {
        f"{target:g}": lambda drawn, target=target: drawn.fnmr_at_fmr(target)  # type: ignore[misc]
        for target in TARGETS
    }
    figures["eer"] = Draw.eer
    if threshold is not None:
        figures["fmr"] = lambda drawn: drawn.fmr(threshold)
        figures["fnmr"] = lambda drawn: drawn.fnmr(threshold)
    if scored.people < LEAST_PEOPLE:
        return dict.fromkeys(("fmr", "fnmr", *figures))
    trial = scored.trial()
    rounds = min(ROUNDS, max(FEWEST_ROUNDS, MOST_WEIGHED // len(trial.top)))
    found = bounds_of(trial, figures, np.random.default_rng(SEED), rounds=rounds)
    return {"fmr": None, "fnmr": None, **found}


def eer_bounds(mated: Counted, non_mated: Counted, people: Bounds | None) -> Bounds | None:
    """Return bounds of the EER that are never narrower than the exact ones of either rate at its threshold.

    One rate rises and the other falls with the threshold, so at every threshold the EER lies between the two.
    """
    if people is None:
        return None
    at = rates.eer(mated=mated, non_mated=non_mated).threshold
    exact = [
        rates.clopper_pearson(mated.total - mated.at_or_above(at), mated.total),
        rates.clopper_pearson(non_mated.at_or_above(at), non_mated.total),
    ]
    lower, upper = min(rate.lower for rate in exact), max(rate.upper for rate in exact)
    return Bounds(min(people.lower, lower), max(people.upper, upper))


def told(bounds: Bounds | None) -> dict[str, float] | None:
    """Return bounds for JSON."""
    return None if bounds is None else {"lower": bounds.lower, "upper": bounds.upper}


def accuracy_out_of_fold(scored: Scored) -> dict[str, Any]:
    """Return the share of pairs judged rightly and how the threshold was chosen.

    Each fold is judged at the threshold that is best on the others. Where too many comparisons were made to keep all,
    one threshold is chosen on all of them: among millions it hardly matters.
    """
    own, lost = scored.mated.scores, scored.mated_failures + scored.non_mated_failures
    total = len(own) + scored.non_mated.total + lost
    if not scored.whole:
        best = rates.most_accurate(mated=own, non_mated=scored.non_mated)
        right = counted(own).at_or_above(best) + scored.non_mated.total - scored.non_mated.at_or_above(best)
        return {
            "accuracy": right / total,
            "accuracy_means": "threshold chosen on the same comparisons; pairs not compared are errors",
        }
    other, right = scored.top.scores, 0
    for fold in range(FOLDS):
        mine = [np.arange(len(values)) % FOLDS == fold for values in (own, other)]
        known, strange = own[~mine[0]], other[~mine[1]]
        if not len(known) or not len(strange):
            known, strange = own, other
        best = rates.most_accurate(mated=known, non_mated=strange)
        right += int((own[mine[0]] >= best).sum()) + int((other[mine[1]] < best).sum())
    return {
        "accuracy": right / total,
        "accuracy_means": f"threshold chosen on the other {FOLDS - 1} of {FOLDS} folds; pairs not compared are errors",
    }


def at_threshold(
    threshold: float, target: float, scored: Scored, fmr: Bounds | None, fnmr: Bounds | None
) -> dict[str, Any]:
    """Return both rates at a threshold that these scores did not choose."""
    mated = counted(scored.tries.scores)
    false_matches = scored.non_mated.at_or_above(threshold)
    missed = mated.total - mated.at_or_above(threshold)
    wrong = false_matches + missed + scored.non_mated_failures
    total = mated.total + scored.non_mated.total + scored.non_mated_failures
    return {
        "threshold": threshold,
        "target_fmr": target,
        "accuracy": 1 - wrong / total,
        "fmr": share(false_matches, scored.non_mated.total, fmr),
        "fnmr": share(missed, mated.total, fnmr),
    }


def at_target(target: float, mated: Counted, non_mated: Counted, people: Bounds | None) -> dict[str, Any]:
    """Return the FNMR at the threshold that these scores choose for a target FMR, or why they cannot."""
    try:
        point = rates.supported_threshold(target, non_mated)
    except UnsupportedTargetError as error:
        nothing = dict.fromkeys(
            ("threshold", "fmr", "rate", "count", "of", "lower", "upper", "people_lower", "people_upper")
        )
        return {"supported": False, "refused": str(error), **nothing}
    missed = mated.total - mated.at_or_above(point.threshold)
    return {
        "supported": point.supported,
        "refused": None,
        "threshold": point.threshold,
        "fmr": point.fmr,
        **share(missed, mated.total, people),
    }


def share(count: int, of: int, people: Bounds | None = None) -> dict[str, Any]:
    """Return a rate with its counts, exact bounds at 95 %, and those over people, which are never narrower."""
    bounds = rates.clopper_pearson(count, of)
    return {
        "rate": count / of,
        "count": count,
        "of": of,
        "lower": bounds.lower,
        "upper": bounds.upper,
        "people_lower": None if people is None else min(people.lower, bounds.lower),
        "people_upper": None if people is None else max(people.upper, bounds.upper),
    }
