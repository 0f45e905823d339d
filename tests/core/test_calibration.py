import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.calibration import (
    Calibration,
    Knot,
    Mated,
    UnusableCalibrationError,
    WorstGroup,
    calibrate,
    from_json,
    unmeasured,
)

values = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40).map(np.array)
any_score = st.floats(-1.5, 1.5)


def example(count=200_000):
    draw = np.random.default_rng(0)
    return calibrate(
        model="m@000000000000",
        source="drawn",
        people=10,
        mated=draw.normal(0.6, 0.1, 2_000),
        non_mated=draw.normal(0, 0.1, count),
    )


CALIBRATION = example()
scores = st.lists(st.integers(-20, 20).map(lambda n: n / 20), min_size=1, max_size=60).map(np.array)


@given(values, values, any_score, any_score)
def test_a_higher_score_never_has_a_higher_fmr(mated, non_mated, low, high):
    low, high = sorted((low, high))
    curve = calibrate(model="m", source="s", people=2, mated=mated, non_mated=non_mated)
    assert curve.floor <= curve.fmr(high) <= curve.fmr(low) <= 1


@given(values, values)
def test_the_fmr_is_never_below_what_was_seen(mated, non_mated):
    curve = calibrate(model="m", source="s", people=2, mated=mated, non_mated=non_mated)
    for score in non_mated:
        assert curve.fmr(score) >= np.mean(non_mated >= score)


@given(st.floats(1e-9, 0.5), st.floats(1e-9, 0.5))
def test_a_stricter_target_never_gives_a_lower_threshold_and_keeps_its_target(one, other):
    strict, lax = sorted((one, other))
    high, low = CALIBRATION.threshold(strict), CALIBRATION.threshold(lax)
    if high is None:
        assert strict < CALIBRATION.floor
    else:
        assert low is not None
        assert low <= high
        assert CALIBRATION.fmr(high) <= strict


@given(any_score, st.integers(0, 5_000), st.integers(0, 5_000))
def test_more_users_never_give_strangers_less_of_a_chance(score, few, many):
    few, many = sorted((few, many))
    assert 0 <= CALIBRATION.gallery_fmr(score, few) <= CALIBRATION.gallery_fmr(score, many) <= 1


@given(st.floats(1e-4, 0.5), st.integers(0, 3_000))
def test_the_threshold_for_a_gallery_keeps_its_target_there(target, users):
    threshold = CALIBRATION.gallery_threshold(target, users)
    if threshold is not None:
        assert CALIBRATION.gallery_fmr(threshold, max(users, 1)) <= target
        assert threshold >= (CALIBRATION.threshold(target) or -1)


def test_the_share_of_strangers_is_that_of_independent_tries():
    score = CALIBRATION.threshold(1e-3)
    assert CALIBRATION.gallery_fmr(score, 50) == pytest.approx(1 - (1 - CALIBRATION.fmr(score)) ** 50)


def test_no_target_below_the_rule_of_three_is_supported():
    assert CALIBRATION.floor == pytest.approx(3 / 200_000, rel=0.01)
    assert CALIBRATION.threshold(2.9 / 200_000) is None
    assert CALIBRATION.threshold(3.1 / 200_000) is not None
    assert CALIBRATION.gallery_threshold(1e-3, 1_000) is None


def test_a_score_that_is_no_number_is_any_strangers():
    assert CALIBRATION.fmr(math.nan) == 1
    assert CALIBRATION.gallery_fmr(math.nan, 3) == 1


def test_thresholds_are_near_what_the_distribution_says():
    assert CALIBRATION.threshold(1e-2) == pytest.approx(0.2326, abs=0.01)
    assert CALIBRATION.fnmr(CALIBRATION.threshold(1e-2)) < 0.002


def test_a_calibration_survives_its_json():
    assert from_json(json.loads(json.dumps(CALIBRATION.to_json()))) == CALIBRATION


@pytest.mark.parametrize("change", [{"format": 2}, {"curve": []}, {"curve": [1]}, {"people": None}])
def test_a_document_that_is_no_calibration_is_refused(change):
    with pytest.raises(UnusableCalibrationError):
        from_json({**CALIBRATION.to_json(), **change})


@pytest.mark.parametrize(
    "knots",
    [
        (Knot(0.5, 1, 0.1), Knot(0.4, 0, 0.05)),
        (Knot(0.4, 1, 0.1), Knot(0.5, 0, 0.2)),
        (Knot(math.nan, 1, 0.1),),
        (Knot(0.4, 1, 0.0),),
    ],
)
def test_a_curve_that_does_not_fall_is_refused(knots):
    with pytest.raises(UnusableCalibrationError):
        Calibration("m", "s", 2, 10, knots, Mated(1, (0.0,) * len(knots)))


@given(scores, scores)
def test_the_scores_behind_a_curve_are_right_at_every_knot(mated, non_mated):
    calibration = calibrate(model="m@0", source="", people=2, mated=mated, non_mated=non_mated)
    own, other = calibration.counted_mated(), calibration.counted_non_mated()
    assert (own.total, other.total) == (len(mated), len(non_mated))
    for knot, fnmr in zip(calibration.knots, calibration.mated.fnmr, strict=True):
        assert other.at_or_above(knot.score) == knot.reached
        assert own.total - own.at_or_above(knot.score) == round(fnmr * len(mated))


def test_a_visit_gives_a_stranger_a_try_for_each_reference_and_each_attempt():
    target, far = 1e-2, CALIBRATION.visit_threshold(1e-2, references=5, attempts=4)
    assert far == CALIBRATION.gallery_threshold(target, 20)
    assert 1 - (1 - CALIBRATION.fmr(far)) ** 20 <= target
    assert CALIBRATION.visit_threshold(target, references=5, attempts=2, strictness=2) == far
    assert CALIBRATION.visit_threshold(target, references=0, attempts=0.5) == CALIBRATION.threshold(target)


@given(st.floats(1e-5, 0.3), st.integers(0, 3000), st.integers(1, 500), st.integers(1, 5), st.floats(1, 4))
def test_a_visit_has_as_many_frames_as_are_wished_or_as_the_counts_support(target, references, wished, agree, strict):
    case = {"references": references, "strictness": strict}
    frames = CALIBRATION.visit_frames(target, frames=wished, agreeing=agree, **case)
    assert frames <= wished
    if frames >= agree:
        assert CALIBRATION.visit_threshold(target, attempts=frames / agree, **case) is not None
    if agree <= frames + 1 <= wished:
        assert CALIBRATION.visit_threshold(target, attempts=(frames + 1.01) / agree, **case) is None


def test_a_visit_of_a_network_that_nobody_calibrated_has_no_frames():
    assert unmeasured("m@0").visit_frames(0.5, references=1, frames=20) == 0


def test_what_is_no_number_has_no_threshold():
    assert CALIBRATION.gallery_threshold(math.nan, 1) is None
    assert CALIBRATION.gallery_threshold(0.5, math.nan) is None
    assert CALIBRATION.visit_threshold(0.5, references=1, strictness=math.nan) is None


def test_an_endless_count_is_no_calibration():
    with pytest.raises(UnusableCalibrationError):
        from_json({**CALIBRATION.to_json(), "people": math.inf})


@given(st.floats(1, 50), any_score, st.floats(1e-4, 0.5))
def test_a_group_that_fares_worse_sets_a_curve_that_is_so_many_times_as_high(ratio, score, target):
    raised = CALIBRATION.set_by(WorstGroup("some", ratio))
    unseen = score >= CALIBRATION.knots[-1].score  # no stranger ever scored so high
    assert raised.fmr(score) == pytest.approx(min(1.0, (1 if unseen else ratio) * CALIBRATION.fmr(score)))
    assert raised.fmr(raised.threshold(target)) <= target
    assert raised.floor == CALIBRATION.floor
    assert raised.counted_non_mated().at_or_above(score) == CALIBRATION.counted_non_mated().at_or_above(score)
    assert raised.worst_group == WorstGroup("some", ratio)
    assert from_json(json.loads(json.dumps(raised.to_json()))) == raised


def test_a_calibration_is_set_by_one_group_and_by_none_that_fares_better():
    with pytest.raises(UnusableCalibrationError, match="set by some already"):
        CALIBRATION.set_by(WorstGroup("some", 2)).set_by(WorstGroup("others", 3))
    for ratio in (0.5, math.inf, math.nan):
        with pytest.raises(UnusableCalibrationError, match="worst group"):
            WorstGroup("some", ratio)


def test_a_calibration_of_an_earlier_version_knows_of_no_groups():
    document = CALIBRATION.to_json()
    assert document.pop("worst_group") is None
    assert from_json(document) == CALIBRATION
