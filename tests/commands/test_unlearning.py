"""What was learned from a user is told, exported, backed up and erased with them; a model is really there."""

import json
import shutil

import pytest

from facegate.settings import load_settings
from facegate.storage import open_storage
from facegate.storage.frames import DecisionFrame
from facegate.verifier.finetuning.promotion import Tuning
from facegate.verifier.library import DEFAULT, library_of
from facegate.vision.composites import people
from tests.fakes import START
from tests.storage.decisions import a_decision
from tests.verifier.models import lesson

ALICE, BOB = sorted(people()[:2], key=lambda person: person.slug)


@pytest.fixture
def learned(call):
    """Two users, a confirmed face of one, and a champion that was learned from both; returns its id."""
    for person in (ALICE, BOB):
        assert call("enroll", person.slug, str(person.picture_path(0)))[0] == 0
    settings = load_settings()
    with open_storage(settings) as storage:
        decision = a_decision("event-1", id="decision-1", user=ALICE.slug)
        storage.decisions.record(decision)
        crop = storage.photos.of_user(ALICE.slug)[0].crop
        storage.frames.keep(DecisionFrame(decision.id, ALICE.slug, "porch", START, crop), most=10)
        storage.decisions.speak(decision.id, "confirmed", START)
        library = library_of(settings, storage.champions)
        learn = lesson(frames_as_references=True)
        return Tuning(storage=storage, library=library, settings=settings, learn=learn).run(seed=1).challenger


def test_a_learned_model_is_listed_with_where_it_is_from(answer, learned):
    listed = {model["model"]: model for model in answer("models", "list")}
    assert listed[learned]["active"] is True
    assert listed[learned]["start"].startswith(f"fine-tuned from {DEFAULT}@")
    assert answer("models", "show")["figures"] == {"before": {"fnmr": 0.2}, "after": {"fnmr": 0.1}}


def test_an_export_holds_the_faces_of_decisions_and_what_was_learned(answer, learned, tmp_path):
    answer("users", "export", ALICE.slug)
    document = json.loads((tmp_path / f"{ALICE.slug}.json").read_text())
    assert [frame["decision"] for frame in document["frames"]] == ["decision-1"]
    assert document["learned_by"] == [learned]
    assert [photo["origin"] for photo in document["photos"]] == ["enrolled", "confirmed"]


def test_a_removed_user_takes_the_learned_model_along(answer, learned, data_dir):
    receipt = answer("users", "remove", ALICE.slug)
    shipped = answer("models", "show")["model"]
    assert (receipt["models_unlearned"], receipt["in_charge_instead"]) == ([learned], shipped)
    assert list((data_dir / "models").iterdir()) == []
    assert answer("users", "show", BOB.slug)["references"] == {shipped: 1}
    assert answer("finetune", "--list")[0]["trigger"] == "removal"


def test_a_backup_brings_back_what_was_learned_and_a_missing_model_is_told(answer, call, learned, data_dir, tmp_path):
    answer("db", "backup", "then.db")
    assert call("models", "rollback")[0] == 0
    answer("db", "restore", "then.db")
    assert answer("models", "show")["model"] == learned
    shutil.move(data_dir / "models" / learned.partition("@")[0], tmp_path / "elsewhere")
    code, _, err = call("db", "restore", "then.db")
    assert code == 0
    assert "is not in" in err
    assert call("models", "show")[0] == 3
    assert call("models", "rollback")[0] == 0
    assert answer("models", "show")["model"].startswith(f"{DEFAULT}@")
