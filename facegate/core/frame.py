"""A frame, the faces in it, and what was measured of them."""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""uint8, shape (height, width, 3), channels blue, green, red."""

Landmarks = NDArray[np.float32]
"""float32, shape (5, 2), pixels (x, y): right eye, left eye, nose, right and left mouth corner of the subject."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from a camera, with the event that brought it and the time it was captured.

    Attributes:
        camera: Slug of the camera.
        event: Id of the event that brought the picture.
        captured_at: When the camera took it, UTC.
        received_at: When it came to facegate, UTC.
        picture: The encoded bytes, JPEG, PNG or WebP.
        digest: SHA-256 of the bytes, in hexadecimal: tells a repeated picture.
        hunted: facegate pulled it itself while somebody was there; more will follow until the event is settled.
    """

    camera: str
    event: str
    captured_at: datetime
    received_at: datetime
    picture: bytes = field(repr=False)
    digest: str
    hunted: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the upright picture; it may reach over the picture's edge."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A detected face: box, five landmarks, detection score in [0, 1]."""

    box: Box
    landmarks: Landmarks
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """The surroundings of a face, cut out of its picture, with the landmarks in what was cut out.

    It is what any network needs to look at the face again, and no view of the picture that it came from.
    """

    landmarks: Landmarks
    pixels: Pixels = field(repr=False)


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured of one face; `core.quality` holds the limits.

    Attributes:
        size: Shorter side of the face's box, pixels of the upright picture.
        sharpness: Variance of the Laplacian of the grey face at standard contrast, so that more is sharper; >= 0.
        brightness: Mean grey level of the crop's face region, 0 to 255.
        contrast: Standard deviation of the grey levels there, 0 to 127.5.
        yaw: Degrees that the head is turned to its side, from the landmarks, 0 is frontal, signed.
        pitch: Degrees that the head looks up or down, likewise.
        roll: Degrees that the head leans to its shoulder, likewise.
    """

    size: float
    sharpness: float
    brightness: float
    contrast: float
    yaw: float
    pitch: float
    roll: float
