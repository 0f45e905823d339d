from dataclasses import replace

import pytest

from facegate.core.decision import Reason
from facegate.core.ports import Pulled
from facegate.daemon.books import Books
from facegate.daemon.intake import Intake
from facegate.daemon.work import Errand
from facegate.daemon.workers import Workers
from facegate.errors import RefusedError
from tests.daemon.test_gate import Rig as GateRig
from tests.fakes import START


class Rig(GateRig):
    """Gate, intake and a worker that is called by hand."""

    def __init__(self, **settings) -> None:
        super().__init__(**settings)
        self.fetched = b"alice 0.9"
        self.told = []
        self.intake = Intake(
            books=Books(self.events),
            door_of=self.gate.door_of,
            wants_more=self.gate.wants_more,
            holds=self.gate.open_visits.holds,
            max_age_seconds=5,
            places=4,
            clock=self.clock,
        )
        self.workers = Workers(
            number=1,
            gate=self.gate,
            intake=self.intake,
            fetch=self.fetch,
            decided=self.told.append,
            max_age_seconds=5,
            clock=self.clock,
        )

    def fetch(self, url: str) -> Pulled:
        if self.fetched is None:
            raise RefusedError("http://10.0.0.1 is a private address", "Name the host in the settings")
        return Pulled(self.fetched, START, url)

    def work_off(self) -> None:
        while (work := self.intake.next(0)) is not None:
            self.workers.do(work)

    def push(self, says: str, event: str, **changes) -> None:
        frame = self.frame(says, event, **changes)
        self.events.settled.pop(event)  # the rig of the gate opens events itself; here the intake does
        self.events.tallies["in"] -= 1
        self.intake.take_frame(frame)


def test_a_frame_is_decided_told_and_settled():
    rig = Rig()
    rig.push("alice 0.9", "e1")
    rig.work_off()
    assert [decision.reason for decision in rig.told] == [Reason.MATCH]
    assert not rig.intake.is_open("e1")
    assert rig.events.balanced


def test_a_frame_that_grew_old_while_it_waited_is_refused():
    rig = Rig()
    rig.push("alice 0.9", "e1")
    rig.clock.pass_seconds(6)
    rig.work_off()
    assert [decision.reason for decision in rig.told] == [Reason.TOO_OLD]
    assert rig.events.balanced


def test_a_failure_inside_is_an_internal_error_and_the_worker_lives_on():
    rig = Rig()
    rig.push("nonsense that is no number", "e1")
    rig.work_off()
    rig.push("alice 0.9", "e2")
    rig.work_off()
    assert [decision.reason for decision in rig.told] == [Reason.INTERNAL_ERROR, Reason.MATCH]
    assert rig.events.balanced


def test_what_cannot_be_recorded_is_neither_published_nor_lost():
    rig = Rig()
    rig.push("alice 0.9", "e1")
    rig.decisions.broken = True
    rig.work_off()
    assert rig.told == []
    assert rig.publisher.sent == []
    assert rig.events.tallies["internal_error"] == 1
    assert rig.events.balanced


def test_an_errand_is_fetched_and_judged():
    rig = Rig()
    rig.intake.take_errand(Errand("porch", "e1", START, START, "http://camera/1.jpg"))
    rig.work_off()
    assert [decision.reason for decision in rig.told] == [Reason.MATCH]


def test_an_errand_that_is_refused_says_why():
    rig = Rig()
    rig.fetched = None
    rig.intake.take_errand(Errand("porch", "e1", START, START, "http://10.0.0.1/1.jpg"))
    rig.work_off()
    (decision,) = rig.told
    assert decision.reason is Reason.IMAGE_UNREACHABLE
    assert "private address" in decision.detail
    assert rig.events.balanced


def test_a_door_that_is_gone_leaves_its_events_counted():
    rig = Rig()
    rig.push("alice 0.9", "e1")
    rig.gallery.roster = replace(rig.gallery.roster, doors={})
    rig.work_off()
    assert rig.told == []
    assert rig.events.balanced


@pytest.mark.parametrize("agreeing", [1, 2])
def test_the_books_balance_over_several_frames_of_one_event(agreeing):
    rig = Rig(agreeing_frames=agreeing)
    for number in range(3):
        rig.push("alice 0.9", "e1", digest=str(number)) if number == 0 else rig.intake.take_frame(
            rig_frame(rig, "alice 0.9", "e1", str(number))
        )
        rig.work_off()
    for ended in (rig.clock.pass_seconds(11), rig.gate.overdue())[1]:
        rig.intake.settled(ended.verdict.events)
        rig.gate.conclude(ended)
    assert rig.events.balanced


def rig_frame(rig: Rig, says: str, event: str, digest: str):
    from facegate.core.frame import Frame

    return Frame("porch", event, rig.clock.now(), rig.clock.now(), says.encode(), digest)
