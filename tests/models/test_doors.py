import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.vision.composites import people
from facegate.vision.detect import YuNetDetector
from models.verifier.recipe.doors import KINDS, dark, masked, misses, together

WHO = np.array([0, 0, 1, 1])


def templates(rows):
    return [None if row is None else np.asarray(row, np.float32) for row in rows]


def told(plain, spoiled):
    return {"as it is": templates(plain), "masked": templates(spoiled), "dark": templates(spoiled)}


RIGHT = [(1, 0), (1, 0), (0, 1), (0, 1)]


def test_people_who_are_told_apart_are_not_missed():
    said = told(RIGHT, RIGHT)
    assert misses(said, "as it is", WHO) == {
        "mated": 2,
        "missed": 0,
        "fnmr_at_fmr_1e-3": 0.0,
        "failures_to_acquire": 0,
    }
    assert misses(said, "masked", WHO)["mated"] == 4  # each photo with the other's mask, both ways


def test_a_photo_without_a_face_is_missed_with_each_of_its_person():
    row = misses(told(RIGHT, [None, *RIGHT[1:]]), "masked", WHO)
    assert (row["missed"], row["failures_to_acquire"]) == (1, 1)
    row = misses(told([None, *RIGHT[1:]], [None, *RIGHT[1:]]), "masked", WHO)
    assert row["missed"] == 2


def test_a_spoiled_face_that_looks_like_a_strangers_is_missed():
    assert misses(told(RIGHT, [(0, 1), *RIGHT[1:]]), "masked", WHO)["missed"] >= 1


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=4, max_size=4), st.integers(0, 3))
def test_scores_of_two_together_are_the_mean_of_both(rows, at):
    one, other = told(rows, RIGHT), told(RIGHT, rows)
    both = together(one, other)
    for kind in KINDS:
        expected = (one[kind][0] @ one[kind][at] + other[kind][0] @ other[kind][at]) / 2
        assert both[kind][0] @ both[kind][at] == pytest.approx(expected, abs=1e-5)
    assert together(one, told([None] * 4, RIGHT))["as it is"] == [None] * 4


def test_a_mask_covers_mouth_and_nose_and_leaves_the_eyes():
    picture = people()[1].picture(0)
    (face,) = YuNetDetector().detect(picture)
    worn = masked(picture, face, np.random.default_rng(3))
    changed = np.abs(worn.astype(int) - picture).max(axis=2) > 8
    right_eye, left_eye, _, right_mouth, left_mouth = np.round(face.landmarks).astype(int)
    assert changed[right_mouth[1], right_mouth[0]]
    assert changed[left_mouth[1], left_mouth[0]]
    assert not changed[right_eye[1], right_eye[0]]
    assert not changed[left_eye[1], left_eye[0]]


def test_in_the_dark_a_picture_is_grey_and_has_a_fifth_of_its_light():
    picture = people()[1].picture(0)
    (face,) = YuNetDetector().detect(picture)
    seen = dark(picture, face, np.random.default_rng(3))
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    assert float(seen.mean()) == pytest.approx(0.2 * float(grey.mean()), rel=0.15)
    smooth = cv2.GaussianBlur(seen, (0, 0), 4).astype(int)
    assert np.abs(smooth[..., 0] - smooth[..., 2]).max() < 10
