"""What a picture's bytes say about themselves before anything is decoded: format, size, and whether the end is there.

Headers are read by hand, so that a picture of a few kilobytes that claims 200 megapixels costs no memory. Only the
three formats that cameras, phones and browsers send are read; others are named, so that the operator knows what to
do. JPEG: ITU-T T.81, Annex B. PNG: third edition, 5.3 and 11.2.1. WebP: RFC 9649.
"""

import re
import zlib
from dataclasses import dataclass
from typing import Final

from facegate.errors import UnusableInputError

AS_WHAT: Final = "Save it as JPEG"
AGAIN: Final = "Save or send it again"

PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
#: A marker inside entropy-coded data: 0xFF, but neither a stuffed zero nor a restart marker nor a fill byte.
NEXT_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
#: Start of frame: C0 to CF without the Huffman table (C4), a reserved one (C8) and arithmetic conditioning (CC).
FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
START_OF_SCAN: Final = 0xDA
END_OF_IMAGE: Final = 0xD9
MAX_SCANS: Final = 32
"""Scans of one JPEG; encoders write 10 to 20. Each costs a walk over all pixels, and an empty one takes ten bytes."""
#: Markers that have no length: TEM and the restarts.
BARE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD8)})

#: Brands of the `ftyp` box (ISO/IEC 14496-12) by which phones' pictures are told apart.
HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
OTHERS: Final = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x00\x00\x00\x01", "a video stream"),
)


@dataclass(frozen=True, slots=True)
class Header:
    """Format name ("JPEG", "PNG", "WebP") and the size in pixels as stored, before any EXIF orientation."""

    kind: str
    width: int
    height: int


def read_header(picture: bytes) -> Header:
    """Read format and size, and check that the picture is there to its end.

    Raises:
        UnusableInputError: It is none of the three formats, or damaged, or cut off; the message says which.
    """
    if not picture:
        raise UnusableInputError("The picture is empty", AGAIN)
    if picture.startswith(b"\xff\xd8\xff"):
        header = jpeg_header(picture)
    elif picture.startswith(PNG_MAGIC):
        header = png_header(picture)
    elif picture[:4] == b"RIFF" and picture[8:12] == b"WEBP":
        header = webp_header(picture)
    else:
        raise UnusableInputError(f"This is {foreign_kind(picture)}, not a JPEG, PNG or WebP", AS_WHAT)
    if not (header.width and header.height):
        raise damaged(header.kind, "it has no pixels")
    return header


def foreign_kind(picture: bytes) -> str:
    """Name what the bytes look like when they are none of the three formats."""
    if picture[4:8] == b"ftyp":
        brands = {picture[8:12]} | {picture[at : at + 4] for at in range(16, 64, 4)}
        if brands & AVIF_BRANDS:
            return "AVIF"
        return "HEIC" if brands & HEIC_BRANDS else "a video"
    known = next((name for magic, name in OTHERS if picture.startswith(magic)), None)
    if known is not None:
        return known
    return "text" if is_text(picture[:512]) else "no picture"


def is_text(start: bytes) -> bool:
    """Tell whether the bytes read as text; a character that is cut in two at the end does not count."""
    text = start.decode("utf-8", errors="ignore")
    return len(text.encode()) >= max(4, len(start) - 3) and all(
        letter.isprintable() or letter.isspace() for letter in text
    )


def damaged(kind: str, how: str) -> UnusableInputError:
    """Return the error for a picture that is one of ours but broken."""
    return UnusableInputError(f"The {kind} is damaged: {how}", AGAIN)


def jpeg_header(picture: bytes) -> Header:
    """Walk the markers to the end of image; libjpeg would fill what is missing with grey and say nothing."""
    header, scans = None, 0
    at = 2
    while True:
        marker, at = jpeg_marker(picture, at)
        if marker == END_OF_IMAGE:
            break
        length = int.from_bytes(picture[at : at + 2], "big")
        if length < 2 or at + length > len(picture):  # noqa: PLR2004 - a length counts its own two bytes
            raise damaged("JPEG", "it is cut off")
        if marker in FRAME_MARKERS:
            if header is not None or length < 8:  # noqa: PLR2004 - precision, height, width, components
                raise damaged("JPEG", "its frame header is wrong")
            height, width = (int.from_bytes(picture[at + o : at + o + 2], "big") for o in (3, 5))
            header = Header("JPEG", width, height)
        at += length
        if marker == START_OF_SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise damaged("JPEG", f"it has more than {MAX_SCANS} scans")
            found = NEXT_MARKER.search(picture, at)
            if found is None:
                raise damaged("JPEG", "it is cut off")
            at = found.start()
    if header is None:
        raise damaged("JPEG", "it has no frame header")
    return header


def jpeg_marker(picture: bytes, at: int) -> tuple[int, int]:
    """Return the marker at or after `at` that has a length (or ends the image), and where it ends."""
    while True:
        at = picture.find(b"\xff", at)
        while at >= 0 and picture[at : at + 1] == b"\xff":
            at += 1
        if at < 0 or at >= len(picture):
            raise damaged("JPEG", "it is cut off")
        marker = picture[at]
        at += 1
        if marker and marker not in BARE_MARKERS:
            return marker, at


def png_header(picture: bytes) -> Header:
    """Walk the chunks to IEND, checking every checksum."""
    at = len(PNG_MAGIC)
    header = None
    while True:
        length = int.from_bytes(picture[at : at + 4], "big")
        end = at + 12 + length
        if end > len(picture) or len(picture) < at + 12:
            raise damaged("PNG", "it is cut off")
        kind, body = picture[at + 4 : at + 8], memoryview(picture)[at + 4 : end - 4]
        if zlib.crc32(body) != int.from_bytes(picture[end - 4 : end], "big"):
            raise damaged("PNG", "a checksum is wrong")
        if header is None:
            if kind != b"IHDR" or length != 13:  # noqa: PLR2004 - the length of IHDR
                raise damaged("PNG", "it has no header")
            header = Header("PNG", *(int.from_bytes(body[o : o + 4], "big") for o in (4, 8)))
        if kind == b"IEND":
            return header
        at = end


def webp_header(picture: bytes) -> Header:
    """Read the size from whichever of the three first chunks there is: VP8, VP8L or VP8X."""
    if int.from_bytes(picture[4:8], "little") + 8 > len(picture):
        raise damaged("WebP", "it is cut off")
    kind, start = picture[12:16], picture[20:30]
    if len(start) == 10:  # noqa: PLR2004 - what the longest of the three needs
        if kind == b"VP8X":
            width, height = (int.from_bytes(start[o : o + 3], "little") + 1 for o in (4, 7))
            return Header("WebP", width, height)
        if kind == b"VP8L" and start[0] == 0x2F:  # noqa: PLR2004 - its signature
            bits = int.from_bytes(start[1:5], "little")
            return Header("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        if kind == b"VP8 " and start[3:6] == b"\x9d\x01\x2a":
            width, height = (int.from_bytes(start[o : o + 2], "little") & 0x3FFF for o in (6, 8))
            return Header("WebP", width, height)
    raise damaged("WebP", "its header is wrong")
