"""Frigate's own events, `frigate/events`: read tolerantly, because keys come with every version (0.12 to 0.18 known).

Frigate says `{"type": "new" | "update" | "end", "before": {...}, "after": {...}}`; what counts is `after`. The id goes
into URLs later, so it must have Frigate's form. Any label but `person` and `face` is none of the gate's business.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from facegate.core.slugs import is_slug
from facegate.errors import UnusableInputError
from facegate.mqtt.message import Message
from facegate.mqtt.payloads import UnusableArrivalError
from facegate.mqtt.reading import read_object, read_time

LABELS: Final = ("person", "face")
#: `<frame time>-<random>`; the decimals vary with the float, the random part has had six characters so far.
ID: Final = re.compile(r"[0-9]{10}\.[0-9]{1,9}-[a-z0-9]{4,12}")


class Kind(StrEnum):
    """What Frigate says of the event."""

    NEW = "new"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True)
class FrigateEvent:
    """What one message says of one object.

    Attributes:
        kind: New, update or end.
        id: Frigate's id, in the form that may enter a URL.
        camera: Slug of the camera.
        label: `person` or `face`.
        frame_time: When the frame that it speaks of was taken, UTC.
        has_snapshot: Frigate means to keep a snapshot.
        ended: The object is gone.
    """

    kind: Kind
    id: str
    camera: str
    label: str
    frame_time: datetime
    has_snapshot: bool
    ended: bool


def is_frigate_id(text: str) -> bool:
    """Tell whether `text` has the form of Frigate's event ids."""
    return ID.fullmatch(text) is not None


def frigate_event(message: Message, cameras: Mapping[str, str]) -> FrigateEvent | None:
    """Read one of Frigate's messages.

    Args:
        message: What came on `frigate/events`.
        cameras: Frigate's camera names to facegate's slugs, where they differ by more than capitals.

    Returns:
        None if it is of no interest: another label, a false positive, a type that is not known.

    Raises:
        UnusableArrivalError: It is no event of Frigate's, retained, or of a camera whose name makes no slug.
    """
    if message.retained:
        raise UnusableArrivalError("A retained event says nothing of now", "Frigate does not retain its events")
    try:
        document = read_object(message.payload)
    except UnusableInputError as error:
        raise UnusableArrivalError(error.what, error.mend) from error
    said = document.get("type")
    if said not in tuple(Kind):
        return None
    thing = document.get("after") or document.get("before")
    if not isinstance(thing, dict):
        raise UnusableArrivalError("Frigate's event has no object", "Point frigate.topic at Frigate's own topics")
    if thing.get("label") not in LABELS or thing.get("false_positive") is True:
        return None
    return _event(Kind(said), thing, cameras)


def camera_slug(name: str, cameras: Mapping[str, str]) -> str | None:
    """Return facegate's slug for a camera of Frigate's: as the settings say, else its name in small letters."""
    slug = cameras.get(name, name.lower())
    return slug if is_slug(slug) else None


def _event(kind: Kind, thing: dict[str, Any], cameras: Mapping[str, str]) -> FrigateEvent:
    name, camera = thing.get("id"), thing.get("camera")
    if not isinstance(name, str) or not is_frigate_id(name):
        raise UnusableArrivalError("Frigate's event has an unusable id", "Point frigate.topic at Frigate's own topics")
    slug = camera_slug(camera, cameras) if isinstance(camera, str) else None
    if slug is None:
        raise UnusableArrivalError(
            f"Frigate's camera {str(camera)[:40]!r} makes no slug", "Name it in frigate.cameras", name
        )
    try:
        frame_time = read_time(_frame_time(thing), "frame_time")
    except UnusableInputError as error:
        raise UnusableArrivalError(error.what, error.mend, name) from error
    return FrigateEvent(
        kind=kind,
        id=name,
        camera=slug,
        label=str(thing["label"]),
        frame_time=frame_time,
        has_snapshot=thing.get("has_snapshot") is True,
        ended=kind is Kind.END or thing.get("end_time") is not None,
    )


def _frame_time(thing: dict[str, Any]) -> object:
    """Return the frame's time as said, else the snapshot's, else the start's."""
    snapshot = thing.get("snapshot")
    snapshot_time = snapshot.get("frame_time") if isinstance(snapshot, dict) else None
    stated = (thing.get("frame_time"), snapshot_time, thing.get("start_time"))
    return next((moment for moment in stated if moment is not None), None)
