import json
from dataclasses import dataclass, field, replace
from datetime import timedelta

from facegate.core.comparison import nobody
from facegate.core.decision import Decision, Reason
from facegate.core.policy import Door
from facegate.core.ports import Roster
from facegate.daemon.books import Tally
from facegate.daemon.entities import Entities
from facegate.daemon.publishing import DecisionPublisher, Status, StatusPublisher
from facegate.mqtt.topics import Topics
from facegate.settings import HomeAssistantSection, Settings
from tests.fakes import START, StandingClock

DECISION = Decision(
    id="id", door="front", cameras=("porch",), events=("e1",), reason=Reason.MATCH, user="alice", score=0.8,
    threshold=0.5,
    fmr=1e-6, frames=1, captured_at=START, decided_at=START, expires_at=START + timedelta(seconds=5), model="m@0",
    milliseconds={},
)  # fmt: skip


@dataclass
class Wire:
    """A `Channel` that keeps what it is given, while it is up."""

    up: bool = True
    sent: list[tuple[str, str, bool, float | None]] = field(default_factory=list)

    def publish(self, topic, payload, *, retain=False, expires_seconds=None) -> bool:
        if self.up:
            self.sent.append((topic, payload, retain, expires_seconds))
        return self.up


def test_a_grant_goes_out_unretained_with_the_time_that_it_has_left():
    clock, wire = StandingClock(), Wire()
    clock.pass_seconds(2)
    DecisionPublisher(wire, Topics(), clock).publish(DECISION)
    ((topic, payload, retained, expires),) = wire.sent
    assert topic == "facegate/doors/front/decision"
    assert json.loads(payload) == DECISION.to_json()
    assert not retained
    assert expires == 3


def test_what_has_expired_is_never_sent():
    clock, wire = StandingClock(), Wire()
    clock.pass_seconds(5)
    DecisionPublisher(wire, Topics(), clock).publish(DECISION)
    DecisionPublisher(wire, Topics(), clock).publish(replace(DECISION, reason=Reason.NO_MATCH))
    assert wire.sent == []


def status(queue: int = 0) -> Status:
    return Status(START, "m@0", 1, 2, queue, Tally(3, 2, {"superseded": 1}))


def test_the_status_has_the_fields_of_the_design_and_is_retained():
    wire = Wire()
    StatusPublisher(wire, Topics()).publish(status())
    ((topic, payload, retained, _),) = wire.sent
    assert (topic, retained) == ("facegate/status", True)
    document = json.loads(payload)
    assert list(document) == ["state", "since", "version", "model", "doors", "users", "queue", "events"]
    assert document["events"] == {"in": 3, "decided": 2, "counted": {"superseded": 1}}


def test_the_status_repeats_itself_only_when_asked_or_when_it_was_not_heard():
    wire = Wire()
    publisher = StatusPublisher(wire, Topics())
    publisher.publish(status())
    publisher.publish(status())
    assert len(wire.sent) == 1
    publisher.publish(status(), again=True)
    assert len(wire.sent) == 2
    wire.up = False
    publisher.publish(status(1))
    wire.up = True
    publisher.publish(status(1))
    assert len(wire.sent) == 3


def roster(*doors: str) -> Roster:
    return Roster(1, nobody("m@0"), {}, {slug: Door(slug, slug.title(), (f"{slug}-camera",)) for slug in doors})


def test_a_door_that_is_removed_takes_its_entities_along_even_after_a_restart(tmp_path):
    settings, wire = Settings(data_dir=tmp_path), Wire()
    Entities(wire, Topics(), settings, "first").announce(roster("front", "back"))
    made = {topic for topic, payload, _, _ in wire.sent if payload}
    assert all(retained for _, _, retained, _ in wire.sent)
    wire.sent.clear()
    Entities(wire, Topics(), settings, "second").announce(roster("front"))
    gone = {topic for topic, payload, _, _ in wire.sent if not payload}
    kept = {topic for topic, payload, _, _ in wire.sent if payload}
    assert gone
    assert gone | kept == made, "the installation's id changed, or an entity was forgotten"
    assert all("first" in topic for topic in made)


def test_entities_are_announced_again_only_when_the_doors_change(tmp_path):
    settings, wire = Settings(data_dir=tmp_path), Wire()
    entities = Entities(wire, Topics(), settings, "one")
    entities.follow(roster("front"))
    count = len(wire.sent)
    entities.follow(roster("front"))
    assert len(wire.sent) == count > 0


def test_nothing_is_announced_where_discovery_is_off(tmp_path):
    wire = Wire()
    settings = Settings(data_dir=tmp_path, homeassistant=HomeAssistantSection(discovery=False))
    Entities(wire, Topics(), settings, "one").announce(roster("front"))
    assert wire.sent == []
