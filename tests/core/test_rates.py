import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core import rates
from facegate.core.counted import counted

# Few distinct values, so that ties are the rule.
score = st.integers(-20, 20).map(lambda n: n / 20)
scores = st.lists(score, min_size=1, max_size=60).map(np.array)
thresholds = st.integers(-42, 42).map(lambda n: n / 40)


def slow_fmr(threshold, non_mated):
    return sum(1 for s in non_mated if s >= threshold) / len(non_mated)


def slow_fnmr(threshold, mated):
    return sum(1 for s in mated if s < threshold) / len(mated)


def binomial_tail(errors, trials, rate):
    """P(at most `errors`), in exact fractions."""
    p = Fraction(rate)
    return sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(errors + 1))


@given(thresholds, scores)
def test_rates_are_what_a_plain_loop_counts(threshold, values):
    assert rates.fmr(threshold, values) == slow_fmr(threshold, values)
    assert rates.fnmr(threshold, values) == slow_fnmr(threshold, values)


@given(mated=scores, non_mated=scores, low=thresholds, high=thresholds)
def test_raising_the_threshold_never_lets_more_strangers_in(mated, non_mated, low, high):
    low, high = sorted((low, high))
    lax, strict = (rates.rates_at(t, mated=mated, non_mated=non_mated) for t in (low, high))
    assert strict.fmr <= lax.fmr
    assert strict.fnmr >= lax.fnmr


@given(scores, st.floats(0.001, 1))
def test_the_threshold_for_a_target_never_exceeds_it_and_none_lower_keeps_it(values, target):
    point = rates.threshold_at(target, values)
    assert point.fmr == slow_fmr(point.threshold, values) <= target
    assert all(slow_fmr(lower, values) > target for lower in values if lower < point.threshold)
    assert point.supported == (len(values) * target >= 3)


def test_a_target_that_no_score_can_have_shown_is_refused():
    values = np.linspace(-1, 1, 999)
    with pytest.raises(rates.UnsupportedTargetError, match=r"^999 non-mated .* no FMR of 0\.001; it takes 1000$"):
        rates.supported_threshold(1e-3, values)
    assert not rates.supported_threshold(1e-3, np.append(values, 0.5)).supported
    assert rates.supported_threshold(1e-3, np.repeat(values, 4)).supported


@given(scores, st.floats(0.001, 1))
def test_where_a_target_is_not_refused_the_threshold_is_the_plain_one(values, target):
    if len(values) * target >= 1:
        assert rates.supported_threshold(target, values) == rates.threshold_at(target, values)
    else:
        with pytest.raises(rates.UnsupportedTargetError):
            rates.supported_threshold(target, values)


HAND_MATED = np.array([0.2, 0.5, 0.5, 0.8, 0.9])
HAND_NON_MATED = np.array([-0.3, 0.0, 0.1, 0.2, 0.3, 0.3, 0.4, 0.5, 0.5, 0.6])


def test_a_case_worked_by_hand():
    """At 0.5: two of ten strangers tie and one lies above, one of five mated lies below. At 0.6: one, three."""
    assert rates.rates_at(0.5, mated=HAND_MATED, non_mated=HAND_NON_MATED) == rates.Rates(0.5, 0.3, 0.2)
    assert rates.rates_at(0.6, mated=HAND_MATED, non_mated=HAND_NON_MATED) == rates.Rates(0.6, 0.1, 0.6)
    assert rates.eer(mated=HAND_MATED, non_mated=HAND_NON_MATED) == rates.Rates(0.5, 0.3, 0.2)
    assert rates.equal_error_rate(mated=HAND_MATED, non_mated=HAND_NON_MATED) == 0.25
    assert rates.threshold_at(0.2, HAND_NON_MATED).threshold == 0.6  # 0.5 would let three in
    assert rates.fnmr_at_fmr(0.3, mated=HAND_MATED, non_mated=HAND_NON_MATED).fnmr == 0.2
    assert rates.accuracy(0.5, mated=HAND_MATED, non_mated=HAND_NON_MATED) == 11 / 15
    assert rates.most_accurate(mated=HAND_MATED, non_mated=HAND_NON_MATED) == 0.8  # 12 of 15; 0.6 judges 11


@given(scores, scores)
def test_counted_scores_have_the_rates_of_kept_ones(mated, non_mated):
    values, counts = np.unique(non_mated, return_counts=True)
    in_bins = counted(values, counts)
    kept, binned = ({"mated": mated, "non_mated": other} for other in (non_mated, in_bins))
    assert rates.eer(**kept) == rates.eer(**binned)
    assert rates.most_accurate(**kept) == rates.most_accurate(**binned)
    for target in (0.01, 0.3):
        assert rates.threshold_at(target, non_mated) == rates.threshold_at(target, in_bins)
    curves = rates.det(**kept), rates.det(**binned)
    assert (curves[0].fmr == curves[1].fmr).all()
    assert (curves[0].fnmr == curves[1].fnmr).all()


def test_counts_that_do_not_fit_are_refused():
    for counts in (np.array([1]), np.array([1, -1])):
        with pytest.raises(ValueError, match="one count for each"):
            counted(np.array([0.1, 0.2]), counts)
    with pytest.raises(rates.NotEnoughScoresError):
        counted(np.array([0.1]), np.array([0]))


def test_an_unreachable_target_gives_the_next_number_above_and_says_so():
    point = rates.threshold_at(1e-6, np.array([0.1, 0.9, 0.9]))
    assert point == rates.OperatingPoint(np.nextafter(0.9, np.inf), 0.0, supported=False)


@given(mated=scores, non_mated=scores)
def test_det_points_run_from_all_strangers_to_none_and_are_the_rates(mated, non_mated):
    curve = rates.det(mated=mated, non_mated=non_mated)
    assert curve.thresholds[0] <= min(*mated, *non_mated)
    assert (curve.fmr[0], curve.fnmr[0]) == (1.0, 0.0)
    assert (curve.fmr[-1], curve.fnmr[-1]) == (0.0, 1.0)
    for threshold, fmr, fnmr in zip(curve.thresholds, curve.fmr, curve.fnmr, strict=True):
        assert fmr == slow_fmr(threshold, non_mated)
        assert fnmr == slow_fnmr(threshold, mated)


@given(mated=scores, non_mated=scores)
def test_no_threshold_brings_the_two_rates_nearer_than_the_eer(mated, non_mated):
    point = rates.eer(mated=mated, non_mated=non_mated)
    nearest = min(abs(slow_fmr(t, non_mated) - slow_fnmr(t, mated)) for t in (*mated, *non_mated, 2.0))
    assert abs(point.fmr - point.fnmr) == pytest.approx(nearest)
    assert 0 <= rates.equal_error_rate(mated=mated, non_mated=non_mated) <= 1


@given(mated=scores, non_mated=scores)
def test_no_observed_threshold_is_more_accurate_than_the_most_accurate(mated, non_mated):
    best = rates.accuracy(rates.most_accurate(mated=mated, non_mated=non_mated), mated=mated, non_mated=non_mated)
    for threshold in (*mated, *non_mated, 2.0):
        right = sum(s >= threshold for s in mated) + sum(s < threshold for s in non_mated)
        assert best >= right / (len(mated) + len(non_mated)) - 1e-12


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_bounds_are_where_the_binomial_tails_say(case):
    errors, trials = case
    bounds = rates.clopper_pearson(errors, trials)
    assert bounds.lower <= errors / trials <= bounds.upper
    if errors < trials:
        assert float(binomial_tail(errors, trials, bounds.upper)) == pytest.approx(0.025, rel=1e-6)
    if errors > 0:
        assert 1 - float(binomial_tail(errors - 1, trials, bounds.lower)) == pytest.approx(0.025, rel=1e-6)


@pytest.mark.parametrize(
    ("errors", "trials", "lower", "upper"),
    [(0, 10, 0.0, 0.3084971), (1, 10, 0.0025286, 0.4450161), (5, 100, 0.0164319, 0.1128349), (10, 10, 0.6915029, 1.0)],
)
def test_clopper_pearson_agrees_with_published_tables(errors, trials, lower, upper):
    assert rates.clopper_pearson(errors, trials) == rates.Bounds(
        pytest.approx(lower, abs=1e-6), pytest.approx(upper, abs=1e-6)
    )


def test_the_rule_of_three_holds_for_very_many_trials():
    for trials in (1_000, 1_000_000, 50_000_000):
        assert rates.upper_bound(0, trials) == pytest.approx(3 / trials, rel=0.01)
        assert rates.upper_bound(0, trials) == pytest.approx(1 - 0.05 ** (1 / trials), rel=1e-6)


@given(st.floats(0.5, 50), st.floats(0.5, 50), st.floats(0, 1))
def test_the_incomplete_beta_function_is_symmetric_and_a_share(a, b, x):
    value = rates.beta_cdf(x, a, b)
    assert 0 <= value <= 1
    assert value == pytest.approx(1 - rates.beta_cdf(1 - x, b, a), abs=1e-9)


def test_scores_that_are_no_numbers_and_no_scores_are_refused():
    with pytest.raises(ValueError, match="finite"):
        rates.fmr(0.5, np.array([0.1, np.nan]))
    with pytest.raises(rates.NotEnoughScoresError):
        rates.fnmr(0.5, np.array([]))
