"""The workers: threads that take work from the intake and walk it down the straight line.

A worker never dies of a frame: whatever goes wrong is an `internal_error`, decided and published like any other deny,
and its event is accounted for even if that fails as well.
"""

import hashlib
import logging
import threading
from collections.abc import Callable
from typing import assert_never

from facegate.core.decision import Decision, Reason
from facegate.core.frame import Frame
from facegate.core.ports import Clock, Pulled
from facegate.daemon.books import NOT_RECORDED
from facegate.daemon.gate import Gate, UndecidedError
from facegate.daemon.intake import Intake
from facegate.daemon.work import Errand, Refusal, Work, refusal_of
from facegate.errors import FacegateError

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.5


class Workers:
    """A number of threads that judge frames.

    Args:
        number: How many.
        gate: Decides.
        intake: Gives the work.
        fetch: Fetches a picture whose URL came in a message.
        decided: Is told of each decision after it was published.
        max_age_seconds: A frame that grew older while it waited is refused.
        clock: Tells the time.
    """

    def __init__(
        self,
        *,
        number: int,
        gate: Gate,
        intake: Intake,
        fetch: Callable[[str], Pulled],
        decided: Callable[[Decision], None],
        max_age_seconds: float,
        clock: Clock,
    ) -> None:
        self._gate = gate
        self._intake = intake
        self._fetch = fetch
        self._decided = decided
        self._max_age = max_age_seconds
        self._clock = clock
        self._stopping = threading.Event()
        self._busy_since: dict[int, float] = {}
        self._threads = [
            threading.Thread(target=self._run, name=f"worker-{number}", daemon=True) for number in range(number)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def drain(self, seconds: float) -> None:
        """Work off what waits, for so long at most, then stop."""
        deadline = self._clock.now().timestamp() + seconds
        while self._intake.waiting and self._clock.now().timestamp() < deadline:
            self._stopping.wait(IDLE_SECONDS / 10)
        self.stop(seconds)

    def stop(self, seconds: float) -> None:
        """Let each finish the work in its hands, waiting for so long at most in all."""
        self._stopping.set()
        self._intake.close()
        deadline = self._clock.now().timestamp() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.now().timestamp()))

    def longest_seconds(self) -> float:
        """How long the slowest piece of work in hand has taken so far: what the watchdog asks."""
        now = self._clock.now().timestamp()
        return max((now - since for since in list(self._busy_since.values())), default=0.0)

    @property
    def busy(self) -> bool:
        """Whether any of them has work in hand."""
        return bool(self._busy_since)

    def alive(self) -> bool:
        """Tell whether every thread lives."""
        return all(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        me = threading.get_ident()
        while not self._stopping.is_set():
            work = self._intake.next(IDLE_SECONDS)
            if work is None:
                continue
            self._busy_since[me] = self._clock.now().timestamp()
            try:
                self.do(work)
            finally:
                self._busy_since.pop(me, None)

    def do(self, work: Work) -> None:
        """Do one piece of work, whatever happens."""
        decision: Decision | None = None
        try:
            if self._intake.is_open(work.event):
                decision = self._decide(work)
        except UndecidedError as error:
            log.exception("a visit could not be decided", extra={"camera": work.camera})
            self._intake.give_up([event for event in error.events if event != work.event], NOT_RECORDED)
            decision = self._deny_anyway(work, error.__cause__ or error)
        except Exception as error:
            log.exception("a frame could not be judged", extra={"camera": work.camera})
            decision = self._deny_anyway(work, error)
        if isinstance(work, Errand):
            self._intake.back(work)
        self._intake.done(work.event, decision.events if decision else (), otherwise="internal_error")
        if decision is not None:
            self._decided(decision)

    def _decide(self, work: Work) -> Decision | None:
        match work:
            case Refusal():
                return self._gate.refuse(work)
            case Errand():
                return self._on_errand(work)
            case Frame():
                return self._judge(work)
            case _:
                assert_never(work)

    def _judge(self, frame: Frame) -> Decision | None:
        """Judge a frame, unless it grew too old while it waited."""
        age = (self._clock.now() - frame.captured_at).total_seconds()
        if age <= self._max_age:
            return self._gate.decide(frame)
        if frame.hunted:
            return None  # its hunt goes on and pulls a fresh one
        return self._gate.refuse(refusal_of(frame, Reason.TOO_OLD, f"frame {age:.1f} s > {self._max_age:g} s"))

    def _on_errand(self, errand: Errand) -> Decision | None:
        """Fetch the picture that a message named by URL, then judge it."""
        try:
            pulled = self._fetch(errand.url)
        except FacegateError as error:
            return self._gate.refuse(refusal_of(errand, Reason.IMAGE_UNREACHABLE, error.what))
        frame = Frame(
            camera=errand.camera,
            event=errand.event,
            captured_at=errand.captured_at,
            received_at=errand.received_at,
            picture=pulled.picture,
            digest=hashlib.sha256(pulled.picture).hexdigest(),
        )
        return self._judge(frame)

    def _deny_anyway(self, work: Work, error: BaseException) -> Decision | None:
        """Deny what could not be judged; None if not even that can be recorded."""
        what = error.what if isinstance(error, FacegateError) else type(error).__name__
        try:
            return self._gate.refuse(refusal_of(work, Reason.INTERNAL_ERROR, what))
        except Exception:
            log.exception("the deny could not be recorded either")
            return None
