"""The books: every event that comes in is named in exactly one decision, or counted under a reason (law 4).

The books proper are the database's. What it cannot take just now (full disk, server away) is counted in memory: such
an event is never judged, because what cannot be recorded cannot be decided.
"""

import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from facegate.core.ports import EventLog
from facegate.errors import FacegateError

log = logging.getLogger(__name__)

NOT_RECORDED: Final = "not_recorded"
"""The database could not take the event."""

MAX_UNSETTLED: Final = 10_000
"""Events whose settling waits for the database, at most; beyond it, the next start counts them as interrupted."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many events came in, how many decisions named them, and how many were counted under which reason."""

    taken_in: int
    decided: int
    counted: Mapping[str, int]


class TallyingLog(EventLog, Protocol):
    """An event log that can say its sums."""

    def tally(self) -> Mapping[str, object]:
        """Return `{"in": n, "decided": n, "counted": {reason: n}}`."""
        ...


class Books:
    """Accounts for events and never raises: a failing database must not stop the door from being closed."""

    def __init__(self, events: TallyingLog) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._unsettled: list[tuple[str, str]] = []
        self._not_recorded = 0

    def open(self, event: str, camera: str, received_at: datetime, digest: str) -> bool:
        """Take an event in; False if it was taken in before or cannot be recorded, and is accounted for."""
        try:
            return self._events.open(event, camera, received_at, digest)
        except FacegateError:
            log.exception("an event could not be recorded and is not judged")
            with self._lock:
                self._not_recorded += 1
            return False

    def count(self, events: Sequence[str], reason: str) -> None:
        """Settle events under a reason, now or when the database is back."""
        try:
            self._events.count(events, reason)
        except FacegateError:
            log.exception("events could not be counted, trying again")
            with self._lock:
                room = MAX_UNSETTLED - len(self._unsettled)
                self._unsettled.extend((event, reason) for event in events[:room])

    def catch_up(self) -> None:
        """Try again to settle what the database could not take."""
        with self._lock:
            waiting, self._unsettled = self._unsettled, []
        by_reason: dict[str, list[str]] = {}
        for event, reason in waiting:
            by_reason.setdefault(reason, []).append(event)
        for reason, events in by_reason.items():
            self.count(events, reason)

    def tally(self) -> Tally:
        """Return the sums, those kept in memory included.

        Raises:
            FacegateError: The database does not answer.
        """
        sums = self._events.tally()
        counted = Counter(_counts(sums["counted"]))
        with self._lock:
            missed = self._not_recorded
        if missed:
            counted[NOT_RECORDED] += missed
        return Tally(_number(sums["in"]) + missed, _number(sums["decided"]), dict(counted))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _counts(value: object) -> dict[str, int]:
    return {str(key): _number(count) for key, count in value.items()} if isinstance(value, Mapping) else {}
