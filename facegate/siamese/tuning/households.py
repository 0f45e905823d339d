"""Households for `facegate bench finetune`: users drawn from folders of people, a camera at their door, and strangers.

Each user's photos are dealt out: some are enrolled as they are, some come to the door and are confirmed by an operator,
the others come to the door when all is learnt (`unseen`) and decide the figures. The camera is made up from the
household's seed (`doorcam`), and what it sees is measured on confirmed and on unspoken frames, as the daemon does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Pixels
from facegate.errors import UnusableInputError
from facegate.siamese.augment import MARGIN
from facegate.siamese.corpus import Source, person_among
from facegate.siamese.tuning.doorcam import KINDS, DoorCamera, door_camera
from facegate.siamese.tuning.household import Household
from facegate.vision.align import STORED
from facegate.vision.view import NOTHING_SEEN, Light, View, look

DOOR: Final = "front"
MOST_UNSEEN: Final = 6
"""Of one user."""
VISITS: Final = 2
"""So often each unseen photo comes to the door; no two pictures of a camera are alike."""
UNSPOKEN: Final = 60
"""So many frames of strangers show the daemon how the camera sees, without a word about them."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a household is: users, enrolled photos of each, confirmed frames in all."""

    users: int
    photos: int
    frames: int

    @property
    def wanted(self) -> int:
        """Photos that a person must have."""
        return self.photos + -(-self.frames // self.users) + 1

    def __str__(self) -> str:
        return f"{self.users} users, {self.photos} photo{'s' * (self.photos > 1)}, {self.frames} frames"


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A household, and what comes to its door later. Door pictures are crops uint8 (n, 144, 144, 3).

    Attributes:
        size: How large it is.
        light: By what light its camera sees.
        household: What is learnt from.
        unseen: The users' other photos, as the camera sees them.
        unseen_owners: int64 (n,).
        strangers: Other people, as the camera sees them.
    """

    size: Size
    light: Light
    household: Household
    unseen: NDArray[np.uint8]
    unseen_owners: NDArray[np.int64]
    strangers: NDArray[np.uint8]


Person = Sequence[Pixels]


def people_of(sources: Sequence[Source]) -> list[list[Pixels]]:
    """Return each person's crops with their border; one name in two sources is one person, a number is not."""
    people: dict[tuple[str, str], list[Pixels]] = {}
    for source in sources:
        for name, crop in zip(source.people, source.crops, strict=True):
            people.setdefault(person_among(source, name), []).append(crop)
    return list(people.values())


def draw_household(
    people: Sequence[Person], size: Size, light: Light, strangers: int, draw: np.random.Generator
) -> Drawn:
    """Draw a household.

    Args:
        people: Everybody there is.
        size: How large it is to be.
        light: By what light its camera sees.
        strangers: At most so many pictures of other people come to the door.
        draw: Draws all.

    Raises:
        UnusableInputError: There are too few people with enough photos.
    """
    able = [at for at, photos in enumerate(people) if len(photos) >= size.wanted]
    if len(able) < size.users or len(people) == size.users:
        raise UnusableInputError(
            f"{len(able)} people have {size.wanted} photos, and {size.users} are wanted", "Give more people"
        )
    chosen = draw.choice(able, size.users, replace=False).tolist()
    camera = door_camera(light, draw)
    others = [photo for at, photos in enumerate(people) if at not in set(chosen) for photo in photos]
    shown = [others[at] for at in draw.permutation(len(others))[: strangers + UNSPOKEN]]
    photos, frames, unseen = _dealt([people[at] for at in chosen], size, draw)
    views = {DOOR: measured(camera, shown[strangers:] or shown, draw)}
    confirmed = [crop for crops in frames for crop in crops]
    household = Household(
        users=tuple(f"user{number}" for number in range(size.users)),
        photos=np.stack([crop for crops in photos for crop in crops]),
        photo_owners=_owners(photos),
        frames=bordered(camera, confirmed, draw),
        frame_owners=_owners(frames),
        frame_refused=np.full(len(confirmed), -1, np.int64),
        frame_cameras=(DOOR,) * len(confirmed),
        views=views,
    )
    unseen = [crops * VISITS for crops in unseen]
    seen = np.stack([camera.picture(crop, draw) for crops in unseen for crop in crops])
    passing = np.stack([camera.picture(crop, draw) for crop in shown[:strangers]])
    return Drawn(size, light, household, seen, _owners(unseen), passing)


def _dealt(
    people: Sequence[Person], size: Size, draw: np.random.Generator
) -> tuple[list[list[Pixels]], list[list[Pixels]], list[list[Pixels]]]:
    """Deal each person's photos out: enrolled, frames, unseen."""
    photos, frames, unseen = [], [], []
    left = size.frames
    for person in people:
        crops = [np.asarray(person[at]) for at in draw.permutation(len(person))]
        count = min(left, -(-size.frames // size.users))
        left -= count
        photos.append(crops[: size.photos])
        frames.append(crops[size.photos : size.photos + count])
        unseen.append(crops[size.photos + count :][:MOST_UNSEEN])
    return photos, frames, unseen


def _owners(crops: Sequence[Sequence[Pixels]]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(crops)), [len(theirs) for theirs in crops]).astype(np.int64)


def measured(camera: DoorCamera, crops: Sequence[Pixels], draw: np.random.Generator) -> View:
    """Return the camera's view as the daemon measures it on faces that nobody spoke of.

    Raises:
        UnusableInputError: There are too few faces.
    """
    statistics = NOTHING_SEEN
    for crop in crops:
        statistics = statistics.with_face(look(camera.picture(np.asarray(crop), draw), camera.size))
    view = statistics.view()
    if view is None:
        raise UnusableInputError("There are too few strangers to measure a camera on", "Give more people")
    return view


def bordered(camera: DoorCamera, crops: Sequence[Pixels], draw: np.random.Generator) -> NDArray[np.uint8]:
    """Return pictures of a camera with a border around, uint8 (n, 160, 160, 3), as frames are kept."""
    made = np.empty((len(crops), STORED.size, STORED.size, 3), np.uint8)
    for at, crop in enumerate(crops):
        made[at] = np.pad(camera.picture(crop, draw), ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
    return made


def households(
    people: Sequence[Person], sizes: Sequence[Size], each: int, seed: int, strangers: int
) -> Iterator[Drawn]:
    """Draw so many households of each size, their cameras by day, dusk and infrared in turn."""
    for number, size in enumerate(sizes):
        for at in range(each):
            draw = np.random.default_rng((seed, number, at))
            yield draw_household(people, size, KINDS[at % len(KINDS)], strangers, draw)
