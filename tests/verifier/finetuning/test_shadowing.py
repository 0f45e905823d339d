"""A challenger in the shadow, until its verdict."""

import pytest

from facegate.errors import NotReadyError, RefusedError
from facegate.settings import FinetuneSection
from facegate.verifier.finetuning.shadowing import conclude
from facegate.verifier.library import DEFAULT
from facegate.verifier.removal import remove
from tests.verifier.finetuning.household import ALICE, BOB, CAROL, NOW, confirm, enroll


@pytest.fixture
def in_shadow(settings, tune):
    return tune(settings=settings.model_copy(update={"finetune": FinetuneSection(keep=1, shadow=True)}))


def test_a_challenger_in_the_shadow_knows_everybody_and_decides_nothing(storage, library, tune, in_shadow):
    assert (in_shadow.state, in_shadow.verdict, in_shadow.to_json()["verdict"]) == ("shadow", None, "kept")
    assert library.active() == DEFAULT
    assert storage.gallery.coverage(in_shadow.challenger).missing == 0
    assert storage.runs.in_shadow() == in_shadow
    with pytest.raises(NotReadyError, match="is in the shadow"):
        tune()


@pytest.mark.parametrize("promote", [True, False])
def test_a_shadow_ends_with_a_verdict(settings, storage, library, in_shadow, promote):
    enroll(settings, storage, CAROL)
    done = conclude(
        storage, library, settings, in_shadow, promote=promote, reason="50 visits", live={"visits": 50}
    )  # fmt: skip
    assert done.verdict == ("promoted" if promote else "kept")
    assert done.after == {"fnmr": 0.1, "live": {"visits": 50}}
    assert library.load().id == (in_shadow.challenger if promote else in_shadow.champion)
    assert storage.gallery.coverage(library.load().id).missing == 0
    with pytest.raises(RefusedError, match="not in the shadow any more"):
        conclude(storage, library, settings, in_shadow, promote=False, reason="again")


def test_a_shadow_of_who_was_removed_has_failed(storage, library, in_shadow):
    remove(storage, library, BOB.slug)
    assert storage.runs.find(in_shadow.number).state == "failed"
    assert storage.runs.in_shadow() is None


def test_a_challenger_in_the_shadow_goes_with_the_word_that_it_learned_from(settings, storage, library, tune):
    decision = confirm(storage, ALICE.slug)
    shadow = settings.model_copy(update={"finetune": FinetuneSection(keep=1, shadow=True)})
    run = tune(settings=shadow, frames_as_references=True)
    storage.decisions.speak(decision, "denied", NOW)
    assert storage.runs.find(run.number).state == "failed"
    with pytest.raises(RefusedError, match="not in the shadow any more"):
        conclude(storage, library, settings, run, promote=True, reason="50 visits")
    assert storage.runs.due().trigger == "correction"
