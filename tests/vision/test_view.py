import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.vision.align import align
from facegate.vision.composites import people
from facegate.vision.detect import YuNetDetector
from facegate.vision.view import (
    LEAST_FACES,
    MEASURES,
    MEMORY,
    NOTHING_SEEN,
    Glimpse,
    Light,
    Seen,
    View,
    grain_of,
    imitate,
    look,
    statistics_from_json,
)

number = st.floats(0, 255)
faces_seen = st.lists(st.builds(Seen, number, number, number, number, number, number), max_size=12)


def statistics(seen):
    kept = NOTHING_SEEN
    for face in seen:
        kept = kept.with_face(face)
    return kept


def close(one, two):
    assert one.lights.keys() == two.lights.keys()
    for light, sums in one.lights.items():
        assert sums.faces == pytest.approx(two.lights[light].faces)
        assert sums.sums == pytest.approx(two.lights[light].sums)
        assert sums.squares == pytest.approx(two.lights[light].squares)


def camera(light, means, deviations=(0,) * 6):
    return View((Glimpse(light, 1.0, tuple(map(float, means)), tuple(map(float, deviations))),))


@pytest.fixture(scope="module")
def crops():
    detector = YuNetDetector()
    pictures = [person.picture(0) for person in people()[:8]]
    return [align(picture, detector.detect(picture)[0].landmarks) for picture in pictures]


@given(faces_seen, faces_seen)
def test_merging_is_having_seen_both_in_whatever_order(one, two):
    close(statistics(one).plus(statistics(two)), statistics(one + two))
    close(statistics(one).plus(statistics(two)), statistics(two).plus(statistics(one)))


@given(faces_seen)
def test_statistics_survive_json(seen):
    kept = statistics(seen)
    assert statistics_from_json(json.loads(json.dumps(kept.to_json()))) == kept


@given(st.integers(1, 3))
def test_old_faces_fade_so_that_a_view_follows_the_seasons(times):
    kept = statistics([Seen(200, 20, 30, 1, 0.5, 60)] * (MEMORY * times))
    kept = kept.plus(statistics([Seen(100, 20, 30, 1, 0.5, 60)] * MEMORY))
    (sums,) = kept.lights.values()
    assert sums.faces == pytest.approx(MEMORY)
    assert sums.sums[0] / sums.faces == pytest.approx(150)


def test_a_view_is_of_what_was_seen_often_and_its_shares_are_one():
    day, night = Seen(120, 20, 30, 1, 0.5, 60), Seen(150, 20, 0, 1, 0.5, 60)
    few = statistics([day] * (LEAST_FACES - 1))
    assert few.view() is None
    view = statistics([day] * 3 * LEAST_FACES + [night] * LEAST_FACES + [Seen(30, 9, 20, 1, 0.5, 60)]).view()
    assert view is not None
    assert {each.light: each.share for each in view.glimpses} == {Light.DAY: 0.75, Light.INFRARED: 0.25}
    assert (view.share(Light.INFRARED), view.share(Light.DUSK)) == (0.25, 0)
    assert view.glimpses[0].means == pytest.approx(day.values)
    assert view.glimpses[0].deviations == pytest.approx([0] * 6, abs=1e-5)


@pytest.mark.parametrize(
    "document",
    [[], {"noon": {}}, {"day": {"faces": 1}}, {"day": {"faces": 1, "sums": [1], "squares": [1] * 6}},
     {"day": {"faces": float("nan"), "sums": [1] * 6, "squares": [1] * 6}},
     {"day": {"faces": -1, "sums": [1] * 6, "squares": [1] * 6}}],
)  # fmt: skip
def test_what_is_no_statistics_is_refused(document):
    with pytest.raises(ValueError, match="no statistics"):
        statistics_from_json(document)


def test_noise_is_measured_where_there_is_nothing_else():
    draw = np.random.default_rng(0)
    flat = np.full((64, 64), 128, np.float32)
    assert grain_of(flat) == 0
    assert grain_of(flat + draw.normal(0, 8, flat.shape).astype(np.float32)) == pytest.approx(8, rel=0.1)


def test_a_face_measures_the_same_with_what_is_around_it(crops):
    for crop in crops:
        around = np.pad(crop, ((8, 8), (8, 8), (0, 0)), constant_values=255)
        assert look(around, 90) == look(crop, 90)


def test_an_imitation_measures_as_the_camera_that_it_imitates(crops):
    draw = np.random.default_rng(1)
    for view in (
        camera(Light.DAY, (120, 20, 35, 1.0, 0.4, 50)),
        camera(Light.DUSK, (45, 12, 20, 3.0, 0.45, 45)),
        camera(Light.INFRARED, (150, 20, 0, 2.0, 0.4, 40)),
    ):
        wanted = dict(zip(MEASURES, view.glimpses[0].means, strict=True))
        found = [look(imitate(crop, view, draw), wanted["size"]) for crop in crops]
        mean = dict(zip(MEASURES, np.mean([face.values for face in found], axis=0), strict=True))
        assert mean["level"] == pytest.approx(wanted["level"], abs=6)
        assert mean["contrast"] == pytest.approx(wanted["contrast"], abs=4)
        assert mean["detail"] <= wanted["detail"] + 0.08
        assert {face.light for face in found} == {view.glimpses[0].light}


def test_the_same_draw_gives_the_same_imitation_and_leaves_the_crop_alone(crops):
    view = camera(Light.DUSK, (45, 12, 20, 3.0, 0.45, 45), (10, 2, 5, 1, 0.1, 8))
    before = crops[0].copy()
    one, two = (imitate(crops[0], view, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, two)
    assert np.array_equal(crops[0], before)
    assert (one.shape, one.dtype) == (before.shape, np.uint8)
    assert not np.array_equal(one, imitate(crops[0], view, np.random.default_rng(6)))


def test_a_light_is_imitated_as_often_as_it_is_seen(crops):
    both = View((
        Glimpse(Light.DAY, 0.25, (120, 20, 35, 1, 0.4, 50), (0,) * 6),
        Glimpse(Light.INFRARED, 0.75, (150, 20, 0, 1, 0.4, 50), (0,) * 6),
    ))  # fmt: skip
    draw = np.random.default_rng(2)
    grey = sum(look(imitate(crops[0], both, draw), 50).light is Light.INFRARED for _ in range(80))
    assert 45 <= grey <= 75
