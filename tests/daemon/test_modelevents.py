import json
from datetime import timedelta

import pytest

from facegate.daemon.modelevents import MAX_UNTOLD, ModelEvents
from facegate.settings import Settings
from facegate.storage import open_storage
from facegate.storage.runs import Outcome
from tests.fakes import START


class Broker:
    def __init__(self) -> None:
        self.told: list[dict[str, object]] = []
        self.away = False

    def publish(self, text: str) -> bool:
        if not self.away:
            self.told.append(json.loads(text))
        return not self.away


@pytest.fixture
def runs(tmp_path):
    with open_storage(Settings(data_dir=tmp_path / "data"), upgrade_empty=True) as opened:
        yield opened.runs


def a_run(runs, verdict="kept"):
    run = runs.start(trigger="order", champion="twins@0123456789ab", seed=1, now=START)
    if verdict == "failed":
        return runs.fail(run.number, "The run was interrupted", START)
    return runs.finish(run.number, Outcome(verdict, "because"), START + timedelta(seconds=2))


def test_a_run_is_told_once_from_its_row_when_it_has_ended(runs):
    a_run(runs)  # before this daemon: told by the one before
    broker = Broker()
    model_events = ModelEvents(broker.publish, runs)
    started = runs.start(trigger="order", champion="twins@0123456789ab", seed=1, now=START)
    model_events.tell_again()
    assert broker.told == []
    runs.finish(started.number, Outcome("promoted", "FNMR falls"), START)
    model_events.tell_again()
    model_events.tell_again()
    assert [(told["run"], told["verdict"], told["reason"]) for told in broker.told] == [
        (started.number, "promoted", "FNMR falls")
    ]


def test_a_run_that_was_on_when_the_daemon_started_is_told(runs):
    broker = Broker()
    started = runs.start(trigger="command", champion="twins@0123456789ab", seed=1, now=START)
    model_events = ModelEvents(broker.publish, runs)
    runs.finish(started.number, Outcome("kept", "because"), START)
    model_events.tell_again()
    assert [told["run"] for told in broker.told] == [started.number]


def test_a_run_that_failed_is_refused(runs):
    broker = Broker()
    model_events = ModelEvents(broker.publish, runs)
    a_run(runs, "failed")
    model_events.tell_again()
    assert (broker.told[0]["verdict"], broker.told[0]["state"]) == ("refused", "failed")


def test_a_broker_that_is_away_only_delays_what_is_told(runs):
    broker = Broker()
    model_events = ModelEvents(broker.publish, runs)
    broker.away = True
    numbers = [a_run(runs).number for _ in range(3)]
    for number in range(MAX_UNTOLD + 5):
        model_events.tell({"verdict": "refused", "number": number})
    model_events.tell_again()
    assert broker.told == []
    broker.away = False
    model_events.tell_again()
    assert [told["number"] for told in broker.told if "number" in told] == list(range(5, MAX_UNTOLD + 5))
    assert [told["run"] for told in broker.told if "run" in told] == numbers
