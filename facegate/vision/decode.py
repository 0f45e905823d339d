"""Encoded picture -> upright pixels, refusing what cannot or must not be decoded.

In this order: bytes, format, size from the header, the end of the file; only then is memory taken for the pixels.
OpenCV applies the EXIF orientation, reduces 16 bits to 8, turns grey and CMYK into colour and drops alpha.
"""

from typing import Final

import cv2
import numpy as np

from facegate.core.frame import Pixels
from facegate.errors import UnusableInputError
from facegate.vision.header import AGAIN, Header, damaged, read_header
from facegate.vision.silence import silence_decoders

MAX_BYTES: Final = 10_000_000
PHOTO_BYTES: Final = 40_000_000
"""Photos from cameras, to enroll or to compare, are larger than frames."""
MAX_PIXELS: Final = 25_000_000
#: What libjpeg paints where the data of a JPEG ran out: every coefficient zero.
MISSING: Final = 128
#: Share of the height that may look so at the bottom of a whole picture.
MISSING_SHARE: Final = 1 / 16


def decode(picture: bytes, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Pixels:
    """Decode a JPEG, PNG or WebP, told by its first bytes; safe to call from several threads.

    Args:
        picture: The encoded picture.
        max_pixels: Largest width times height that is decoded.
        max_bytes: Most bytes that are looked at.

    Returns:
        uint8, shape (height, width, 3), blue, green, red, upright.

    Raises:
        UnusableInputError: It is no picture of ours, damaged, cut off or too large; the message says which.
    """
    if len(picture) > max_bytes:
        raise UnusableInputError(f"The picture has more than {max_bytes / 1e6:.1f} MB", "Send a smaller one")
    header = read_header(picture)
    if header.width * header.height > max_pixels:
        raise UnusableInputError(
            f"The {header.kind} has {header.width} x {header.height} = {header.width * header.height / 1e6:.0f}"
            f" megapixels, more than {max_pixels / 1e6:.0f}",
            "Reduce it, or raise the setting vision.max_pixels",
        )
    return checked(decoded(picture, header), header)


def decoded(picture: bytes, header: Header) -> Pixels:
    """Let OpenCV decode, and turn its ways of failing into ours."""
    silence_decoders()
    try:
        pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise damaged(header.kind, "its data cannot be decoded") from error
    if pixels is None:
        raise damaged(header.kind, "its data cannot be decoded")
    return np.asarray(pixels, np.uint8)


def checked(pixels: Pixels, header: Header) -> Pixels:
    """Refuse a picture that is not what its header said, or whose lower part was never there."""
    if sorted(pixels.shape[:2]) != sorted((header.width, header.height)):
        raise damaged(header.kind, "it is not as large as its header says")
    if header.kind == "JPEG" and lower_part_missing(pixels):
        raise UnusableInputError("The JPEG is damaged: its lower part is missing", AGAIN)
    return pixels


def lower_part_missing(pixels: Pixels) -> bool:
    """Tell whether the last rows are what libjpeg paints for missing data, right to the corner.

    An EXIF orientation may have turned the bottom to any side, so all four are looked at.
    """
    rows = max(8, round(MISSING_SHARE * pixels.shape[0]))
    columns = max(8, round(MISSING_SHARE * pixels.shape[1]))
    strips = (pixels[-rows:], pixels[:rows], pixels[:, -columns:], pixels[:, :columns])
    return any(bool(np.all(strip == MISSING)) for strip in strips) and not bool(np.all(pixels == MISSING))
