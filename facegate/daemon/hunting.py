"""From an event's first word to its answer: ties a hunt's beginning and end to the books and to the gate.

Called from the network's thread, where nothing may wait for the broker; so what must be decided there is left for the
loop that decides, in `settle_failures`.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from facegate.core.decision import Decision
from facegate.core.ports import Clock
from facegate.daemon.books import NOT_RECORDED
from facegate.daemon.gate import Gate, UndecidedError
from facegate.daemon.hunt import Hunts, Prey
from facegate.daemon.intake import OVERLOADED, Intake

log = logging.getLogger(__name__)

HUNT_ENDED: Final = "hunt_ended"
MAX_FAILED: Final = 64
"""Hunts that could not begin and wait for their answer, at most; the loop that answers them has other things to do."""


class Hunting:
    """Begins and ends hunts, and answers their events.

    Args:
        gate: Holds the visits.
        intake: Accounts for the events.
        prey_of: How a camera is pulled, or None if there is no way.
        decided: Is told of each decision after it was published.
        hunt_seconds: A hunt lasts so long at most.
        clock: Tells the time.
    """

    def __init__(
        self,
        *,
        gate: Gate,
        intake: Intake,
        prey_of: Callable[[str], Prey | None],
        decided: Callable[[Decision], None],
        hunt_seconds: float,
        clock: Clock,
    ) -> None:
        self._gate = gate
        self._intake = intake
        self._decided = decided
        self._hunt_seconds = hunt_seconds
        self._clock = clock
        self._failed: deque[tuple[str, str, str]] = deque()
        self._hunts = Hunts(
            prey_of=prey_of,
            offer=intake.offer_hunted,
            wanted=gate.open_visits.hunts,
            ended=self.answer,
            clock=clock,
        )

    def begin(self, event: str, camera: str, received_at: datetime) -> None:
        """Somebody is there: account for the event and pull frames until it is answered."""
        if not self._intake.take_hunt(event, camera, received_at):
            return
        if len(self._failed) >= MAX_FAILED or self._gate.is_crowded(camera):
            self._intake.done(event, (), otherwise=OVERLOADED)
            return
        if not self._gate.begin_hunt(event, camera):
            self._intake.done(event, (), otherwise="unknown_camera")
            return
        until = self._clock.now() + timedelta(seconds=self._hunt_seconds)
        if why_not := self._hunts.start(event, camera, until):
            self._failed.append((event, camera, why_not))

    def end(self, event: str, camera: str) -> None:
        """The event is over: its hunt ends with the frame that is being pulled."""
        self._hunts.end(event, camera)

    def end_all(self, camera: str) -> None:
        """Nobody is before the camera any more."""
        self._hunts.end_all(camera)

    def answer(self, event: str, camera: str, failure: str) -> None:
        """Answer an event whose hunt is over, unless a visit has done so or still will."""
        try:
            decision = self._gate.end_hunt(event, camera, failure)
        except UndecidedError as error:
            log.exception("a hunt could not be answered", extra={"camera": camera})
            self._intake.give_up(error.events, NOT_RECORDED)
            return
        self._intake.done(event, decision.events if decision else (), otherwise=HUNT_ENDED)
        if decision is not None:
            self._decided(decision)

    def settle_failures(self) -> None:
        """Answer the events whose hunt could not even begin."""
        for _ in range(len(self._failed)):
            self.answer(*self._failed.popleft())

    def failure(self, cameras: Sequence[str]) -> str:
        """Return why the last pulls of these cameras brought no frame; empty where one did."""
        return "; ".join(why for camera in cameras if (why := self._hunts.failure(camera)))

    def close(self) -> None:
        """Stop pulling."""
        self._hunts.close()

    @property
    def cameras(self) -> int:
        """How many cameras are being pulled."""
        return self._hunts.cameras
