"""Intake: what comes in is accounted for, judged by its age, and waits in bounded places.

One frame waits per camera; the newest wins, and the displaced one is counted as `superseded`. Frames that cannot be
judged wait in a lane of their own, so that junk never displaces a face. Both places are bounded; what does not fit is
denied or counted as `overloaded`.

An event may bring several frames: those of a hunt, and those of a camera whose door wants agreeing frames. It is
settled once, when the last of its frames is done and no open visit holds it.
"""

import hashlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from facegate.core.decision import Reason
from facegate.core.frame import Frame
from facegate.core.policy import Door
from facegate.core.ports import Clock
from facegate.daemon.books import Books
from facegate.daemon.work import Errand, Refusal, Waiting, Work, refusal_of

FUTURE_TOLERANCE_SECONDS: Final = 2.0
"""Clocks of cameras run ahead by a little; a frame from further ahead is refused."""

REFUSALS: Final = 64
"""Refusals that wait at most."""

SUPERSEDED: Final = "superseded"
OVERLOADED: Final = "overloaded"


@dataclass(slots=True)
class Open:
    """An event that is not settled: how many of its frames are on their way, and which were seen."""

    frames: int = 0
    digests: set[str] = field(default_factory=set)


class Intake:
    """Takes arrivals in on the network's thread and hands work to the workers.

    Args:
        books: Accounts for events.
        door_of: The door that has a camera, or None.
        wants_more: Whether an event may bring a further frame: it is hunted, or its door wants agreeing frames.
        holds: Whether an open visit will answer an event.
        max_age_seconds: Older frames are refused.
        places: Frames that wait in all.
        clock: Tells the time.
    """

    def __init__(
        self,
        *,
        books: Books,
        door_of: Callable[[str], Door | None],
        wants_more: Callable[[str, Door], bool],
        holds: Callable[[str], bool],
        max_age_seconds: float,
        places: int,
        clock: Clock,
    ) -> None:
        self._books = books
        self._door_of = door_of
        self._wants_more = wants_more
        self._holds = holds
        self._max_age = max_age_seconds
        self._places = places
        self._clock = clock
        self._ready = threading.Condition()
        self._slots: OrderedDict[str, Waiting] = OrderedDict()
        self._refusals: deque[Refusal] = deque()
        self._open: dict[str, Open] = {}
        self._closed = False
        self._errand_is_out = False

    def take_frame(self, frame: Frame) -> None:
        """Take a pushed picture in: account for its event, refuse it by its age, or let it wait."""
        if self._admit(frame.camera, frame.event, frame.received_at, frame.digest):
            refused = self._by_age(frame.captured_at, frame.received_at)
            self._offer(frame, refused)

    def take_errand(self, errand: Errand) -> None:
        """Take in an event that names its picture by URL."""
        digest = hashlib.sha256(errand.url.encode()).hexdigest()
        if self._admit(errand.camera, errand.event, errand.received_at, digest):
            refused = self._by_age(errand.captured_at, errand.received_at)
            self._offer(errand, refused)

    def take_refusal(self, refusal: Refusal) -> None:
        """Take in an event whose payload cannot be used."""
        if self._admit(refusal.camera, refusal.event, refusal.received_at, ""):
            with self._ready:
                self._refuse(refusal)

    def take_hunt(self, event: str, camera: str, received_at: datetime) -> bool:
        """Take in an event whose frames will be hunted; False if it is not to be hunted and is accounted for."""
        with self._ready:
            if event in self._open:
                return False
        return self._admit(camera, event, received_at, "")

    def offer_hunted(self, frame: Frame) -> None:
        """Let a frame wait that a hunt pulled; its event is accounted for already."""
        with self._ready:
            known = self._open.get(frame.event)
            if known is None or frame.digest in known.digests:
                return
            known.digests.add(frame.digest)
        refused = self._by_age(frame.captured_at, frame.received_at)
        if refused is None:
            self._offer(frame, None)

    def drop(self, event: str, camera: str, reason: str, received_at: datetime) -> None:
        """Take an event in and count it at once."""
        if self._books.open(event, camera, received_at, ""):
            self._books.count([event], reason)

    def next(self, seconds: float) -> Work | None:
        """Return the next thing to do, refusals first because they cost nothing; None if nothing came in time."""
        with self._ready:
            if not self._ready.wait_for(lambda: self._refusals or self._takeable() or self._closed, seconds):
                return None
            if self._refusals:
                return self._refusals.popleft()
            camera = self._takeable()
            if camera is None:
                return None
            work = self._slots.pop(camera)
            self._errand_is_out = self._errand_is_out or isinstance(work, Errand)
            return work

    def back(self, errand: Errand) -> None:  # noqa: ARG002 - at most one is out
        """Note that an errand was run: the next may be."""
        with self._ready:
            self._errand_is_out = False
            self._ready.notify()

    def done(self, event: str, settled: Sequence[str], *, otherwise: str) -> None:
        """Note that a frame of an event, or its hunt, is done.

        Args:
            event: Whose frame or hunt it was.
            settled: Events that a decision named meanwhile.
            otherwise: The reason under which the event is counted if nothing named it and no visit holds it.
        """
        self.settled(settled)
        with self._ready:
            known = self._open.get(event)
            if known is None:
                return
            known.frames -= 1
            left = self._orphaned(event, known)
        if left:
            self._books.count([event], otherwise)

    def settled(self, events: Sequence[str]) -> None:
        """Note that a decision named these events: further frames of theirs are dropped."""
        with self._ready:
            for event in events:
                self._open.pop(event, None)

    def give_up(self, events: Sequence[str], reason: str) -> None:
        """Count events that nothing will answer any more."""
        self.settled(events)
        self._books.count(events, reason)

    def is_open(self, event: str) -> bool:
        """Tell whether an event still waits for its answer."""
        with self._ready:
            return event in self._open

    @property
    def waiting(self) -> int:
        """How many frames and refusals wait."""
        with self._ready:
            return len(self._slots) + len(self._refusals)

    def close(self) -> None:
        """Wake everybody who waits in `next`; nothing new is taken in by anybody now."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def abandon(self, reason: str) -> None:
        """Count everything that is still open, because the gate stops."""
        with self._ready:
            left = list(self._open)
            self._open.clear()
            self._slots.clear()
            self._refusals.clear()
        if left:
            self._books.count(left, reason)

    def _admit(self, camera: str, event: str, received_at: datetime, digest: str) -> bool:
        """Account for the event of an arrival; False if there is nothing to judge."""
        door = self._door_of(camera)
        with self._ready:
            known = self._open.get(event)
            further = door is not None and known is not None and digest not in known.digests
            if further and known is not None and door is not None and self._wants_more(event, door):
                known.digests.add(digest)
                known.frames += 1
                return True
        if not self._books.open(event, camera, received_at, digest):
            return False
        if door is None:
            self._books.count([event], "unknown_camera")
            return False
        with self._ready:
            self._open[event] = Open(1, {digest})
        return True

    def _by_age(self, captured_at: datetime, received_at: datetime) -> tuple[Reason, str] | None:
        """Refuse a frame by its own time."""
        age = (self._clock.now() - captured_at).total_seconds()
        if age > self._max_age:
            return Reason.TOO_OLD, f"frame {age:.1f} s > {self._max_age:g} s"
        if captured_at - received_at > timedelta(seconds=FUTURE_TOLERANCE_SECONDS):
            return Reason.FROM_THE_FUTURE, f"frame {-age:.1f} s ahead > {FUTURE_TOLERANCE_SECONDS:g} s"
        return None

    def _offer(self, waiting: Waiting, refused: tuple[Reason, str] | None) -> None:
        """Let a frame wait in its camera's place, displacing an older one; or refuse it."""
        displaced: Waiting | None = None
        with self._ready:
            if refused is None and waiting.camera not in self._slots and len(self._slots) >= self._places:
                refused = Reason.OVERLOADED, f"{self._places} frames wait"
            if refused is not None:
                self._refuse(refusal_of(waiting, *refused))
            else:
                displaced = self._slots.pop(waiting.camera, None)
                self._slots[waiting.camera] = waiting
                if isinstance(waiting, Frame) and waiting.hunted and (known := self._open.get(waiting.event)):
                    known.frames += 1
                self._ready.notify()
        if displaced is not None:
            self.done(displaced.event, (), otherwise=SUPERSEDED)

    def _takeable(self) -> str | None:
        """Return the camera whose work is next. One errand is out at most: a server that dawdles holds one worker."""
        return next(
            (name for name, work in self._slots.items() if not (self._errand_is_out and isinstance(work, Errand))), None
        )

    def _refuse(self, refusal: Refusal) -> None:
        """Let a refusal wait, or count it when too many do; a visit that is open answers it. The lock is held."""
        if len(self._refusals) < REFUSALS:
            self._refusals.append(refusal)
            self._ready.notify()
        elif not self._holds(refusal.event) and self._open.pop(refusal.event, None) is not None:
            self._books.count([refusal.event], OVERLOADED)

    def _orphaned(self, event: str, known: Open) -> bool:
        """Tell whether nothing will answer the event any more, and forget it then. The lock is held."""
        if known.frames > 0 or self._holds(event):
            return False
        del self._open[event]
        return True
