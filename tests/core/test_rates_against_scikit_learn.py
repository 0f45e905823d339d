"""The same scores through scikit-learn: what it calls FPR is FMR, its FNR is FNMR."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, det_curve, roc_curve

from facegate.core import rates

scores = st.lists(st.integers(-20, 20).map(lambda n: n / 20), min_size=1, max_size=60).map(np.array)


def labelled(mated, non_mated):
    return np.repeat([1, 0], [len(mated), len(non_mated)]), np.concatenate((mated, non_mated))


@given(mated=scores, non_mated=scores, threshold=st.integers(-42, 42).map(lambda n: n / 40))
def test_both_rates_and_the_accuracy_are_those_of_a_confusion_matrix(mated, non_mated, threshold):
    labels, values = labelled(mated, non_mated)
    judged = (values >= threshold).astype(int)
    (true_negative, false_positive), (false_negative, true_positive) = confusion_matrix(labels, judged, labels=[0, 1])
    found = rates.rates_at(threshold, mated=mated, non_mated=non_mated)
    assert found.fmr == pytest.approx(false_positive / (false_positive + true_negative))
    assert found.fnmr == pytest.approx(false_negative / (false_negative + true_positive))
    accuracy = rates.accuracy(threshold, mated=mated, non_mated=non_mated)
    assert accuracy == pytest.approx(accuracy_score(labels, judged))


@given(mated=scores, non_mated=scores)
def test_the_det_points_are_those_of_scikit_learn(mated, non_mated):
    labels, values = labelled(mated, non_mated)
    theirs_fmr, theirs_fnmr, thresholds = det_curve(labels, values)
    for fmr, fnmr, threshold in zip(theirs_fmr, theirs_fnmr, thresholds, strict=True):
        if np.isfinite(threshold):
            ours = rates.rates_at(threshold, mated=mated, non_mated=non_mated)
            assert (ours.fmr, ours.fnmr) == (pytest.approx(fmr), pytest.approx(fnmr))
    curve = rates.det(mated=mated, non_mated=non_mated)
    ours = {(round(fmr, 9), round(fnmr, 9)) for fmr, fnmr in zip(curve.fmr, curve.fnmr, strict=True)}
    assert {(round(f, 9), round(n, 9)) for f, n in zip(theirs_fmr, theirs_fnmr, strict=True)} <= ours


@settings(max_examples=50)
@given(mated=scores, non_mated=scores, target=st.floats(0.01, 1))
def test_the_fnmr_at_a_target_fmr_is_the_best_point_of_their_roc(mated, non_mated, target):
    labels, values = labelled(mated, non_mated)
    fpr, tpr, thresholds = roc_curve(labels, values, drop_intermediate=False)
    observed = np.isin(thresholds, non_mated) | ~np.isfinite(thresholds)
    allowed = observed & (fpr <= target)
    point = rates.fnmr_at_fmr(target, mated=mated, non_mated=non_mated)
    above = np.nextafter(non_mated.max(), np.inf)
    best = max(float(tpr[allowed].max()), 1 - rates.fnmr(above, mated) if (fpr[allowed] == 0).all() else 0.0)
    assert 1 - point.fnmr == pytest.approx(best)
