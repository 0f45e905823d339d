"""From a household's pictures to features, and what is wrong with them.

A photo gives its features as it is, and those of copies as the household's cameras would show it (`vision.view`); a
confirmed frame gives its own. Material that disagrees with itself is named before anything is learnt from it: whoever
learns a wrong label teaches the door to open to the wrong person.
"""

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Pixels
from facegate.inference import open_network
from facegate.siamese.augment import place, plain
from facegate.siamese.export import write_onnx
from facegate.siamese.networks import Trunk
from facegate.siamese.tuning.cohort import CAMERAS, CLEAN, Cohort, blocks
from facegate.siamese.tuning.head import Features, Rows, all_but, templates
from facegate.siamese.tuning.household import Household
from facegate.vision.align import middle_of
from facegate.vision.view import Light, View, imitate

SAME_PICTURE: Final = 0.985
"""Photos of one user this alike are one picture, saved twice."""
SAME_PERSON: Final = 0.5
"""Means of two users' photos this alike are of one person, or of two whom no door should tell apart by face alone."""
UNLIKE: Final = 0.2
"""A photo that is less like every other photo of its user: 1 in 1,000 of true ones, 19 in 20 of strangers'."""
UNLIKE_FRAMES: Final = 0.14
"""Frames whose mean score with their user's photos is less are of somebody else."""
MANY_ALIKE: Final = 2
"""So many users whose only frame looks like another user: they were taken for one another, as where two are swapped."""
MANY_LONE: Final = 3
"""So many users with one wrong frame each are no accident any more."""
DIM: Final = 0.03
"""Share of the cohort's door views whose raw templates are so short that they show hardly a face: where a confirmed
frame is like that, its being unlike its user says nothing against it."""
CLEARLY: Final = 0.1
"""So much more like another user than the own is no accident."""
CHANCE: Final = 0.06
"""A tenfold of comparisons brings strangers so much nearer by chance."""
FEW: Final = 30
"""Photos of a household for which the levels above are meant; with more, they rise."""
FAINT: Final = 0.95
"""Times the shortest raw template of the cohort's good faces: shorter ones are of no face."""
MANY_COPIES: Final = 3


class FeatureNetwork:
    """The trunk in ONNX Runtime, which is several times as fast as torch on a CPU."""

    def __init__(self, trunk: Trunk, threads: int) -> None:
        """Write the trunk to a temporary file and open it."""
        self._width, self._crop = trunk.shape.features, trunk.shape.crop
        with tempfile.TemporaryDirectory(prefix="facegate-") as folder:
            path = Path(folder) / "features.onnx"
            write_onnx(trunk, path, features=True)
            self._session = open_network(path, threads)

    def extract(self, crops: NDArray[np.uint8]) -> Features:
        """Return features float32 (n, f) of crops uint8 (n, 144, 144, 3), or of as much as the trunk wants of them."""
        feed = np.ascontiguousarray(middle_of(crops, self._crop).transpose(0, 3, 1, 2), np.float32)
        return np.asarray(self._session.run(["features"], {"crops": feed})[0], np.float32)

    def extract_all(self, pictures: Iterator[Pixels]) -> Features:
        """Return the features of pictures that come one by one."""
        parts = [self.extract(some) for some in blocks(pictures)]
        return np.concatenate(parts) if parts else np.empty((0, self._width), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """A household as features.

    Attributes:
        users: Slugs.
        rows: Every face: photos, their copies, frames, in this order; what is not to be learnt from weighs nothing.
        photos: How many photos there are; row i is photo i.
        copies: How many copies a photo has; they follow all photos, photo by photo.
    """

    users: tuple[str, ...]
    rows: Rows
    photos: int
    copies: int

    @property
    def first_frame(self) -> int:
        """Row of the first frame."""
        return self.photos * (1 + self.copies)


def lights_of(views: Mapping[str, View]) -> NDArray[np.float64]:
    """Return how much of each light the cameras see, float64 (3,), in all 1; even where nothing is known."""
    if not views:
        return np.full(len(Light), 1 / len(Light))
    shares = [[view.share(light) for light in Light] for view in views.values()]
    return np.asarray(np.mean(shares, axis=0), np.float64)


def copies_for(photos: int, most: int, budget: int = 2000) -> int:
    """Return how many copies of each photo fit the time, at least one."""
    return max(1, min(most, budget // max(1, photos)))


def features_of(network: FeatureNetwork, household: Household, *, copies: int, draw: np.random.Generator) -> Material:
    """Return the features of a household's faces.

    Args:
        network: Makes them.
        household: Its pictures.
        copies: How many copies of each photo are made, as its cameras would see it.
        draw: Of the copies.
    """
    views = household.views
    photos, photo_owners = household.photos, household.photo_owners
    frames, refused = household.frames, household.frame_refused
    unknown = (household.frame_owners < 0) & (refused >= 0)  # not that user; it may be any other
    frame_owners = np.where(unknown, all_but(refused), household.frame_owners)
    seen = list(views.values()) or list(CAMERAS.values())

    def pictures() -> Iterator[Pixels]:
        for photo in photos:
            yield plain(photo)
        for photo in photos:
            for _ in range(copies):
                yield imitate(place(photo, draw), seen[int(draw.integers(len(seen)))], draw)
        for frame in frames:
            yield plain(frame)

    n, m = len(photos), len(frames)
    numbers = np.arange(n)
    rows = Rows(
        network.extract_all(pictures()),
        np.concatenate((photo_owners, np.repeat(photo_owners, copies), frame_owners)).astype(np.int64),
        np.concatenate((numbers, np.repeat(numbers, copies), n + np.arange(m))).astype(np.int64),
        np.concatenate((np.ones(n), np.full(n * copies, 1 / max(1, copies)), np.ones(m))).astype(np.float32),
        np.concatenate((np.zeros(n), np.ones(n * copies + m))).astype(np.bool_),
        np.concatenate((np.ones(n), np.zeros(n * copies + m))).astype(np.bool_),
    )
    return Material(household.users, rows, n, copies)


# --- what is wrong with it ------------------------------------------------------------------------------------------


def doubts_of(material: Material, head: Features, cohort: Cohort) -> list[str]:
    """Return what is wrong with the material, a sentence each that names the users; of nothing wrong: none."""
    rows, n = material.rows, material.photos
    made = templates(head, rows.features)
    told = _faceless(material, head, cohort)
    told += _one_picture(material, made[:n])
    told += _misplaced(material, made[:n])
    means = _means(material, made)
    alike = np.triu(means @ means.T, 1)
    for one, two in zip(*np.nonzero(alike >= risen(SAME_PERSON, material.photos)), strict=True):
        told.append(f"{material.users[one]} and {material.users[two]} look like one person ({alike[one, two]:.2f})")
    told += _wrong_frames(material, made, means, _telling(material, head, cohort))
    return told


def _wrong_frames(material: Material, made: Features, means: Features, telling: NDArray[np.bool_]) -> list[str]:
    """Name the users whose confirmed frames are of somebody else; a lone one is left out and refuses nothing."""
    owners = material.rows.owners
    told: list[str] = []
    alike: list[str] = []
    unlike: list[str] = []
    for user, name in enumerate(material.users):
        theirs = made[(owners == user) & telling]
        if not len(theirs) or not means[user].any():
            continue
        scores = (theirs @ means.T).mean(axis=0)
        own, other = float(scores[user]), int(np.argmax(np.where(np.arange(len(scores)) == user, -1.0, scores)))
        several = len(theirs) > 1
        if scores[other] > max(2 * UNLIKE, own + CLEARLY):
            words = f"the confirmed frames of {name} look like {material.users[other]} ({scores[other]:.2f})"
            (told if several else alike).append(words)
        elif own < UNLIKE_FRAMES:
            words = f"the confirmed frames of {name} do not look like {name}'s photos ({own:.2f})"
            (told if several else unlike).append(words)
    return [
        *told,
        *(alike if len(alike) >= MANY_ALIKE else []),
        *(unlike if len(unlike) >= MANY_LONE else []),
    ]


def _telling(material: Material, head: Features, cohort: Cohort) -> NDArray[np.bool_]:
    """Tell of each row whether it is a frame that shows enough of a face to be of somebody else."""
    doors = np.concatenate([part.at_doors().features for part in (cohort.replay, cohort.outsiders)])
    least = float(np.quantile(np.linalg.norm(doors @ head.T, axis=1), DIM))
    telling = np.linalg.norm(material.rows.features @ head.T, axis=1) >= least
    telling[: material.first_frame] = False
    return np.asarray(telling, np.bool_)


def usable(material: Material, head: Features) -> Material:
    """Return the material in which what is repeated, odd photos, and frames not of their user weigh nothing."""
    rows, n = material.rows, material.photos
    made = templates(head, rows.features)
    kept = np.ones(len(rows.owners), np.bool_)
    first = distinct(made[:n], rows.owners[:n]) & ~odd_photos(made[:n], rows.owners[:n])
    kept[:n] = first
    kept[n : material.first_frame] = np.repeat(first, material.copies)
    means = _means(material, made)
    frames = np.arange(material.first_frame, len(kept))
    owned = frames[rows.owners[frames] >= 0]
    scores, places = made[owned] @ means.T, (np.arange(len(owned)), rows.owners[owned])
    own = scores[places]
    scores[places] = -1.0
    kept[owned] = (own >= UNLIKE_FRAMES) & (scores.max(axis=1, initial=-1.0) <= np.maximum(2 * UNLIKE, own + CLEARLY))
    kept[owned] &= distinct(made[owned], rows.owners[owned])  # else one would vouch for the other before the judge
    probes = rows.probes & kept
    weights = np.where(kept, rows.weights, 0).astype(np.float32)
    changed = Rows(rows.features, rows.owners, rows.items, weights, probes, rows.photos & kept)
    return Material(material.users, changed, n, material.copies)


def distinct(made: Features, owners: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell of each photo, templates (n, d), whether no earlier one of its user is the same picture."""
    kept = np.ones(len(owners), np.bool_)
    for user in np.unique(owners):
        theirs = np.flatnonzero(owners == user)
        alike = np.tril(made[theirs] @ made[theirs].T, -1)
        kept[theirs] = ~(alike >= SAME_PICTURE).any(axis=1)
    return kept


def _means(material: Material, made: Features) -> Features:
    """Return the mean direction of each user's photos and copies, float32 (users, d); zeros without any."""
    start = material.first_frame
    sums = np.zeros((len(material.users), made.shape[1]), np.float32)
    np.add.at(sums, material.rows.owners[:start], made[:start] * material.rows.weights[:start, None])
    return np.asarray(sums / np.maximum(1e-9, np.linalg.norm(sums, axis=1, keepdims=True)), np.float32)


def _faceless(material: Material, head: Features, cohort: Cohort) -> list[str]:
    """Name the users with photos whose template, before it is brought to unit length, is too short for a face."""
    clean = np.concatenate([part.seen(CLEAN).features for part in (cohort.replay, cohort.outsiders)])
    least = FAINT * float(np.linalg.norm(clean @ head.T, axis=1).min())
    lengths = np.linalg.norm(material.rows.features[: material.photos] @ head.T, axis=1)
    return [
        f"a photo of {material.users[user]} shows no face"
        for user in np.unique(material.rows.owners[: material.photos][lengths < least])
    ]


def _one_picture(material: Material, made: Features) -> list[str]:
    """Name the users most of whose photos are one picture."""
    owners = material.rows.owners[: material.photos]
    kept = distinct(made, owners)
    told = []
    for user, name in enumerate(material.users):
        theirs = kept[owners == user]
        if len(theirs) >= MANY_COPIES and theirs.sum() * 2 <= len(theirs):
            told.append(f"{len(theirs)} photos of {name} are {int(theirs.sum())} picture(s): enroll others")
    return told


def risen(level: float, photos: int) -> float:
    """Return a level of likeness to others that is as rare among so many photos as it is among few."""
    return level + CHANCE * max(0.0, math.log10(max(1, photos) / FEW))


def _likeness(made: Features, owners: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return of each photo its best score with its user's others (-1 where there are none), and with other users'."""
    alike = made @ made.T
    np.fill_diagonal(alike, -1.0)
    same = owners[:, None] == owners[None, :]
    return np.where(same, alike, -1.0).max(axis=1, initial=-1.0), np.where(same, -1.0, alike)


def odd_photos(made: Features, owners: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell of each photo, templates (n, d), whether it is like none of its user's others."""
    own, _ = _likeness(made, owners)
    return (own > -1.0) & (own < UNLIKE)


def _misplaced(material: Material, made: Features) -> list[str]:
    """Name the users with a photo that is more like another user's, and those whose photos are mostly unlike."""
    owners = material.rows.owners[: material.photos]
    own, others = _likeness(made, owners)
    odd = odd_photos(made, owners)
    told: list[str] = []
    for photo in np.flatnonzero(own > -1.0):  # who has but one photo has none that it could be unlike
        nearest = int(np.argmax(others[photo]))
        if others[photo, nearest] > max(risen(2 * UNLIKE, len(owners)), own[photo] + CLEARLY):
            told.append(f"a photo of {material.users[owners[photo]]} looks like {material.users[owners[nearest]]}")
    for user, name in enumerate(material.users):
        theirs = odd[owners == user]
        if theirs.any() and theirs.sum() * 2 >= len(theirs):
            told.append(f"the photos of {name} do not look like one person")
    return list(dict.fromkeys(told))
