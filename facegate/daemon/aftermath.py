"""What is done with a sighting after its decision was published: kept for an operator's word, measured, scored beside.

One thread, fed from a short queue, that waits until no frame is being judged. While frames come without a gap it does
little, now and then, and what does not fit into the queue is dropped and counted: the door is not held up, and a flood
writes next to nothing to the disk. (A lower priority for the thread would do harm: it may hold Python's lock when the
system takes the processor from it, and the workers would wait for both.)
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from facegate.core.decision import Decision
from facegate.core.sighting import Sighting
from facegate.errors import FacegateError

log = logging.getLogger(__name__)

PLACES: Final = 12
PATIENCE_SECONDS: Final = 0.5
"""So long a sighting waits for a moment without a frame in hand."""
GLANCE_SECONDS: Final = 0.005
IDLE_SECONDS: Final = 0.2
DRAIN_SECONDS: Final = 1.0

Step = Callable[[Decision, Sighting, bool], None]
"""Does one thing with a sighting that a decision rests on, with a cut-out face, and is told whether that was lone."""


class Aftermath:
    """Keeps `core.ports.Witness`. Safe to use from several threads.

    Args:
        steps: What is done with each sighting, in order; one that fails holds no other up.
        idle: Called when nothing waits: for what is written in lots or looked for now and then.
        last: Called at the end.
        busy: Tells whether a frame is being judged just now.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        idle: Sequence[Callable[[], None]] = (),
        last: Sequence[Callable[[], None]] = (),
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._steps = steps
        self._idle = idle
        self._last = last
        self._busy = busy
        self._waiting: queue.Queue[tuple[Decision, Sighting, bool]] = queue.Queue(PLACES)
        self._stopping = threading.Event()
        self._until = 0.0
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="aftermath", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def see(self, decision: Decision, sighting: Sighting | None, *, lone: bool) -> None:
        """Take a published decision and the sighting that it rests on, if that showed a face that was compared."""
        if sighting is None or sighting.cutout is None or self._stopping.is_set():
            return
        try:
            self._waiting.put_nowait((decision, sighting, lone))
        except queue.Full:
            self._dropped += 1
            if self._dropped & (self._dropped - 1) == 0:  # 1, 2, 4, 8, ...: a flood is told, not repeated
                log.info("sightings were not looked at again: too many", extra={"dropped": self._dropped})

    @property
    def dropped(self) -> int:
        """How many sightings found no place."""
        return self._dropped

    def stop(self, seconds: float = DRAIN_SECONDS) -> None:
        """Work off what waits, for so long at most, and end."""
        self._until = time.monotonic() + seconds
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds + DRAIN_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._look_at_one():
                for idle in self._idle:
                    guarded(idle)
        while not self._waiting.empty() and time.monotonic() < self._until:
            self._look_at_one()
        for last in self._last:
            guarded(last)

    def _look_at_one(self) -> bool:
        """Do everything with the next sighting; False if none came."""
        try:
            seen = self._waiting.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            return False
        self._wait_for_a_gap()
        for step in self._steps:
            guarded(partial(step, *seen))
        return True

    def _wait_for_a_gap(self) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while self._busy() and time.monotonic() < until:
            if self._stopping.wait(GLANCE_SECONDS):
                return


def guarded(do: Callable[[], None]) -> None:
    """Do one thing; whatever happens to it is told and goes no further."""
    try:
        do()
    except FacegateError as error:
        log.warning("a sighting was not looked at again", extra={"why": error.what})
    except Exception:
        log.exception("a sighting could not be looked at again")
