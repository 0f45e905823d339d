"""Hunts: frames are pulled while somebody is there, from an event's first word until its decision, its end or a limit.

Event snapshots rarely hold a usable face, so facegate does not wait for them. One thread pulls for each camera, however
many events it has; its frames go through the same intake as pushed ones, under the newest of the camera's events.
"""

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from facegate.core.frame import Frame
from facegate.core.ports import Clock, FrameSource
from facegate.errors import FacegateError

log = logging.getLogger(__name__)

MAX_HUNTS: Final = 32
"""Cameras that are pulled at the same time, at most."""


LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Prey:
    """How one camera is pulled."""

    source: FrameSource
    frames_per_second: float


@dataclass(slots=True)
class Hunt:
    """The events of one camera whose frames are wanted, each with the moment at which its hunt ends at the latest."""

    events: dict[str, datetime] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)


class Hunts:
    """Starts and ends hunts. Safe to use from several threads.

    Args:
        prey_of: How a camera is pulled, or None if there is no way.
        offer: Takes a pulled frame.
        wanted: Whether an event still wants frames.
        ended: Is told of each hunt that is over: event, camera, and why the last pull brought no frame, if so.
        clock: Tells the time.
    """

    def __init__(
        self,
        *,
        prey_of: Callable[[str], Prey | None],
        offer: Callable[[Frame], None],
        wanted: Callable[[str], bool],
        ended: Callable[[str, str, str], None],
        clock: Clock,
    ) -> None:
        self._prey_of = prey_of
        self._offer = offer
        self._wanted = wanted
        self._ended = ended
        self._clock = clock
        self._lock = threading.Lock()
        self._hunts: dict[str, Hunt] = {}
        self._failures: dict[str, str] = {}
        self._closed = False

    def start(self, event: str, camera: str, until: datetime) -> str:
        """Hunt for frames of an event; returns why not, or an empty text."""
        prey = self._prey_of(camera)
        if prey is None:
            return f"no source of frames for camera {camera}"
        with self._lock:
            if self._closed:
                return "the gate stops"
            hunt = self._hunts.get(camera)
            if hunt is not None:
                hunt.events[event] = until
                return ""
            if len(self._hunts) >= MAX_HUNTS:
                return f"{MAX_HUNTS} cameras are pulled already"
            self._hunts[camera] = hunt = Hunt({event: until})
            self._failures.pop(camera, None)
        threading.Thread(target=self._run, args=(camera, hunt, prey), name=f"hunt-{camera}", daemon=True).start()
        return ""

    def end(self, event: str, camera: str) -> None:
        """Stop hunting for an event: it is over."""
        with self._lock:
            hunt = self._hunts.get(camera)
            if hunt is None or event not in hunt.events:
                return
            hunt.events[event] = LONG_AGO

    def end_all(self, camera: str) -> None:
        """Stop hunting for every event of a camera."""
        with self._lock:
            hunt = self._hunts.get(camera)
            if hunt is not None:
                hunt.events.update(dict.fromkeys(hunt.events, LONG_AGO))

    def close(self) -> None:
        """Stop every hunt."""
        with self._lock:
            self._closed = True
            hunts = list(self._hunts.values())
        for hunt in hunts:
            hunt.stop.set()

    def failure(self, camera: str) -> str:
        """Return why the last pull of a camera brought no frame; empty if it did."""
        with self._lock:
            return self._failures.get(camera, "")

    @property
    def cameras(self) -> int:
        """How many cameras are being pulled."""
        with self._lock:
            return len(self._hunts)

    def _run(self, camera: str, hunt: Hunt, prey: Prey) -> None:
        """Pull until no event of the camera wants frames any more."""
        pause = 1.0 / prey.frames_per_second
        while not hunt.stop.is_set() and (event := self._newest(camera, hunt)) is not None:
            begun = self._clock.now()
            self._pull(camera, event, prey.source)
            spent = (self._clock.now() - begun).total_seconds()
            hunt.stop.wait(min(pause, max(0.0, pause - spent)))  # the clock may have been set back

    def _pull(self, camera: str, event: str, source: FrameSource) -> None:
        """Pull one frame and hand it on; a failure is remembered, for the case that no frame comes at all."""
        try:
            pulled = source.pull(camera, event)
        except FacegateError as error:
            self._note(camera, error.what)
            return
        except Exception:  # a source's bug must not end the hunt unseen
            log.exception("a frame source failed")
            self._note(camera, "the frame source failed")
            return
        self._note(camera, "")
        self._offer(
            Frame(
                camera=camera,
                event=event,
                captured_at=pulled.captured_at,
                received_at=self._clock.now(),
                picture=pulled.picture,
                digest=hashlib.sha256(pulled.picture).hexdigest(),
                hunted=True,
            )
        )

    def _note(self, camera: str, failure: str) -> None:
        with self._lock:
            self._failures[camera] = failure

    def _newest(self, camera: str, hunt: Hunt) -> str | None:
        """Drop the events that are over, tell of them, and return the newest that is left."""
        now = self._clock.now()
        with self._lock:
            over = [event for event, until in hunt.events.items() if now >= until or not self._wanted(event)]
            for event in over:
                del hunt.events[event]
            newest = next(reversed(hunt.events), None)
            if newest is None:
                del self._hunts[camera]
            failure = self._failures.get(camera, "")
        for event in over:
            self._ended(event, camera, failure)
        return newest
