"""A model takes charge with everybody, or not at all; on a real database, with the shipped network under two names."""

import json
from dataclasses import replace

import pytest

from facegate.errors import NotReadyError, UnusableInputError
from facegate.settings import Settings, VerifierSection
from facegate.storage import open_storage
from facegate.storage.champions import SucceededError
from facegate.verifier.card import NETWORK
from facegate.verifier.enrollment import Enrollment
from facegate.verifier.library import DEFAULT, library_of
from facegate.verifier.succession import put_in_charge, roll_back
from facegate.vision.composites import people
from tests.fakes import START
from tests.verifier.models import a_model

ALICE, BOB = people()[:2]


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path)


@pytest.fixture
def storage(settings):
    with open_storage(settings, upgrade_empty=True) as opened:
        yield opened


@pytest.fixture
def library(settings, storage):
    return library_of(settings, storage.champions)


def enroll(settings, storage, person, number=0):
    done = Enrollment.of(settings, storage).enroll(person.slug, None, [person.picture_path(number)])
    assert done.accepted
    return done.model


def test_who_is_enrolled_stays_so_under_another_model_and_after_a_rollback(settings, storage, library):
    shipped = enroll(settings, storage, ALICE)
    other = a_model(library, "other")
    assert put_in_charge(storage, library, other) == 1
    assert enroll(settings, storage, BOB) == other.id
    model, made = roll_back(storage, library)
    assert (model.id, made) == (shipped, 1)
    assert storage.gallery.coverage(shipped).missing == storage.gallery.coverage(other.id).missing == 0
    with pytest.raises(UnusableInputError, match="No model was in charge before"):
        roll_back(storage, library)


def test_the_champion_survives_a_restart_and_is_seen_without_the_storage(settings, storage, library):
    put_in_charge(storage, library, a_model(library, "other"))
    assert library_of(settings).active() == "other"
    fixed = settings.model_copy(update={"verifier": VerifierSection(model=DEFAULT)})
    assert library_of(fixed).active() == DEFAULT


def test_looking_makes_no_database(settings):
    assert library_of(settings).active() == DEFAULT
    assert not (settings.data_dir / "facegate.db").exists()


def test_the_file_from_before_is_taken_over_once_and_left_alone(settings, storage, library):
    other, third = a_model(library, "other"), a_model(library, "third")
    file = settings.data_dir / "active.json"
    file.write_text(json.dumps({"models": [DEFAULT, "other"]}))
    put_in_charge(storage, library, third)
    assert [row.lead.name for row in storage.champions.succession()] == ["third", "other", DEFAULT]
    file.write_text(json.dumps({"models": [DEFAULT]}))
    assert library.active() == "third"
    assert roll_back(storage, library)[0].id == other.id


def test_a_rollback_passes_over_models_that_are_no_more(storage, library):
    import shutil

    gone = a_model(library, "gone")
    put_in_charge(storage, library, gone)
    put_in_charge(storage, library, a_model(library, "other"))
    shutil.rmtree(gone.folder)
    assert roll_back(storage, library)[0].card.name == DEFAULT


def test_a_broken_model_that_nobody_wants_is_in_nobodys_way(settings, storage, library):
    from facegate.verifier.finetuning.shelf import tidy_unless_busy

    put_in_charge(storage, library, a_model(library, "other"))
    broken = library.local_dir / "broken"
    broken.mkdir()
    (broken / "model.json").write_text("{")
    assert tidy_unless_busy(storage, library, settings.data_dir, START)
    assert roll_back(storage, library)[0].card.name == DEFAULT


def test_a_rollback_to_a_spoilt_model_changes_nothing(storage, library):
    spoilt = a_model(library, "spoilt")
    put_in_charge(storage, library, spoilt)
    put_in_charge(storage, library, a_model(library, "other"))
    (spoilt.folder / NETWORK).write_bytes(b"nothing")
    with pytest.raises(NotReadyError, match="was changed"):
        roll_back(storage, library)
    assert library.active() == "other"


def test_an_enrollment_under_a_champion_that_has_just_gone_is_made_under_the_new_one(settings, storage, library):
    enrollment = Enrollment.of(settings, storage)
    other = a_model(library, "other")
    put_in_charge(storage, library, other)
    done = enrollment.enroll(ALICE.slug, None, [ALICE.picture_path(0)])
    assert done.model == other.id
    assert storage.gallery.coverage(other.id).missing == 0


def test_who_cannot_renew_an_enrollment_is_told_and_nobody_is_half_enrolled(settings, storage, library):
    enrollment = replace(Enrollment.of(settings, storage), renew=None)
    put_in_charge(storage, library, a_model(library, "other"))
    with pytest.raises(SucceededError):
        enrollment.enroll(ALICE.slug, None, [ALICE.picture_path(0)])
    assert storage.users.listed() == []


def test_whoever_is_enrolled_between_looking_and_moving_is_in(settings, storage, library):
    from facegate.verifier.succession import in_one_move

    enroll(settings, storage, ALICE)
    other, tries = a_model(library, "other"), []

    def enroll_bob_once(_):
        if not tries:
            tries.append("bob")
            enroll(settings, storage, BOB)

    assert in_one_move(storage, other, lambda _: None, watch=enroll_bob_once) == 2
    assert storage.gallery.coverage(other.id).missing == 0
