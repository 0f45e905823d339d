"""Learning from a household: pictures of its users in, a challenger and the judge's word out.

Everything up to the projection head stays as it is, so that a run works on features, a thousand numbers a face, and
takes seconds. What changes is two things, found by measurement (`facegate bench finetune` prints what else was tried):

    references   one a user: the mean direction of their photos, of copies of these as the household's own cameras see
                 them (`vision.view`), and of confirmed frames
    head         a small step by the contrastive loss on household and strangers, each probe against such a mean

Runs in a child process; the daemon never imports this.
"""

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from facegate.core.calibration import Calibration, calibrate
from facegate.core.judging import LEAST_USERS, NO_FIGURES, Figures, Judgement, Trial, Verdict, judge
from facegate.core.levelling import FEWEST, Levelling, levelled_by
from facegate.siamese.export import read_onnx, write_onnx
from facegate.siamese.networks import Trunk, use_threads
from facegate.siamese.tuning.cohort import CLEAN, Cohort, Strangers, read_cohort
from facegate.siamese.tuning.crossfit import generic_scores, trials
from facegate.siamese.tuning.head import Features, HeadPlan, Rows, head_of, learn_head, mean_references, templates
from facegate.siamese.tuning.household import NOBODY, Household
from facegate.siamese.tuning.material import (
    FeatureNetwork,
    Material,
    copies_for,
    doubts_of,
    features_of,
    lights_of,
    usable,
)

__all__ = ["NOBODY", "Curves", "Household", "Recipe", "Scores", "Tuned", "finetune", "per_comparison"]

NETWORK: Final = "network.onnx"
TO_BE_NAMED: Final = "challenger"
"""Model of a calibration until the caller knows the network's digest."""

Report = Callable[[str, float], None]
"""Is told what is being done, and how much of it, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a run.

    Attributes:
        seed: Of augmentation, batches and the judge's draws.
        target_fmr: Of one comparison of a stranger with a user, at which the judge compares. A door's target is the
            share of strangers who may be taken for anybody: `per_comparison` turns it into this.
        threads: Of ONNX Runtime and torch.
        copies: Of each photo, as the cameras would see it; fewer where there are very many photos.
        folds: Of the judge's cross-fitting.
        head: How the head is learnt.
    """

    seed: int = 20261124
    target_fmr: float = 1e-3
    threads: int = 1
    copies: int = 4
    folds: int = 3
    head: HeadPlan = field(default_factory=HeadPlan)


@dataclass(frozen=True, slots=True)
class Scores:
    """The judge's scores under one network, for pictures of them: float64 (n,), (m,)."""

    mated: NDArray[np.float64]
    non_mated: NDArray[np.float64]
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """The judge's scores under both networks."""

    before: Scores
    after: Scores


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """What came of a run.

    Attributes:
        verdict: Promoted, kept on the shelf, or refused.
        reason: One sentence, with figures.
        before: The champion's figures.
        after: The challenger's.
        network: ONNX of the challenger; None where nothing was learnt.
        calibration: What its scores mean; its model id is to be filled in (`dataclasses.replace`).
        levelled: The same of levelled scores; None where nothing was learnt, or the cohort is too small a crowd.
        frames_as_references: Under the challenger confirmed frames are references too.
        curves: For a picture; None where nothing was compared.
        references: What stands for each user under the challenger, float32 (users, d), of unit length: the mean of all
            that is known of them. None where nothing was learnt.
        frames_used: bool (m,): the household's frames that were learnt from. None where nothing was learnt.
    """

    verdict: Verdict
    reason: str
    before: Figures
    after: Figures
    network: bytes | None
    calibration: Calibration | None
    frames_as_references: bool
    curves: Curves | None
    references: NDArray[np.float32] | None = None
    frames_used: NDArray[np.bool_] | None = None
    levelled: Calibration | None = None


def finetune(household: Household, model_folder: Path, recipe: Recipe, report: Report | None = None) -> Tuned:
    """Learn from a household and judge what was learnt.

    Args:
        household: What there is to learn from.
        model_folder: The champion's folder; its `cohort.npz` holds the strangers.
        recipe: Everything else.
        report: Is told how far it is.

    Raises:
        NotReadyError: The champion's folder holds no cohort.
        UnusableInputError: The champion is no twin that facegate wrote.
    """
    say = report or (lambda step, share: None)  # noqa: ARG005
    if len(set(household.photo_owners.tolist())) < LEAST_USERS:
        return nothing(Verdict.KEPT, f"{LEAST_USERS} users with photos are wanted: fewer prove nothing")
    use_threads(recipe.threads)
    trunk = read_onnx(model_folder / NETWORK)
    cohort = read_cohort(model_folder, trunk)
    say("look", 0.0)
    learner = learner_of(trunk, cohort, household, recipe)
    return concluded(learner, say)


def nothing(verdict: Verdict, reason: str) -> Tuned:
    """Return what a run comes to in which nothing was learnt."""
    return Tuned(
        verdict,
        reason,
        NO_FIGURES,
        NO_FIGURES,
        network=None,
        calibration=None,
        frames_as_references=False,
        curves=None,
    )


def per_comparison(target: float, users: int) -> float:
    """Return the FMR of one comparison at which `target` of strangers are taken for anybody of so many users.

    >>> round(per_comparison(1e-3, 10), 7)
    0.0001
    """
    return -math.expm1(math.log1p(-target) / max(1, users))


@dataclass(frozen=True, slots=True, eq=False)
class Learner:
    """One run: what was seen, and what is made of it.

    Attributes:
        trunk: The champion.
        champion: Its head, float32 (d, f).
        cohort: Its strangers.
        household: The pictures.
        recipe: How.
        plan: How the head is learnt.
        seen: The household's features.
        material: The same, without what is not to be learnt from.
    """

    trunk: Trunk
    champion: Features
    cohort: Cohort
    household: Household
    recipe: Recipe
    plan: HeadPlan
    seen: Material
    material: Material

    @property
    def lights(self) -> NDArray[np.float64]:
        """How much of each light the cameras see, float64 (3,)."""
        return lights_of(self.household.views)

    def learn(self, rows: Rows, fold: int) -> Features:
        """Return a head that was learnt from some rows."""
        users, seed = len(self.household.users), self.recipe.seed + 1 + fold
        return learn_head(self.champion, rows, users, self.cohort.replay, self.lights, plan=self.plan, seed=seed)

    def evidence(self) -> tuple[Trial, Trial] | None:
        """Return the trials of champion and challenger."""
        outsiders = self.cohort.outsiders.under(self.lights)
        draw = np.random.default_rng(self.recipe.seed)
        return trials(
            self.material,
            self.champion,
            self.learn,
            outsiders,
            folds=self.recipe.folds,
            draw=draw,
            referenced=self.household.referenced,
        )

    def tuned(self, judgement: Judgement, before: Trial, after: Trial) -> Tuned:
        """Learn from everything and return the challenger with what the judge said of its like."""
        head = self.learn(self.material.rows, self.recipe.folds)
        means = mean_references(head, self.material.rows, len(self.household.users))
        used = self.material.rows.weights[self.material.first_frame :] > 0
        return Tuned(
            judgement.verdict,
            judgement.reason,
            judgement.before,
            judgement.after,
            network=network_with(self.trunk, head),
            calibration=calibration_of(head, self.cohort.outsiders),
            frames_as_references=bool((used & (self.household.frame_owners >= 0)).any()),
            curves=Curves(_scores(before, judgement.before), _scores(after, judgement.after)),
            references=means,
            frames_used=used,
            levelled=levelled_calibration_of(head, self.cohort),
        )


def concluded(learner: Learner, say: Report) -> Tuned:
    """Judge what can be learnt from what was seen, and learn it."""
    doubts = doubts_of(learner.seen, learner.champion, learner.cohort)
    if doubts:
        return nothing(Verdict.REFUSED, "; ".join(doubts[:5]))
    say("judge", 0.4)
    evidence = learner.evidence()
    if evidence is None:
        return nothing(Verdict.KEPT, "no photo or frame can be held out to judge on: give users a second photo")
    judgement = judged(learner, evidence, learner.recipe.target_fmr)
    say("learn", 0.8)
    return learner.tuned(judgement, *evidence)


def judged(learner: Learner, evidence: tuple[Trial, Trial], target_fmr: float) -> Judgement:
    """Return the judge's word on the evidence."""
    return judge(*evidence, target_fmr=target_fmr, draw=np.random.default_rng(learner.recipe.seed))


def learner_of(
    trunk: Trunk, cohort: Cohort, household: Household, recipe: Recipe, network: FeatureNetwork | None = None
) -> Learner:
    """Look at a household's faces.

    Args:
        trunk: The champion.
        cohort: Its strangers.
        household: The pictures.
        recipe: How to learn.
        network: The trunk in ONNX Runtime, where it is at hand.
    """
    champion = head_of(trunk)
    copies, draw = copies_for(len(household.photos), recipe.copies), np.random.default_rng(recipe.seed)
    seen = features_of(network or FeatureNetwork(trunk, recipe.threads), household, copies=copies, draw=draw)
    return Learner(trunk, champion, cohort, household, recipe, recipe.head, seen, usable(seen, champion))


def _scores(trial: Trial, figures: Figures) -> Scores:
    return Scores(trial.mated, np.concatenate((trial.choosing, trial.checking)), figures.threshold)


def network_with(trunk: Trunk, head: Features) -> bytes:
    """Return the ONNX of the trunk with another head, float32 (d, f); the trunk itself stays as it is."""
    weight = trunk.embed.weight
    kept = weight.detach().clone()
    with tempfile.TemporaryDirectory(prefix="facegate-") as folder, torch.no_grad():
        try:
            weight.copy_(torch.from_numpy(head)[:, :, None, None])
            write_onnx(trunk, Path(folder) / NETWORK)
        finally:
            weight.copy_(kept)
        return (Path(folder) / NETWORK).read_bytes()


def levelled_calibration_of(head: Features, cohort: Cohort) -> Calibration | None:
    """Return the same of levelled scores, the crowd being those whom the trunk learnt from; None: they are too few."""
    crowd = templates(head, cohort.replay.seen(CLEAN).features)
    if len(crowd) < FEWEST:
        return None
    known = templates(head, cohort.outsiders.seen(CLEAN).features)
    return calibration_of(head, cohort.outsiders, levelled_by(crowd, known))


def calibration_of(head: Features, outsiders: Strangers, levelling: Levelling | None = None) -> Calibration:
    """Return what the scores of a head mean, by the outsiders: good photos against one another and against door views.

    Its model is `TO_BE_NAMED`, since the network has no digest yet.

    Args:
        head: float32 (d, f).
        outsiders: Strangers, held out from all training.
        levelling: What is taken off the scores; None: nothing.
    """
    mated, non_mated = generic_scores(head, outsiders, levelling)
    people = len(np.unique(outsiders.people))
    found = calibrate(
        model=TO_BE_NAMED,
        source=f"{people} people on whom nothing was trained, good photos and made-up door views of them",
        people=people,
        mated=mated,
        non_mated=non_mated,
    )
    return replace(found, levelling=levelling)
