import cv2
import numpy as np
import pytest

from facegate.core.frame import Box, Face
from facegate.resources import shipped
from facegate.vision.composites import people
from facegate.vision.detect import YuNetDetector
from models.detector.recipe.conditions import CONDITIONS
from models.landmarks.recipe.evaluate import WORN, error, measured, shown, the_one

POINTS = np.array([[40, 60], [90, 60], [64, 84], [45, 108], [84, 108]], np.float32)
FACE = np.concatenate([[20, 20, 90, 110], POINTS.ravel()]).astype(np.float32)


def found(box=(20, 20, 90, 110), points=POINTS):
    return Face(Box(*box), points, 0.9)


def test_an_error_is_in_per_cent_of_the_eyes_distance():
    assert error(found(), FACE) == 0
    assert error(found(points=POINTS + np.float32((3, 4))), FACE) == pytest.approx(100 * 5 / 50)


def test_the_one_is_the_face_that_covers_most_of_it_and_no_other_person():
    far, near = found((300, 20, 90, 110)), found((24, 18, 90, 110))
    assert the_one([far, near], FACE) is near
    assert the_one([far], FACE) is None
    assert the_one([], FACE) is None


@pytest.mark.parametrize("condition", [*CONDITIONS, *WORN])
def test_every_condition_leaves_the_photo_as_it_was_and_says_where_the_face_went(condition):
    photo = people()[1].picture(0)
    before = photo.copy()
    picture, there = shown(photo, FACE, condition, np.random.default_rng(2))
    assert np.array_equal(photo, before)
    assert picture.shape == photo.shape
    assert condition == "clean" or not np.array_equal(picture, photo)
    assert np.array_equal(there, FACE) == ("turned" not in condition)


def test_figures_of_photos_count_those_whose_landmarks_are_known(tmp_path):
    (face,) = YuNetDetector().detect(people()[1].picture(0))
    row = np.concatenate([[face.box.x, face.box.y, face.box.width, face.box.height], face.landmarks.ravel()])
    for name in ("a_val", "b_val"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "0.png"), people()[1].picture(0))
    np.savez(
        tmp_path / "labels.npz",
        paths=["a_val/0.png", "b_val/0.png"],
        photo=[0, 1],
        faces=np.array([row, row], np.float32),
        score=[0.9, 0.9],
        sure=[True, False],
    )
    network = shipped("models") / "landmarks" / "landmarks.onnx"
    figures = measured(tmp_path, tmp_path / "labels.npz", network, 5)
    assert list(figures) == [*CONDITIONS, *WORN]
    assert all(row["faces"] == 1 for row in figures.values())
    assert figures["clean"]["placed"] < figures["clean"]["detector"]
