"""The judge's evidence: faces that no network and no reference was made from, and strangers who were never learnt from.

Cross-fitting. Each user's photos and frames are dealt into folds. For every fold a head is learnt from the others, and
the faces of the fold are probes, each against a reference made without its own photo or frame; so it is done for the
champion, too, with its own head and its own way: photos only, the best of them counts; or, if it was learnt from this
household before, a mean as the challenger's, for else it would lose by what it has already. Each outsider belongs to
one fold, so that nobody is counted twice, and within it chooses the threshold or checks it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.judging import Trial
from facegate.core.levelling import Levelling
from facegate.core.rates import threshold_at, upper_bound
from facegate.siamese.tuning.cohort import CLEAN, Strangers
from facegate.siamese.tuning.head import Features, Rows, mean_references, templates
from facegate.siamese.tuning.material import Material

FEWEST: Final = 30
"""Strangers who reach a score, for their share to be known to a third (the rule of 30)."""

Learn = Callable[[Rows, int], Features]
"""Learns a head from rows; the number of the fold seeds it."""


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """References (n, d) and the user of each, int64 (n,)."""

    templates: Features
    owners: NDArray[np.int64]


@dataclass(slots=True, eq=False)
class _Scores:
    """What one network says, fold after fold."""

    mated: list[NDArray[np.float64]]
    choosing: list[NDArray[np.float64]]
    checking: list[NDArray[np.float64]]


def trials(
    material: Material,
    champion: Features,
    learn: Learn,
    outsiders: Strangers,
    *,
    folds: int,
    draw: np.random.Generator,
    referenced: NDArray[np.bool_] | None = None,
) -> tuple[Trial, Trial] | None:
    """Return the trials of champion and challenger, or None where no face can be held out.

    Args:
        material: The household.
        champion: Its head.
        learn: Makes the challenger's.
        outsiders: Strangers, held out from all training.
        folds: How many.
        draw: Deals faces and strangers into folds.
        referenced: See `Household.referenced`.
    """
    rows, count = material.rows, len(material.users)
    former = None if referenced is None else _former(material, referenced)
    fold_of = deal(rows, folds, draw)
    strangers = _dealt(outsiders, 2 * folds, draw)
    before, after = _Scores([], [], []), _Scores([], [], [])
    whose: list[NDArray[np.int64]] = []
    for fold in range(folds):
        probes = np.flatnonzero((fold_of == fold) & rows.probes)
        old = left_out_best(champion, rows, probes)
        probes, old = probes[old > -np.inf], old[old > -np.inf]
        if not len(probes):
            continue
        head = learn(rows.where(fold_of != fold), fold)
        whose.append(rows.owners[probes])
        before.mated.append(old if former is None else left_out_mean(champion, former, probes, count))
        after.mated.append(left_out_mean(head, rows, probes, count))
        known = np.unique(rows.owners[rows.photos])
        new = References(mean_references(head, rows, count)[known], known)
        own = photo_references(champion, rows)
        if former is not None:
            own = References(mean_references(champion, former, count)[known], known)
        parts = [strangers[2 * fold], strangers[2 * fold + 1]]
        for scores, weights, references in (
            (before, champion, own),
            (after, head, new),
        ):
            for kept, part in zip((scores.choosing, scores.checking), parts, strict=True):
                kept.append(best_scores(templates(weights, part.features), references).ravel())
    if not whose:
        return None
    users = np.concatenate(whose)
    one, two = (
        Trial(np.concatenate(scores.mated), users, np.concatenate(scores.choosing), np.concatenate(scores.checking))
        for scores in (before, after)
    )
    return one, two


def _former(material: Material, referenced: NDArray[np.bool_]) -> Rows:
    """Return what the references of a champion are made of that learnt from the household: not of newer frames."""
    weights = material.rows.weights.copy()
    weights[material.first_frame :][~referenced] = 0
    return replace(material.rows, weights=weights)


def left_out_best(head: Features, rows: Rows, probes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each probe's best score with its user's other photos, float64 (n,); minus infinity where none is left."""
    made, photos = templates(head, rows.features), np.flatnonzero(rows.photos)
    alike = np.clip(made[probes] @ made[photos].T, -1, 1).astype(np.float64)
    usable = (rows.owners[probes][:, None] == rows.owners[photos]) & (rows.items[probes][:, None] != rows.items[photos])
    return np.asarray(np.where(usable, alike, -np.inf).max(axis=1, initial=-np.inf), np.float64)


def left_out_mean(head: Features, rows: Rows, probes: NDArray[np.int64], users: int) -> NDArray[np.float64]:
    """Return each probe's score with the mean of its user's other photos, their copies, and frames: float64 (n,)."""
    made = templates(head, rows.features)
    weighed = made * rows.weights[:, None]
    known = rows.owners >= 0
    sums = np.zeros((users, made.shape[1]), np.float32)
    np.add.at(sums, rows.owners[known], weighed[known])
    items, place = np.unique(rows.items, return_inverse=True)
    of_item = np.zeros((len(items), made.shape[1]), np.float32)
    np.add.at(of_item, place, weighed)
    rest = sums[rows.owners[probes]] - of_item[place[probes]]
    lengths = np.maximum(1e-9, np.linalg.norm(rest, axis=1))
    return np.asarray((made[probes] * rest).sum(axis=1) / lengths, np.float64)


def deal(rows: Rows, folds: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold of each row, int64 (n,): a user's photos are dealt out in turn, and so are their frames.

    Copies go with their photo. What is nobody's is in every fold's rest: -1.
    """
    fold_of = np.full(len(rows.owners), -1, np.int64)
    frames = ~np.isin(rows.items, rows.items[rows.photos])
    for user in np.unique(rows.owners[rows.owners >= 0]):
        for kind in (rows.photos, frames & (rows.weights > 0)):
            items = draw.permutation(np.unique(rows.items[(rows.owners == user) & kind]))
            for at, item in enumerate(items):
                fold_of[rows.items == item] = (at + int(user)) % folds
    return fold_of


def _dealt(outsiders: Strangers, parts: int, draw: np.random.Generator) -> list[Strangers]:
    """Deal strangers into parts, whole people."""
    people = draw.permutation(np.unique(outsiders.people))
    return [outsiders.only(np.isin(outsiders.people, people[part::parts])) for part in range(parts)]


def generic_scores(
    head: Features, outsiders: Strangers, levelling: Levelling | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return scores of outsiders' good photos with door views: mated (n,), and non-mated (m,), with good ones, too.

    The good photo is the reference, by whose rise they are levelled if they are.
    """
    clean, doors = outsiders.seen(CLEAN), outsiders.at_doors()
    known, seen = templates(head, clean.features), templates(head, doors.features)
    rises = np.zeros(len(known)) if levelling is None else levelling.rises(known)
    less = rises[:, None].astype(np.float32)
    alike = np.clip(known @ seen.T - less, -1, 1)
    same = clean.people[:, None] == doors.people[None, :]
    good = np.clip(known @ known.T - less, -1, 1)[np.triu_indices(len(known), 1)]
    return alike[same], np.concatenate((alike[~same], good))


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """The highest scores of strangers with one another, descending, and how many there are in all."""

    highest: NDArray[np.float32]
    count: int

    def fmr(self, score: float) -> float:
        """Return the share at or above a score, at least that of one."""
        return max(1, int(np.searchsorted(-self.highest, -score, "right"))) / self.count

    def score(self, fmr: float) -> float:
        """Return a score that at most so many reach."""
        return float(self.highest[min(len(self.highest) - 1, int(fmr * self.count))]) + 1e-6


def tail_of(scores: NDArray[np.float32], share: float = 0.02) -> Tail:
    """Return the highest share of scores."""
    kept = max(1, round(share * len(scores)))
    return Tail(-np.sort(-np.partition(scores, -kept)[-kept:]), len(scores))


def most_reached(target: float, comparisons: int) -> int:
    """Return how many of so many comparisons may reach a score, for the upper bound of their share to keep a target."""
    low, high = -1, comparisons
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if upper_bound(middle, comparisons) <= target else (low, middle)
    return max(low, 0)


def threshold_for(target: float, choosing: NDArray[np.float64], generic: Tail | None) -> float:
    """Return the threshold at which strangers reach a household's references in at most `target` of comparisons.

    Like a door's, it is chosen by the upper bound of what was seen, not by what was seen.

    Where too few are compared with the household itself, their share is counted where it can be, and the tail above is
    that of strangers among themselves, so many times heavier or lighter: as a door is armed (`core.arming`).

    Args:
        target: The FMR wanted.
        choosing: Scores of strangers with users.
        generic: Of strangers with one another; None: only `choosing` counts.
    """
    sure = most_reached(target, len(choosing))
    if generic is None or sure >= FEWEST:
        return threshold_at(max(sure, 1) / len(choosing), choosing).threshold
    at = float(np.partition(choosing, -FEWEST)[-FEWEST])
    heavier = upper_bound(FEWEST, len(choosing)) / generic.fmr(at)
    return max(at, generic.score(target / heavier))


def photo_references(head: Features, rows: Rows) -> References:
    """Return the champion's references: its template of each photo."""
    photos = rows.where(rows.photos)
    return References(templates(head, photos.features), photos.owners)


def best_scores(probes: Features, references: References) -> NDArray[np.float64]:
    """Return each probe's best score with each user who has references, users ascending: float64 (n, users)."""
    return best_of_each(np.clip(probes @ references.templates.T, -1, 1), references.owners)


def best_of_each(scores: NDArray[np.floating], owners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the best of scores (n, references) with each user who has references, users ascending: (n, users)."""
    order = np.argsort(owners, kind="stable")
    _, starts = np.unique(owners[order], return_index=True)
    return np.asarray(np.maximum.reduceat(scores[:, order].astype(np.float64), starts, axis=1), np.float64)
