from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegate.core.frame import Box, Face
from facegate.errors import NotReadyError
from facegate.vision.composites import people
from facegate.vision.landmarks import AT_A_TIME, NEAR, LandmarkPlacer, evened, towards_near

EYES = 73.0  # pixels between the eyes of a composite


@pytest.fixture(scope="module")
def placer():
    return LandmarkPlacer()


@pytest.fixture(scope="module")
def face(detector, portrait):
    (only,) = detector.detect(portrait)
    return only


@pytest.fixture(scope="module")
def looks(detector, placer):
    """Who finds faces, and who places their landmarks."""
    return detector, placer


@pytest.fixture(scope="module")
def looked_at(placer, portrait, face):
    """Who looks, at what picture, at which face."""
    return placer, portrait, face


def off(face, truth):
    """Mean distance from the true landmarks, in distances of the eyes."""
    return float(np.hypot(*(face.landmarks - truth.landmarks).T).mean()) / EYES


def moved(face, angle=0.0, size=1.0, shift=(0.0, 0.0)):
    """A face whose landmarks are turned (radians) and scaled about their middle, and shifted (pixels)."""
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = face.landmarks.mean(0)
    landmarks = (face.landmarks - middle) @ turn.T + middle + np.array(shift)
    return replace(face, landmarks=landmarks.astype(np.float32))


def masked(picture, face):
    """The picture with a mask from the middle of the nose to below the chin."""
    right_eye, left_eye, nose, right_mouth, left_mouth = face.landmarks
    across, down = left_eye - right_eye, (right_mouth + left_mouth - right_eye - left_eye) / 2
    top = (nose + (right_eye + left_eye) / 2) / 2
    chin = (right_mouth + left_mouth) / 2 + 0.7 * down
    outline = [top, nose + 0.85 * across, chin + 0.3 * across, chin - 0.3 * across, nose - 0.85 * across]
    worn = picture.copy()
    cv2.fillPoly(worn, [np.round(outline).astype(np.int32)], (200, 170, 110), cv2.LINE_AA)
    return worn


@settings(max_examples=60, deadline=None)
@given(angle=st.floats(-0.14, 0.14), size=st.floats(0.88, 1.14), shift=st.tuples(st.floats(-8, 8), st.floats(-8, 8)))
def test_landmarks_that_are_a_little_off_are_brought_back(looked_at, angle, size, shift):
    placer, portrait, face = looked_at
    wrong = moved(face, angle, size, shift)
    (again,) = placer.placed(portrait, [wrong])
    assert off(again, face) < max(0.05, 0.6 * off(wrong, face))


def noisy(picture, light, worn_by=None):
    """The picture in little light, with a camera's noise; a mask on the face of `worn_by`."""
    picture = picture if worn_by is None else masked(picture, worn_by)
    dark = np.round(picture * light) + np.random.default_rng(1).normal(0, 5, picture.shape)
    return np.clip(dark, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("light", "wears", "left"),
    [(0.15, False, 0.5), (0.08, False, 0.5), (0.3, True, 0.85)],
    ids=["dark", "very dark", "dark and masked"],
)
def test_they_are_nearer_to_where_they_were_than_the_detector_has_them(looks, light, wears, left):
    detector, placer = looks
    before, after = [], []
    for person in people():
        picture = person.picture(0)
        (free,) = detector.detect(picture)
        spoiled = noisy(picture, light, free if wears else None)
        coarse = min(detector.found(spoiled), key=lambda found: off(found, free))
        (again,) = placer.placed(spoiled, [coarse])
        before.append(off(coarse, free))
        after.append(off(again, free))
    assert np.mean(after) < left * np.mean(before)


@pytest.mark.parametrize("person", people(), ids=lambda person: person.slug)
def test_behind_a_mask_they_are_about_where_they_were(detector, person):
    picture = person.picture(0)
    (free,) = detector.detect(picture)
    assert min(off(found, free) for found in detector.detect(masked(picture, free))) < 0.12


@pytest.mark.parametrize("light", [1.0, 0.3, 0.06])
def test_little_light_moves_them_little(placer, portrait, face, light):
    dark = np.round(portrait * light).astype(np.uint8)
    (again,) = placer.placed(dark, [face])
    assert off(again, face) < 0.05


def test_all_of_a_crowd_are_placed_and_each_as_if_alone(placer, portrait, face):
    crowd = [moved(face, shift=(0.01 * EYES * number, 0)) for number in range(2 * AT_A_TIME + 3)]
    together = placer.placed(portrait, crowd)
    assert len(together) == len(crowd)
    for number in (0, AT_A_TIME - 1, AT_A_TIME, len(crowd) - 1):
        (alone,) = placer.placed(portrait, [crowd[number]])
        np.testing.assert_allclose(together[number].landmarks, alone.landmarks, atol=1e-3)


def test_box_and_score_are_the_detectors(placer, portrait, face):
    (again,) = placer.placed(portrait, [face])
    assert (again.box, again.score) == (face.box, face.score)
    assert again.landmarks.dtype == np.float32


@pytest.mark.parametrize("point", [0.0, np.nan, np.inf])
def test_landmarks_that_make_no_face_stay_as_they_are(placer, portrait, face, point):
    none = Face(Box(0, 0, 9, 9), np.full((5, 2), point, np.float32), 0.5)
    first, second = placer.placed(portrait, [none, face])
    assert np.array_equal(first.landmarks, none.landmarks, equal_nan=True)
    assert off(second, face) < 0.05
    assert towards_near(none.landmarks) is None


def test_no_faces_are_none(placer, portrait):
    assert placer.placed(portrait, []) == []


@pytest.mark.parametrize("shape", [(1, 1), (40, 700)])
def test_a_face_beside_the_picture_is_no_error(placer, face, shape):
    (again,) = placer.placed(np.zeros((*shape, 3), np.uint8), [face])
    assert np.isfinite(again.landmarks).all()


def test_threads_see_what_one_sees_alone(placer, portrait, face):
    faces = [moved(face, shift=(number, 0)) for number in range(8)]
    alone = [placer.placed(portrait, [one])[0].landmarks for one in faces]
    with ThreadPoolExecutor(4) as pool:
        for one, expected in zip(pool.map(lambda one: placer.placed(portrait, [one])[0], faces), alone, strict=True):
            assert np.array_equal(one.landmarks, expected)


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 1.0), st.integers(0, 60))
def test_an_evened_crop_has_mean_0_and_deviation_1_whatever_the_light(seed, gain, offset):
    crop = np.random.default_rng(seed).integers(0, 190, (1, *NEAR_SHAPE), np.uint8)
    lit = (crop * gain + offset).astype(np.uint8)
    for crops in (crop, lit):
        even = evened(crops)
        assert even.shape == (1, 3, NEAR.size, NEAR.size)
        assert abs(float(even.mean())) < 1e-3
        assert abs(float(even.std()) - 1) < 1e-3
    assert np.abs(evened(crop) - evened(lit)).max() < 0.1


def test_a_crop_of_one_shade_is_all_noughts():
    assert not evened(np.full((2, *NEAR_SHAPE), 77, np.uint8)).any()


NEAR_SHAPE = (NEAR.size, NEAR.size, 3)


def test_a_missing_network_is_named(tmp_path):
    with pytest.raises(NotReadyError, match=r"no network for landmarks at .*nowhere\.onnx"):
        LandmarkPlacer(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("content", [b"", b"no network", bytes(1000)])
def test_a_file_that_is_no_network_is_named(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(NotReadyError, match=r"broken\.onnx"):
        LandmarkPlacer(path)
