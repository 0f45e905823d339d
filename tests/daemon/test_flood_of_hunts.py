"""Many hunts at once: the loop that answers them stays free, and a decision names no more events than it may."""

from facegate.core.visits import MAX_EVENTS
from facegate.daemon.hunting import MAX_FAILED, Hunting
from tests.daemon.test_workers import Rig
from tests.fakes import START


def test_a_flood_of_hunts_that_cannot_begin_does_not_hold_the_loop():
    rig = Rig()
    hunting = Hunting(
        gate=rig.gate,
        intake=rig.intake,
        prey_of=lambda _: None,
        decided=rig.told.append,
        hunt_seconds=30,
        clock=rig.clock,
    )
    for number in range(1000):
        hunting.begin(f"h{number}", "porch", START)
    hunting.settle_failures()
    assert len(rig.told) <= MAX_FAILED
    assert max(len(decision.events) for decision in rig.told) <= MAX_EVENTS
    assert rig.events.tallies["overloaded"] >= 1000 - MAX_FAILED
    assert rig.events.balanced
