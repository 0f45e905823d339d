"""How a face is stored: landmarks, then the picture around it.

Five landmarks (float32 little-endian, x and y, pixels of the picture), then the picture (PNG, of a frame JPEG).
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from facegate.core.frame import Landmarks

LANDMARKS: Final = (5, 2)
LANDMARK_BYTES: Final = 5 * 2 * 4
LITTLE: Final = np.dtype("<f4")


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """What a network needs to look at a face again: the picture around it and the landmarks in that picture."""

    landmarks: Landmarks
    picture: bytes = field(repr=False)


def packed(crop: Crop) -> bytes:
    """Write a crop as it is sealed.

    Raises:
        ValueError: There are not five landmarks.
    """
    landmarks = np.asarray(crop.landmarks, LITTLE)
    if landmarks.shape != LANDMARKS:
        msg = f"five landmarks, not {landmarks.shape}"
        raise ValueError(msg)
    return landmarks.tobytes() + crop.picture


def unpacked(plain: bytes) -> Crop:
    """Read a crop as it was sealed."""
    landmarks = np.frombuffer(plain[:LANDMARK_BYTES], LITTLE).reshape(LANDMARKS).astype(np.float32)
    return Crop(landmarks, plain[LANDMARK_BYTES:])
