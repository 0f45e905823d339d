"""What a fine-tune learns from, gathered from the storage: enrolled faces, faces that an operator spoke of, views.

What a word says of a face is `core.word`'s. A stranger by a word is also told from the user whom the face came nearest
to: that is the hard negative that the door has met.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.word import Meaning, meaning
from facegate.errors import NotReadyError
from facegate.storage.frames import SpokenFrame, photo_digest
from facegate.storage.opening import Storage
from facegate.storage.packing import Crop
from facegate.storage.photos import CONFIRMED, ENROLLED, StoredPhoto
from facegate.verifier.finetuning.views import views_of
from facegate.verifier.keepsake import aligned_again
from facegate.vision.align import STORED
from facegate.vision.view import View

MOST_PICTURES: Final = 5000
"""Of photos and of frames: 384 MB each. With many users each gives fewer, the newest."""
NOBODY: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class Confirmed:
    """A face that shows a user by an operator's word.

    Attributes:
        user: Their slug.
        digest: What stands for it in `photos.digest`.
        decision: The decision, empty if it is forgotten and the face was made a photo before.
        word: The operator's word and user at the time.
        camera: Which saw it.
        crop: What is kept of it.
        frame: Its place in `Material.frames`.
    """

    user: str
    digest: str
    decision: str
    word: tuple[str, str | None]
    camera: str
    crop: Crop
    frame: int


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What a run learns from. Pictures are aligned crops with a border (`align.STORED`), uint8 (n, 160, 160, 3).

    Attributes:
        users: Slugs.
        user_ids: Their numbers, in the same order.
        photos: Enrolled photos.
        photo_owners: int64 (n,): index into `users`.
        frames: Faces that an operator spoke of.
        frame_owners: int64 (m,): index into `users`, or -1: nobody of them.
        frame_refused: int64 (m,): index of the user whom it does not show, or -1.
        frame_cameras: (m,): slug of each frame's camera.
        frame_stored: bool (m,): it is a photo of its user already, by a run before.
        views: What each camera sees.
        confirmed: The frames that show a user.
        stored: Number of each stored photo that was learnt from, enrolled or confirmed before -> index into `users`.
        digest: SHA-256 of all that.
    """

    users: tuple[str, ...]
    user_ids: tuple[int, ...]
    photos: NDArray[np.uint8]
    photo_owners: NDArray[np.int64]
    frames: NDArray[np.uint8]
    frame_owners: NDArray[np.int64]
    frame_refused: NDArray[np.int64]
    frame_cameras: tuple[str, ...]
    frame_stored: NDArray[np.bool_]
    views: Mapping[str, View]
    confirmed: tuple[Confirmed, ...]
    stored: Mapping[int, int]
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """A face with what is known of it: indices into the users, -1 for none."""

    name: str
    owner: int
    refused: int
    camera: str
    crop: Crop


def gather(storage: Storage) -> Material:
    """Return everything that may be learned from.

    Raises:
        NotReadyError: Nobody is enrolled, the vault's key is lost, or a crop is no picture any more.
    """
    photos = list(_newest_of_each(list(storage.photos.every((ENROLLED,)))))
    if not photos:
        raise NotReadyError("Nobody is enrolled", "Enroll users: facegate enroll USER PHOTO")
    ids = {photo.user: photo.user_id for photo in photos}
    users = tuple(sorted(ids))
    index = {slug: number for number, slug in enumerate(users)}
    former = [photo for photo in storage.photos.every((CONFIRMED,)) if photo.user in index]
    confirmed, faces = _frames(storage, index, former)
    made_photos = {photo.digest for photo in former}
    enrolled = [_Face(photo.digest, index[photo.user], NOBODY, "", photo.crop) for photo in photos]
    views = views_of(storage.views)
    return Material(
        users=users,
        user_ids=tuple(ids[slug] for slug in users),
        photos=_wide(enrolled),
        photo_owners=np.array([face.owner for face in enrolled], np.int64),
        frames=_wide(faces),
        frame_owners=np.array([face.owner for face in faces], np.int64),
        frame_refused=np.array([face.refused for face in faces], np.int64),
        frame_cameras=tuple(face.camera for face in faces),
        frame_stored=np.array([face.name in made_photos for face in faces], np.bool_),
        views=views,
        confirmed=tuple(confirmed),
        stored={photo.id: index[photo.user] for photo in (*photos, *former)},
        digest=_digest([ids[slug] for slug in users], [*enrolled, *faces], views),
    )


def _frames(
    storage: Storage, index: Mapping[str, int], former: Iterable[StoredPhoto]
) -> tuple[list[Confirmed], list[_Face]]:
    """Return the frames that show a user, and all that say something, the newest of at most `MOST_PICTURES`."""
    confirmed: list[Confirmed] = []
    faces: list[_Face] = []
    for spoken in storage.frames.spoken()[-MOST_PICTURES:]:
        said = _meaning(spoken)
        about = said.owner or said.refused
        if not said.teaches or (about is not None and about not in index):
            continue  # of somebody who is gone
        frame, digest = spoken.frame, photo_digest(spoken.frame.decision)
        owner, other = (NOBODY if slug is None else index.get(slug, NOBODY) for slug in (said.owner, said.refused))
        faces.append(_Face(digest, owner, other, frame.camera, frame.crop))
        if said.owner is not None:
            word = (spoken.word, spoken.word_user)
            at = len(faces) - 1
            confirmed.append(Confirmed(said.owner, digest, frame.decision, word, frame.camera, frame.crop, at))
    known = {face.name for face in faces}
    for photo in former:
        if photo.digest not in known:  # the decision is forgotten, what it showed is not
            camera = str(photo.quality.get("camera", ""))
            faces.append(_Face(photo.digest, index[photo.user], NOBODY, camera, photo.crop))
    surplus = max(0, len(faces) - MOST_PICTURES)
    taken = [replace(one, frame=one.frame - surplus) for one in confirmed if one.frame >= surplus]
    return taken, faces[surplus:]


def _meaning(spoken: SpokenFrame) -> Meaning:
    """Return what a word says of a face; one that contradicts itself says nothing."""
    try:
        return meaning(spoken.outcome, spoken.reason, spoken.user, spoken.word, spoken.word_user)
    except ValueError:
        return Meaning()


def _newest_of_each(photos: Sequence[StoredPhoto]) -> Iterable[StoredPhoto]:
    """Yield the newest photos of each user, so many that all together stay within `MOST_PICTURES`."""
    users = {photo.user for photo in photos}
    most = max(1, MOST_PICTURES // max(1, len(users)))
    taken = dict.fromkeys(users, 0)
    kept: list[StoredPhoto] = []
    for photo in reversed(photos):
        if taken[photo.user] < most:
            taken[photo.user] += 1
            kept.append(photo)
    return reversed(kept)


def _wide(faces: Sequence[_Face]) -> NDArray[np.uint8]:
    crops = np.empty((len(faces), STORED.size, STORED.size, 3), np.uint8)
    for number, face in enumerate(faces):
        crops[number] = aligned_again(face.crop, STORED)
    return crops


def _digest(users: Sequence[int], faces: Sequence[_Face], views: Mapping[str, View]) -> str:
    """Return a SHA-256 that names nobody: of users' numbers, files' digests, and what was said of them."""
    told = {
        "users": list(users),
        "faces": [[face.name, face.owner, face.refused, face.camera] for face in faces],
        "views": {camera: view.to_json() for camera, view in sorted(views.items())},
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
