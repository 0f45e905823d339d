"""What somebody gives to be enrolled with: a file's bytes, and the one face that is meant."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from facegate.core.frame import Face, Pixels
from facegate.errors import RefusedError, UnusableInputError
from facegate.vision.decode import PHOTO_BYTES

PASSER_BY: Final = 1 / 3
"""A face whose sides are below this share of the largest's is somebody who happened to be there."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What was given: what to call it, and its bytes."""

    name: str
    data: bytes = field(repr=False)


def read_picture(path: Path) -> Picture:
    """Read a photo's file.

    Raises:
        UnusableInputError: It cannot be read, or is larger than any photo.
    """
    try:
        with path.open("rb") as file:
            data = file.read(PHOTO_BYTES + 1)
    except OSError as error:
        raise UnusableInputError(
            f"It cannot be read: {error.strerror}", "Name a file that facegate may read"
        ) from error
    return Picture(str(path), data)


def only_face(faces: Sequence[Face], pixels: Pixels) -> Face:
    """Return the one face of a photo; small faces far behind it are passers-by and do not count.

    Args:
        faces: The largest first, as the detector gives them.
        pixels: The photo.

    Raises:
        RefusedError: There is none, or more than one; the error says how to get one.
    """
    meant = [face for face in faces if face.box.area >= PASSER_BY**2 * faces[0].box.area]
    if len(meant) == 1:
        return meant[0]
    height, width = pixels.shape[:2]
    if not faces:
        raise RefusedError(
            f"No face was found in {width} x {height} pixels",
            "Take a photo from nearer, from the front, with light on the face",
        )
    raise RefusedError(f"{len(meant)} faces were found", "Crop the photo to the one that is meant")
