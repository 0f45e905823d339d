"""Enrolling people who do not exist, with the shipped detector and network."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from facegate.core.arming import measured
from facegate.errors import UnusableInputError
from facegate.settings import Settings
from facegate.storage import open_storage
from facegate.verifier.enrollment import Enrollment
from facegate.verifier.library import library_of
from facegate.verifier.portrait import Picture
from facegate.verifier.references import missing_templates
from facegate.vision.composites import people

ALICE, BOB, *_ = people()


def encoded(pixels, suffix=".png"):
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.fixture(scope="module")
def loaded():
    """Detector and network, loaded once; only the storage changes from test to test."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        with open_storage(settings, upgrade_empty=True) as storage:
            yield Enrollment.of(settings, storage)


@pytest.fixture
def enrollment(loaded, tmp_path):
    from dataclasses import replace

    with open_storage(Settings(data_dir=tmp_path), upgrade_empty=True) as storage:
        yield replace(loaded, storage=storage)


def references(enrollment):
    return enrollment.storage.gallery.roster(enrollment.extractor.model).references


def test_one_photo_is_enough(enrollment):
    result = enrollment.enroll("alice", "Alice", [ALICE.picture_path(0)], groups=["staff"])
    assert result.is_new
    assert (len(result.accepted), result.known, result.refused) == (1, (), ())
    assert references(enrollment).users == ("alice",)
    assert enrollment.storage.users.find("alice").user.groups == {"everyone", "staff"}


def test_the_good_photos_of_a_call_are_enrolled_and_the_others_listed_with_what_was_found(enrollment):
    plain = ALICE.picture(0)
    two = np.hstack([plain, BOB.picture(0)])
    photos = [
        Picture("good.png", encoded(plain)),
        Picture("two.png", encoded(two)),
        Picture("nobody.png", encoded(np.full((300, 480, 3), 90, np.uint8))),
        Picture("dark.png", encoded((plain * 0.06).astype(np.uint8))),
        Picture("blurred.png", encoded(cv2.GaussianBlur(plain, (0, 0), 7))),
        Picture("text.jpg", b"This is not a picture."),
        Picture("cut.png", encoded(plain)[:900]),
    ]
    result = enrollment.enroll("alice", None, photos)
    assert [photo.photo for photo in result.accepted] == ["good.png"]
    told = {photo.photo: photo.what for photo in result.refused}
    assert set(told) == {"two.png", "nobody.png", "dark.png", "blurred.png", "text.jpg", "cut.png"}
    assert told["two.png"] == "2 faces were found"
    assert told["nobody.png"] == "No face was found in 480 x 300 pixels"
    assert len(references(enrollment)) == 1


def test_a_photo_of_somebody_else_is_refused_with_both_scores(enrollment):
    enrollment.enroll("alice", None, [ALICE.picture_path(0)])
    enrollment.enroll("bob", None, [BOB.picture_path(0)])
    (refused,) = enrollment.enroll("alice", None, [BOB.picture_path(2)]).refused
    assert refused.what.startswith("It looks like bob: score 0.")
    assert "with their own photos" in refused.what
    assert len(references(enrollment)) == 2


def test_who_would_be_named_at_a_door_is_not_enrolled_for_another(enrollment):
    model = library_of(Settings(data_dir=Path("/nowhere"))).load()
    enrollment.enroll("bob", None, [BOB.picture_path(0)])
    roster = enrollment.storage.gallery.roster(model.id)
    rise = measured(roster.references, model.at_doors).rises["bob"]
    asked = model.at_doors.gallery_threshold(enrollment.target_fmr, 1) + rise
    assert asked < model.calibration.gallery_threshold(enrollment.target_fmr, 1)  # of two photos nobody is a reference
    (refused,) = enrollment.enroll("alice", None, [BOB.picture_path(2)]).refused
    assert f"(a door opens at {asked:.2f})" in refused.what


def test_photos_of_one_call_do_not_vouch_for_one_another(enrollment):
    enrollment.enroll("bob", None, [BOB.picture_path(0)])
    result = enrollment.enroll("alice", None, [BOB.picture_path(1), BOB.picture_path(2)])
    assert len(result.refused) == 2
    assert [person.user.slug for person in enrollment.storage.users.listed()] == ["bob"]


def test_force_enrolls_what_looks_like_another_and_says_so(enrollment):
    enrollment.enroll("bob", None, [BOB.picture_path(0)])
    result = enrollment.enroll("twin", None, [BOB.picture_path(1)], force_quality=True)
    assert "enrolled although it looks like bob" in result.warnings[0]


def test_the_same_file_is_passed_over_and_the_same_picture_saved_again_is_told(enrollment):
    photo = ALICE.picture_path(0)
    enrollment.enroll("alice", None, [photo])
    again = enrollment.enroll("alice", None, [photo, Picture("copy.jpg", encoded(ALICE.picture(0), ".jpg"))])
    assert again.known == (str(photo),)
    assert "nearly the same as a photo that is enrolled" in again.warnings[0]


def test_a_file_that_is_given_twice_is_enrolled_once_and_said_to_be(enrollment):
    photo = ALICE.picture_path(0)
    result = enrollment.enroll("alice", None, [photo, photo])
    assert [one.photo for one in result.accepted] == [str(photo)]
    assert result.known == (str(photo),)
    assert len(references(enrollment)) == 1


def test_the_odd_one_out_is_told(enrollment):
    enrollment.enroll("alice", None, [ALICE.picture_path(0), ALICE.picture_path(1)])
    result = enrollment.enroll("alice", None, [BOB.picture_path(0)])
    assert "far from the user's other photos" in result.warnings[0]


def test_replacing_needs_a_photo_that_passes(enrollment):
    enrollment.enroll("alice", None, [ALICE.picture_path(0), ALICE.picture_path(1)])
    enrollment.enroll("alice", None, [Picture("text.jpg", b"no picture")], replace=True)
    assert len(references(enrollment)) == 2
    assert enrollment.enroll("alice", None, [ALICE.picture_path(2)], replace=True).replaced == 2
    assert len(references(enrollment)) == 1


@pytest.mark.parametrize(
    ("slug", "photos", "groups", "message"),
    [
        ("Alice", [ALICE.picture_path(0)], [], "cannot name a user"),
        ("alice", [], [], "No photo was given"),
        ("alice", [ALICE.picture_path(0)], ["Staff"], "cannot name a group"),
        ("alice", [ALICE.picture_path(0)], ["everyone"], "Every user is in"),
    ],
)
def test_what_cannot_be_used_is_told_and_nobody_is_enrolled(enrollment, slug, photos, groups, message):
    with pytest.raises(UnusableInputError, match=message):
        enrollment.enroll(slug, None, photos, groups=groups)
    assert enrollment.storage.users.listed() == []


def test_an_unreadable_file_is_listed(enrollment, tmp_path):
    result = enrollment.enroll("alice", None, [tmp_path / "gone.jpg", tmp_path])
    assert ["cannot be read" in photo.what for photo in result.refused] == [True, True]


def test_references_are_made_anew_from_what_is_kept(enrollment, tmp_path):
    photos = [ALICE.picture_path(number) for number in range(3)]
    enrollment.enroll("alice", None, photos)
    before = references(enrollment).templates.copy()
    from sqlalchemy import delete

    from facegate.storage.engine import writing
    from facegate.storage.revision import bump
    from facegate.storage.tables import ReferenceRow

    with writing(enrollment.storage.engine) as connection:
        bump(connection)
        connection.execute(delete(ReferenceRow))
    model = library_of(Settings(data_dir=tmp_path)).load()
    storage = enrollment.storage
    assert storage.photos.add_references(missing_templates(storage, model), model=model.id) == 3
    assert missing_templates(storage, model) == {}
    assert np.einsum("ij,ij->i", before, references(enrollment).templates).min() > 0.999
