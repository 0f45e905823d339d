"""A household of people who do not exist, with a camera that nobody told the learner about."""

from functools import lru_cache

import numpy as np

from facegate.siamese.augment import MARGIN
from facegate.siamese.corpus import wide_crop
from facegate.siamese.tuning.doorcam import door_camera
from facegate.siamese.tuning.household import Household
from facegate.vision.composites import people
from facegate.vision.detect import YuNetDetector
from facegate.vision.view import NOTHING_SEEN, Light, look


@lru_cache(maxsize=1)
def crops():
    """Return each composite's pictures, uint8 (people, 6, 160, 160, 3)."""
    detector = YuNetDetector()
    return np.stack([np.stack([wide_crop(person.picture(at), detector) for at in range(6)]) for person in people()])


def seen_by(camera, pictures, draw):
    made = [np.pad(camera.picture(one, draw), ((MARGIN,) * 2, (MARGIN,) * 2, (0, 0)), mode="edge") for one in pictures]
    return np.stack(made) if made else np.empty((0, 160, 160, 3), np.uint8)


def household(users=6, photos=3, frames=2, light=Light.INFRARED, seed=0):
    """Return users with so many photos and confirmed frames each."""
    draw = np.random.default_rng(seed)
    camera, faces = door_camera(light, draw), crops()[:users]
    statistics = NOTHING_SEEN
    for face in crops()[:, 5]:
        statistics = statistics.with_face(look(camera.picture(face, draw), camera.size))
    view = statistics.view()
    coming = faces[:, photos : photos + frames].reshape(-1, 160, 160, 3)
    return Household(
        users=tuple(f"user{number}" for number in range(users)),
        photos=faces[:, :photos].reshape(-1, 160, 160, 3),
        photo_owners=np.repeat(np.arange(users), photos),
        frames=seen_by(camera, coming, draw),
        frame_owners=np.repeat(np.arange(users), frames),
        frame_refused=np.full(users * frames, -1),
        frame_cameras=("porch",) * (users * frames),
        views={} if view is None else {"porch": view},
    )
