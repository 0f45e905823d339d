"""Learning beside the gate, from outside: a real daemon on a real mosquitto, its real child."""

import json
import time
from pathlib import Path

import pytest

from facegate.settings import Settings
from facegate.storage.opening import open_storage
from tests.e2e.household import ENROLLED, Daemon, Listener, picture_of, serving, varied, wait_until

ALICE = ENROLLED[0].slug


#: A run takes some ten seconds of one core; a machine that does much else beside gives it few.
LEARNING_SECONDS = 300
pytestmark = pytest.mark.timeout(LEARNING_SECONDS + 120)


def models_events(listener: Listener) -> list[dict[str, object]]:
    return [json.loads(one.payload) for one in listener.messages if one.topic == "facegate/models/event"]


def children_of(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except FileNotFoundError:
            continue
    return found


def ordered(daemon: Daemon, listener: Listener) -> int:
    """Order a fine-tune and return the process id of the child once it is there."""
    listener.publish("models/command", "finetune")
    wait_until(lambda: children_of(daemon.pid), 20, "the child")
    return children_of(daemon.pid)[0]


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_fine_tune_ordered_over_mqtt_is_told_and_decisions_flow_meanwhile(household, mosquitto):
    with serving(household, mosquitto.port) as (daemon, listener):
        ordered(daemon, listener)
        number = 0
        deadline = time.monotonic() + LEARNING_SECONDS
        while not models_events(listener):
            assert time.monotonic() < deadline, daemon.log.read_text()
            decision = listener.ask("porch", varied(picture_of(ALICE), number), f"while-{number}")
            assert decision["outcome"] == "grant"
            assert "libtorch" not in Path(f"/proc/{daemon.pid}/maps").read_text()
            number += 1
        (event,) = models_events(listener)
        assert event["verdict"] in {"promoted", "kept", "refused"}
        assert event["reason"]
        assert (event["trigger"], event["state"]) == ("order", "finished")
        listener.wait_for_balance(number)
        assert number > 1
    with open_storage(Settings(data_dir=household)) as storage:
        (run,) = storage.runs.newest()
        assert (run.number, run.verdict) == (event["run"], event["verdict"])


def test_sigterm_in_the_middle_of_a_fine_tune_ends_both_soon(household, mosquitto):
    with serving(household, mosquitto.port) as (daemon, listener):
        child = ordered(daemon, listener)
        stopped = daemon.stop()
        assert stopped.code == 0
        assert stopped.seconds < 5
        wait_until(lambda: is_gone(child), what="the end of the child")
        assert "Traceback" not in daemon.log.read_text()


def test_a_child_does_not_outlive_a_daemon_that_is_killed_and_the_next_run_is_made(household, mosquitto):
    with serving(household, mosquitto.port) as (daemon, listener):
        child = ordered(daemon, listener)
        daemon.kill()
        wait_until(lambda: is_gone(child), what="the end of the child")
    with serving(household, mosquitto.port) as (daemon, listener):
        listener.online()
        assert listener.ask("porch", picture_of(ALICE), "after")["outcome"] == "grant"
        listener.publish("models/command", "finetune")
        assert listener.wait(lambda: any(one.get("run") for one in models_events(listener)), LEARNING_SECONDS)


def test_a_retained_order_begins_nothing(household, mosquitto):
    first = Listener(mosquitto.port)
    first.publish("models/command", "finetune", retain=True)
    assert first.wait(lambda: any(one.topic == "facegate/models/command" for one in first.messages))
    first.close()
    with serving(household, mosquitto.port) as (daemon, listener):
        listener.publish("models/command", "rollback")  # orders are carried out in turn: this one's answer is the first
        assert listener.wait(lambda: models_events(listener), 20)
        assert [one["reason"] for one in models_events(listener)] == ["No model was in charge before this one"]
        assert children_of(daemon.pid) == []
        assert "fine-tuning begins" not in daemon.log.read_text()
    with open_storage(Settings(data_dir=household)) as storage:
        assert storage.runs.newest() == []


def test_a_second_order_is_refused_while_a_run_is_on(household, mosquitto):
    with serving(household, mosquitto.port) as (daemon, listener):
        ordered(daemon, listener)
        listener.publish("models/command", "finetune")
        assert listener.wait(lambda: models_events(listener), 20)
        assert models_events(listener)[0]["reason"] == "a fine-tune is running already"


def test_faces_and_views_are_kept_by_the_daemon_and_wait_for_a_word(household, mosquitto):
    with serving(household, mosquitto.port) as (_, listener):
        granted = listener.ask("porch", picture_of(ALICE), "known")["decision"]
        with open_storage(Settings(data_dir=household)) as storage:
            wait_until(lambda: storage.frames.has(granted), what="the kept face")
            assert storage.frames.find(granted).user == ALICE
    with open_storage(Settings(data_dir=household)) as storage:  # at its end the daemon wrote what it had measured
        assert [(view.camera, view.statistics["faces"]) for view in storage.views.listed()] == [("porch", 1.0)]
