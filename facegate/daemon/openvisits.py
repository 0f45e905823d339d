"""The visits that are open, one at a door at most. Holds the state between frames; every rule is `core.visits`'s.

A visit that ended holds its events until its decision is recorded, and no frame that comes late opens it again: an
event has one answer.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from facegate.core.sighting import Sighting
from facegate.core.visits import Verdict, Visit, VisitRule, deadline, hunt_ended, hunted, seen, settle

CLOCK_SLACK: Final = timedelta(seconds=1)
"""A clock that is disciplined goes back by less."""

LATE_EVENTS: Final = 1024
"""So many events that ended are remembered, for frames of theirs that were still being judged."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A visit that ended at a door."""

    door: str
    verdict: Verdict


class OpenVisits:
    """Open visits by door; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._visits: dict[str, Visit] = {}
        self._unanswered: set[str] = set()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def see(self, door: str, sighting: Sighting, rule: VisitRule) -> Verdict | None:
        """Add a sighting to the door's visit; the verdict if that ended one. One of a visit that is over is dropped."""
        with self._lock:
            if sighting.event in self._ended:
                return None
            visit, verdict = seen(self._visits.get(door), sighting, rule)
            self._keep(door, visit)
            return self._over(verdict)

    def hunt(self, door: str, event: str, camera: str, now: datetime) -> None:
        """Note that frames are being hunted for an event at the door."""
        with self._lock:
            self._visits[door] = hunted(self._visits.get(door), event, camera, now)

    def events_at(self, door: str) -> int:
        """How many events the visit at a door will answer."""
        with self._lock:
            visit = self._visits.get(door)
            return len(visit.events) if visit else 0

    def end_hunt(self, door: str, event: str, rule: VisitRule) -> Verdict | None:
        """Note that the hunt for an event is over; the verdict if that ended the visit."""
        with self._lock:
            visit = self._visits.get(door)
            if visit is None or event not in visit.hunts:
                return None
            visit, verdict = hunt_ended(visit, event, rule)
            self._keep(door, visit)
            return self._over(verdict)

    def due(self, now: datetime, rule_at: Callable[[str], VisitRule]) -> list[Ended]:
        """End every visit whose time is up, or that seems to begin later than now: the clock was set back."""
        with self._lock:
            over = [
                door
                for door, visit in self._visits.items()
                if not visit.opened_at - CLOCK_SLACK <= now < deadline(visit, rule_at(door))
            ]
            return [self._end(door, self._visits.pop(door), rule_at(door)) for door in over]

    def close(self, rule_at: Callable[[str], VisitRule]) -> list[Ended]:
        """End every visit, because the gate stops."""
        with self._lock:
            open_now, self._visits = self._visits, {}
            return [self._end(door, visit, rule_at(door)) for door, visit in open_now.items()]

    def answered(self, events: Sequence[str]) -> None:
        """Note that the decision on a visit that ended was recorded, or never will be."""
        with self._lock:
            self._unanswered.difference_update(events)

    def holds(self, event: str) -> bool:
        """Tell whether a visit that is open, or has just ended, will answer the event."""
        with self._lock:
            return event in self._unanswered or any(event in visit.events for visit in self._visits.values())

    def hunts(self, event: str) -> bool:
        """Tell whether frames are still wanted for the event."""
        with self._lock:
            return any(event in visit.hunts for visit in self._visits.values())

    def _end(self, door: str, visit: Visit, rule: VisitRule) -> Ended:
        verdict = settle(visit, rule)
        self._over(verdict)
        return Ended(door, verdict)

    def _over(self, verdict: Verdict | None) -> Verdict | None:
        """Remember the events of a visit that ended. The lock is held."""
        if verdict is not None:
            self._unanswered.update(verdict.events)
            self._ended.update(dict.fromkeys(verdict.events))
            while len(self._ended) > LATE_EVENTS:
                self._ended.popitem(last=False)
        return verdict

    def _keep(self, door: str, visit: Visit | None) -> None:
        if visit is None:
            self._visits.pop(door, None)
        else:
            self._visits[door] = visit
