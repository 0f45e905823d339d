import hashlib
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from facegate.core.decision import Reason
from facegate.core.frame import Frame
from facegate.core.policy import Door
from facegate.daemon.books import Books
from facegate.daemon.intake import OVERLOADED, REFUSALS, SUPERSEDED, Intake
from facegate.daemon.work import Errand, Refusal
from tests.fakes import START, MemoryEvents, StandingClock

DOOR = Door("front", "Front", ("porch", "yard", "gate"))


class Rig:
    """An intake on fakes."""

    def __init__(self, places: int = 4) -> None:
        self.clock = StandingClock()
        self.events = MemoryEvents()
        self.held: set[str] = set()
        self.more: set[str] = set()
        self.intake = Intake(
            books=Books(self.events),
            door_of=lambda camera: DOOR if camera in DOOR.cameras else None,
            wants_more=lambda event, _: event in self.more,
            holds=lambda event: event in self.held,
            max_age_seconds=5,
            places=places,
            clock=self.clock,
        )

    def frame(self, event: str, camera: str = "porch", picture: bytes = b"jpeg", age: float = 0.0, **changes) -> Frame:
        now = self.clock.now()
        digest = hashlib.sha256(picture).hexdigest()
        return Frame(camera, event, now - timedelta(seconds=age), now, picture, digest, **changes)

    def work_off(self) -> list:
        done = []
        while (work := self.intake.next(0)) is not None:
            done.append(work)
            if self.intake.is_open(work.event):
                self.events.decide([work.event])
                self.intake.done(work.event, [work.event], otherwise="internal_error")
            else:
                self.intake.done(work.event, (), otherwise="internal_error")
        return done


def test_a_frame_waits_until_it_is_asked_for():
    rig = Rig()
    rig.intake.take_frame(rig.frame("e1"))
    assert rig.intake.waiting == 1
    assert [work.event for work in rig.work_off()] == ["e1"]
    assert rig.events.balanced


def test_the_newest_frame_of_a_camera_wins_and_the_other_is_counted():
    rig = Rig()
    for number in range(5):
        rig.intake.take_frame(rig.frame(f"e{number}", picture=bytes([number])))
    rig.intake.take_frame(rig.frame("other", camera="yard"))
    assert sorted(work.event for work in rig.work_off()) == ["e4", "other"]
    assert rig.events.tallies[SUPERSEDED] == 4
    assert rig.events.balanced


def test_a_camera_of_no_door_is_counted_and_never_judged():
    rig = Rig()
    rig.intake.take_frame(rig.frame("e1", camera="attic"))
    assert rig.work_off() == []
    assert rig.events.tallies["unknown_camera"] == 1
    assert rig.events.balanced


def test_a_repeated_event_is_counted_whether_it_is_settled_or_not():
    rig = Rig()
    rig.intake.take_frame(rig.frame("e1"))
    rig.intake.take_frame(rig.frame("e1"))
    assert len(rig.work_off()) == 1
    rig.intake.take_frame(rig.frame("e1", picture=b"another"))
    assert rig.work_off() == []
    assert rig.events.tallies["replayed"] == 2
    assert rig.events.balanced


def test_further_frames_of_an_event_that_wants_them_are_one_event():
    rig = Rig()
    rig.more.add("e1")
    rig.intake.take_frame(rig.frame("e1", picture=b"1"))
    first = rig.intake.next(0)
    rig.held.add("e1")
    rig.intake.done(first.event, (), otherwise="internal_error")
    rig.intake.take_frame(rig.frame("e1", picture=b"2"))
    assert [work.picture for work in rig.work_off()] == [b"2"]
    assert rig.events.tallies == {"in": 1, "decided": 1}


@pytest.mark.parametrize(("age", "reason"), [(5.5, Reason.TOO_OLD), (-3.0, Reason.FROM_THE_FUTURE)])
def test_a_frame_is_refused_by_its_own_time(age, reason):
    rig = Rig()
    rig.intake.take_frame(rig.frame("e1", age=age))
    (work,) = rig.work_off()
    assert isinstance(work, Refusal)
    assert work.reason is reason


@pytest.mark.parametrize("age", [4.9, 0.0, -1.9])
def test_a_frame_of_now_is_not_refused(age):
    rig = Rig()
    rig.intake.take_frame(rig.frame("e1", age=age))
    assert isinstance(rig.work_off()[0], Frame)


def test_refusals_never_displace_a_face_and_are_bounded():
    rig = Rig()
    rig.intake.take_frame(rig.frame("good"))
    for number in range(REFUSALS + 10):
        rig.intake.take_refusal(Refusal("porch", f"bad{number}", START, START, Reason.BAD_IMAGE))
    assert rig.intake.waiting == REFUSALS + 1
    done = rig.work_off()
    assert "good" in [work.event for work in done]
    assert rig.events.tallies[OVERLOADED] == 10
    assert rig.events.balanced


def test_a_refusal_too_many_leaves_the_event_to_the_visit_that_will_answer_it():
    rig = Rig()
    rig.more.add("e1")
    rig.intake.take_frame(rig.frame("e1"))
    assert rig.intake.next(0).event == "e1"
    rig.held.add("e1")
    for number in range(REFUSALS):
        rig.intake.take_refusal(Refusal("porch", f"bad{number}", START, START, Reason.BAD_IMAGE))
    rig.intake.take_refusal(Refusal("porch", "e1", START, START, Reason.BAD_IMAGE))
    assert rig.intake.is_open("e1")
    assert not rig.events.tallies[OVERLOADED]


def test_a_full_house_refuses_another_camera_as_overloaded():
    rig = Rig(places=2)
    for camera in DOOR.cameras:
        rig.intake.take_frame(rig.frame(camera, camera=camera))
    reasons = [work.reason for work in rig.work_off() if isinstance(work, Refusal)]
    assert reasons == [Reason.OVERLOADED]
    assert rig.events.balanced


def test_an_errand_waits_in_the_place_of_its_camera():
    rig = Rig()
    rig.intake.take_errand(Errand("porch", "e1", START, START, "http://camera/picture.jpg"))
    assert isinstance(rig.work_off()[0], Errand)
    assert rig.events.balanced


def test_what_cannot_be_recorded_is_never_judged_and_still_counted():
    rig = Rig()
    rig.events.broken = True
    rig.intake.take_frame(rig.frame("e1"))
    assert rig.work_off() == []
    rig.events.broken = False
    tally = rig.intake._books.tally()
    assert tally.taken_in == 1
    assert tally.counted == {"not_recorded": 1}


def test_what_could_not_be_counted_is_counted_when_the_database_is_back():
    rig = Rig()
    books = rig.intake._books
    books.open("e1", "porch", START, "")
    rig.events.broken = True
    books.count(["e1"], SUPERSEDED)
    rig.events.broken = False
    books.catch_up()
    assert rig.events.tallies[SUPERSEDED] == 1
    assert rig.events.balanced


class Traffic(RuleBasedStateMachine):
    """Law 4: whatever comes, in = decided + counted, once nothing waits."""

    @initialize(places=st.integers(1, 3))
    def begin(self, places):
        self.rig = Rig(places)
        self.in_hand = []

    @rule(
        event=st.integers(0, 20).map("e{}".format),
        camera=st.sampled_from([*DOOR.cameras, "attic"]),
        picture=st.integers(0, 3).map(lambda n: bytes([n])),
        age=st.sampled_from([0.0, 0.0, 0.0, 9.0, -9.0]),
        more=st.booleans(),
    )
    def push(self, event, camera, picture, age, more):
        if more:
            self.rig.more.add(event)
        self.rig.intake.take_frame(self.rig.frame(event, camera, picture, age))

    @rule(event=st.integers(0, 20).map("e{}".format), camera=st.sampled_from(DOOR.cameras))
    def refuse(self, event, camera):
        self.rig.intake.take_refusal(Refusal(camera, event, START, START, Reason.BAD_IMAGE))

    @rule()
    def take(self):
        work = self.rig.intake.next(0)
        if work is not None:
            self.in_hand.append(work)

    @rule(how=st.sampled_from(["decided", "visit", "failed"]))
    def finish(self, how):
        if not self.in_hand:
            return
        work = self.in_hand.pop(0)
        named = [work.event] if how == "decided" and self.rig.intake.is_open(work.event) else []
        self.rig.held.discard(work.event)
        self.rig.events.decide(named)
        if how == "visit" and self.rig.intake.is_open(work.event):
            self.rig.held.add(work.event)
        self.rig.intake.done(work.event, named, otherwise="internal_error")

    @rule()
    def end_visits(self):
        for event in sorted(self.rig.held):
            if self.rig.intake.is_open(event):
                self.rig.events.decide([event])
                self.rig.intake.settled([event])
        self.rig.held.clear()

    @invariant()
    def nothing_is_settled_twice_and_places_are_bounded(self):
        if hasattr(self, "rig"):
            assert self.rig.intake.waiting <= 3 + REFUSALS
            settled = sum(count for name, count in self.rig.events.tallies.items() if name != "in")
            assert settled <= self.rig.events.tallies["in"]

    def teardown(self):
        if not hasattr(self, "rig"):
            return
        while self.in_hand:
            self.finish("failed")
        self.end_visits()
        self.rig.work_off()
        self.end_visits()
        self.rig.intake.abandon("stopped")
        assert self.rig.events.balanced


Traffic.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestTraffic = Traffic.TestCase


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["porch", "yard", "attic"])), max_size=60))
def test_stopping_counts_whatever_is_still_open(arrivals):
    rig = Rig()
    for number, (event, camera) in enumerate(arrivals):
        rig.intake.take_frame(rig.frame(f"e{event}", camera, bytes([number])))
    rig.intake.abandon("stopped")
    assert rig.events.balanced
    assert rig.intake.waiting == 0


def test_errands_leave_a_worker_for_frames():
    rig = Rig()
    for event, camera in (("u1", "porch"), ("u2", "yard")):
        rig.intake.take_errand(Errand(camera, event, START, START, f"http://slow/{event}.jpg"))
    rig.intake.take_frame(rig.frame("e1", "gate"))
    first = rig.intake.next(0)
    assert first.event == "u1"
    assert rig.intake.next(0).event == "e1"
    assert rig.intake.next(0) is None
    rig.intake.back(first)
    assert rig.intake.next(0).event == "u2"
