from statistics import NormalDist

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.counted import counted
from facegate.core.rates import det, fmr, fnmr
from facegate.vision.chart import (
    COLOURS,
    HEIGHT,
    MATED,
    MOST_CURVES,
    NON_MATED,
    WIDTH,
    Axes,
    Curve,
    bounds_of,
    chart,
    deviates,
    errors_at,
    png,
    telling_thresholds,
)

scores = st.lists(st.integers(-20, 20), min_size=1, max_size=40).map(lambda values: np.array(values) / 20)


def some_curve(name="twin", shift=0.0, threshold=0.4):
    rng = np.random.default_rng(5)
    mated, non_mated = (np.clip(rng.normal(mean, 0.12, count), -1, 1) for mean, count in ((0.6, 500), (0, 4000)))
    return Curve(name, np.clip(mated + shift, -1, 1), non_mated, threshold)


def has(picture, colour):
    return bool((picture == np.array(colour, np.uint8)).all(axis=2).any())


def left(picture):
    return picture[:, : WIDTH // 2]


def right(picture):
    return picture[:, WIDTH // 2 :]


def test_a_chart_shows_both_histograms_on_the_left_and_the_det_on_the_right():
    picture = chart([some_curve()], "twin-1", "500 mated")
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert has(left(picture), MATED)
    assert has(left(picture), NON_MATED)
    assert has(right(picture), COLOURS[0])
    assert not has(right(picture), MATED)


def test_each_curve_has_its_own_colour():
    picture = chart([some_curve(f"m{at}", 0.02 * at) for at in range(MOST_CURVES)], "all", "")
    assert all(has(right(picture), colour) for colour in COLOURS)


def test_no_curve_too_many_and_curves_without_scores_are_refused():
    with pytest.raises(ValueError, match="1 to"):
        chart([], "none")
    with pytest.raises(ValueError, match="1 to"):
        chart([some_curve()] * (MOST_CURVES + 1), "many")
    for broken in (np.array([]), np.array([0.1, np.nan])):
        with pytest.raises(ValueError, match=r"no scores|finite numbers"):
            chart([Curve("x", broken, np.zeros(3))], "empty")


def test_scores_that_are_all_told_apart_or_all_equal_can_be_drawn():
    for mated, non_mated in ((np.ones(3), -np.ones(3)), (np.zeros(2), np.zeros(2)), (-np.ones(3), np.ones(3))):
        assert chart([Curve("x", mated, non_mated, 0.0)], "odd").shape == (HEIGHT, WIDTH, 3)


def test_counted_scores_draw_the_same_picture_as_kept_ones():
    curve = some_curve()
    rounded = np.round(curve.non_mated, 2)
    values, counts = np.unique(rounded, return_counts=True)
    kept, counted = Curve("x", curve.mated, rounded, 0.4), Curve("x", curve.mated, values, 0.4, counts)
    assert (chart([kept], "t") == chart([counted], "t")).all()


@given(scores, scores)
def test_what_is_drawn_are_the_rates_of_the_core(mated, non_mated):
    sums = counted(mated), counted(non_mated)
    thresholds = telling_thresholds(*sums)
    passed, missed = errors_at(thresholds, *sums)
    for at, threshold in enumerate(thresholds):
        assert passed[at] / len(non_mated) == fmr(threshold, non_mated)
        assert missed[at] / len(mated) == fnmr(threshold, mated)


@given(scores, scores)
def test_few_scores_are_drawn_whole(mated, non_mated):
    sums = counted(mated), counted(non_mated)
    passed, missed = errors_at(telling_thresholds(*sums), *sums)
    curve = det(mated=mated, non_mated=non_mated)
    drawn = set(zip(passed / len(non_mated), missed / len(mated), strict=True))
    assert set(zip(curve.fmr, curve.fnmr, strict=True)) <= drawn


def test_axes_are_in_normal_deviates():
    assert deviates(np.array([0.5, 0.975])) == pytest.approx([0.0, 1.959964])
    axes = Axes(0, 0, 100, 200, (-2.0, -2.0), (2.0, 2.0))
    middle = axes.place(np.array([0.0]), np.array([NormalDist().inv_cdf(0.5)]))
    assert (middle[0, 0] / 16 == [50, 100]).all()


def test_a_band_holds_its_rate_and_is_exact_where_errors_are_few():
    counts = np.array([0, 3, 5000, 9000])
    low, high = bounds_of(counts, 10_000)
    assert (low <= counts / 10_000).all()
    assert (high >= counts / 10_000).all()
    assert high[0] == pytest.approx(0.000368, abs=1e-6)


def test_a_chart_is_written_as_a_png_without_loss():
    picture = chart([some_curve()], "twin-1")
    assert (cv2.imdecode(np.frombuffer(png(picture), np.uint8), cv2.IMREAD_COLOR) == picture).all()
