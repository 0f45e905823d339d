from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.frame import Quality
from facegate.core.quality import DOOR, ENROLLMENT, shortcoming

GOOD = Quality(size=120, sharpness=200, brightness=120, contrast=40, yaw=5, pitch=-4, roll=2)
MEASURES = [field.name for field in fields(Quality)]
reals = st.floats(allow_nan=True, allow_infinity=True)
qualities = st.builds(Quality, *([reals] * len(MEASURES)))


@pytest.mark.parametrize("limits", [ENROLLMENT, DOOR], ids=["enrollment", "door"])
def test_a_good_face_falls_short_of_nothing(limits):
    assert shortcoming(GOOD, limits) is None


@pytest.mark.parametrize("limits", [ENROLLMENT, DOOR], ids=["enrollment", "door"])
@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_that_is_no_number_never_passes(measure, limits):
    short = shortcoming(replace(GOOD, **{measure: float("nan")}), limits)
    assert short is not None
    assert short.measure == measure


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"size": 29.4}, "face 29 px < 48 px"),
        ({"sharpness": 3.2}, "sharpness 3 < 8"),
        ({"brightness": 12}, "brightness 12 < 40"),
        ({"brightness": 240}, "brightness 240 > 228"),
        ({"contrast": 4}, "contrast 4 < 12"),
        ({"yaw": -71}, "head turned 71 degrees > 50 degrees"),
        ({"pitch": 50}, "head tilted 50 degrees > 35 degrees"),
        ({"roll": -80}, "head leaning 80 degrees > 45 degrees"),
    ],
)
def test_a_shortcoming_says_what_was_measured_and_what_was_asked(change, sentence):
    short = shortcoming(replace(GOOD, **change), ENROLLMENT)
    assert short is not None
    assert short.sentence == sentence
    assert short.value == next(iter(change.values()))
    assert short.advice


def test_a_sentence_never_says_that_a_number_is_less_than_itself():
    short = shortcoming(replace(GOOD, size=47.7), ENROLLMENT)
    assert short is not None
    assert short.sentence == "face 47.7 px < 48 px"


@given(qualities)
def test_whoever_may_enrol_may_also_pass_the_door(quality):
    if shortcoming(quality, ENROLLMENT) is None:
        assert shortcoming(quality, DOOR) is None


@given(qualities, st.floats(0, 500), st.floats(0, 500))
def test_asking_for_larger_faces_accepts_no_more(quality, one, other):
    low, high = sorted((one, other))
    if shortcoming(quality, replace(DOOR, size=high)) is None:
        assert shortcoming(quality, replace(DOOR, size=low)) is None


@pytest.mark.parametrize("measure", ["yaw", "pitch", "roll"])
def test_both_sides_of_a_turn_count_alike(measure):
    for limits in (ENROLLMENT, DOOR):
        limit = getattr(limits, measure)
        for sign in (1, -1):
            assert shortcoming(replace(GOOD, **{measure: sign * (limit - 0.1)}), limits) is None
            assert shortcoming(replace(GOOD, **{measure: sign * (limit + 0.1)}), limits) is not None
