"""Whatever dies at whatever moment of a fine-tune: one whole champion leads, all are known, nothing is left over."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from facegate.settings import FinetuneSection, Settings
from facegate.storage import open_storage
from facegate.verifier.finetuning import shelf
from facegate.verifier.library import DEFAULT, library_of
from tests.e2e.household import ENROLLED, picture_of, serving, varied, wait_until

MORTAL = Path(__file__).with_name("mortal.py")
ROOT = MORTAL.parents[2]
ALICE = ENROLLED[0].slug

#: Before the commit the old champion leads, after it the new one; there is no third.
BEFORE = [("gather", 0), ("learn", 0), ("draw", 0), ("write", 0), ("place", 0), ("look", 0), ("look", 1), ("move", 0)]
AFTER = [("move", 1), ("tidy", 0)]


def run_mortal(folder, *words):
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FACEGATE_")}
    environment = inherited | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(MORTAL), str(folder), *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def kill(daemon, listener):
    """Kill the daemon and wait for its last will."""
    daemon.kill()
    assert listener.wait(lambda: listener.status["state"] == "offline", 10)


def check_whole(folder, *, leads):
    """Clean up as the next start does, and look whether anything is half."""
    settings = Settings(data_dir=folder, finetune=FinetuneSection(keep=1))
    with open_storage(settings) as storage:
        library = library_of(settings, storage.champions)
        assert shelf.tidy_unless_busy(storage, library, folder, datetime.now(UTC))
        model = library.load()  # every file is checked against its digest
        assert model.card.name == leads
        coverage = storage.gallery.coverage(model.id)
        assert (coverage.users, coverage.missing) == (len(ENROLLED), 0)
        kept = {model.partition("@")[0] for model in storage.shelf.models()}
        local = library.local_dir
        assert {path.name for path in local.iterdir()} == kept if local.is_dir() else not kept
        assert {run.state for run in storage.runs.newest()} <= {"finished", "failed"}
        known = {card.id for card in library.cards()}
        made = {model for person in storage.users.listed() for model in person.references}
        assert made <= known, "references of a model that is no more"


@pytest.mark.parametrize(("step", "share"), BEFORE)
def test_killed_before_the_move_the_old_champion_leads(household, step, share):
    assert run_mortal(household, step, share).returncode == -signal.SIGKILL
    check_whole(household, leads=DEFAULT)


def test_killed_after_the_move_the_new_champion_leads_and_the_oldest_goes(household):
    for _ in range(2):
        assert run_mortal(household).stdout == "promoted\n"
    for number, (step, share) in enumerate(AFTER, 3):
        assert run_mortal(household, step, share).returncode == -signal.SIGKILL
        check_whole(household, leads=f"{DEFAULT}-home{number}")
        assert not (household / "models" / f"{DEFAULT}-home{number - 2}").exists()


def test_a_command_that_is_killed_takes_its_child_along(household):
    """The command itself, with everything that it loads; its child works, and it is the child that must not go on."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FACEGATE_")}
    environment = inherited | {"FACEGATE_DATA_DIR": str(household)}
    with (
        subprocess.Popen([sys.executable, "-m", "facegate", "finetune"], env=environment, cwd=ROOT) as command,
        open_storage(Settings(data_dir=household)) as storage,
    ):
        wait_until(lambda: [run.state for run in storage.runs.newest()] == ["running"], 60, "the run")
        command.kill()
        command.wait()
        library = library_of(Settings(data_dir=household), storage.champions)
        now = datetime.now(UTC)
        wait_until(lambda: shelf.tidy_unless_busy(storage, library, household, now), 20, "the child's end")
    check_whole(household, leads=DEFAULT)
    with open_storage(Settings(data_dir=household)) as storage:
        assert [run.state for run in storage.runs.newest()] == ["failed"]


def test_on_a_full_disk_the_champion_leads_on_and_the_next_run_is_as_good_as_ever(household):
    ended = run_mortal(household, "--full", 4_000_000)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == "facegate: What was learned cannot be written: File too large. Free some space.\n"
    assert list((household / "models").iterdir()) == []  # what was begun does not keep the disk full
    check_whole(household, leads=DEFAULT)
    assert run_mortal(household).stdout == "promoted\n"
    check_whole(household, leads=f"{DEFAULT}-home2")


def test_decisions_flow_while_models_take_charge_and_one_dies(household, mosquitto):
    """Promoted twice, killed once, rolled back once, in traffic; each decision is of one whole model, and a grant."""
    from facegate.verifier.succession import roll_back

    def renew():
        run_mortal(household)
        run_mortal(household, "move", 0)
        run_mortal(household)
        settings = Settings(data_dir=household)
        with open_storage(settings) as storage:
            roll_back(storage, library_of(settings, storage.champions))

    with serving(household, mosquitto.port) as (_, listener):
        renewing = threading.Thread(target=renew)
        renewing.start()
        decisions, number = [], 0
        while renewing.is_alive() or not decisions:
            number += 1
            decisions.append(listener.ask("porch", varied(picture_of(ALICE), number), f"e{number}"))
        renewing.join()
        deadline = time.monotonic() + 20  # the daemon may be loading the model that was just rolled back
        while not decisions[-1]["model"].startswith(f"{DEFAULT}-home1@") and time.monotonic() < deadline:
            number += 1
            decisions.append(listener.ask("porch", varied(picture_of(ALICE), number), f"e{number}"))
        listener.wait_for_balance(number)
    assert {decision["reason"] for decision in decisions} == {"match"}
    assert {decision["user"] for decision in decisions} == {ALICE}
    led = [decision["model"].partition("@")[0] for decision in decisions]
    assert (led[0], led[-1]) == (DEFAULT, f"{DEFAULT}-home1")
    assert set(led) <= {DEFAULT, f"{DEFAULT}-home1", f"{DEFAULT}-home3"}
    check_whole(household, leads=f"{DEFAULT}-home1")


def test_a_killed_daemon_starts_again_on_the_champion_of_that_moment_and_cleans_up(household, mosquitto):
    left = household / "models" / f"{DEFAULT}-home1"
    with serving(household, mosquitto.port) as (daemon, listener):
        listener.ask("porch", picture_of(ALICE), "e0")
        kill(daemon, listener)
        assert run_mortal(household, "look", 0).returncode == -signal.SIGKILL
        assert left.exists()
        daemon.start()
        listener.online()
        assert listener.ask("porch", varied(picture_of(ALICE), 1), "e1")["model"].startswith(f"{DEFAULT}@")
        assert not left.exists()
        assert run_mortal(household).stdout == "promoted\n"
        kill(daemon, listener)
        daemon.start()
        listener.online()
        decision = listener.ask("porch", varied(picture_of(ALICE), 2), "e2")
        assert (decision["user"], decision["model"].partition("@")[0]) == (ALICE, f"{DEFAULT}-home2")
    check_whole(household, leads=f"{DEFAULT}-home2")
