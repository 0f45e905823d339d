import json
from datetime import timedelta
from types import SimpleNamespace

import pytest

from facegate.core.decision import Reason
from facegate.daemon.chores import Chores
from facegate.settings import Settings
from facegate.storage import audit, open_storage
from facegate.storage.photos import Enrollee
from facegate.verifier.library import DEFAULT
from tests.daemon.test_gate import Rig
from tests.fakes import START, StandingClock
from tests.storage.decisions import MODEL, a_decision
from tests.storage.photos import a_photo


class Runs:
    """A `Learning` that only writes down what asked for a run."""

    def __init__(self) -> None:
        self.causes: list[str] = []

    def run(self, cause: str) -> None:
        self.causes.append(cause)

    def run_if(self, due) -> None:
        if cause := due():
            self.causes.append(cause)


@pytest.fixture
def storage(tmp_path):
    with open_storage(Settings(data_dir=tmp_path / "data"), upgrade_empty=True) as opened:
        opened.photos.enroll(Enrollee("alice"), [a_photo(0)], model=MODEL, now=START)
        yield opened


def chores_of(storage, sent=None, **settings):
    runs = Runs()
    rig = Rig()
    nothing = SimpleNamespace(catch_up=lambda: None, judge=lambda: None)
    chores = Chores(
        settings=Settings(**settings),
        storage=storage,
        engine=lambda: rig.gate.engine,
        books=nothing,
        shadow=nothing,
        learning=runs,
        clock=StandingClock(),
        send=([] if sent is None else sent).append,
    )
    return chores, runs


def test_the_table_has_a_job_for_the_night_only_if_there_is_a_schedule(storage):
    def triggers(**settings):
        return {job.name: job.trigger for job in chores_of(storage, **settings)[0].jobs()}

    assert triggers()["finetune"] is not None
    assert triggers(finetune={"schedule": ""})["finetune"] is None
    assert set(triggers()) == {"retention", "checkpoint", "drift", "catch_up", "shadow", "finetune_due", "finetune"}


def test_it_learns_at_the_hour_and_when_enough_photos_are_new(storage):
    chores, runs = chores_of(storage, finetune={"after_enrollments": 1})
    chores.learn()
    chores.learn_if_due()
    assert runs.causes == ["schedule", "enrollments"]


def test_it_learns_nothing_by_itself_while_the_settings_name_the_model(storage):
    chores, runs = chores_of(storage, finetune={"after_enrollments": 1}, verifier={"model": DEFAULT})
    chores.learn()
    chores.learn_if_due()
    assert runs.causes == []


def test_the_chains_head_is_sent_out_signed(storage):
    sent = []
    chores_of(storage, sent)[0].send_checkpoint()
    (head,) = map(json.loads, sent)
    assert audit.missed(storage.engine, storage.signer, head, START) is None


def test_drift_is_named_in_the_log(storage, caplog):
    for ago, score in [(60 - at, 0.8) for at in range(30)] + [(25 - at, 0.6) for at in range(25)]:
        moment = START - timedelta(days=ago)
        storage.decisions.record(a_decision(f"e{ago}", score=score, decided_at=moment, reason=Reason.MATCH))
    chores_of(storage)[0].watch_drift()
    assert "drift: alice: scores sink from 0.80 (30 days) to 0.60 (the last 25)" in caplog.text
