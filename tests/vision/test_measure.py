import cv2
import numpy as np
import pytest

from facegate.core.frame import Box, Face
from facegate.core.quality import DOOR, ENROLLMENT, shortcoming
from facegate.vision.align import ALIGNMENT, align
from facegate.vision.composites import people
from facegate.vision.measure import measure, pose

LEVEL = np.array([(0, 0), (60, 0), (30, 33.6), (8, 60), (52, 60)], np.float32)
"""A head that looks into the camera: nose in the middle, at 0.56 of the way from the eyes to the mouth."""


@pytest.fixture(scope="module")
def faces(detector):
    return [(picture := person.picture(0), detector.detect(picture)[0]) for person in people()]


def quality_of(picture, face):
    return measure(picture, face, align(picture, face.landmarks))


def test_every_composite_may_enrol(faces):
    for picture, face in faces:
        assert shortcoming(quality_of(picture, face), ENROLLMENT) is None


@pytest.mark.parametrize("sigma", [5, 7])
def test_a_strongly_blurred_face_may_not_enrol(faces, sigma):
    for picture, face in faces:
        blurred = cv2.GaussianBlur(picture, (0, 0), sigma * face.box.width / 112)
        short = shortcoming(quality_of(blurred, face), ENROLLMENT)
        assert short is not None
        assert short.measure in {"sharpness", "contrast"}


def test_noise_makes_no_blurred_face_sharp(faces):
    rng = np.random.default_rng(1)
    for picture, face in faces:
        blurred = cv2.GaussianBlur(picture, (0, 0), 5 * face.box.width / 112)
        noisy = np.clip(blurred + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
        assert shortcoming(quality_of(noisy, face), ENROLLMENT) is not None


@pytest.mark.parametrize("limits", [ENROLLMENT, DOOR], ids=["enrollment", "door"])
def test_a_nearly_black_or_blown_out_face_is_refused_everywhere(faces, limits):
    for picture, face in faces:
        for spoiled in ((picture * 0.06).astype(np.uint8), np.clip(picture + 230.0, 0, 255).astype(np.uint8)):
            assert shortcoming(quality_of(spoiled, face), limits) is not None


def test_an_enlarged_small_face_reads_as_blurred(faces):
    for picture, face in faces:
        small = cv2.resize(picture, None, fx=24 / 160, fy=24 / 160, interpolation=cv2.INTER_AREA)
        enlarged = cv2.resize(small, (480, 480), interpolation=cv2.INTER_LINEAR)
        assert quality_of(enlarged, face).sharpness < 0.5 * quality_of(picture, face).sharpness


def test_blur_only_ever_lowers_sharpness(faces):
    picture, face = faces[0]
    values = [quality_of(cv2.GaussianBlur(picture, (0, 0), s), face).sharpness for s in (0.5, 1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)


def test_the_black_beyond_the_picture_is_no_sharp_edge(faces):
    picture, face = faces[0]
    blurred = cv2.GaussianBlur(picture, (0, 0), 10)
    left = int(face.box.x + 0.2 * face.box.width)
    shifted = Face(face.box, face.landmarks - np.float32((left, 0)), face.score)
    assert quality_of(blurred[:, left:], shifted).sharpness < ENROLLMENT.sharpness


def test_size_is_the_shorter_side_of_the_box():
    face = Face(Box(0, 0, 90, 120), np.asarray(ALIGNMENT.points, np.float32), 0.9)
    assert quality_of(np.zeros((200, 200, 3), np.uint8), face).size == 90


def test_an_even_grey_face_has_its_brightness_and_no_contrast():
    face = Face(Box(0, 0, 90, 120), np.asarray(ALIGNMENT.points, np.float32), 0.9)
    quality = quality_of(np.full((200, 200, 3), 99, np.uint8), face)
    assert (quality.brightness, quality.contrast, quality.sharpness) == pytest.approx((99, 0, 0), abs=1e-6)


def test_a_level_head_has_no_angle():
    assert np.allclose(pose(LEVEL), 0, atol=0.1)


@pytest.mark.parametrize("angle", [-70, -20, 15, 60])
def test_turning_the_picture_changes_roll_alone(angle):
    radians = np.radians(angle)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    yaw, pitch, roll = pose((LEVEL @ turn.T).astype(np.float32))
    assert roll == pytest.approx(angle, abs=0.1)
    assert (yaw, pitch) == pytest.approx((0, 0), abs=0.2)


def test_a_nose_to_the_pictures_right_is_a_head_turned_to_the_subjects_left():
    turned = LEVEL + np.float32([(0, 0), (0, 0), (12, 0), (0, 0), (0, 0)])
    assert pose(turned)[0] > 10
    assert pose(turned * (-1, 1) + (60, 0))[0] != pytest.approx(pose(turned)[0])


def test_a_nose_near_the_eyes_is_a_head_that_looks_up():
    assert pose(LEVEL - np.float32([(0, 0), (0, 0), (0, 10), (0, 0), (0, 0)]))[1] > 5
    assert pose(LEVEL + np.float32([(0, 0), (0, 0), (0, 10), (0, 0), (0, 0)]))[1] < -5


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_landmarks_that_are_no_face_have_no_pose_and_so_never_pass(points):
    assert np.isnan(pose(points.astype(np.float32))).any()
