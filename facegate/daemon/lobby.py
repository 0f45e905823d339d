"""The visits that are open, one at a door at most. Holds the state between frames; every rule is `core.visits`'s."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from facegate.core.sighting import Sighting
from facegate.core.visits import Verdict, Visit, VisitRule, deadline, hunt_ended, hunted, seen, settle


@dataclass(frozen=True, slots=True)
class Ended:
    """A visit that ended at a door."""

    door: str
    verdict: Verdict


class Lobby:
    """Open visits by door; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._visits: dict[str, Visit] = {}

    def see(self, door: str, sighting: Sighting, rule: VisitRule) -> Verdict | None:
        """Add a sighting to the door's visit; the verdict if that ended one."""
        with self._lock:
            visit, verdict = seen(self._visits.get(door), sighting, rule)
            self._keep(door, visit)
            return verdict

    def hunt(self, door: str, event: str, camera: str, now: datetime) -> None:
        """Note that frames are being hunted for an event at the door."""
        with self._lock:
            self._visits[door] = hunted(self._visits.get(door), event, camera, now)

    def end_hunt(self, door: str, event: str, rule: VisitRule) -> Verdict | None:
        """Note that the hunt for an event is over; the verdict if that ended the visit."""
        with self._lock:
            visit = self._visits.get(door)
            if visit is None or event not in visit.hunts:
                return None
            visit, verdict = hunt_ended(visit, event, rule)
            self._keep(door, visit)
            return verdict

    def due(self, now: datetime, rule_at: Callable[[str], VisitRule]) -> list[Ended]:
        """End every visit whose time is up."""
        with self._lock:
            over = [door for door, visit in self._visits.items() if now >= deadline(visit, rule_at(door))]
            return [Ended(door, settle(self._visits.pop(door), rule_at(door))) for door in over]

    def close(self, rule_at: Callable[[str], VisitRule]) -> list[Ended]:
        """End every visit, because the gate stops."""
        with self._lock:
            open_now, self._visits = self._visits, {}
            return [Ended(door, settle(visit, rule_at(door))) for door, visit in open_now.items()]

    def holds(self, event: str) -> bool:
        """Tell whether an open visit will answer the event."""
        with self._lock:
            return any(event in visit.events for visit in self._visits.values())

    def hunts(self, event: str) -> bool:
        """Tell whether frames are still wanted for the event."""
        with self._lock:
            return any(event in visit.hunts for visit in self._visits.values())

    def _keep(self, door: str, visit: Visit | None) -> None:
        if visit is None:
            self._visits.pop(door, None)
        else:
            self._visits[door] = visit
