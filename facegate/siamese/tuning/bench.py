"""`facegate bench finetune`: what fine-tuning is worth to households that it has never met, candidate by candidate.

For each household every candidate gets its threshold from the cohort's outsiders, and is then counted on pictures that
neither learning nor judging has seen: the users' other photos (FNMR) and other people (FMR), all as the door sees them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.calibration import Calibration
from facegate.core.comparison import References
from facegate.core.judging import Share, Verdict
from facegate.core.rates import accuracy, most_accurate
from facegate.siamese.augment import plain
from facegate.siamese.corpus import Source
from facegate.siamese.export import read_onnx
from facegate.siamese.finetuning import (
    NETWORK,
    Learner,
    Recipe,
    calibration_of,
    judged,
    learner_of,
    levelled_calibration_of,
)
from facegate.siamese.tuning.atdoor import VISIT_TARGETS, Counted, Visits, at_door
from facegate.siamese.tuning.candidates import NOTHING, RECIPE, ways
from facegate.siamese.tuning.cohort import read_cohort
from facegate.siamese.tuning.crossfit import Tail, generic_scores, photo_references, tail_of, threshold_for
from facegate.siamese.tuning.head import Features, mean_references, templates
from facegate.siamese.tuning.households import Drawn, Size
from facegate.siamese.tuning.material import FeatureNetwork, doubts_of

TARGETS: Final = (1e-3, 1e-4)
SIZES: Final = (
    Size(10, 3, 20),
    Size(20, 3, 20),
    Size(10, 5, 20),
    Size(20, 5, 20),
    Size(10, 1, 0),
    Size(20, 1, 0),
    Size(10, 1, 20),
    Size(20, 1, 40),
)
"""Households are drawn by the place of their size among those asked for, so new ones come last."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of good photos as features, float32 (n, f) each, and whether they are mated."""

    left: Features
    right: Features
    mated: NDArray[np.bool_]

    def accuracy(self, head: Features) -> float:
        """Return the share of pairs judged rightly at the best threshold."""
        scores = (templates(head, self.left) * templates(head, self.right)).sum(axis=1).astype(np.float64)
        own, other = scores[self.mated], scores[~self.mated]
        return accuracy(most_accurate(mated=own, non_mated=other), mated=own, non_mated=other)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What one household tells.

    Attributes:
        size: How large it is.
        light: How its camera sees.
        verdicts: The judge's at each target.
        reasons: The judge's.
        counted: Candidate -> target -> counts.
        pairs: Change of the accuracy on pairs of good photos, of other people; None where none were given.
        seconds: That the run took, looking, judging and learning.
        doors: Champion and challenger at the household's door: share of strangers' visits -> counts.
    """

    size: Size
    light: str
    verdicts: dict[float, Verdict]
    reasons: dict[float, str]
    counted: dict[str, dict[float, Counted]]
    pairs: float | None
    seconds: float
    doors: dict[str, dict[float, Counted]]


class Bench:
    """The network in charge, opened once for all households."""

    def __init__(self, folder: Path, recipe: Recipe, calibration: Calibration, margin: float) -> None:
        """Open a network.

        Args:
            folder: The model's.
            recipe: How it learns.
            calibration: What its scores mean at doors.
            margin: How far a door's runner-up must be behind.
        """
        self.recipe, self.calibration, self.margin = recipe, calibration, margin
        self.trunk = read_onnx(folder / NETWORK)
        self.cohort = read_cohort(folder, self.trunk)
        self.network = FeatureNetwork(self.trunk, recipe.threads)

    def pairs_of(self, source: Source, listing: Path) -> Pairs:
        """Read pairs of photos of one source: path, tab, path, tab, 1 or 0; those without a face are passed over."""
        rows = {path: at for at, path in enumerate(source.paths)}
        lines = [line.split("\t") for line in listing.read_text("utf-8").splitlines() if line]
        known = [(rows[one], rows[two], word == "1") for one, two, word in lines if one in rows and two in rows]
        wanted = sorted({row for one, two, _ in known for row in (one, two)})
        features = self.network.extract_all(plain(np.asarray(source.crops[row])) for row in wanted)
        at = {row: number for number, row in enumerate(wanted)}
        left, right = ([at[pair[side]] for pair in known] for side in (0, 1))
        return Pairs(features[left], features[right], np.array([mated for _, _, mated in known], np.bool_))

    def tell(self, drawn: Drawn, pairs: Pairs | None) -> Told:
        """Fine-tune one household and count every candidate on what it has not seen."""
        began = perf_counter()
        learner = learner_of(self.trunk, self.cohort, drawn.household, self.recipe, self.network)
        verdicts, reasons = verdicts_on(learner)
        head = learner.learn(learner.material.rows, self.recipe.folds)
        seconds = perf_counter() - began
        change = None
        if pairs is not None:
            change = pairs.accuracy(head) - pairs.accuracy(learner.champion)
        unseen, strangers = (self.network.extract_all(iter(crops)) for crops in (drawn.unseen, drawn.strangers))
        coming = unseen, strangers
        counted = self._counted(learner, coming, drawn.unseen_owners)
        doors = self._at_doors(learner, head, coming, drawn.unseen_owners)
        return Told(drawn.size, str(drawn.light), verdicts, reasons, counted, change, seconds, doors)

    def _at_doors(
        self, learner: Learner, head: Features, coming: tuple[Features, Features], owners: NDArray[np.int64]
    ) -> dict[str, dict[float, Counted]]:
        """Let champion and challenger stand at the door, as `finetuning` would hand the challenger over.

        Args:
            learner: What was learnt from.
            head: The challenger's.
            coming: Features of users' unseen pictures and of strangers'.
            owners: The user of each of the former.
        """
        unseen, strangers = coming
        rows, users = learner.material.rows, learner.household.users
        photos = photo_references(learner.champion, rows)
        means = np.asarray(mean_references(head, rows, len(users)), np.float32)
        levelled = levelled_calibration_of(head, self.cohort) if self.calibration.levelling else None
        learnt = levelled or calibration_of(head, self.cohort.outsiders)
        standing = {
            "champion": (learner.champion, self.calibration, photos.templates, photos.owners),
            "challenger": (head, learnt, means, np.arange(len(users))),
        }
        return {
            who: at_door(
                calibration,
                References(calibration.model, made, whose, tuple(map(str, users))),
                templates(own, self.cohort.outsiders.at_doors().features),
                Visits(templates(own, unseen), owners, templates(own, strangers)),
                margin=self.margin,
            )
            for who, (own, calibration, made, whose) in standing.items()
        }

    def _counted(
        self, learner: Learner, coming: tuple[Features, Features], owners: NDArray[np.int64]
    ) -> dict[str, dict[float, Counted]]:
        """Count every candidate; arguments as for `_at_doors`."""
        outsiders = self.cohort.outsiders.under(learner.lights).features
        unseen, strangers = coming
        mine = np.arange(len(unseen)), owners
        found: dict[str, dict[float, Counted]] = {}
        generic: dict[int, Tail] = {}
        for way in ways(learner):
            mated, passing = way.score(unseen)[mine], way.score(strangers).ravel()
            choosing = way.score(outsiders).ravel()
            among = None
            if way.head is not None:
                among = generic.get(id(way.head)) or tail_of(generic_scores(way.head, self.cohort.outsiders)[1])
                generic[id(way.head)] = among
            found[way.name] = {}
            for target in TARGETS:
                threshold = threshold_for(target, choosing, among)
                missed, passed = int((mated < threshold).sum()), int((passing >= threshold).sum())
                found[way.name][target] = Counted(Share(missed, len(mated)), Share(passed, len(passing)))
        return found


def verdicts_on(learner: Learner) -> tuple[dict[float, Verdict], dict[float, str]]:
    """Return verdict and reason at each target, as `finetuning.concluded` comes to them."""
    doubts = doubts_of(learner.seen, learner.champion, learner.cohort)
    if doubts:
        return dict.fromkeys(TARGETS, Verdict.REFUSED), dict.fromkeys(TARGETS, "; ".join(doubts))
    evidence = learner.evidence()
    if evidence is None:
        return dict.fromkeys(TARGETS, Verdict.KEPT), dict.fromkeys(TARGETS, "nothing can be held out")
    words = {target: judged(learner, evidence, target) for target in TARGETS}
    return (
        {target: word.verdict for target, word in words.items()},
        {target: word.reason for target, word in words.items()},
    )


def table(told: Sequence[Told], target: float) -> list[dict[str, Any]]:
    """Return a row a candidate over households: mean FNMR, that relative to the champion's, better, worse, FMR."""
    rows = []
    base = [one.counted[NOTHING][target].missed.rate for one in told]
    for name in told[0].counted:
        rates = [one.counted[name][target].missed.rate for one in told]
        missed, passed = (
            _sum([getattr(one.counted[name][target], part) for one in told]) for part in Counted.__slots__
        )
        rows.append({
            "candidate": name,
            "fnmr": float(np.mean(rates)),
            "relative": float(np.mean(rates) / np.mean(base)) if np.mean(base) else 1.0,
            "better": sum(rate < was for rate, was in zip(rates, base, strict=True)),
            "worse": sum(rate > was for rate, was in zip(rates, base, strict=True)),
            "households": len(told),
            "missed": missed.to_json(),
            "outsiders_fmr": passed.to_json(),
        })  # fmt: skip
    return rows


def doors(told: Sequence[Told]) -> list[dict[str, Any]]:
    """Return a row for champion and challenger at each share of strangers' visits, over the households that it arms."""
    rows = []
    for who in ("champion", "challenger"):
        for target in VISIT_TARGETS:
            counts = [one.doors[who][target] for one in told if target in one.doors[who]]
            missed, passed = (_sum([getattr(count, part) for count in counts]) for part in Counted.__slots__)
            rows.append({
                "who": who,
                "target_far_per_visit": target,
                "armed": len(counts),
                "missed": missed.to_json(),
                "strangers_let_in": passed.to_json(),
            })  # fmt: skip
    return rows


def bars(told: Sequence[Told], target: float) -> dict[str, Any]:
    """Return what the judge was worth: how many were promoted, and how they did on what nobody had seen."""
    promoted = [one for one in told if one.verdicts[target] is Verdict.PROMOTED]
    was = [one.counted[NOTHING][target].missed.rate for one in promoted]
    now = [one.counted[RECIPE][target].missed.rate for one in promoted]
    changes = [one.pairs for one in told if one.pairs is not None]
    return {
        "target_fmr": target,
        "households": len(told),
        "promoted": len(promoted),
        "refused": sum(one.verdicts[target] is Verdict.REFUSED for one in told),
        "fnmr_before": float(np.mean(was)) if was else None,
        "fnmr_after": float(np.mean(now)) if now else None,
        "better": sum(new < old for new, old in zip(now, was, strict=True)),
        "worse": sum(new > old for new, old in zip(now, was, strict=True)),
        "outsiders_fmr": _sum([one.counted[RECIPE][target].passed for one in promoted]).to_json(),
        "pairs_change_mean": float(np.mean(changes)) if changes else None,
        "pairs_change_least": min(changes) if changes else None,
        "seconds_mean": float(np.mean([one.seconds for one in told])),
    }


def _sum(shares: Sequence[Share]) -> Share:
    return Share(sum(share.count for share in shares), sum(share.of for share in shares))
