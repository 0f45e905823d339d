"""Bounded reading of what comes from outside: JSON, times, base64. Whatever is given, the only error is ours.

The limits hold before the work is done: a payload's size before it is parsed, its depth before the parser recurses, the
length of its structure before a million small values are made of it.
"""

import base64
import binascii
import json
import re
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from facegate.errors import UnusableInputError
from facegate.mqtt.message import MAX_PACKET_BYTES

MAX_DEPTH: Final = 16
"""Nested objects and lists; Frigate's deepest is 6."""

MAX_STRUCTURE_BYTES: Final = 262_144
"""Bytes of JSON outside strings: a picture is one long string, Frigate's longest path some ten thousand bytes."""

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)

_STRINGS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[\]{}]")
_NUMBER: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,]{5,25}(Z|z|[+-][0-9:]{2,6})?")
_DATA_URL: Final = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64,")
_URL_SAFE: Final = str.maketrans("-_", "+/", "\r\n")


def read_json(payload: bytes) -> Any:
    """Parse a payload as JSON.

    Raises:
        UnusableInputError: It is too long, too deep, no UTF-8, or no JSON.
    """
    if len(payload) > MAX_PACKET_BYTES:
        raise UnusableInputError(
            f"The payload has {len(payload):,} bytes, more than {MAX_PACKET_BYTES:,}", "Send a smaller picture"
        )
    structure = _STRINGS.sub(b"", payload)
    if len(structure) > MAX_STRUCTURE_BYTES or _depth(structure) > MAX_DEPTH:
        raise UnusableInputError(
            f"The JSON is nested more than {MAX_DEPTH} deep or has too many values", "Send what the README shows"
        )
    try:
        return json.loads(payload.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise UnusableInputError("The payload is no UTF-8", "Send JSON as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UnusableInputError("The payload is no JSON", "Send what the README shows") from error


def read_object(payload: bytes) -> dict[str, Any]:
    """Parse a payload as a JSON object.

    Raises:
        UnusableInputError: It is none.
    """
    document = read_json(payload)
    if not isinstance(document, dict):
        raise UnusableInputError("The JSON is no object", "Send what the README shows")
    return document


def read_text(payload: bytes, *, limit: int) -> str:
    """Read a short word or line.

    Raises:
        UnusableInputError: It is longer than `limit` bytes, no UTF-8, or not printable.
    """
    if len(payload) > limit:
        raise UnusableInputError(f"The payload has more than {limit} bytes", "Send one word")
    try:
        text = payload.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise UnusableInputError("The payload is no UTF-8", "Send one word") from error
    if text and not text.isprintable():
        raise UnusableInputError("The payload is not printable", "Send one word")
    return text


def read_time(value: object, name: str) -> datetime:
    """Read a moment: RFC 3339 with its zone, or seconds since 1970 as a number or its text.

    Raises:
        UnusableInputError: It is neither, has no zone, or lies outside 2000 to 2100.
    """
    mend = "Write it as 2026-01-31T12:00:00Z or as seconds since 1970"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnusableInputError(f"{name} is no time", mend)
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            return _read_rfc3339(value.strip(), name, mend)
        value = float(value)
    if not EARLIEST.timestamp() <= value < LATEST.timestamp():  # NaN, the infinities and huge integers end here
        raise UnusableInputError(f"{name} lies outside the years 2000 to 2100", mend)
    return datetime.fromtimestamp(value, UTC)


def read_base64(text: str, name: str) -> bytes:
    """Decode base64 of either alphabet, with or without `data:image/...;base64,` and padding; line ends are allowed.

    Raises:
        UnusableInputError: It is none, or nothing.
    """
    body = text
    if text.startswith("data:"):
        opening = _DATA_URL.match(text)
        if opening is None:
            raise UnusableInputError(f"{name} is a data URL of no picture in base64", "Send data:image/jpeg;base64,...")
        body = text[opening.end() :]
    if any(letter in body for letter in "-_\r\n"):  # translating costs a millisecond that most pictures can be spared
        body = body.translate(_URL_SAFE)
    body = body.rstrip("=")
    try:
        decoded = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnusableInputError(f"{name} is no base64", "Send the picture's bytes in base64") from error
    if not decoded:
        raise UnusableInputError(f"{name} is empty", "Send the picture's bytes in base64")
    return decoded


def _read_rfc3339(text: str, name: str, mend: str) -> datetime:
    shape = _TIME.fullmatch(text)
    if shape is None:
        raise UnusableInputError(f"{name} is no time", mend)
    if shape[1] is None:
        raise UnusableInputError(f"{name} has no time zone", "Add Z for UTC, or an offset such as +01:00")
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnusableInputError(f"{name} is no time", mend) from error
    if not EARLIEST <= moment < LATEST:
        raise UnusableInputError(f"{name} lies outside the years 2000 to 2100", mend)
    return moment


def _depth(structure: bytes) -> int:
    deepest = depth = 0
    for bracket in _BRACKETS.finditer(structure):
        depth += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, depth)
        if deepest > MAX_DEPTH:
            break
    return deepest


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
