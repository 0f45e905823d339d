"""A clock that is set back by an hour must not stop for an hour what happens every second."""

from datetime import timedelta

from facegate.daemon.beat import Beat
from tests.daemon.test_gate import Rig
from tests.fakes import START


def test_a_beat_goes_on_when_the_clock_is_set_back():
    beat = Beat(1.0, START)
    assert beat.is_due(START)
    assert not beat.is_due(START + timedelta(seconds=0.5))
    assert beat.is_due(START - timedelta(hours=1))
    assert not beat.is_due(START - timedelta(hours=1) + timedelta(seconds=0.5))


def test_a_visit_does_not_stay_open_for_an_hour_when_the_clock_is_set_back():
    rig = Rig(agreeing_frames=2)
    rig.gate.decide(rig.frame("alice 0.9"))
    rig.clock.pass_seconds(-3600)
    (ended,) = rig.gate.overdue()
    assert ended.verdict.events == ("e1",)
