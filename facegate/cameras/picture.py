"""What can be told of a fetched picture without decoding it: its kind, whether it is whole, its size, its time."""

import email.utils
import hashlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from facegate.cameras.web import UnreachableError
from facegate.errors import UnusableInputError

JPEG: Final = b"\xff\xd8\xff"
JPEG_END: Final = b"\xff\xd9"
#: Cameras append a line end or padding after the end marker.
TRAILER: Final = 4096
PNG: Final = b"\x89PNG\r\n\x1a\n"
AHEAD: Final = timedelta(seconds=2)
#: Markers of a JPEG's frame header, which holds its size.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
FILL: Final = 0xFF
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD8)})


def check_picture(body: bytes, where: str) -> None:
    """Refuse what is no whole JPEG, PNG or WebP.

    Args:
        body: What was fetched.
        where: Where from, as it may be shown.

    Raises:
        UnreachableError: Nothing was sent, or only a part: the next try may have it.
        UnusableInputError: It is something else.
    """
    if not body:
        raise UnreachableError(f"{where} sent nothing", "It may be waiting for a key frame")
    if body.startswith(JPEG):
        if JPEG_END not in body[-TRAILER:]:
            raise UnreachableError(f"{where} sent a part of a JPEG", "Check the connection to the camera")
        return
    if body.startswith(PNG) or (body[:4] == b"RIFF" and body[8:12] == b"WEBP"):
        return
    kind = "HEIC" if body[4:8] == b"ftyp" else "no picture" if body.lstrip()[:1] in (b"<", b"{") else "unknown bytes"
    raise UnusableInputError(f"{where} sent {kind}", "Give the URL of a JPEG, PNG or WebP")


def jpeg_size(body: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG as its header says, or None if it does not say."""
    position = 2
    while position + 9 <= len(body) and body[position] == FILL:
        marker = body[position + 1]
        if marker in _FRAMES:
            return int.from_bytes(body[position + 7 : position + 9], "big"), int.from_bytes(
                body[position + 5 : position + 7], "big"
            )
        if marker == FILL:
            position += 1
        elif marker in _BARE:
            position += 2
        else:
            position += 2 + int.from_bytes(body[position + 2 : position + 4], "big")
    return None


def captured_at(headers: Mapping[str, str], now: datetime, otherwise: datetime | None = None) -> datetime:
    """Return when a picture was taken as far as its server says, else `otherwise`, else now.

    `X-Frame-Time` is Frigate's. The age between `Last-Modified` and `Date` is told by one clock, the camera's, so it
    holds however wrong that clock is. A time ahead of ours says nothing.
    """
    stated = _seconds(headers.get("x-frame-time"))
    if stated is None:
        modified, sent = _http_date(headers.get("last-modified")), _http_date(headers.get("date"))
        if modified is None:
            return otherwise or now
        stated = modified if sent is None or sent < modified else now - (sent - modified)
    return stated if stated <= now + AHEAD else now


class Repeats:
    """Tells a picture that came before from a new one: a live camera never sends the same bytes twice."""

    def __init__(self) -> None:
        self._last = b""

    def check(self, body: bytes, where: str) -> None:
        """Remember a picture.

        Raises:
            UnreachableError: It is the one before.
        """
        digest = hashlib.sha256(body).digest()
        if digest == self._last:
            raise UnreachableError(f"{where} sent the same picture again: it is frozen", "Check that the camera is up")
        self._last = digest


def _seconds(text: str | None) -> datetime | None:
    try:
        stated = float(text or "nan")
        return datetime.fromtimestamp(stated, UTC) if math.isfinite(stated) and stated > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _http_date(text: str | None) -> datetime | None:
    try:
        stated = email.utils.parsedate_to_datetime(text) if text else None
    except (ValueError, OverflowError):
        return None
    return stated if stated is not None and stated.tzinfo is not None else None
