"""Every topic of facegate: made and parsed in one place, so that the two can never disagree.

A level that names a camera or a door is a slug, `[a-z0-9_-]{1,64}`, in both directions: nothing from outside enters a
topic, and no topic from outside names anything, that is not one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from facegate.core.slugs import is_slug
from facegate.errors import UnusableInputError
from facegate.settings import Settings


@dataclass(frozen=True, slots=True)
class CameraImage:
    """The bytes of a picture from a camera."""

    camera: str


@dataclass(frozen=True, slots=True)
class CameraEvent:
    """An event of a camera, as JSON."""

    camera: str


@dataclass(frozen=True, slots=True)
class CameraMotion:
    """Somebody is before a camera."""

    camera: str


@dataclass(frozen=True, slots=True)
class DoorCommand:
    """An operator's word to a door."""

    door: str


@dataclass(frozen=True, slots=True)
class DoorClaim:
    """A second factor, presented at a door."""

    door: str


@dataclass(frozen=True, slots=True)
class ModelsCommand:
    """An operator's word to the networks."""


@dataclass(frozen=True, slots=True)
class FrigateEvents:
    """Frigate's own events."""


@dataclass(frozen=True, slots=True)
class HomeAssistantStatus:
    """Home Assistant came or went."""


Incoming: TypeAlias = (
    CameraImage
    | CameraEvent
    | CameraMotion
    | DoorCommand
    | DoorClaim
    | ModelsCommand
    | FrigateEvents
    | HomeAssistantStatus
)
"""What a message that comes in is about, as its topic says."""

LEVELS: Final = 3
_CAMERA: Final[dict[str, Callable[[str], Incoming]]] = {
    "image": CameraImage,
    "event": CameraEvent,
    "motion": CameraMotion,
}
_DOOR: Final[dict[str, Callable[[str], Incoming]]] = {"command": DoorCommand, "claim": DoorClaim}


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics under one prefix, and those of the neighbours that facegate hears.

    Attributes:
        prefix: First levels of every topic of facegate, without a slash at either end.
        frigate: Frigate's topic prefix.
        homeassistant: Home Assistant's discovery prefix.
    """

    prefix: str = "facegate"
    frigate: str = "frigate"
    homeassistant: str = "homeassistant"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the topics that the settings ask for."""
        return cls(settings.mqtt.prefix, settings.frigate.topic, settings.homeassistant.prefix)

    @property
    def status(self) -> str:
        """How facegate fares: retained, and its last will."""
        return f"{self.prefix}/status"

    @property
    def models_command(self) -> str:
        """Where an operator speaks to the networks."""
        return f"{self.prefix}/models/command"

    @property
    def models_event(self) -> str:
        """What fine-tuning came to."""
        return f"{self.prefix}/models/event"

    @property
    def echo(self) -> str:
        """What a daemon says to itself through the broker: what came before was waiting there."""
        return f"{self.prefix}/daemon/echo"

    @property
    def audit_checkpoint(self) -> str:
        """Signed heads of the audit chain."""
        return f"{self.prefix}/audit/checkpoint"

    @property
    def frigate_events(self) -> str:
        """Where Frigate tells of its events."""
        return f"{self.frigate}/events"

    @property
    def homeassistant_status(self) -> str:
        """Where Home Assistant says that it came or went."""
        return f"{self.homeassistant}/status"

    def image(self, camera: str) -> str:
        """Return where a camera's pictures come in."""
        return self._of("cameras", camera, "image")

    def event(self, camera: str) -> str:
        """Return where a camera's events come in."""
        return self._of("cameras", camera, "event")

    def motion(self, camera: str) -> str:
        """Return where it is said that somebody is before a camera."""
        return self._of("cameras", camera, "motion")

    def command(self, door: str) -> str:
        """Return where an operator speaks to a door."""
        return self._of("doors", door, "command")

    def claim(self, door: str) -> str:
        """Return where a second factor comes in."""
        return self._of("doors", door, "claim")

    def decision(self, door: str) -> str:
        """Return where a door's decisions go out; never retained."""
        return self._of("doors", door, "decision")

    def challenge(self, door: str) -> str:
        """Return where a door prompts for an active challenge."""
        return self._of("doors", door, "challenge")

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """Every filter that facegate subscribes to."""
        return (
            f"{self.prefix}/cameras/+/image",
            f"{self.prefix}/cameras/+/event",
            f"{self.prefix}/cameras/+/motion",
            f"{self.prefix}/doors/+/command",
            f"{self.prefix}/doors/+/claim",
            self.models_command,
            self.frigate_events,
            self.homeassistant_status,
        )

    def topic_of(self, incoming: Incoming) -> str:  # noqa: PLR0911 - a kind, a way out
        """Return the topic on which `incoming` comes: the inverse of `parse`."""
        match incoming:
            case CameraImage(camera):
                return self.image(camera)
            case CameraEvent(camera):
                return self.event(camera)
            case CameraMotion(camera):
                return self.motion(camera)
            case DoorCommand(door):
                return self.command(door)
            case DoorClaim(door):
                return self.claim(door)
            case ModelsCommand():
                return self.models_command
            case FrigateEvents():
                return self.frigate_events
            case HomeAssistantStatus():
                return self.homeassistant_status

    def parse(self, topic: str) -> Incoming | None:
        """Return what a message on `topic` is about, or None if it is none of facegate's, or names no slug."""
        if topic == self.models_command:
            return ModelsCommand()
        if topic == self.frigate_events:
            return FrigateEvents()
        if topic == self.homeassistant_status:
            return HomeAssistantStatus()
        if not topic.startswith(f"{self.prefix}/"):
            return None
        levels = topic.removeprefix(f"{self.prefix}/").split("/")
        if len(levels) != LEVELS or not is_slug(levels[1]):
            return None
        family, slug, what = levels
        kinds = {"cameras": _CAMERA, "doors": _DOOR}.get(family, {})
        return kinds[what](slug) if what in kinds else None

    def _of(self, family: str, slug: str, what: str) -> str:
        if not is_slug(slug):
            raise UnusableInputError(
                f"{slug[:80]!r} cannot stand in a topic", "Use small letters, digits, _ and -, at most 64"
            )
        return f"{self.prefix}/{family}/{slug}/{what}"
