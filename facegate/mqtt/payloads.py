"""What cameras and operators say to facegate: payloads in, frozen values out, or `UnusableInputError` and nothing else.

An error that was met after the event's id was read carries the id, so that the event can be answered by name.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from facegate.core.slugs import is_event_id
from facegate.errors import UnusableInputError
from facegate.mqtt.message import MAX_PACKET_BYTES, Message
from facegate.mqtt.reading import read_base64, read_object, read_text, read_time
from facegate.mqtt.topics import CameraEvent, CameraImage, CameraMotion

MAX_URL: Final = 2048
MAX_WORD: Final = 64
MAX_MOTION: Final = 65_536
#: What sensors say when nobody is there (any more).
OFF: Final = frozenset({"off", "false", "0", "no", "none", "null", "idle", "clear", "stop", "end", "inactive"})
#: Keys under which sensors that speak JSON say whether somebody is there.
STATES: Final = ("state", "motion", "occupancy", "presence", "value")


class UnusableArrivalError(UnusableInputError):
    """What a camera sent cannot be used; `event` is the id of its event if that could be read."""

    def __init__(self, what: str, mend: str, event: str | None = None) -> None:
        super().__init__(what, mend)
        self.args = (what, mend, event)
        self.event = event


class DoorWord(StrEnum):
    """What an operator may say to a door."""

    LOCKDOWN = "lockdown"
    DISARM = "disarm"
    ARM = "arm"


class ModelsWord(StrEnum):
    """What an operator may say to the networks."""

    FINETUNE = "finetune"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a camera said.

    Attributes:
        camera: Slug of the camera.
        event: Id of the event, or None if the sender gave none.
        captured_at: When the picture was taken, UTC, or None if the sender did not say.
        picture: The encoded bytes, not looked into; None if there are none.
        image_url: Where the picture lies, not looked into; None if the picture came along, or there is none.
        retained: The broker had it lying there: it says nothing of now.
    """

    camera: str
    event: str | None = None
    captured_at: datetime | None = None
    picture: bytes | None = field(default=None, repr=False)
    image_url: str | None = field(default=None, repr=False)
    retained: bool = False


class EventDocument(BaseModel):
    """The JSON of an event; keys that are not known are passed over."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    event: str | None = None
    captured_at: str | int | float | None = None
    image: str | None = Field(
        default=None, validation_alias=AliasChoices("image", "base64", "data", "picture", "file"), repr=False
    )
    image_url: str | None = Field(
        default=None, max_length=MAX_URL, validation_alias=AliasChoices("image_url", "url"), repr=False
    )


def arrival(incoming: CameraImage | CameraEvent | CameraMotion, message: Message) -> Arrival | None:
    """Read what a camera said; None if a sensor says that nobody is there.

    Raises:
        UnusableArrivalError: It cannot be used.
    """
    match incoming:
        case CameraImage(camera):
            return image(camera, message)
        case CameraEvent(camera):
            return event(camera, message)
        case CameraMotion(camera):
            return motion(camera, message)


def image(camera: str, message: Message) -> Arrival:
    """Read a picture that is the whole payload; MQTT 5 user properties may name its event and time.

    Raises:
        UnusableArrivalError: It is empty or too large, or a property cannot be used.
    """
    name = _event_id(message.properties.get("event") or None)
    with _naming(name):
        if not message.payload:
            raise UnusableInputError("The payload is empty", "Send the bytes of a JPEG, PNG or WebP")
        if len(message.payload) > MAX_PACKET_BYTES:
            raise UnusableInputError(
                f"The picture has {len(message.payload):,} bytes, more than {MAX_PACKET_BYTES:,}",
                "Send a smaller picture, or its image_url",
            )
        stated = message.properties.get("captured_at") or None
        captured_at = None if stated is None else read_time(stated, "captured_at")
        return Arrival(camera, name, captured_at, message.payload, None, message.retained)


def event(camera: str, message: Message) -> Arrival:
    """Read an event in JSON, which has its picture in base64 or names its URL.

    Raises:
        UnusableArrivalError: It cannot be used.
    """
    with _naming(None):
        document = _document(message.payload)
    name = _event_id(document.event)
    with _naming(name):
        captured_at = None if document.captured_at is None else read_time(document.captured_at, "captured_at")
        if (document.image is None) == (document.image_url is None):
            raise UnusableInputError(
                "The event must have either image or image_url", "Send motion if there is no picture yet"
            )
        picture = None if document.image is None else read_base64(document.image, "image")
        return Arrival(camera, name, captured_at, picture, document.image_url, message.retained)


def motion(camera: str, message: Message) -> Arrival | None:
    """Read that somebody is before a camera: any short word but "off", or JSON as an event's, without a picture.

    Returns:
        None if it says that nobody is there.

    Raises:
        UnusableArrivalError: It cannot be used.
    """
    with _naming(None):
        if not message.payload.lstrip().startswith(b"{"):
            word = read_text(message.payload, limit=MAX_WORD)
            return None if word.lower() in OFF else Arrival(camera, retained=message.retained)
        if len(message.payload) > MAX_MOTION:
            raise UnusableInputError(f"The payload has more than {MAX_MOTION:,} bytes", "Send no picture here")
        sensor = read_object(message.payload)
        if any(str(sensor[key]).lower() in OFF for key in STATES if key in sensor):
            return None
        document = _checked({key: sensor[key] for key in ("event", "captured_at") if key in sensor})
    name = _event_id(document.event)
    with _naming(name):
        captured_at = None if document.captured_at is None else read_time(document.captured_at, "captured_at")
        return Arrival(camera, name, captured_at, retained=message.retained)


def door_word(message: Message) -> DoorWord:
    """Read what an operator says to a door.

    Raises:
        UnusableInputError: It is none of the words, or retained: an old order must not be obeyed again.
    """
    return DoorWord(_word(message, [str(word) for word in DoorWord]))


def models_word(message: Message) -> ModelsWord:
    """Read what an operator says to the networks.

    Raises:
        UnusableInputError: It is none of the words, or retained.
    """
    return ModelsWord(_word(message, [str(word) for word in ModelsWord]))


def homeassistant_is_online(message: Message) -> bool:
    """Tell whether Home Assistant says that it came up; whatever else it says is no."""
    return message.payload == b"online"


@contextmanager
def _naming(name: str | None) -> Iterator[None]:
    """Give the event's id to every error of ours that is raised inside."""
    try:
        yield
    except UnusableArrivalError:
        raise
    except UnusableInputError as error:
        raise UnusableArrivalError(error.what, error.mend, name) from error


def _word(message: Message, words: list[str]) -> str:
    if message.retained:
        raise UnusableInputError("A retained command is never obeyed", "Publish commands without the retain flag")
    word = read_text(message.payload, limit=MAX_WORD)
    if word not in words:
        raise UnusableInputError("The command is not known", f"Send one of {', '.join(words)}")
    return word


def _document(payload: bytes) -> EventDocument:
    return _checked(read_object(payload))


def _checked(document: dict[str, Any]) -> EventDocument:
    try:
        return EventDocument.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = first["loc"][0] if first["loc"] else "payload"
        name = document.get("event")
        raise UnusableArrivalError(
            f"{where}: {first['msg'].lower()}",
            "Send what the README shows",
            name if isinstance(name, str) and is_event_id(name) else None,
        ) from error


def _event_id(name: str | None) -> str | None:
    if name is not None and not is_event_id(name):
        raise UnusableArrivalError("The event's id cannot be used", "Use letters, digits, . _ : and -, at most 128")
    return name
