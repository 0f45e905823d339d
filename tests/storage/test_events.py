import threading
from datetime import timedelta

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from facegate.core.decision import Reason
from facegate.errors import RefusedError
from facegate.settings import Settings
from facegate.storage import open_storage
from tests.fakes import START


def balanced(tally, unsettled):
    return tally["in"] == tally["decided"] + sum(tally["counted"].values()) + unsettled


def test_a_new_event_is_open_until_it_is_settled(storage):
    assert storage.events.open("one", "porch", START, "")
    assert storage.events.unsettled() == 1
    storage.events.count(["one"], "superseded")
    assert storage.events.unsettled() == 0
    assert storage.events.tally() == {"in": 1, "decided": 0, "counted": {"superseded": 1}}


def test_a_known_event_is_counted_as_replayed_and_not_taken_in_again(storage):
    storage.events.open("one", "porch", START, "")
    assert not storage.events.open("one", "porch", START, "")
    assert storage.events.tally() == {"in": 2, "decided": 0, "counted": {"replayed": 1}}
    assert storage.events.unsettled() == 1


def test_an_event_is_counted_once(storage):
    storage.events.open("one", "porch", START, "")
    storage.events.count(["one", "one"], "superseded")
    storage.events.count(["one"], "overloaded")
    storage.events.count(["never came in"], "overloaded")
    assert storage.events.tally()["counted"] == {"superseded": 1}


def test_a_decision_cannot_name_an_event_that_was_counted_and_then_nothing_of_it_is_kept(storage, decision):
    for event in ("one", "two"):
        storage.events.open(event, "porch", START, "")
    storage.events.count(["two"], "superseded")
    with pytest.raises(RefusedError, match="two was settled before"):
        storage.decisions.record(decision("one", "two"))
    assert storage.events.unsettled() == 1
    assert storage.decisions.newest() == []
    assert storage.events.tally() == {"in": 2, "decided": 0, "counted": {"superseded": 1}}


def test_a_decision_may_name_an_event_that_nobody_took_in_and_the_books_still_balance(storage, decision):
    storage.decisions.record(decision("unheard"))
    assert storage.events.tally() == {"in": 1, "decided": 1, "counted": {}}


@pytest.mark.parametrize("reason", ["in", "decided", ""])
def test_no_event_is_counted_under_the_name_of_another_sum(storage, reason):
    with pytest.raises(ValueError, match="no reason to count under"):
        storage.events.count(["one"], reason)


def test_a_repeated_picture_is_seen(storage):
    storage.events.open("one", "porch", START, "d" * 64)
    assert storage.events.seen("d" * 64, START - timedelta(days=1))
    assert not storage.events.seen("d" * 64, START + timedelta(seconds=1))
    assert not storage.events.seen("e" * 64, START - timedelta(days=1))


def test_what_a_former_run_left_open_is_counted_as_interrupted(storage):
    for event, camera in (("one", "porch"), ("two", "yard")):
        storage.events.open(event, camera, START, "")
    assert storage.events.recover(["yard"]) == 1
    assert storage.events.recover() == 1
    assert storage.events.recover() == 0
    assert storage.events.tally() == {"in": 2, "decided": 0, "counted": {"interrupted": 2}}


def test_forgetting_old_events_keeps_the_sums_and_the_open_ones(storage):
    for event in ("settled", "open"):
        storage.events.open(event, "porch", START, "")
    storage.events.count(["settled"], "superseded")
    assert storage.events.forget(START + timedelta(seconds=1)) == 1
    assert storage.events.unsettled() == 1
    assert storage.events.tally() == {"in": 2, "decided": 0, "counted": {"superseded": 1}}


def test_threads_that_race_settle_each_event_once(storage, decision):
    events = [f"event-{number}" for number in range(20)]
    start = threading.Barrier(4)
    refused = []

    def work(number):
        start.wait()
        for event in events:
            storage.events.open(event, "porch", START, "")
            if number % 2:
                storage.events.count([event], "superseded")
                continue
            try:
                storage.decisions.record(decision(event, id=f"{number}-{event}"))
            except RefusedError:
                refused.append(event)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally = storage.events.tally()
    assert tally["in"] == 4 * len(events)
    assert balanced(tally, storage.events.unsettled())
    assert len(storage.decisions.newest()) + len(refused) == 2 * len(events)
    assert tally["decided"] == len(storage.decisions.newest())


class Accounting(RuleBasedStateMachine):
    """Law 4 under any order of arrivals, repetitions, decisions, counts, forgetting and restarts."""

    events = st.sampled_from([f"event-{number}" for number in range(6)])

    def __init__(self):
        super().__init__()
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.settings = Settings(data_dir=Path(self.folder.name))
        self.storage = open_storage(self.settings, upgrade_empty=True)
        self.came_in = 0
        self.settled = {}
        self.made = 0

    def teardown(self):
        self.storage.close()
        self.folder.cleanup()

    @rule(event=events)
    def take_in(self, event):
        is_new = self.storage.events.open(event, "porch", START, "")
        assert is_new == (event not in self.settled)
        self.came_in += 1
        if is_new:
            self.settled[event] = None

    @rule(events=st.lists(events, max_size=3), reason=st.sampled_from(["superseded", "overloaded"]))
    def count(self, events, reason):
        self.storage.events.count(events, reason)
        for event in events:
            if event in self.settled and self.settled[event] is None:
                self.settled[event] = reason

    @rule(events=st.lists(events, max_size=3), reason=st.sampled_from([Reason.MATCH, Reason.NO_MATCH]))
    def decide(self, events, reason):
        from tests.storage.decisions import a_decision

        possible = all(self.settled.get(event) is None for event in events)
        self.made += 1
        try:
            self.storage.decisions.record(a_decision(*events, reason=reason, id=f"decision-{self.made}"))
        except RefusedError:
            assert not possible
            return
        assert possible
        for event in events:
            if event not in self.settled:
                self.came_in += 1
            self.settled[event] = "decided"

    @rule()
    def restart(self):
        self.storage.close()
        self.storage = open_storage(self.settings)
        left_open = [event for event, settled in self.settled.items() if settled is None]
        assert self.storage.events.recover() == len(left_open)
        self.settled |= dict.fromkeys(left_open, "interrupted")

    @invariant()
    def in_is_named_and_counted_and_open(self):
        tally = self.storage.events.tally()
        assert tally["in"] == self.came_in
        assert balanced(tally, self.storage.events.unsettled())
        assert tally["decided"] == sum(settled == "decided" for settled in self.settled.values())


TestAccounting = Accounting.TestCase
TestAccounting.settings = hypothesis_settings(max_examples=15, stateful_step_count=20, deadline=None)
