"""A run from its start to its end: who leads after it, and who is known to whom."""

import numpy as np
import pytest

from facegate.errors import NotReadyError, RefusedError
from facegate.settings import VerifierSection
from facegate.verifier.finetuning import shelf
from facegate.verifier.finetuning.promotion import STEPS, Tuning
from facegate.verifier.library import DEFAULT
from facegate.verifier.removal import remove
from facegate.verifier.strangers import keep_strangers, strangers_of
from facegate.verifier.succession import roll_back
from tests.verifier.finetuning.household import ALICE, BOB, CAROL, NOW, confirm, enroll, folders
from tests.verifier.models import a_model, lesson


def test_a_promoted_challenger_leads_and_everybody_is_known_to_it(storage, library, tune, settings):
    steps = []
    run = tune(report=lambda step, _: steps.append(step))
    assert list(dict.fromkeys(steps)) == list(STEPS)
    assert (run.verdict, run.state, run.champion) == ("promoted", "finished", library.load(DEFAULT).id)
    assert library.load().id == run.challenger
    assert library.active() == f"{DEFAULT}-home{run.number}"
    assert storage.gallery.coverage(run.challenger).missing == 0
    assert storage.champions.leading().run == run.number
    assert (settings.data_dir / shelf.PICTURES / run.picture).read_bytes().startswith(b"\x89PNG")
    assert storage.runs.find(run.number) == run
    assert storage.learned.users_of(run.challenger) == [ALICE.slug, BOB.slug]
    assert library.load().calibration.model == run.challenger


def test_what_was_learnt_of_a_user_stands_for_all_of_their_photos_once(settings, storage, tune):
    enroll(settings, storage, ALICE, 1)
    confirm(storage, ALICE.slug)
    means = np.eye(384, dtype=np.float32)[:2]
    run = tune(references=means, frames_as_references=True)
    references = storage.gallery.roster(run.challenger).references
    assert references.users == (ALICE.slug, BOB.slug)
    assert np.array_equal(references.templates, means)
    assert storage.users.find(ALICE.slug).references[run.challenger] == 3
    enroll(settings, storage, BOB, 1)
    assert len(storage.gallery.roster(run.challenger).references) == 3


def test_a_kept_challenger_lies_on_the_shelf_and_the_champion_leads_on(storage, library, tune):
    run = tune("kept")
    assert run.verdict == "kept"
    assert library.active() == DEFAULT
    assert library.load(run.challenger.partition("@")[0]).id == run.challenger
    assert storage.gallery.roster(run.challenger).references.users == ()


@pytest.mark.parametrize(
    ("verdict", "learnt"), [("refused", True), ("refused", False), ("kept", False), ("promoted", False)]
)
def test_what_was_refused_or_not_learnt_leaves_a_row_and_no_folder(library, tune, verdict, learnt):
    run = tune(verdict, learnt=learnt)
    assert (run.verdict, run.challenger) == ("refused" if verdict == "refused" else "kept", None)
    assert not library.local_dir.exists()
    assert library.active() == DEFAULT


def test_a_challenger_that_the_daemon_would_not_start_on_is_kept_and_says_why(library, tune):
    run = tune(collapsed=True)
    assert run.verdict == "kept"
    assert "fails its self-test" in run.reason
    assert library.active() == DEFAULT


@pytest.mark.parametrize("measured", [True, False])
def test_galleries_are_measured_with_strangers_whether_they_were_before_or_not(settings, storage, library, measured):
    strangers = np.eye(384, dtype=np.float32)[:5]
    if measured:
        keep_strangers(settings, library.load().id, strangers)
    run = Tuning(
        storage=storage, library=library, settings=settings, learn=lesson(), strangers=lambda _: strangers
    ).run(seed=7)  # fmt: skip
    kept = strangers_of(settings, library.load())
    assert library.load().id == run.challenger
    assert kept is not None
    remove(storage, library, ALICE.slug)
    shelf.tidy_unless_busy(storage, library, settings.data_dir, NOW)
    left = [path.stem for path in (settings.data_dir / "strangers").glob("*.npz")]
    assert left == ([run.champion.rpartition("@")[2]] if measured else [])


def test_a_rollback_leads_back_and_the_next_run_starts_from_there(storage, library, tune):
    first = tune()
    model, _ = roll_back(storage, library)
    assert model.id == first.champion
    assert tune(seed=1).champion == first.champion


def test_old_models_beyond_the_bound_go_with_their_references(storage, library, tune):
    runs = [tune(seed=seed) for seed in range(3)]
    assert folders(library) == sorted(run.challenger.partition("@")[0] for run in runs[1:])
    assert storage.gallery.roster(runs[0].challenger).references.users == ()
    assert storage.shelf.models() == {run.challenger for run in runs[1:]}


def test_kept_challengers_are_bounded_too_and_an_imported_model_is_never_touched(library, tune):
    a_model(library, "imported")
    runs = [tune("kept", seed=seed) for seed in range(3)]
    assert folders(library) == sorted(["imported", runs[-1].challenger.partition("@")[0]])


def test_whoever_is_enrolled_while_the_challenger_is_made_ready_is_known_to_it(settings, storage, tune):
    come = []

    def report(step, _):
        if step == "look" and not come:
            come.append(enroll(settings, storage, CAROL))

    run = tune(report=report)
    assert storage.gallery.coverage(run.challenger).users == 3
    assert storage.gallery.coverage(run.challenger).missing == 0


@pytest.mark.parametrize("step", ["learn", "place", "look"])
def test_whoever_is_removed_meanwhile_is_in_nothing_that_was_learned(storage, library, tune, step):
    def report(now, _):
        if now == step and len(storage.users.listed()) == 2:
            remove(storage, library, BOB.slug)

    with pytest.raises(RefusedError, match="A user was removed"):
        tune(report=report)
    assert library.active() == DEFAULT
    assert folders(library) == []
    assert storage.runs.due() is not None


def test_a_champion_that_goes_with_a_removed_user_meanwhile_is_told_as_that(storage, library, tune):
    tune()

    def learn(material, folder, report):
        remove(storage, library, BOB.slug)
        return lesson()(material, folder, report)

    with pytest.raises(RefusedError, match="The champion was taken away"):
        tune(learn=learn)
    assert library.active() == DEFAULT
    assert storage.runs.due() is not None


def test_another_model_that_is_put_in_charge_meanwhile_leads_on(storage, library, tune):
    from facegate.verifier.succession import put_in_charge

    def report(step, _):
        if step == "learn" and library.active() == DEFAULT:
            put_in_charge(storage, library, a_model(library, "other"))

    with pytest.raises(RefusedError, match="Another model was put in charge"):
        tune(report=report)
    assert library.active() == "other"
    assert folders(library) == ["other"]


def test_a_second_run_at_the_same_time_is_refused(tune):
    def twice(material, folder, report):
        with pytest.raises(RefusedError, match="A fine-tune is running already"):
            tune()
        return lesson("kept", learnt=False)(material, folder, report)

    assert tune(learn=twice).verdict == "kept"


def test_a_run_is_not_made_for_nobody_nor_where_the_settings_fix_the_model(settings, storage, library, tune):
    fixed = settings.model_copy(update={"verifier": VerifierSection(model=DEFAULT)})
    with pytest.raises(NotReadyError, match=rf"verifier\.model keeps {DEFAULT} in charge"):
        tune(settings=fixed)
    for person in (ALICE, BOB):
        remove(storage, library, person.slug)
    with pytest.raises(NotReadyError, match="Nobody is enrolled"):
        tune()
    assert storage.runs.newest()[0].state == "failed"


def test_a_failure_leaves_the_champion_and_says_why_in_its_row(storage, library, tune):
    def learn(*_):
        raise NotReadyError("The champion has no cohort", "Put it back")

    with pytest.raises(NotReadyError, match="no cohort"):
        tune(learn=learn)
    assert storage.runs.newest()[0].reason == "The champion has no cohort"
    assert library.active() == DEFAULT


def test_a_challenger_has_its_own_crowd_or_none_and_never_the_champions(library, tune):
    champion = library.load(DEFAULT)
    tune(levelled=champion.levelled)
    challenger = library.load()
    assert challenger.levelled.model == challenger.id != champion.id
    assert challenger.at_doors.levelling.ordinary == champion.levelled.levelling.ordinary
    tune(seed=1)
    assert library.load().id != challenger.id
    assert library.load().levelled is None
