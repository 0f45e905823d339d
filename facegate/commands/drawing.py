"""Photos with their faces framed and the answer written below: one as it is, several as a contact sheet."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from facegate.commands.output import warn
from facegate.errors import UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facegate.core.frame import Pixels
    from facegate.verifier.photos import Photo
    from facegate.vision.sheet import Tile

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp"})
BYSTANDER: Final = (150, 150, 150)
MOST_TILES: Final = 200
"""Of one contact sheet: 40 rows, 70 MB while it is drawn."""


def checked_target_file(path: Path | None, photos: "Sequence[Path]" = ()) -> None:
    """Refuse a picture that could not be written, before there is work done for it.

    Raises:
        UnusableInputError: It is no picture's name, its folder is not there, or it would be written over a photo.
    """
    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        raise UnusableInputError(f"{path} is no name of a picture", "Name a file that ends in .png, .jpg or .webp")
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UnusableInputError(f"{path} cannot be written", "Name a file in a folder where you may write")
    if path.exists() and any(photo.exists() and photo.samefile(path) for photo in photos):
        raise UnusableInputError(f"{path} is one of the photos", "Name a new file for --annotate")


def draw(path: Path, answers: "Sequence[tuple[Photo, str, bool]]", max_pixels: int, *, left_out: int = 0) -> None:
    """Write a picture of photos with their answers.

    Args:
        path: Where to.
        answers: Photo, words, and whether the answer is yes; at most `MOST_TILES`.
        max_pixels: Largest photo that is decoded.
        left_out: So many more there were, told as a warning.

    Raises:
        UnusableInputError: It cannot be written.
    """
    import cv2  # noqa: PLC0415

    from facegate.vision.sheet import annotate, contact_sheet  # noqa: PLC0415

    if left_out:
        warn(f"{path} shows the first {len(answers)} photos; {left_out} more were left out")
    alone = framed(answers[0][0], max_pixels) if len(answers) == 1 else None
    if alone is not None:
        photo, words, yes = answers[0]
        sheet = annotate(alone, photo.box, words, yes)
    else:
        sheet = contact_sheet([tile(photo, words, max_pixels, yes=yes) for photo, words, yes in answers])
    written, data = cv2.imencode(path.suffix.lower(), sheet)
    if not written:  # a WebP's side ends at 16,383 pixels, a JPEG's at 65,535
        raise UnusableInputError(f"{path} cannot hold {sheet.shape[1]} x {sheet.shape[0]} pixels", "Name a .png")
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise UnusableInputError(f"{path} cannot be written ({error.strerror})", "Name another file") from error


def framed(photo: "Photo", max_pixels: int) -> "Pixels | None":
    """Return a photo with the faces framed that were not meant, or None if it is no picture."""
    from facegate.vision.decode import decode  # noqa: PLC0415
    from facegate.vision.sheet import draw_box  # noqa: PLC0415

    try:
        picture = decode(photo.path.read_bytes(), max_pixels).copy()
    except (UnusableInputError, OSError):
        return None
    for other in photo.others:
        draw_box(picture, other, BYSTANDER, max(2, picture.shape[1] // 420))
    return picture


def tile(photo: "Photo", words: str, max_pixels: int, *, yes: bool) -> "Tile":
    """Return a photo as a tile of a contact sheet, no larger than it will be seen."""
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    from facegate.core.frame import Box  # noqa: PLC0415
    from facegate.vision.sheet import TILE_WIDTH, Tile  # noqa: PLC0415

    picture, box = framed(photo, max_pixels), photo.box
    if picture is not None and (scale := TILE_WIDTH / max(picture.shape[:2])) < 1:
        wide, high = (max(1, round(side * scale)) for side in picture.shape[1::-1])  # a panorama keeps a line
        picture = np.asarray(cv2.resize(picture, (wide, high), interpolation=cv2.INTER_AREA), np.uint8)
        box = box and Box(box.x * scale, box.y * scale, box.width * scale, box.height * scale)
    return Tile(picture, f"{photo.path.parent.name}/{photo.path.name}", words, yes, box)
