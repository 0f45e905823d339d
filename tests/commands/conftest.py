"""Commands as an operator calls them, in a data folder of their own."""

import json

import pytest

from facegate.commands.main import run
from facegate.core.decision import Reason
from facegate.settings import load_settings
from facegate.storage import open_storage
from facegate.storage.photos import Enrollee
from tests.fakes import START
from tests.storage.decisions import MODEL, a_decision
from tests.storage.photos import a_photo


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    for name in ("FACEGATE_CONFIG", "FACEGATE_DATABASE__URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEGATE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def gate(data_dir):  # noqa: ARG001 - it lies there
    """A database with two users, a door and two decisions."""
    with open_storage(load_settings(), upgrade_empty=True) as storage:
        storage.photos.enroll(Enrollee("alice", "Alice A.", ("staff",)), [a_photo(0)], model=MODEL, now=START)
        storage.photos.enroll(Enrollee("bob"), [a_photo(1)], model=MODEL, now=START)
        storage.decisions.record(storage.signer.sign(a_decision("event-1", id="decision-1")))
        storage.decisions.record(a_decision("event-2", id="decision-2", reason=Reason.NO_MATCH, user=None))
        yield storage


@pytest.fixture
def call(data_dir, capsys):  # noqa: ARG001
    """Run a command; returns its exit code, stdout and stderr."""

    def call(*words):
        code = run(list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def answer(call):
    """Run a command with `--json`; returns the document."""

    def answer(*words):
        code, out, err = call(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return answer
