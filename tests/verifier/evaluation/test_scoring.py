import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegate.core.rates import NotEnoughScoresError
from facegate.verifier.evaluation import scoring
from facegate.verifier.evaluation.allpairs import compare_all
from facegate.verifier.evaluation.scoring import BINS, Tally, bins_of, calibrated, edge


def drawn(count, people, seed):
    draw = np.random.default_rng(seed)
    owners = draw.integers(0, people, count)
    raw = draw.normal(size=(people, 8))[owners] + draw.normal(size=(count, 8))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32), owners


def slow(templates, owners):
    mated, other = [], []
    for i in range(len(owners)):
        for j in range(i):
            (mated if owners[i] == owners[j] else other).append(float(np.clip(templates[i] @ templates[j], -1, 1)))
    return mated, other


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 100), st.sampled_from([3, 16, 512]))
def test_every_pair_is_counted_once_whatever_the_block(count, people, seed, block):
    templates, owners = drawn(count, people, seed)
    before, scoring.BLOCK = scoring.BLOCK, block
    try:
        tally = Tally()
        tally.add(templates, owners)
    finally:
        scoring.BLOCK = before
    mated, other = slow(templates, owners)
    assert sorted(tally.mated_scores) == pytest.approx(sorted(mated), abs=1e-5)
    assert tally.non_mated_count == len(other)


def test_strangers_of_two_sets_are_all_compared():
    (one, _), (other, _) = drawn(30, 5, 1), drawn(20, 5, 2)
    tally = Tally()
    tally.add_strangers(one, other)
    assert tally.non_mated_count == 600
    assert len(tally.mated_scores) == 0


@given(st.lists(st.floats(-1, 1, width=32), min_size=1))
def test_a_score_lies_in_the_bin_whose_edge_it_reaches(values):
    for value, at in zip(values, bins_of(np.array(values)), strict=True):
        assert edge(int(at)) <= value + 1e-9
        assert at == BINS or value < edge(int(at) + 1) + 1e-9


def test_the_calibration_of_a_tally_counts_exactly_what_reached_each_knot():
    templates, owners = drawn(150, 30, 3)
    tally = Tally()
    tally.add(templates, owners)
    curve = calibrated(tally, model="m", source="s", people=30)
    mated, other = slow(templates, owners)
    assert curve.non_mated == len(other)
    assert curve.mated.comparisons == len(mated)
    assert curve.knots[-1].reached == 0
    assert curve.floor == pytest.approx(3 / len(other), rel=0.01)
    for knot in curve.knots:
        assert knot.reached == sum(score >= knot.score for score in other)
    counts = [knot.reached for knot in curve.knots]
    assert counts == sorted(counts, reverse=True)


def test_a_tally_without_strangers_or_without_mated_gives_no_calibration():
    templates, owners = drawn(5, 1, 0)
    alone = Tally()
    alone.add(templates, owners)
    with pytest.raises((NotEnoughScoresError, ValueError)):
        calibrated(alone, model="m", source="s", people=1)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 30), st.integers(0, 50), st.sampled_from([3, 512]))
def test_the_rise_of_the_first_of_two_is_taken_off(count, seed, block):
    templates, owners = drawn(count, 4, seed)
    rises = np.random.default_rng(seed).uniform(0, 0.5, count)
    before, scoring.BLOCK = scoring.BLOCK, block
    try:
        tally = Tally()
        tally.add(templates, owners, rises)
    finally:
        scoring.BLOCK = before
    pairs = [(i, j) for j in range(count) for i in range(j)]
    alike = {(i, j): max(-1.0, float(np.clip(templates[i] @ templates[j], -1, 1)) - rises[i]) for i, j in pairs}
    mated = sorted(alike[pair] for pair in pairs if owners[pair[0]] == owners[pair[1]])
    assert sorted(tally.mated_scores) == pytest.approx(mated, abs=1e-5)
    others = np.array([alike[pair] for pair in pairs if owners[pair[0]] != owners[pair[1]]])
    assert tally.non_mated[int(bins_of(np.array([0.0]))[0]) :].sum() == pytest.approx((others >= 0).sum(), abs=1)
    found = compare_all(templates, owners, rises=rises) if len(others) else None
    if found is not None:
        assert np.sort(found.mated.scores) == pytest.approx(np.array(mated), abs=1e-5)
        assert found.non_mated.scores == pytest.approx(np.sort(others), abs=1e-5)
