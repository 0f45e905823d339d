"""Confirmed faces: what a run gathers of them, and when they become photos."""

import numpy as np
import pytest

from facegate.core.decision import Reason
from facegate.errors import RefusedError
from facegate.verifier.library import DEFAULT
from facegate.verifier.succession import roll_back
from tests.verifier.finetuning.household import ALICE, BOB, NOW, confirm
from tests.verifier.models import lesson


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
    assert material.frames.shape == (4, 160, 160, 3)
    assert material.photos.shape == (2, 160, 160, 3)
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
