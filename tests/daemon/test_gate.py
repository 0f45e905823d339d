import contextlib
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import pytest

from facegate.core.calibration import calibrate, unmeasured
from facegate.core.comparison import References, nobody
from facegate.core.decision import Outcome, Reason
from facegate.core.frame import Frame
from facegate.core.policy import EVERYONE, Door, Mode, Permission, User
from facegate.core.ports import Roster
from facegate.core.sighting import Sighting
from facegate.daemon.engine import Engine
from facegate.daemon.gate import Gate, UndecidedError, as_told
from facegate.daemon.work import Refusal
from facegate.settings import GateSection
from facegate.verifier.gallery import Measure
from tests.fakes import START, MemoryDecisions, MemoryEvents, MemoryPublisher, PlainSigner, StandingClock

MODEL = "twin@0123456789ab"
SCORES = np.linspace(-0.4, 0.4, 100_000)
CALIBRATION = calibrate(model=MODEL, source="a line", people=100, mated=SCORES + 0.6, non_mated=SCORES)
FRONT = Door("front", "Front", ("porch",), permissions=(Permission(EVERYONE),))


@dataclass
class ScriptedVerifier:
    """A `FrameVerifier` that says what the frame's bytes say: a user, a score, or a flaw."""

    def sight(self, frame: Frame, roster: Roster) -> Sighting:
        word, _, number = frame.picture.decode().partition(" ")
        seen = Sighting(
            camera=frame.camera,
            event=frame.event,
            captured_at=frame.captured_at,
            received_at=frame.received_at,
            digest=frame.digest,
            model=MODEL,
            hunted=frame.hunted,
        )
        if word in set(Reason):
            return replace(seen, flaw=Reason(word))
        return replace(seen, faces=1, user=word, score=float(number), runner_up=0.0)


@dataclass
class StandingGallery:
    """A `RosterSource` that never changes."""

    roster: Roster = field(
        default_factory=lambda: Measure()(Roster(1, nobody(MODEL), {"alice": User("alice", "Alice")}, {"front": FRONT}))
    )

    def refresh(self) -> bool:
        return False


class Rig:
    def __init__(self, doors: dict[str, Door] | None = None, **settings) -> None:
        self.clock = StandingClock()
        self.events = MemoryEvents()
        self.decisions = MemoryDecisions(self.events)
        self.publisher = MemoryPublisher(self.decisions)
        self.gallery = StandingGallery()
        if doors is not None:
            self.gallery.roster = replace(self.gallery.roster, doors=doors)
        self.gate = Gate(
            engine=Engine(MODEL, ScriptedVerifier(), CALIBRATION, self.gallery),
            settings=GateSection(**settings),
            decisions=self.decisions,
            signer=PlainSigner(),
            publisher=self.publisher,
            clock=self.clock,
            entropy=bytes,
        )

    def frame(self, says: str, event: str = "e1", **changes) -> Frame:
        now = self.clock.now()
        self.events.open(event, "porch", now, "")
        return Frame(**({
            "camera": "porch", "event": event, "captured_at": now, "received_at": now, "picture": says.encode(),
            "digest": f"{says} {event}",
        } | changes))  # fmt: skip


def test_one_frame_of_somebody_enrolled_is_granted_recorded_and_then_published():
    rig = Rig()
    decision = rig.gate.decide(rig.frame("alice 0.9"))
    assert decision.outcome is Outcome.GRANT
    assert decision.user == "alice"
    assert decision.jws == "signed"
    assert rig.publisher.sent == [(decision, 1)]  # one decision stood in the log when it went out
    assert rig.events.balanced


@pytest.mark.parametrize("word", ["no_face", "low_quality", "bad_image", "internal_error"])
def test_a_frame_with_a_flaw_is_denied_with_it(word):
    rig = Rig()
    assert rig.gate.decide(rig.frame(word)).reason is Reason(word)
    assert rig.events.balanced


def test_a_stranger_is_denied_and_not_named():
    rig = Rig()
    decision = rig.gate.decide(rig.frame("alice 0.1"))
    assert decision.reason is Reason.NO_MATCH
    assert decision.user is None
    assert decision.score == 0.1


def test_what_cannot_be_recorded_is_never_published():
    rig = Rig()
    rig.decisions.broken = True
    with pytest.raises(UndecidedError) as raised:
        rig.gate.decide(rig.frame("alice 0.9"))
    assert raised.value.events == ("e1",)
    assert rig.publisher.sent == []


def test_policy_has_the_last_word():
    rig = Rig(doors={"front": replace(FRONT, mode=Mode.LOCKDOWN)})
    decision = rig.gate.decide(rig.frame("alice 0.9"))
    assert decision.reason is Reason.LOCKDOWN
    assert decision.user == "alice"


def test_a_user_who_is_gone_from_the_roster_does_not_pass():
    rig = Rig()
    assert rig.gate.decide(rig.frame("mallory 0.9")).reason is Reason.NOT_PERMITTED


def test_a_target_that_the_counts_do_not_support_disarms_the_door():
    rig = Rig(target_fmr=1e-9)
    decision = rig.gate.decide(rig.frame("alice 0.9"))
    assert decision.reason is Reason.NOT_ARMED
    assert decision.threshold is None


def test_two_agreeing_frames_are_one_decision_that_answers_both_events():
    rig = Rig(agreeing_frames=2)
    assert rig.gate.decide(rig.frame("alice 0.9", "e1")) is None
    decision = rig.gate.decide(rig.frame("alice 0.8", "e2"))
    assert decision.events == ("e1", "e2")
    assert decision.outcome is Outcome.GRANT
    assert rig.events.balanced


def test_a_visit_that_waits_in_vain_is_denied_when_its_time_is_up():
    rig = Rig(agreeing_frames=2)
    rig.gate.decide(rig.frame("alice 0.9"))
    rig.clock.pass_seconds(9.9)
    assert rig.gate.overdue() == []
    rig.clock.pass_seconds(0.2)
    (ended,) = rig.gate.overdue()
    decision = rig.gate.conclude(ended)
    assert decision.reason is Reason.NO_MATCH
    assert rig.events.balanced


def test_a_hunt_that_saw_nobody_is_denied_at_its_end():
    rig = Rig()
    rig.events.open("f1", "porch", START, "")
    assert rig.gate.begin_hunt("f1", "porch")
    assert rig.gate.decide(rig.frame("no_face", "f1", hunted=True)) is None
    decision = rig.gate.end_hunt("f1", "porch")
    assert decision.reason is Reason.NO_FACE
    assert decision.events == ("f1",)


def test_a_hunt_that_could_not_pull_says_why():
    rig = Rig()
    rig.events.open("f1", "porch", START, "")
    rig.gate.begin_hunt("f1", "porch")
    decision = rig.gate.end_hunt("f1", "porch", "go2rtc has no stream porch")
    assert decision.reason is Reason.IMAGE_UNREACHABLE
    assert decision.detail == "go2rtc has no stream porch"


def test_a_hunted_match_settles_the_event_and_its_later_end_decides_nothing():
    rig = Rig()
    rig.events.open("f1", "porch", START, "")
    rig.gate.begin_hunt("f1", "porch")
    assert rig.gate.decide(rig.frame("alice 0.9", "f1", hunted=True)).outcome is Outcome.GRANT
    assert rig.gate.end_hunt("f1", "porch") is None
    assert len(rig.publisher.sent) == 1


def test_a_refusal_is_a_decision_like_any_other():
    rig = Rig()
    rig.events.open("e1", "porch", START, "")
    decision = rig.gate.refuse(Refusal("porch", "e1", START, START, Reason.TOO_OLD, "frame 9.0 s > 5 s"))
    assert decision.reason is Reason.TOO_OLD
    assert decision.detail == "frame 9.0 s > 5 s"
    assert rig.events.balanced


def test_a_camera_without_a_door_decides_nothing():
    rig = Rig(doors={})
    assert rig.gate.decide(rig.frame("alice 0.9")) is None
    assert rig.gate.refuse(Refusal("porch", "e1", START, START, Reason.TOO_OLD)) is None
    assert not rig.gate.begin_hunt("e2", "porch")


def test_no_decision_rests_on_two_networks():
    rig = Rig(agreeing_frames=2)
    rig.gate.decide(rig.frame("alice 0.9", "e1"))
    rig.gate.engine = replace(rig.gate.engine, model="twin@ffffffffffff")
    assert rig.gate.decide(rig.frame("alice 0.8", "e2")).reason is Reason.INTERNAL_ERROR


def test_a_frame_that_grew_old_on_the_way_is_not_granted():
    rig = Rig()
    frame = rig.frame("alice 0.9", captured_at=START - timedelta(seconds=6))
    assert rig.gate.decide(frame).reason is Reason.TOO_OLD


@pytest.mark.parametrize(("how", "user"), [("slug", "alice"), ("name", "Alice"), ("none", None)])
def test_messages_tell_the_user_as_the_settings_say_and_the_log_keeps_the_slug(how, user):
    rig = Rig(user_in_messages=how)
    rig.gate.decide(rig.frame("alice 0.9"))
    assert rig.publisher.sent[0][0].user == user
    assert rig.decisions.kept[0].user == "alice"
    assert as_told(rig.decisions.kept[0], how, "Alice") == rig.publisher.sent[0][0]


def hunted_frame(rig: Rig, says: str, number: int) -> Frame:
    now = rig.clock.now()
    return Frame("porch", "h1", now, now, says.encode(), f"{says} {number}", hunted=True)


def test_a_frame_that_was_still_being_judged_when_its_visit_ended_opens_no_other():
    rig = Rig(visit_seconds=2)
    rig.events.open("h1", "porch", rig.clock.now(), "")
    assert rig.gate.begin_hunt("h1", "porch")
    assert rig.gate.decide(hunted_frame(rig, "alice 0.1", 1)) is None
    rig.clock.pass_seconds(2)
    (ended,) = rig.gate.overdue()
    assert rig.gate.decide(hunted_frame(rig, "alice 0.9", 2)) is None
    assert rig.gate.conclude(ended).reason is Reason.NO_MATCH
    assert rig.gate.decide(hunted_frame(rig, "alice 0.9", 3)) is None
    rig.clock.pass_seconds(60)
    assert rig.gate.overdue() == []
    assert rig.events.balanced


@pytest.mark.parametrize("broken", [False, True])
def test_a_visit_that_ended_holds_its_events_until_it_is_answered(broken):
    rig = Rig(visit_seconds=2)
    rig.events.open("h1", "porch", rig.clock.now(), "")
    rig.gate.begin_hunt("h1", "porch")
    rig.gate.decide(hunted_frame(rig, "alice 0.1", 1))
    rig.clock.pass_seconds(2)
    (ended,) = rig.gate.overdue()
    assert rig.gate.open_visits.holds("h1")
    rig.decisions.broken = broken
    with pytest.raises(UndecidedError) if broken else contextlib.nullcontext():
        rig.gate.conclude(ended)
    assert not rig.gate.open_visits.holds("h1")


def test_a_visit_whose_door_went_away_holds_nothing():
    rig = Rig(visit_seconds=2)
    rig.gate.begin_hunt("h1", "porch")
    rig.gallery.roster = replace(rig.gallery.roster, doors={})
    rig.clock.pass_seconds(60)
    (ended,) = rig.gate.overdue()
    assert rig.gate.conclude(ended) is None
    assert not rig.gate.open_visits.holds("h1")


def test_a_frame_that_cannot_be_judged_leaves_its_event_to_the_visit_that_holds_it():
    rig = Rig(agreeing_frames=2, visit_seconds=2)
    assert rig.gate.decide(rig.frame("alice 0.9")) is None
    now = rig.clock.now()
    assert rig.gate.refuse(Refusal("porch", "e1", now, now, Reason.TOO_OLD)) is None
    rig.clock.pass_seconds(2)
    (ended,) = rig.gate.overdue()
    assert rig.gate.conclude(ended).events == ("e1",)
    assert rig.events.balanced


def test_nobody_is_granted_on_a_roster_that_may_be_old():
    rig = Rig()
    rig.gate.confirm_roster()
    rig.clock.pass_seconds(4)
    assert rig.gate.decide(rig.frame("alice 0.9", "e1")).outcome is Outcome.GRANT
    rig.clock.pass_seconds(4)
    decision = rig.gate.decide(rig.frame("alice 0.9", "e2"))
    assert (decision.reason, decision.detail) == (Reason.INTERNAL_ERROR, "the gallery cannot be read")
    assert rig.gate.decide(rig.frame("alice 0.1", "e3")).reason is Reason.NO_MATCH
    rig.gate.confirm_roster()
    assert rig.gate.decide(rig.frame("alice 0.9", "e4")).outcome is Outcome.GRANT


def test_the_witness_is_shown_what_a_decision_rests_on_only_after_it_was_published():
    rig = Rig()
    shown = []

    class Onlooker:
        def see(self, decision, sighting, *, lone) -> None:
            shown.append((decision, sighting.score, lone, len(rig.publisher.sent)))

    rig.gate._witness = Onlooker()
    decision = rig.gate.decide(rig.frame("alice 0.9"))
    assert shown == [(decision, 0.9, True, 1)]


def test_a_gallery_that_was_not_measured_arms_no_door_and_the_decision_says_so():
    rig = Rig()
    grown = References(MODEL, np.eye(2, 64, dtype=np.float32), np.arange(2), ("alice", "bob"))
    rig.gallery.roster = replace(rig.gallery.roster, references=grown)
    decision = rig.gate.decide(rig.frame("alice 0.99"))
    assert (decision.reason, decision.threshold) == (Reason.NOT_ARMED, None)
    assert decision.detail.startswith("stale calibration")
    rig.gallery.roster = Measure()(rig.gallery.roster)
    assert rig.gate.decide(rig.frame("alice 0.99", "e2")).reason is Reason.MATCH


def test_a_network_that_was_never_calibrated_arms_no_door():
    rig = Rig()
    rig.gate.engine = replace(rig.gate.engine, calibration=unmeasured(MODEL))
    assert rig.gate.decide(rig.frame("alice 0.99")).detail == "this network was never calibrated"


def test_twins_need_more_than_the_door_and_the_decision_tells_their_own_threshold():
    rig = Rig()
    twins = np.zeros((2, 64), np.float32)
    twins[:, 0], twins[0, 1], twins[1, 2] = 0.9, np.sqrt(0.19), np.sqrt(0.19)
    references = References(MODEL, twins, np.arange(2), ("alice", "bob"))
    rig.gallery.roster = Measure()(replace(rig.gallery.roster, references=references))
    decision = rig.gate.decide(rig.frame("alice 0.8"))
    assert decision.reason is Reason.NO_MATCH
    assert decision.detail == "another user is too alike (0.810)"
    assert decision.threshold == pytest.approx(0.86)
    assert rig.gate.decide(rig.frame("alice 0.87", "e2")).reason is Reason.MATCH


def test_frames_of_a_hunt_need_more_than_a_picture_that_is_pushed():
    rig = Rig(frames_per_visit=10)
    front = rig.gate.door_of("porch")
    lone = rig.gate.engine.threshold(front, rig.gallery.roster, 1e-3)
    many = rig.gate.engine.threshold(front, rig.gallery.roster, 1e-3, 10)
    assert many > lone
    between = (lone + many) / 2
    assert rig.gate.decide(rig.frame(f"alice {between}")).reason is Reason.MATCH
    rig.gate.begin_hunt("e2", "porch")
    assert rig.gate.decide(rig.frame(f"alice {between}", "e2", hunted=True)) is None
    decision = rig.gate.decide(rig.frame(f"alice {many}", "e2", hunted=True))
    assert (decision.reason, decision.threshold) == (Reason.MATCH, many)


def test_a_visit_ends_sooner_where_so_many_frames_would_be_too_many_tries():
    """100,000 strangers support an FMR of 3e-5: 33 tries for one visit in a thousand, 16 frames against two users."""
    rig = Rig(frames_per_visit=100)
    references = References(MODEL, np.eye(2, 64, dtype=np.float32), np.arange(2), ("alice", "bob"))
    rig.gallery.roster = Measure()(replace(rig.gallery.roster, references=references))
    rig.gate.begin_hunt("e1", "porch")
    for number in range(1, 100):
        decision = rig.gate.decide(rig.frame("alice 0.1", "e1", hunted=True, digest=str(number)))
        if decision is not None:
            break
    assert (number, decision.reason, decision.frames) == (16, Reason.NO_MATCH, 16)
    rig.gate.begin_hunt("e2", "porch")
    assert rig.gate.decide(rig.frame("alice 0.99", "e2", hunted=True)).reason is Reason.MATCH
