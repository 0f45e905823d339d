import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core import rates, resampling
from facegate.core.resampling import Comparisons, trial_of, weighed


def people_scores(count, generator, spread=0.15):
    """Scores whose difficulty belongs to the person, so that pairs of one person are alike."""
    bias = generator.normal(0, spread, count)
    who = np.repeat(np.arange(count), 10)
    own = bias[who] + 0.6 + generator.normal(0, 0.05, len(who))
    left, right = np.triu_indices(count, 1)
    return Comparisons(own, who, who), Comparisons(generator.normal(0, 0.1, len(left)), left, right)


@st.composite
def trials(draw):
    """All pairs of the photos of a few people, with few distinct scores, so that ties are the rule."""
    photos = draw(st.lists(st.integers(1, 3), min_size=2, max_size=5).filter(lambda counts: max(counts) > 1))
    owners = np.repeat(np.arange(len(photos)), photos)
    left, right = np.triu_indices(len(owners), 1)
    values = np.array(draw(st.lists(st.integers(-10, 10), min_size=len(left), max_size=len(left)))) / 10
    every, same = Comparisons(values, owners[left], owners[right]), owners[left] == owners[right]
    weights = np.array(draw(st.lists(st.integers(0, 3), min_size=len(photos), max_size=len(photos))), float)
    return every.where(same), every.where(~same), np.array(photos), weights


def repeated(comparisons, weights, *, mated):
    """Each score as often as its people were drawn."""
    times = weights[comparisons.left] * (1 if mated else weights[comparisons.right])
    return np.repeat(comparisons.scores, times.astype(int))


@given(trials(), st.floats(0.01, 0.9), st.floats(-1, 1))
def test_a_draw_has_the_rates_of_scores_that_are_repeated_as_often_as_their_people(case, target, threshold):
    mated, non_mated, photos, weights = case
    drawn = weighed(trial_of(mated, non_mated, len(photos)), weights)
    own, other = repeated(mated, weights, mated=True), repeated(non_mated, weights, mated=False)
    if not len(own) or not len(other):
        assert drawn is None
        return
    assert drawn.fnmr(threshold) == pytest.approx(rates.fnmr(threshold, own))
    assert drawn.fmr(threshold) == pytest.approx(rates.fmr(threshold, other))
    at_edge = math.isclose(target * len(other), round(target * len(other)), abs_tol=1e-9)
    threshold = rates.threshold_at(target, other).threshold
    assert drawn.fnmr_at_fmr(target) == pytest.approx(rates.fnmr(threshold, own)) or at_edge


@given(trials())
def test_the_eer_of_a_draw_is_that_of_the_repeated_scores(case):
    mated, non_mated, photos, weights = case
    drawn = weighed(trial_of(mated, non_mated, len(photos)), weights)
    if drawn is not None:
        own, other = repeated(mated, weights, mated=True), repeated(non_mated, weights, mated=False)
        point = rates.eer(mated=own, non_mated=other)
        curve = rates.det(mated=own, non_mated=other)
        gap = np.abs(curve.fmr - curve.fnmr)
        equals = (curve.fmr + curve.fnmr)[gap <= abs(point.fmr - point.fnmr) + 1e-9] / 2
        assert any(drawn.eer() == pytest.approx(value) for value in equals)


def test_scores_that_are_all_told_apart_have_an_eer_of_0():
    people = np.array([0, 1])
    mated, other = (
        Comparisons(np.array([0.8, 0.9]), people, people),
        Comparisons(np.array([0.1]), people[:1], people[1:]),
    )
    assert weighed(trial_of(mated, other, 2), np.ones(2)).eer() == 0


@given(trials())
def test_the_highest_comparisons_are_enough_where_the_photos_of_each_are_known(case):
    mated, non_mated, photos, weights = case
    whole = weighed(trial_of(mated, non_mated, len(photos)), weights)
    order = np.argsort(-non_mated.scores, kind="stable")
    cut = non_mated.scores[order[len(order) // 2]]
    some = weighed(trial_of(mated, non_mated.where(non_mated.scores >= cut), len(photos), photos, cut), weights)
    if whole is None or some is None:
        assert whole is some
        return
    for threshold in np.unique(non_mated.scores[non_mated.scores > cut]):
        assert some.fmr(threshold) == pytest.approx(whole.fmr(threshold))
        target = whole.fmr(threshold) * 1.0001
        if some.passing[-1] > target:
            assert some.fnmr_at_fmr(target) == pytest.approx(whole.fnmr_at_fmr(target))
        else:
            assert math.isnan(some.fnmr_at_fmr(target))
    assert math.isnan(some.fmr(cut - 0.05))


def bounds(mated, non_mated, people, rounds=300):
    figures = {"fnmr": lambda drawn: drawn.fnmr_at_fmr(0.01), "eer": resampling.Draw.eer}
    return resampling.bounds_of(trial_of(mated, non_mated, people), figures, np.random.default_rng(2), rounds=rounds)


def test_bounds_over_people_are_wider_than_bounds_over_comparisons():
    mated, non_mated = people_scores(40, np.random.default_rng(1))
    found = bounds(mated, non_mated, 40)
    seen = rates.fnmr_at_fmr(0.01, mated=mated.scores, non_mated=non_mated.scores).fnmr
    naive = rates.clopper_pearson(round(seen * len(mated)), len(mated))
    assert found["fnmr"].lower <= seen <= found["fnmr"].upper
    assert found["fnmr"].upper - found["fnmr"].lower > 1.5 * (naive.upper - naive.lower)
    assert found["eer"].lower <= rates.equal_error_rate(mated=mated.scores, non_mated=non_mated.scores)


def test_bounds_hold_the_true_rate_as_often_as_they_say():
    """With 40 people in each of 40 worlds, the bounds at 95 % hold the rate of very many people in nearly all."""
    true_mated, true_non = people_scores(700, np.random.default_rng(0))
    truth = rates.fnmr_at_fmr(0.01, mated=true_mated.scores, non_mated=true_non.scores).fnmr
    held = 0
    for seed in range(40):
        found = bounds(*people_scores(40, np.random.default_rng(100 + seed)), 40, rounds=100)["fnmr"]
        held += found.lower <= truth <= found.upper
    assert held >= 33


def test_no_comparisons_of_one_kind_are_no_trial():
    mated, non_mated = people_scores(3, np.random.default_rng(1))
    nothing = non_mated.where(np.zeros(len(non_mated), bool))
    for pair in ((nothing, non_mated), (mated, nothing)):
        with pytest.raises(rates.NotEnoughScoresError):
            trial_of(*pair, 3)


def test_a_figure_that_too_many_draws_lack_has_no_bounds():
    assert resampling.percentiles(np.array([0.1] * 90 + [np.nan] * 10), 0.95) is None
    assert resampling.percentiles(np.array([]), 0.95) is None
    assert resampling.percentiles(np.full(100, 0.1), 0.95) == rates.Bounds(0.1, 0.1)


def test_the_eer_of_a_draw_stands_on_no_threshold_within_a_tie():
    """At 0.1 a quarter of the mated lies below and half of the strangers above; half and half there is nowhere."""
    person = np.zeros(4, int)
    mated = Comparisons(np.array([0.0, 0.1, 0.1, 0.1]), person, person)
    other = Comparisons(np.array([0.0, 0.0, 0.2, 0.2]), person, person + 1)
    assert weighed(trial_of(mated, other, 2), np.ones(2)).eer() == (0.5 + 0.25) / 2
