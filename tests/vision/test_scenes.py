import numpy as np
import pytest

from facegate.core.decision import Reason
from facegate.core.frame import Box
from facegate.core.quality import DOOR, shortcoming
from facegate.errors import UnusableInputError
from facegate.vision.align import align
from facegate.vision.composites import people
from facegate.vision.decode import decode
from facegate.vision.detect import YuNetDetector
from facegate.vision.figure import Place
from facegate.vision.measure import measure
from facegate.vision.programme import programme
from facegate.vision.scenes import Guest, Light, Scene, encode, render
from facegate.vision.sheet import Tile, annotate, contact_sheet


@pytest.fixture(scope="module")
def events():
    return programme(people(), seed=1)


def test_the_same_seed_gives_the_same_scene():
    scene = Scene(Light.DUSK, (Guest(people()[0], 2, Place(500, 260, 120)),), motion=4)
    one, other = (encode(render(scene, np.random.default_rng(3))) for _ in range(2))
    assert one == other
    assert one != encode(render(scene, np.random.default_rng(4)))


def test_a_scene_is_what_a_camera_of_720_lines_sends():
    assert decode(encode(render(Scene(), np.random.default_rng(1)))).shape == (720, 1280, 3)


def test_infrared_has_no_colours_and_dusk_is_darker_than_day():
    day, dusk, infrared = (render(Scene(light), np.random.default_rng(1)) for light in Light)
    assert np.ptp(infrared.astype(int), axis=2).max() == 0
    assert dusk.mean() < 0.7 * day.mean()


@pytest.mark.parametrize("place", [Place(-300, 200, 100), Place(0, 0, 100), Place(1280, 720, 400), Place(640, 360, 12)])
def test_a_guest_may_stand_anywhere_even_outside(place):
    for printed in (False, True):
        scene = Scene(guests=(Guest(people()[2], 1, place, printed),))
        assert render(scene, np.random.default_rng(1)).shape == (720, 1280, 3)


def test_every_enrolled_person_comes_by_every_light_and_every_stranger_comes(events):
    granted = [event.expected.user for event in events if event.expected.granted]
    titles = " ".join(event.title for event in events)
    for person in people():
        if person.stranger:
            assert f"stranger {person.slug[-2:]}" in titles
            assert person.slug not in granted
        else:
            assert granted.count(person.slug) >= len(Light)


def test_every_kind_of_bad_input_is_in_the_programme(events):
    reasons = {event.expected.reason for event in events}
    assert reasons == {Reason.MATCH, Reason.NO_MATCH, Reason.NO_FACE, Reason.LOW_QUALITY, Reason.BAD_IMAGE}


def test_what_the_programme_expects_of_a_picture_is_so(events):
    detector = YuNetDetector()
    for event in events:
        assert acquired(detector, event.picture) == (
            event.expected.reason if event.expected.reason not in {Reason.MATCH, Reason.NO_MATCH} else None
        ), event.title


def acquired(detector, data):
    """Why no face can be compared, or None."""
    try:
        picture = decode(data)
    except UnusableInputError:
        return Reason.BAD_IMAGE
    faces = detector.detect(picture)
    if not faces:
        return Reason.NO_FACE
    quality = measure(picture, faces[0], align(picture, faces[0].landmarks))
    return Reason.LOW_QUALITY if shortcoming(quality, DOOR) else None


def test_the_held_up_photograph_says_that_no_attack_detection_exists_yet(events):
    (held,) = [event for event in events if "photograph" in event.title]
    assert "no attack detection yet" in held.title
    assert held.expected.granted


def test_an_annotated_frame_keeps_the_picture_and_adds_a_strip():
    picture = np.full((72, 128, 3), 100, np.uint8)
    shown = annotate(picture, Box(20, 20, 30, 30), "granted: mira", granted=True)
    assert shown.shape[0] > 72
    assert shown.shape[1] == 128
    assert (picture == 100).all()


@pytest.mark.parametrize("count", [0, 1, 5, 7])
def test_a_sheet_has_a_tile_for_each_picture_even_for_none(count):
    picture = np.full((72, 128, 3), 100, np.uint8)
    tiles = [Tile(picture if n % 2 else None, "title" * 30, "verdict", granted=bool(n % 2)) for n in range(count)]
    sheet = contact_sheet(tiles, columns=3)
    assert sheet.ndim == 3
    assert sheet.dtype == np.uint8
