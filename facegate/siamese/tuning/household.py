"""What a fine-tune learns from, as the storage hands it over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.vision.view import View

NOBODY: Final = -1
"""Owner of a frame that shows a stranger."""


@dataclass(frozen=True, slots=True, eq=False)
class Household:
    """What a run learns from. Pictures are aligned crops with a border (`align.STORED`), uint8 (n, 160, 160, 3).

    Attributes:
        users: Slugs.
        photos: Enrolled photos.
        photo_owners: int64 (n,): index into `users`.
        frames: Frames that an operator spoke of.
        frame_owners: int64 (m,): index into `users` of whom the operator confirmed, or -1: nobody of them.
        frame_refused: int64 (m,): index of the user whom the operator said it is not, or -1; with owner -1
            nothing is known of the others, so the frame counts against that user alone.
        frame_cameras: (m,): slug of each frame's camera.
        views: What each camera sees.
        referenced: bool (m,) where the champion was learnt from this household, with one reference a user: the frames
            that are in it already. None: each photo is a reference, and no frame.
    """

    users: tuple[str, ...]
    photos: NDArray[np.uint8]
    photo_owners: NDArray[np.int64]
    frames: NDArray[np.uint8]
    frame_owners: NDArray[np.int64]
    frame_refused: NDArray[np.int64]
    frame_cameras: tuple[str, ...]
    views: Mapping[str, View] = field(default_factory=dict)
    referenced: NDArray[np.bool_] | None = None
