"""Says on `P/models/event` what became of the networks: a run's verdict, a rollback, an order that was refused.

A run is told from its row in the database, so runs that an operator started on the command line are told as well, and a
broker that is away only delays it. What has no row waits in memory, in bounded number.
"""

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from facegate.storage.runs import FinetuneRuns, Run

log = logging.getLogger(__name__)

MAX_UNTOLD: Final = 20

Document = Mapping[str, Any]


class ModelEvents:
    """Tells in order, each once as far as the broker says that it has it. Safe to use from several threads.

    Args:
        publish: Sends a message on the networks' topic; True once the broker has it.
        runs: The runs of fine-tuning. Those that ended before now have been told.
    """

    def __init__(self, publish: Callable[[str], bool], runs: FinetuneRuns) -> None:
        self._publish = publish
        self._runs = runs
        self._lock = threading.Lock()
        self._untold: deque[str] = deque()
        # A run that is due or on has a higher number than all that have ended: one at a time, and a due one goes first.
        self._told = max((run.number for run in runs.newest() if run.finished_at is not None), default=0)

    def tell(self, document: Document) -> None:
        """Say something that has no row, at once or as soon as the broker is there."""
        with self._lock:
            if len(self._untold) == MAX_UNTOLD:
                log.warning("never told, the broker is away for too long", extra={"it": self._untold.popleft()})
            self._untold.append(json.dumps(document))
            self._tell_all()

    def tell_again(self) -> None:
        """Say what the broker has not taken yet, and the runs that have ended since.

        Raises:
            FacegateError: The database does not answer.
        """
        with self._lock:
            self._tell_all()
            for run in self._runs.ended_after(self._told):
                if not self._publish(json.dumps(document_of(run))):
                    return
                self._told = run.number
                log.info("told of a run", extra={"run": run.number})

    def _tell_all(self) -> None:
        while self._untold and self._publish(self._untold[0]):
            self._untold.popleft()


def document_of(run: Run) -> dict[str, Any]:
    """Return how a run is told; one that failed has no verdict of its own, and changed nothing: it is refused."""
    return run.to_json() | {"verdict": run.verdict or "refused"}
