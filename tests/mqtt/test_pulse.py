import threading

from facegate.mqtt.pulse import STILL_SECONDS, Pulse
from tests.e2e.neighbours import eventually


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_process_that_runs_did_not_stand_still():
    clock = Clock()
    pulse = Pulse(clock)
    for _ in range(50):
        clock.now += 0.3
        assert not pulse.stood_still
        pulse.beat()


def test_a_process_that_stood_still_says_so_before_and_for_a_while_after_its_next_beat():
    clock = Clock()
    pulse = Pulse(clock)
    clock.now += 20
    assert pulse.stood_still
    pulse.beat()
    assert pulse.stood_still
    clock.now += STILL_SECONDS / 2
    pulse.beat()
    assert pulse.stood_still
    clock.now += STILL_SECONDS / 2
    pulse.beat()
    assert not pulse.stood_still


def test_it_beats_until_it_is_to_stop():
    clock, stopping = Clock(), threading.Event()
    pulse = Pulse(clock)
    pulse.start(stopping)
    clock.now += 20
    assert eventually(lambda: pulse._woke == clock.now)
    stopping.set()
