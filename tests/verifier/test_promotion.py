"""A run from its start to its end, on a real database with the shipped network; only the learning is a nudge."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from facegate.core.decision import Reason
from facegate.errors import NotReadyError, RefusedError
from facegate.settings import FinetuneSection, Settings, VerifierSection
from facegate.storage import open_storage
from facegate.storage.frames import DecisionFrame
from facegate.verifier import shelf
from facegate.verifier.enrollment import Enrollment
from facegate.verifier.library import DEFAULT, library_of
from facegate.verifier.promotion import STEPS, Tuning
from facegate.verifier.removal import remove
from facegate.verifier.shadowing import conclude
from facegate.verifier.strangers import keep_strangers, strangers_of
from facegate.verifier.succession import roll_back
from facegate.vision.composites import people
from tests.storage.decisions import a_decision
from tests.verifier.models import a_model, lesson

ALICE, BOB, CAROL = sorted(people()[:3], key=lambda person: person.slug)
NOW = datetime.now(UTC)


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path, finetune=FinetuneSection(keep=1))


@pytest.fixture
def storage(settings):
    with open_storage(settings, upgrade_empty=True) as opened:
        enroll(settings, opened, ALICE)
        enroll(settings, opened, BOB)
        yield opened


@pytest.fixture
def library(settings, storage):
    return library_of(settings, storage.champions)


@pytest.fixture
def tune(settings, storage, library):
    """Make a run; what is not given is a promotion."""

    def run(verdict="promoted", *, report=None, learn=None, settings=settings, **changes):
        tuning = Tuning(
            storage=storage,
            library=library,
            settings=settings,
            learn=learn or lesson(verdict, **changes),
            report=report or (lambda *_: None),
        )
        return tuning.run(seed=7)

    return run


def enroll(settings, storage, person, number=0):
    assert Enrollment.of(settings, storage).enroll(person.slug, None, [person.picture_path(number)]).accepted


def folders(library):
    return sorted(path.name for path in library.local_dir.iterdir())


def confirm(storage, slug, user=None, *, word="confirmed", reason=Reason.MATCH):
    """Record a decision on a face that is kept, and speak on it; return the decision's id."""
    photo = next(iter(storage.photos.of_user(slug)))
    named = slug if reason is Reason.MATCH else None
    decision = a_decision(f"e-{slug}-{word}-{user}-{reason}", user=named, reason=reason)
    storage.decisions.record(decision)
    storage.frames.keep(DecisionFrame(decision.id, slug, "porch", NOW, photo.crop), most=10)
    storage.decisions.speak(decision.id, word, NOW, user)
    return decision.id


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
    means = np.eye(256, dtype=np.float32)[:2]
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
def test_galleries_are_measured_with_strangers_as_they_were_under_the_champion(settings, storage, library, measured):
    strangers = np.eye(256, dtype=np.float32)[:5]
    if measured:
        keep_strangers(settings, library.load().id, strangers)
    run = Tuning(
        storage=storage, library=library, settings=settings, learn=lesson(), strangers=lambda _: strangers
    ).run(seed=7)  # fmt: skip
    kept = strangers_of(settings, library.load())
    assert library.load().id == run.challenger
    assert (kept is not None) == measured
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


# --- confirmed faces ------------------------------------------------------------------------------------------------


def test_confirmed_faces_are_gathered_with_what_was_said_of_them(storage, tune):
    seen = []

    def learn(material, folder, report):
        seen.append(material)
        return lesson("kept", learnt=False)(material, folder, report)

    confirm(storage, ALICE.slug)
    confirm(storage, BOB.slug, word="denied")
    confirm(storage, BOB.slug, ALICE.slug, word="denied")
    confirm(storage, ALICE.slug, reason=Reason.NO_MATCH)
    confirm(storage, ALICE.slug, reason=Reason.OUTSIDE_HOURS, word="denied")
    tune(learn=learn)
    (material,) = seen
    assert material.users == (ALICE.slug, BOB.slug)
    assert sorted(zip(material.frame_owners.tolist(), material.frame_refused.tolist(), strict=True)) == [
        (-1, -1), (-1, 1), (0, -1), (0, 1),
    ]  # fmt: skip
    assert material.frames.shape == (4, 144, 144, 3)
    assert material.photos.shape == (2, 144, 144, 3)
    assert material.photo_owners.tolist() == [0, 1]
    # A face that is stored once as a photo and once as a decision's frame gives the same crop.
    assert any(np.array_equal(material.photos[0], frame) for frame in material.frames)


@pytest.mark.parametrize(
    "take_back",
    [
        lambda storage, decision: storage.decisions.speak(decision, "denied", NOW),
        lambda storage, decision: storage.frames.drop(decision),
    ],
)
def test_confirmed_faces_become_references_where_the_judge_says_so(storage, library, tune, take_back):
    decision = confirm(storage, ALICE.slug)
    run = tune(frames_as_references=True)
    assert {photo.origin for photo in storage.photos.listed(ALICE.slug)} == {"enrolled", "confirmed"}
    model, _ = roll_back(storage, library)
    assert len(storage.gallery.roster(model.id).references) == 2
    storage.decisions.speak(decision, "confirmed", NOW)
    assert storage.runs.due() is None
    take_back(storage, decision)
    assert len(storage.gallery.roster(run.challenger).references) == 2
    assert storage.runs.due().trigger == "correction"


def test_a_word_that_is_taken_back_meanwhile_stops_the_run(storage, library, tune):
    decision = confirm(storage, ALICE.slug)

    def report(step, _):
        if step == "place":
            storage.decisions.speak(decision, "denied", NOW)

    with pytest.raises(RefusedError, match="a word taken back"):
        tune(report=report, frames_as_references=True)
    assert library.active() == DEFAULT


def test_a_face_that_is_deleted_meanwhile_comes_back_as_no_photo(storage, tune):
    decision = confirm(storage, ALICE.slug)

    def report(step, _):
        if step == "place":
            storage.frames.drop(decision)

    with pytest.raises(RefusedError, match="a word taken back"):
        tune(report=report, frames_as_references=True)
    assert {photo.origin for photo in storage.photos.listed(ALICE.slug)} == {"enrolled"}


def test_a_confirmed_face_that_was_left_out_is_no_photo_of_anybody(storage, tune):
    def learn(material, folder, report):
        used = material.frame_owners == 1
        return lesson(frames_as_references=True, frames_used=used)(material, folder, report)

    confirm(storage, ALICE.slug)
    confirm(storage, BOB.slug)
    assert tune(learn=learn).verdict == "promoted"
    assert [photo.origin for photo in storage.photos.listed(ALICE.slug)] == ["enrolled"]
    assert [photo.origin for photo in storage.photos.listed(BOB.slug)] == ["enrolled", "confirmed"]


def test_a_face_that_is_a_photo_by_a_run_before_is_told_apart(storage, tune):
    seen = []

    def learn(material, folder, report):
        seen.append(dict(zip(material.frame_owners.tolist(), material.frame_stored.tolist(), strict=True)))
        return lesson(frames_as_references=True, seed=len(seen))(material, folder, report)

    confirm(storage, BOB.slug)
    tune(learn=learn)
    confirm(storage, ALICE.slug)
    tune(learn=learn)
    assert seen == [{1: False}, {0: False, 1: True}]


# --- removal --------------------------------------------------------------------------------------------------------


def test_a_removed_user_takes_along_what_was_learned_and_the_others_stay_known(storage, library, tune):
    runs = [tune(seed=seed) for seed in range(2)]
    removed = remove(storage, library, BOB.slug)
    assert set(removed.unlearned) == {run.challenger for run in runs}
    assert removed.heir == library.load(DEFAULT).id
    assert library.active() == DEFAULT
    assert folders(library) == []
    roster = storage.gallery.roster(removed.heir)
    assert roster.references.users == (ALICE.slug,)
    for run in runs:
        assert storage.gallery.roster(run.challenger).references.users == ()
        assert storage.learned.users_of(run.challenger) == []
    assert storage.runs.due().trigger == "removal"
    assert tune().trigger == "removal"


def test_the_newest_model_that_never_saw_the_user_takes_over(settings, storage, library, tune):
    first = tune()
    enroll(settings, storage, CAROL)
    second = tune(seed=1)
    removed = remove(storage, library, CAROL.slug)
    assert removed.unlearned == (second.challenger,)
    assert library.load().id == first.challenger
    assert storage.gallery.coverage(first.challenger).missing == 0


def test_a_learned_model_on_the_shelf_goes_too_and_the_champion_leads_on(storage, library, tune):
    run = tune("kept")
    removed = remove(storage, library, BOB.slug)
    assert (removed.unlearned, removed.heir) == ((run.challenger,), None)
    assert folders(library) == []


def test_a_user_is_removed_from_what_was_learned_even_if_the_key_is_lost(settings, storage, library, tune):
    tune()
    settings.vault_key.unlink()
    storage.vault.reload()
    assert remove(storage, library, BOB.slug).heir == library.load(DEFAULT).id
    remove(storage, library, ALICE.slug)
    enroll(settings, storage, CAROL)
    assert storage.gallery.coverage(library.load().id).missing == 0


def test_nobody_is_removed_past_what_was_learned_from_them(storage, tune):
    run = tune()
    with pytest.raises(RefusedError, match=f"{run.challenger} learned from {BOB.slug}"):
        storage.users.remove(BOB.slug)
    assert len(storage.users.listed()) == 2


def test_what_a_champion_learned_before_counts_as_learned_by_those_that_follow(storage, tune):
    tune()
    second = tune(seed=1)
    assert storage.learned.models_of(BOB.slug) >= {second.challenger}


# --- shadow ---------------------------------------------------------------------------------------------------------


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


# --- cleaning up ----------------------------------------------------------------------------------------------------


def test_what_a_dead_run_left_goes_and_nothing_else(settings, storage, library, tune):
    import shutil

    kept = tune("kept")
    folder = library.folder(kept.challenger.partition("@")[0])
    for name in (f".draft-{DEFAULT}-home9", f".gone-{DEFAULT}-home8", f"{DEFAULT}-home7"):
        shutil.copytree(folder, library.local_dir / name)
    a_model(library, "imported")
    left = storage.runs.start(trigger="schedule", champion=kept.champion, seed=1, now=NOW)
    assert shelf.tidy_unless_busy(storage, library, settings.data_dir, NOW)
    assert folders(library) == sorted(["imported", folder.name])
    assert storage.runs.find(left.number).state == "failed"
    with shelf.alone(settings.data_dir, storage.engine):
        assert not shelf.tidy_unless_busy(storage, library, settings.data_dir, NOW)


def test_pictures_are_bounded(tmp_path):
    folder = tmp_path / shelf.PICTURES
    folder.mkdir()
    for number in range(1, 60):
        (folder / f"{number}.png").touch()
    shelf.trim_pictures(tmp_path)
    assert sorted(int(path.stem) for path in folder.iterdir()) == list(range(10, 60))


def test_a_challenger_is_never_written_over_a_model(library, tune):
    a_model(library, f"{DEFAULT}-home1")
    with pytest.raises(NotReadyError, match="cannot be written"):
        tune()
    assert replace(library.load(f"{DEFAULT}-home1").card, files={}).name == f"{DEFAULT}-home1"
