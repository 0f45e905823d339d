"""What the daemon hears: each message becomes an arrival for the intake, a hunt, or an order. Nothing here judges.

Runs on the network's thread: bounded work, and never an exception. A retained message is counted and causes nothing.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from facegate.core.decision import Reason, decision_id
from facegate.core.frame import Frame
from facegate.core.ports import Clock
from facegate.daemon.books import NOT_RECORDED
from facegate.daemon.hunting import Hunting
from facegate.daemon.intake import Intake
from facegate.daemon.orders import Orders
from facegate.daemon.work import Errand, Refusal
from facegate.errors import FacegateError, UnusableInputError
from facegate.mqtt import payloads
from facegate.mqtt.frigate import FrigateEvent, Kind, frigate_event
from facegate.mqtt.message import Message
from facegate.mqtt.payloads import Arrival, UnusableArrivalError
from facegate.mqtt.topics import (
    CameraEvent,
    CameraImage,
    CameraMotion,
    DoorClaim,
    DoorCommand,
    FrigateEvents,
    HomeAssistantStatus,
    ModelsCommand,
    Topics,
)

log = logging.getLogger(__name__)

RETAINED: Final = "retained"
BAD_TOPIC: Final = "bad_topic"
BAD_EVENT: Final = "bad_event"
"""A Frigate event that cannot be read. A camera's own is denied as `bad_image`."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Turns messages into what they are about.

    Attributes:
        topics: What a topic is about.
        intake: Takes arrivals.
        hunting: Begins and ends hunts.
        orders: Takes what operators say.
        seen: Whether a picture came before, by its digest.
        frigate_cameras: Frigate's camera names to ours.
        clock: Tells the time.
        entropy: Returns so many random bytes.
    """

    topics: Topics
    intake: Intake
    hunting: Hunting
    orders: Orders
    seen: Callable[[str], bool]
    frigate_cameras: dict[str, str]
    clock: Clock
    entropy: Callable[[int], bytes]

    def hear(self, message: Message) -> None:
        """Take one message, whatever it is."""
        try:
            self._hear(message, self.clock.now())
        except Exception:
            log.exception("a message could not be taken", extra={"topic": message.topic[:200]})

    def _hear(self, message: Message, now: datetime) -> None:
        about = self.topics.parse(message.topic)
        match about:
            case CameraImage() | CameraEvent() | CameraMotion():
                self._hear_camera(about, message, now)
            case FrigateEvents():
                self._hear_frigate(message, now)
            case DoorCommand(door):
                self.orders.hear_door(door, message)
            case ModelsCommand():
                self.orders.hear_models(message)
            case HomeAssistantStatus():
                self.orders.hear_homeassistant(message)
            case DoorClaim():
                log.info("a second factor came; doors do not ask for one yet")
            case None:
                log.info("a topic names no slug", extra={"topic": repr(message.topic[:100])})
                self.intake.drop(self._new_id(now), "", BAD_TOPIC, now)
            case _:
                assert_never(about)

    def _hear_camera(self, about: CameraImage | CameraEvent | CameraMotion, message: Message, now: datetime) -> None:
        """Take what a camera sent; what cannot be read is denied under its event's id if that could be read."""
        if message.retained:
            self.intake.drop(self._new_id(now), about.camera, RETAINED, now)
            return
        try:
            arrival = payloads.arrival(about, message)
        except UnusableInputError as error:
            event = error.event if isinstance(error, UnusableArrivalError) else None
            self.intake.take_refusal(
                Refusal(about.camera, event or self._new_id(now), now, now, Reason.BAD_IMAGE, error.what)
            )
            return
        if arrival is None:  # a sensor says that nobody is there any more
            self.hunting.end_all(about.camera)
        else:
            self._take(arrival, now, waited=message.waited)

    def _take(self, arrival: Arrival, now: datetime, *, waited: bool) -> None:
        """Hand an arrival to the intake: a picture, the word where one is, or the word that somebody is there."""
        event = arrival.event or self._new_id(now)
        captured_at = arrival.captured_at or now
        if arrival.picture is None and arrival.image_url is None:
            self.hunting.begin(event, arrival.camera, now)
        elif waited and arrival.captured_at is None:
            what = "it says no time, and waited at the broker or here"
            self.intake.take_refusal(Refusal(arrival.camera, event, now, now, Reason.TOO_OLD, what))
        elif arrival.picture is not None:
            self._take_picture(
                Frame(arrival.camera, event, captured_at, now, arrival.picture, _digest(arrival.picture)),
                named=arrival.event is not None,
            )
        else:
            self.intake.take_errand(Errand(arrival.camera, event, captured_at, now, str(arrival.image_url)))

    def _take_picture(self, frame: Frame, *, named: bool) -> None:
        """Hand a picture on; where no id says which event it is, the bytes are: the same again is a replay (law 3)."""
        try:
            came_before = not named and self.seen(frame.digest)
        except FacegateError:  # nobody knows; it is accounted for all the same
            self.intake.drop(frame.event, frame.camera, NOT_RECORDED, frame.received_at)
            return
        if came_before:
            now, what = frame.received_at, "the same picture came before"
            self.intake.take_refusal(Refusal(frame.camera, frame.event, now, now, Reason.REPLAYED, what))
        else:
            self.intake.take_frame(frame)

    def _hear_frigate(self, message: Message, now: datetime) -> None:
        """Begin or end a hunt. `update` needs nothing: the hunt is on."""
        if message.retained:
            self.intake.drop(self._new_id(now), "", RETAINED, now)
            return
        try:
            event = frigate_event(message, self.frigate_cameras)
        except UnusableInputError as error:
            log.info("an event of Frigate cannot be read", extra={"why": error.what})
            self.intake.drop(self._new_id(now), "", BAD_EVENT, now)
            return
        if event is not None:
            self._follow(event, now)

    def _follow(self, event: FrigateEvent, now: datetime) -> None:
        if event.kind is Kind.NEW:
            self.hunting.begin(event.id, event.camera, now)
        elif event.kind is Kind.END:
            self.hunting.end(event.id, event.camera)

    def _new_id(self, now: datetime) -> str:
        """Name an event that came without a name."""
        return decision_id(now, self.entropy(10))


def _digest(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()
