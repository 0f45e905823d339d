import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.errors import NotReadyError
from facegate.resources import shipped
from facegate.vision.composites import people
from facegate.vision.detect import OWN_SCORE, TILE_OVERLAP, TILE_SIDE, YuNetDetector, overlaps, spans
from facegate.vision.figure import Place
from facegate.vision.porch import porch
from facegate.vision.scenes import Guest, Light, Scene, render

EYES = 73.0  # pixels between the eyes of a composite


def found(detector, picture):
    faces = detector.detect(picture)
    assert len(faces) == 1
    return faces[0]


def test_a_black_picture_has_no_face(detector):
    assert detector.detect(np.zeros((64, 64, 3), np.uint8)) == []


@pytest.mark.parametrize("person", people(), ids=lambda person: person.slug)
def test_each_picture_of_a_composite_has_one_face_with_its_landmarks_in_order(detector, person):
    for number in range(6):
        right_eye, left_eye, nose, right_mouth, left_mouth = found(detector, person.picture(number)).landmarks
        assert right_eye[0] < nose[0] < left_eye[0]
        assert right_mouth[0] < left_mouth[0]
        assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


@pytest.mark.parametrize("side", [64, 92, 120, 250, 640, 1200, 3400])
def test_landmarks_keep_their_places_at_every_size_of_the_same_picture(detector, portrait, side):
    scale = side / 480
    picture = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    small = found(detector, picture).landmarks / scale
    error = np.hypot(*(small - found(detector, portrait).landmarks).T).mean() / EYES
    assert error < 0.12


@pytest.mark.parametrize("side", [64, 112, 250, 600, 2000])
def test_a_picture_that_is_nothing_but_a_face_has_it(detector, portrait, side):
    tight = cv2.resize(portrait[140:345, 150:335], (side, side * 205 // 185))
    face = found(detector, tight)
    assert face.box.width > 0.6 * side


def test_a_face_across_the_edge_is_found(detector, portrait):
    assert found(detector, portrait[:, 200:]).box.x < 15


@pytest.mark.parametrize("size", [(3000, 4000), (4000, 3000), (1080, 1920)])
def test_a_face_of_a_twentieth_of_a_phone_photo_is_found(detector, portrait, size):
    picture = np.full((*size, 3), 120, np.uint8)
    picture[500:980, 400:880] = portrait
    face = found(detector, picture)
    expected = found(detector, portrait).landmarks + np.float32((400, 500))
    assert np.hypot(*(face.landmarks - expected).T).mean() / EYES < 0.12


def test_faces_come_the_largest_first(detector):
    guests = (Guest(people()[0], 1, Place(300, 240, 80)), Guest(people()[1], 1, Place(700, 280, 150)))
    faces = detector.detect(render(Scene(guests=guests), np.random.default_rng(1)))
    assert [face.box.x > 500 for face in faces] == [True, False]


@pytest.mark.parametrize("width", [24, 40, 70, 120, 200, 330])
def test_a_person_on_the_porch_is_found_from_small_to_near(detector, width):
    place = Place(600, 360, width)
    face = found(detector, render(Scene(guests=(Guest(people()[3], 1, place),)), np.random.default_rng(1)))
    assert np.hypot(face.box.x + face.box.width / 2 - 600, face.box.y + face.box.height / 2 - 360) < 0.3 * width


@pytest.mark.parametrize("light", list(Light))
def test_an_empty_porch_has_no_face(detector, light):
    assert detector.detect(render(Scene(light), np.random.default_rng(1))) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 5000), (31, 33)])
def test_pictures_too_small_for_a_face_have_none(detector, shape):
    assert detector.detect(np.full((*shape, 3), 90, np.uint8)) == []


def test_the_picture_is_left_as_it_was(detector, portrait):
    before = portrait.copy()
    detector.detect(portrait)
    assert np.array_equal(portrait, before)
    assert not porch().flags.writeable
    detector.detect(porch())


def test_threads_see_what_one_sees_alone(detector):
    pictures = [person.picture(number)[: 480 - 30 * number] for person in people()[:3] for number in range(3)]
    alone = [found(detector, picture) for picture in pictures]
    barrier = threading.Barrier(4)

    def work(_):
        barrier.wait()
        return [found(detector, picture) for picture in pictures]

    with ThreadPoolExecutor(4) as pool:
        for faces in pool.map(work, range(4)):
            for face, expected in zip(faces, alone, strict=True):
                assert face.box == expected.box
                assert np.array_equal(face.landmarks, expected.landmarks)


def test_a_detector_of_ones_own_has_its_own_landmarks_and_the_shipped_ones_are_placed_anew(detector, portrait):
    own = YuNetDetector(shipped("models") / "detector" / "face_detector.onnx", OWN_SCORE)
    coarse = found(own, portrait)
    assert np.array_equal(coarse.landmarks, own.found(portrait)[0].landmarks)
    assert np.array_equal(coarse.landmarks, detector.found(portrait)[0].landmarks)
    assert not np.array_equal(coarse.landmarks, found(detector, portrait).landmarks)
    assert coarse.box == found(detector, portrait).box


def test_a_missing_network_is_named(tmp_path):
    with pytest.raises(NotReadyError, match=r"no face detector at .*nowhere\.onnx"):
        YuNetDetector(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("content", [b"", b"no network", bytes(1000)])
def test_a_file_that_is_no_network_is_named(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(NotReadyError, match=r"broken\.onnx"):
        YuNetDetector(path)


def test_overlap_of_a_box_with_itself_is_whole_and_with_a_far_one_nothing():
    row = np.array([10.0, 10, 20, 30])
    assert overlaps(row, np.array([row, [100, 100, 5, 5], [10, 10, 20, 15]])).tolist() == [1.0, 0.0, 0.5]


@given(st.integers(1, 3000))
def test_tiles_cover_a_length_and_overlap(length):
    parts = spans(length)
    assert parts[0][0] == 0
    assert parts[-1][1] == length
    assert all(0 < end - start <= TILE_SIDE for start, end in parts)
    assert all(end - start >= TILE_OVERLAP for (_, end), (start, _) in itertools.pairwise(parts))
