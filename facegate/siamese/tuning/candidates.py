"""What a household could do to know its users better, each way on its own: the rows of `facegate bench finetune`.

A way says what probes (rows of features) score with each user. All ways see the same faces and the same strangers, and
each gets its own threshold from the outsiders.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.siamese.finetuning import Learner
from facegate.siamese.tuning.cohort import CLEAN
from facegate.siamese.tuning.crossfit import References, best_of_each, best_scores, photo_references
from facegate.siamese.tuning.head import Features, Rows, mean_references, templates

Score = Callable[[Features], NDArray[np.float64]]
"""Features (n, f) of door pictures -> scores (n, users)."""

NOTHING: Final = "nothing (the champion)"
RECIPE: Final = "head and mean of photos, copies, frames (the recipe)"
NEAREST: Final = 200
"""Strangers of the cohort that adaptive s-norm counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A candidate: its name, what it makes of probes, and the head whose scores its own are; None: of none."""

    name: str
    score: Score
    head: Features | None = None


def ways(learner: Learner) -> list[Way]:
    """Return all candidates for a household."""
    rows, champion, users = learner.material.rows, learner.champion, len(learner.household.users)
    head = learner.learn(rows, learner.recipe.folds)
    low = replace(learner, plan=replace(learner.recipe.head, rank=8, rate=4 * learner.recipe.head.rate))
    low_rank = low.learn(rows, learner.recipe.folds)
    plain = rows.where(rows.photos)
    spoken = rows.where((rows.photos | ~np.isin(rows.items, rows.items[rows.photos])) & (rows.weights > 0))
    return [
        Way(NOTHING, best(champion, plain, users), champion),
        Way("frames as references", best(champion, spoken, users), champion),
        Way("mean of photos", mean(champion, plain, users), champion),
        Way("mean of photos and frames", mean(champion, spoken, users), champion),
        Way("mean of photos, copies, frames", mean(champion, rows, users), champion),
        Way("head only", best(head, plain, users), head),
        Way("head, frames as references", best(head, spoken, users), head),
        Way("head of low rank and mean of all", mean(low_rank, rows, users), low_rank),
        Way("adaptive s-norm, frames as references", normalised(learner, spoken)),
        Way("camera's shift taken off, frames as references", shifted(learner, spoken)),
        Way(RECIPE, mean(head, rows, users), head),
    ]


def best(head: Features, rows: Rows, users: int) -> Score:
    """Score by the most alike of a user's references."""
    known = rows.where(rows.owners >= 0)
    references = References(templates(head, known.features), known.owners)
    return lambda probes: of_all(best_scores(templates(head, probes), references), known.owners, users)


def of_all(scores: NDArray[np.float64], owners: NDArray[np.int64], users: int) -> NDArray[np.float64]:
    """Return scores with all users, (n, users), from those with the users who have references, ascending.

    A user whose every photo weighs nothing has none, and scores as low as anything: -1, or what is below it.
    """
    whole = np.full((len(scores), users), scores.min(initial=-1.0))
    whole[:, np.unique(owners)] = scores
    return whole


def mean(head: Features, rows: Rows, users: int) -> Score:
    """Score by the mean of a user's references."""
    references = mean_references(head, rows, users)
    return lambda probes: np.asarray(np.clip(templates(head, probes) @ references.T, -1, 1), np.float64)


def normalised(learner: Learner, rows: Rows) -> Score:
    """Score in deviations from the nearest strangers, of the probe's side and of the reference's, and take the mean."""
    head, users = learner.champion, len(learner.household.users)
    known = rows.where(rows.owners >= 0)
    references = templates(head, known.features)
    good = templates(head, learner.cohort.replay.seen(CLEAN).features)
    door = templates(head, learner.cohort.replay.under(learner.lights).features)
    middle, spread = _nearest(references @ door.T)

    def score(probes: Features) -> NDArray[np.float64]:
        made = templates(head, probes)
        raw = made @ references.T
        own_middle, own_spread = _nearest(made @ good.T)
        both = (raw - middle) / spread + ((raw.T - own_middle) / own_spread).T
        return of_all(best_of_each(both / 2, known.owners), known.owners, users)

    return score


def _nearest(scores: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    top = np.sort(scores, axis=1)[:, -NEAREST:]
    return top.mean(axis=1), np.maximum(top.std(axis=1), 1e-3)


def shifted(learner: Learner, rows: Rows) -> Score:
    """Score after the mean difference of door views and good photos of one's own users is taken off door views."""
    head, users = learner.champion, len(learner.household.users)
    every = learner.material.rows
    copies = every.probes & np.isin(every.items, every.items[every.photos])
    shift = templates(head, every.features[copies]).mean(axis=0) - photo_references(head, every).templates.mean(axis=0)

    def moved(features: Features, door: NDArray[np.bool_]) -> Features:
        made = templates(head, features) - shift * door[:, None]
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)

    known = rows.where((rows.owners >= 0) & (rows.owners < users))
    references = References(moved(known.features, known.probes), known.owners)
    return lambda probes: of_all(
        best_scores(moved(probes, np.ones(len(probes), np.bool_)), references), known.owners, users
    )
