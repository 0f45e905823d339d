"""From an event's first word to its answer, whatever fails on the way."""

import threading
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from facegate.core.decision import Reason
from facegate.core.frame import Frame
from facegate.daemon.books import Books
from facegate.daemon.hunt import Prey
from facegate.daemon.hunting import Hunting
from facegate.daemon.intake import Intake
from facegate.daemon.workers import Workers
from tests.daemon.test_gate import Rig
from tests.fakes import ListedFrames


@dataclass
class Camera(ListedFrames):
    """Lets go of nothing until it is told to."""

    go: threading.Event = field(default_factory=threading.Event)

    def pull(self, camera: str, event: str | None):
        assert self.go.wait(10)
        return super().pull(camera, event)


class Hunted(Rig):
    def __init__(self, pictures: list[bytes], **settings: float) -> None:
        super().__init__(**settings)
        self.camera = Camera(self.clock, pictures)
        self.intake = Intake(
            books=Books(self.events),
            door_of=self.gate.door_of,
            wants_more=self.gate.wants_more,
            holds=self.gate.open_visits.holds,
            max_age_seconds=5,
            places=4,
            clock=self.clock,
        )
        self.said, self.news = [], threading.Event()
        self.hunting = Hunting(
            gate=self.gate,
            intake=self.intake,
            prey_of=lambda _: Prey(self.camera, 100),
            decided=self.decided,
            hunt_seconds=10,
            clock=self.clock,
        )

    def bare_frame(self, says: str, event: str) -> Frame:
        """A frame whose event is not accounted for yet."""
        now = self.clock.now()
        return Frame("porch", event, now, now, says.encode(), f"{says} {event}")

    def decided(self, decision) -> None:
        self.said.append(decision)
        self.news.set()

    def settled(self) -> bool:
        """Wait until nothing is hunted any more."""
        done = threading.Event()
        for _ in range(500):
            if not self.hunting.cameras and self.events.balanced:
                return True
            done.wait(0.02)
        return False


def test_a_hunt_that_ends_without_a_frame_is_denied_with_the_sources_words():
    rig = Hunted([])
    rig.hunting.begin("e1", "porch", rig.clock.now())
    rig.camera.go.set()
    rig.hunting.end("e1", "porch")
    assert rig.news.wait(10)
    assert rig.said[0].reason is Reason.IMAGE_UNREACHABLE
    assert rig.settled()


def test_a_visit_that_runs_out_before_its_hunt_says_why_no_frame_came():
    rig = Hunted([])
    rig.camera.go.set()
    rig.hunting.begin("e1", "porch", rig.clock.now())
    while not rig.hunting.failure(("porch",)):
        threading.Event().wait(0.01)
    rig.clock.pass_seconds(9)
    (ended,) = rig.gate.open_visits.due(rig.clock.now() + timedelta(seconds=60), rig.gate._rule_at)
    decision = rig.gate.conclude(ended, rig.hunting.failure(ended.verdict.cameras))
    assert decision.detail == "go2rtc has no such stream"
    rig.hunting.close()


@pytest.mark.parametrize("events", [1, 2])
def test_events_whose_answer_cannot_be_recorded_are_counted_when_the_books_are_back(events):
    rig = Hunted([])
    rig.decisions.broken = True
    names = [f"e{number}" for number in range(events)]
    for name in names:
        rig.hunting.begin(name, "porch", rig.clock.now())
    for name in names:
        rig.hunting.end(name, "porch")
    rig.camera.go.set()
    assert rig.settled(), rig.events.tallies
    assert rig.events.tallies["not_recorded"] == events
    assert rig.said == []
    assert not any(rig.intake.is_open(name) for name in names)


def test_when_a_visit_of_two_pushed_events_cannot_be_recorded_neither_is_lost():
    rig = Hunted([], agreeing_frames=2)
    workers = Workers(
        number=0,
        gate=rig.gate,
        intake=rig.intake,
        fetch=lambda _: None,
        decided=rig.decided,
        max_age_seconds=5,
        clock=rig.clock,
    )
    for event in ("e1", "e2"):
        rig.decisions.broken = event == "e2"
        rig.intake.take_frame(rig.bare_frame("alice 0.9", event))
        workers.do(rig.intake.next(0))
    assert rig.events.balanced, rig.events.tallies
    assert rig.events.tallies["not_recorded"] == 1
    assert rig.events.tallies["internal_error"] == 1
    assert not any(rig.intake.is_open(event) for event in ("e1", "e2"))
