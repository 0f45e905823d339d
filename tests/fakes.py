"""Small working things that keep the ports' contracts, for tests that need no database and no camera."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from facegate.core.decision import Decision
from facegate.core.policy import History
from facegate.core.ports import Pulled
from facegate.errors import UnusableInputError
from facegate.storage.champions import Champion

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass
class StandingClock:
    """A clock that moves only when it is told to."""

    moment: datetime = START

    def now(self) -> datetime:
        return self.moment

    def pass_seconds(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class MemoryEvents:
    """An `EventLog` in memory that refuses to settle an event twice."""

    settled: dict[str, str | None] = field(default_factory=dict)
    tallies: Counter[str] = field(default_factory=Counter)
    broken: bool = False

    def open(self, event: str, camera: str, received_at: datetime, digest: str) -> bool:
        if self.broken:
            raise UnusableInputError("The disk is full", "Free some space")
        self.tallies["in"] += 1
        if event in self.settled:
            self.tallies["replayed"] += 1
            return False
        self.settled[event] = None
        return True

    def count(self, events: Sequence[str], reason: str) -> None:
        if self.broken:
            raise UnusableInputError("The disk is full", "Free some space")
        for event in events:
            if self.settled.get(event) is None:
                self.settled[event] = reason
                self.tallies[reason] += 1

    def decide(self, events: Sequence[str]) -> None:
        for event in events:
            assert self.settled.get(event) is None, f"{event} is settled twice"
            self.settled[event] = "decided"
            self.tallies["decided"] += 1

    def tally(self) -> dict[str, object]:
        counted = {name: count for name, count in self.tallies.items() if name not in ("in", "decided")}
        return {"in": self.tallies["in"], "decided": self.tallies["decided"], "counted": counted}

    @property
    def balanced(self) -> bool:
        return self.tallies["in"] == sum(count for name, count in self.tallies.items() if name != "in")


@dataclass
class MemoryDecisions:
    """A `DecisionLog` in memory that settles events in a `MemoryEvents`."""

    events: MemoryEvents
    kept: list[Decision] = field(default_factory=list)
    broken: bool = False

    def record(self, decision: Decision) -> None:
        if self.broken:
            raise UnusableInputError("The disk is full", "Free some space")
        self.events.decide(decision.events)
        self.kept.append(decision)

    def history(self, door: str, since: datetime) -> History:
        return History()


@dataclass
class MemoryPublisher:
    """A `Publisher` that keeps what it is given, and the number of decisions recorded at that moment."""

    decisions: MemoryDecisions
    sent: list[tuple[Decision, int]] = field(default_factory=list)

    def publish(self, decision: Decision) -> None:
        self.sent.append((decision, len(self.decisions.kept)))


class PlainSigner:
    """A `Signer` whose signature is no signature."""

    def sign(self, decision: Decision) -> Decision:
        from dataclasses import replace

        return replace(decision, jws="signed")


@dataclass
class ListedFrames:
    """A `FrameSource` that gives pictures from a list, then fails."""

    clock: StandingClock
    pictures: list[bytes]
    pulls: int = 0

    def pull(self, camera: str, event: str | None) -> Pulled:
        self.pulls += 1
        if not self.pictures:
            raise UnusableInputError("go2rtc has no such stream", "Name one")
        return Pulled(self.pictures.pop(0), self.clock.now(), "list")


class NobodyAppointed:
    """A `Pointer` before anybody was put in charge."""

    def leading(self) -> None:
        return None

    def succession(self) -> list[Champion]:
        return []
