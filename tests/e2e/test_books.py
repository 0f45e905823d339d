"""Law 4 under overload, restarts of the broker, and SIGKILL: in = named in a decision + counted, nothing twice."""

import time
from collections import Counter

import pytest
from sqlalchemy import func, select

from facegate.settings import Settings
from facegate.storage.engine import reading
from facegate.storage.opening import open_storage
from facegate.storage.tables import DecisionEventRow, EventRow
from tests.e2e.household import ENROLLED, Daemon, Listener, empty_picture, picture_of, serving, varied, wait_until

ALICE = ENROLLED[0].slug


def books(folder) -> tuple[dict, Counter, int]:
    """The tally, how often each event stands in a decision, and how many events are open."""
    storage = open_storage(Settings(data_dir=folder))
    try:
        with reading(storage.engine) as connection:
            named = Counter(connection.execute(select(DecisionEventRow.event)).scalars())
            known = connection.execute(select(func.count()).select_from(EventRow)).scalar_one()
        tally = storage.events.tally()
        return {**tally, "known": known}, named, storage.events.unsettled()
    finally:
        storage.close()


def assert_balanced(folder, sent: int | None = None) -> dict:
    tally, named, unsettled = books(folder)
    assert unsettled == 0
    assert tally["in"] == tally["decided"] + sum(tally["counted"].values()), tally
    assert tally["decided"] == len(named) == sum(named.values()), "an event was named twice"
    if sent is not None:
        assert tally["in"] == sent, tally
    return tally


def flood(listener: Listener, count: int, *, pause: float = 0.0, start: int = 0) -> None:
    pictures = [picture_of(ALICE), empty_picture(), b"junk", picture_of(ENROLLED[1].slug)]
    for number in range(start, start + count):
        camera = ("porch", "yard")[number % 2]
        listener.publish(f"cameras/{camera}/image", varied(pictures[number % 4], number), event=f"f{number}")
        time.sleep(pause)


def test_overload_loses_nothing_and_the_newest_frame_is_judged(household, mosquitto):
    with serving(household, mosquitto.port) as (daemon, listener):
        flood(listener, 400)
        listener.wait_for_balance(400, 60)
        _, decided, counted = listener.balance()
        assert counted["superseded"] > 0
        assert decided > 0
        newest = listener.ask("porch", picture_of(ALICE), "newest")
        assert newest["outcome"] == "grant"
        assert newest["milliseconds"]["wait"] < 2000
        daemon.check()
    assert_balanced(household, 401)


def test_restarts_of_the_broker_lose_no_event_that_it_took(household, mosquitto):
    with serving(household, mosquitto.port) as (daemon, listener):
        flood(listener, 20, pause=0.02)
        for _ in range(2):
            mosquitto.restart()
            assert listener.wait(listener.client.is_connected, 20)
            wait_until(lambda: listener.status.get("state") == "online", 30, "the daemon's return")
            before = listener.balance()[0]
            flood(listener, 10, pause=0.02, start=1000 + before)
            assert listener.wait(lambda before=before: listener.balance()[0] >= before + 10, 30)
        decision = listener.ask("porch", picture_of(ALICE, 3), "at-the-end")
        assert decision["outcome"] == "grant"
        daemon.check()
        assert "Traceback" not in daemon.log.read_text()
    assert_balanced(household)


@pytest.mark.parametrize("moment", [0.05, 0.4])
def test_a_killed_daemon_counts_what_it_left_and_hears_what_it_missed(household, mosquitto, moment):
    with serving(household, mosquitto.port) as (daemon, listener):
        flood(listener, 30)
        time.sleep(moment)
        daemon.kill()
        flood(listener, 20, pause=0.01, start=30)  # the broker keeps these for the daemon's session
        listener.status = {}
        again = Daemon(household, mosquitto.port)
        again.start()
        try:
            assert listener.wait(lambda: listener.status.get("state") == "online", 30), again.log.read_text()
            # A message that was being taken in at the kill is delivered again, under the id that it has.
            assert listener.wait(lambda: listener.balance()[0] >= 50, 30), listener.status
            assert listener.ask("porch", picture_of(ALICE, 3), "alive")["outcome"] == "grant"
        finally:
            again.stop()
    tally = assert_balanced(household)
    assert tally["known"] == 51
    assert tally["in"] == 51 + tally["counted"].get("replayed", 0)


def test_a_decision_that_could_not_be_sent_before_it_expired_is_never_sent(household, mosquitto):
    settings = {
        "FACEGATE_GATE__AGREEING_FRAMES": "2",
        "FACEGATE_GATE__VISIT_SECONDS": "5",
        "FACEGATE_GATE__GRANT_SECONDS": "1",
    }
    with serving(household, mosquitto.port, **settings) as (_, listener):
        listener.publish("cameras/porch/image", picture_of(ALICE), event="g1")
        listener.wait(lambda: listener.balance()[0] >= 1, 10)
        mosquitto.stop()  # the visit ends while nobody can hear of it
        assert not listener.decisions, "the visit ended before the broker did"
        time.sleep(7)
        mosquitto.start()
        assert listener.wait(listener.client.is_connected, 20)
        listener.wait(lambda: listener.status.get("state") == "online", 20)
        time.sleep(1.0)
        assert not [one for one in listener.decisions if "g1" in one["events"]]
    tally = assert_balanced(household)
    assert tally["decided"] >= 1
