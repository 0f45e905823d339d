"""Error rates of a model on pairs of photos and on folders of people, failures to acquire counted in.

A mated pair with a photo that shows no face is a false non-match at every threshold; a non-mated one is no comparison
and counts in no FMR. For the accuracy both are errors: a gate that cannot see is not right by accident.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from facegate.core import rates
from facegate.core.comparison import score
from facegate.errors import UnusableInputError
from facegate.verifier.photos import Photo

TARGETS: Final = (1e-2, 1e-3, 1e-4, 1e-5)
FOLDS: Final = 10
MOST_PHOTOS: Final = 10_000
"""Of one folder: 50 million comparisons, 200 MB."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, and whether they show one person."""

    left: Path
    right: Path
    mated: bool


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What became of all comparisons.

    Attributes:
        mated: Scores of mated comparisons.
        non_mated: Scores of non-mated ones.
        mated_failures: Mated pairs that could not be compared.
        non_mated_failures: Non-mated pairs that could not.
        failures_to_acquire: Photos without a template.
        photos: Photos in all.
        people: People in all, or None where the list does not say.
    """

    mated: NDArray[np.float64]
    non_mated: NDArray[np.float64]
    mated_failures: int
    non_mated_failures: int
    failures_to_acquire: int
    photos: int
    people: int | None = None


def read_pairs(listing: Path, root: Path) -> list[Pair]:
    """Read a list of pairs: three columns parted by tabs, path, path, and 1 for one person or 0 for two.

    Raises:
        UnusableInputError: It cannot be read, a line is no pair (the message says which), or a kind is missing.
    """
    try:
        with listing.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInputError(f"{listing} cannot be read", "Name a text file with a pair a line") from error
    pairs = [_pair(row, f"{listing}:{number}", root) for number, row in enumerate(rows, 1) if row]
    if {pair.mated for pair in pairs} != {True, False}:
        raise UnusableInputError(f"{listing} lacks mated or non-mated pairs", "List pairs of both kinds")
    return pairs


def _pair(row: Sequence[str], where: str, root: Path) -> Pair:
    if len(row) != 3 or row[2] not in {"0", "1"}:  # noqa: PLR2004 - path, path, label
        raise UnusableInputError(f"{where} is no pair", "Write path, tab, path, tab, 1 for one person or 0 for two")
    pair = Pair(root / row[0], root / row[1], row[2] == "1")
    for path in (pair.left, pair.right):
        if not path.is_file():
            raise UnusableInputError(f"{where}: there is no {path}", "Mend the list, or name the root of its paths")
    return pair


def score_pairs(pairs: Sequence[Pair], photos: Mapping[Path, Photo]) -> Scored:
    """Compare each pair."""
    scores: dict[bool, list[float]] = {True: [], False: []}
    failed = {True: 0, False: 0}
    for pair in pairs:
        left, right = photos[pair.left].template, photos[pair.right].template
        if left is None or right is None:
            failed[pair.mated] += 1
        else:
            scores[pair.mated].append(score(left, right))
    missing = sum(photo.template is None for photo in photos.values())
    own, other = (np.asarray(scores[kind], np.float64) for kind in (True, False))
    return Scored(own, other, failed[True], failed[False], missing, len(photos))


def score_people(people: Mapping[str, Sequence[Photo]]) -> Scored:
    """Compare every photo with every other.

    Raises:
        UnusableInputError: There are more photos than fit.
    """
    usable = [(name, photo.template) for name, own in people.items() for photo in own if photo.template is not None]
    photos = sum(len(own) for own in people.values())
    if photos > MOST_PHOTOS:
        raise UnusableInputError(f"{photos} photos are more than {MOST_PHOTOS}", "Evaluate a part of the folder")
    if not usable:
        raise UnusableInputError("No photo shows a face that was found", "Name a folder of portraits")
    names = {name: number for number, name in enumerate(people)}
    owners = np.array([names[name] for name, _ in usable])
    templates = np.stack([template for _, template in usable])
    left, right = np.triu_indices(len(usable), 1)
    alike = np.clip(templates @ templates.T, -1, 1)[left, right].astype(np.float64)
    same = owners[left] == owners[right]
    lost = sum(
        1 for own in people.values() for one, other in combinations(own, 2)
        if one.template is None or other.template is None
    )  # fmt: skip
    compared = len(usable) * (len(usable) - 1) // 2
    lost_others = photos * (photos - 1) // 2 - compared - lost
    return Scored(alike[same], alike[~same], lost, lost_others, photos - len(usable), photos, len(people))


def report(scored: Scored, *, threshold: float, model: str, max_fmr: float) -> dict[str, Any]:
    """Return every figure with its counts and bounds, ready for JSON.

    Raises:
        UnusableInputError: There were no comparisons of one kind.
    """
    if not len(scored.mated) or not len(scored.non_mated):
        raise UnusableInputError("There are no comparisons of one of the two kinds", "Give more photos with a face")
    # A lost mated pair never matches, whatever the threshold; a score below all others says just that.
    mated = np.append(scored.mated, np.full(scored.mated_failures, -1.0))
    return {
        "model": model,
        "photos": scored.photos,
        "people": scored.people,
        "failures_to_acquire": scored.failures_to_acquire,
        "pairs": len(mated) + len(scored.non_mated) + scored.non_mated_failures,
        "mated": len(mated),
        "non_mated": len(scored.non_mated),
        "pairs_not_compared": {"mated": scored.mated_failures, "non_mated": scored.non_mated_failures},
        "accuracy": accuracy_out_of_fold(scored),
        "accuracy_means": f"threshold chosen on the other {FOLDS - 1} of {FOLDS} folds; pairs not compared are errors",
        "eer": rates.equal_error_rate(mated=mated, non_mated=scored.non_mated),
        "at_shipped_threshold": at_threshold(threshold, max_fmr, mated, scored),
        "fnmr_at_fmr": {f"{target:g}": at_target(target, mated, scored.non_mated) for target in TARGETS},
    }


def accuracy_out_of_fold(scored: Scored) -> float:
    """Return the share of pairs judged rightly, each fold at the threshold that is best on the others."""
    right = 0.0
    for fold in range(FOLDS):
        mine = [np.arange(len(values)) % FOLDS == fold for values in (scored.mated, scored.non_mated)]
        own, other = scored.mated[~mine[0]], scored.non_mated[~mine[1]]
        if not len(own) or not len(other):
            own, other = scored.mated, scored.non_mated
        best = rates.most_accurate(mated=own, non_mated=other)
        right += int((scored.mated[mine[0]] >= best).sum()) + int((scored.non_mated[mine[1]] < best).sum())
    lost = scored.mated_failures + scored.non_mated_failures
    return right / (len(scored.mated) + len(scored.non_mated) + lost)


def at_threshold(threshold: float, target: float, mated: NDArray[np.float64], scored: Scored) -> dict[str, Any]:
    """Return both rates at a threshold that these scores did not choose."""
    false_matches = int((scored.non_mated >= threshold).sum())
    missed = int((mated < threshold).sum())
    wrong = false_matches + missed + scored.non_mated_failures
    total = len(mated) + len(scored.non_mated) + scored.non_mated_failures
    return {
        "threshold": threshold,
        "target_fmr": target,
        "accuracy": 1 - wrong / total,
        "fmr": share(false_matches, len(scored.non_mated)),
        "fnmr": share(missed, len(mated)),
    }


def at_target(target: float, mated: NDArray[np.float64], non_mated: NDArray[np.float64]) -> dict[str, Any]:
    """Return the FNMR at the threshold that these scores choose for a target FMR, and whether they support it."""
    point = rates.threshold_at(target, non_mated)
    missed = int((mated < point.threshold).sum())
    return {"threshold": point.threshold, "fmr": point.fmr, "supported": point.supported, **share(missed, len(mated))}


def share(count: int, of: int) -> dict[str, float | int]:
    """Return a rate with its counts and exact bounds at 95 %."""
    bounds = rates.clopper_pearson(count, of)
    return {"rate": count / of, "count": count, "of": of, "lower": bounds.lower, "upper": bounds.upper}
