"""Learning beside the gate: starts the command that fine-tunes as a child process, and says what became of it.

The child is the command line itself, `facegate finetune --json`. It does everything with the database and the model
folders, and is the only one that ever imports torch. The daemon takes up a new champion as it takes up everything
else that other processes change. One run at a time.
"""

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from facegate.daemon.child import Ended, Killed, run_limited
from facegate.errors import FacegateError, RefusedError
from facegate.settings import FinetuneSection
from facegate.storage.runs import SHADOW, FinetuneRuns

log = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-m", "facegate", "finetune", "--json", "--here")
NICE: Final = 10
"""The gate gets nine times the processor's time. Only what is left over would be too little on a machine that is
never idle, such as one that decodes video all day."""
STOP_SECONDS: Final = 3.0
REST_SECONDS: Final = 3600.0
"""After a run that came to nothing none is begun by itself for so long: it would most likely come to nothing again."""

Document = Mapping[str, Any]


class Learning:
    """Runs the child and tells its verdict. Safe to use from several threads.

    Args:
        settings: The section `finetune`.
        tell: Says what became of a run that left no row of its own.
        command: What fine-tunes.
        environ: The child's environment; none: this process's.
    """

    def __init__(
        self,
        settings: FinetuneSection,
        tell: Callable[[Document], None],
        *,
        command: Sequence[str] = COMMAND,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._command = command
        self._environ = environ
        self._busy = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._rest_until = 0.0

    def begin(self, cause: str) -> None:
        """Start a run in the background.

        Raises:
            RefusedError: One is running, or the daemon stops.
        """
        self._take()
        self._thread = threading.Thread(target=self._run_and_let_go, args=(cause,), name="learning", daemon=True)
        self._thread.start()

    def run(self, cause: str) -> None:
        """Run to the end, for a scheduler's thread; passed over if a run is on already."""
        try:
            self._take()
        except RefusedError as error:
            log.info("fine-tuning is passed over", extra={"cause": cause, "why": error.what})
            return
        self._run_and_let_go(cause)

    def run_if(self, due: Callable[[], str]) -> None:
        """Run if there is a cause, unless the last run came to nothing just now."""
        if time.monotonic() >= self._rest_until and (cause := due()):
            self.run(cause)

    def stop(self) -> None:
        """End what runs, within some seconds, and begin nothing more."""
        self._stop.set()

    def wait(self, seconds: float = STOP_SECONDS) -> bool:
        """Wait until nothing runs, for so long at most; tells whether that is so."""
        if not self._busy.acquire(timeout=seconds):
            return False
        self._busy.release()
        return True

    def _take(self) -> None:
        if self._stop.is_set():
            raise RefusedError("facegate stops", "Start it again")
        if not self._busy.acquire(blocking=False):
            raise RefusedError("a fine-tune is running already", "Wait for its verdict")

    def _run_and_let_go(self, cause: str) -> None:
        try:
            self._once(cause)
        finally:
            self._busy.release()

    def _once(self, cause: str) -> None:
        log.info("fine-tuning begins", extra={"cause": cause})
        self._rest_until = time.monotonic() + REST_SECONDS
        try:
            document = self._verdict(cause)
        except FacegateError as error:
            document = {"verdict": "refused", "reason": error.what}
        except Exception:
            log.exception("fine-tuning failed")
            document = {"verdict": "refused", "reason": "the run could not be made; see the log"}
        if "run" in document:
            self._rest_until = 0.0
            told = document["verdict"] or document["state"]
            if told == SHADOW:  # the row is not at its end, so nobody else tells of it; the champion leads on
                self._tell(document | {"verdict": "kept"})
            log.info("fine-tuning: %s", told, extra={"run": document["run"], "why": document["reason"]})
        else:
            log.warning("fine-tuning came to nothing", extra={"why": document["reason"]})
            self._tell(document | {"trigger": cause})

    def _verdict(self, cause: str) -> dict[str, Any]:
        """Run the child and return what it said, or why it said nothing."""
        ended = run_limited(
            [*self._command, "--trigger", cause],
            seconds=self._settings.max_seconds,
            megabytes=self._settings.max_megabytes,
            nice=NICE,
            environ=os.environ if self._environ is None else self._environ,
            stop=self._stop,
        )
        spent = {"seconds": round(ended.seconds, 1), "megabytes": round(ended.megabytes)}
        log.info("fine-tuning ended", extra={"killed": str(ended.killed), **spent})
        return verdict_of(ended, self._settings)


def verdict_of(ended: Ended, settings: FinetuneSection) -> dict[str, Any]:
    """Return what a run said, or why it said nothing."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        document = dict(json.loads(ended.stdout))
        if {"run", "verdict", "reason"} <= set(document):
            return document
    match ended.killed:
        case Killed.TIME:
            return refused(f"the run took more than {settings.max_seconds:g} s and was ended", ended)
        case Killed.MEMORY:
            return refused(f"the run took more than {settings.max_megabytes:g} MB and was ended", ended)
        case Killed.STOPPED:
            return refused("facegate stopped in the middle of the run", ended)
        case Killed.NOT:
            lines = ended.stderr.strip().splitlines() or ["it said nothing"]
            return refused(f"the run ended with {ended.returncode}: {lines[-1][:500]}", ended)


def refused(reason: str, ended: Ended) -> dict[str, Any]:
    """Return the document of a run that has no verdict of its own."""
    return {"verdict": "refused", "reason": reason, "seconds": round(ended.seconds, 1)}


def cause_of(runs: FinetuneRuns, settings: FinetuneSection) -> str:
    """Return why a run is due beside the hour: somebody was removed, or enough photos are new; or nothing.

    While a challenger is in the shadow nothing is due: it is judged first.
    """
    if runs.in_shadow() is not None:
        return ""
    if (waiting := runs.due()) is not None:
        return waiting.trigger
    enough = settings.after_enrollments
    return "enrollments" if enough and runs.enrollments_since_last() >= enough else ""
