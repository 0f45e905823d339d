"""What the daemon says: decisions, its status, and its entities for Home Assistant."""

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from facegate import __version__
from facegate.core.decision import Decision, Outcome, rfc3339
from facegate.core.ports import Clock
from facegate.daemon.books import Tally
from facegate.mqtt.topics import Topics

log = logging.getLogger(__name__)

OFFLINE: Final = json.dumps({"state": "offline"})


class Channel(Protocol):
    """What the voice needs of an MQTT client."""

    def publish(
        self, topic: str, payload: str | bytes, *, retain: bool = False, expires_seconds: float | None = None
    ) -> bool:
        """Send a message; True once the broker has it."""
        ...


class DecisionPublisher:
    """Sends recorded decisions out: never retained, and none after it has expired. Implements `Publisher`."""

    def __init__(self, channel: Channel, topics: Topics, clock: Clock) -> None:
        self._channel = channel
        self._topics = topics
        self._clock = clock

    def publish(self, decision: Decision) -> None:
        """Send a decision that has been recorded."""
        facts = {"decision": decision.id, "door": decision.door, "reason": str(decision.reason)}
        left = (decision.expires_at - self._clock.now()).total_seconds()
        if left <= 0:
            log.warning("NOT published: it has expired", extra=facts)
            return
        sent = self._channel.publish(
            self._topics.decision(decision.door),
            json.dumps(decision.to_json(), ensure_ascii=False, allow_nan=False),
            expires_seconds=left if decision.outcome is Outcome.GRANT else None,
        )
        if sent:
            log.info("published", extra=facts)
        else:
            log.warning("NOT published: the broker did not take it", extra=facts)


@dataclass(frozen=True, slots=True)
class Status:
    """How facegate fares; the payload of `P/status`."""

    since: datetime
    model: str
    doors: int
    users: int
    queue: int
    events: Tally

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "state": "online",
            "since": rfc3339(self.since),
            "version": __version__,
            "model": self.model,
            "doors": self.doors,
            "users": self.users,
            "queue": self.queue,
            "events": {
                "in": self.events.taken_in,
                "decided": self.events.decided,
                "counted": dict(sorted(self.events.counted.items())),
            },
        }


class StatusPublisher:
    """Keeps the retained `P/status` true, without repeating itself."""

    def __init__(self, channel: Channel, topics: Topics) -> None:
        self._channel = channel
        self._topics = topics
        self._last = ""

    def publish(self, status: Status, *, again: bool = False) -> None:
        """Send the status if it has changed, or again: the broker may have the last will lying there."""
        text = json.dumps(status.to_json())
        if (again or text != self._last) and self._channel.publish(self._topics.status, text, retain=True):
            self._last = text

    def offline(self) -> None:
        """Say that facegate stops."""
        self._channel.publish(self._topics.status, OFFLINE, retain=True)
