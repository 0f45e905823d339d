import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from facegate.core.judging import (
    AROUND,
    LEAST_USERS,
    Share,
    Trial,
    Verdict,
    figures,
    gainers_over_losers,
    judge,
    least_gain,
    missed_around,
    supported,
)

# Few distinct values, so that ties are the rule.
score = st.integers(-10, 10).map(lambda n: n / 10)


def some(size):
    return st.lists(score, min_size=size, max_size=size).map(np.array)


@st.composite
def two_trials(draw):
    users = np.array(draw(st.lists(st.integers(0, 5), min_size=1, max_size=30)))
    choosing, checking = draw(st.integers(20, 60)), draw(st.integers(1, 40))
    return [Trial(draw(some(len(users))), users, draw(some(choosing)), draw(some(checking))) for _ in ("old", "new")]


def judged(champion, challenger, target=0.1, seed=0, doubts=()):
    return judge(champion, challenger, target_fmr=target, draw=np.random.default_rng(seed), doubts=doubts)


def changed(trial, **parts):
    kept = {"mated": trial.mated, "users": trial.users, "choosing": trial.choosing, "checking": trial.checking}
    return Trial(**{**kept, **parts})


def a_household(shift, users=8, probes=6, strangers=4000, seed=0):
    """Champion and challenger whose mated scores lie `shift` apart."""
    draw = np.random.default_rng(seed)
    mated = draw.normal(0.4, 0.12, users * probes)
    whose = np.repeat(np.arange(users), probes)
    choosing, checking = draw.normal(0, 0.1, strangers), draw.normal(0, 0.1, strangers)
    return Trial(mated, whose, choosing, checking), Trial(mated + shift, whose, choosing, checking)


@given(two_trials())
def test_identical_networks_are_never_promoted(trials):
    champion, _ = trials
    assert judged(champion, champion).verdict is Verdict.KEPT


@given(two_trials(), st.data())
def test_more_evidence_of_harm_never_promotes(trials, data):
    champion, challenger = trials
    first = judged(champion, challenger)
    assume(first.verdict is not Verdict.PROMOTED)
    fall = np.array(
        data.draw(st.lists(st.integers(0, 5), min_size=len(challenger.mated), max_size=len(champion.mated)))
    )
    rise = np.array(data.draw(st.lists(st.integers(0, 5), min_size=len(challenger.checking),
                                       max_size=len(challenger.checking))))  # fmt: skip
    worse = changed(challenger, mated=challenger.mated - fall / 10, checking=challenger.checking + rise / 10)
    assert judged(champion, worse).verdict is not Verdict.PROMOTED
    assert judged(champion, challenger, doubts=("bob is alice",)).verdict is Verdict.REFUSED


@given(two_trials(), st.integers(0, 100))
def test_the_order_of_probes_strangers_and_users_does_not_matter(trials, seed):
    champion, challenger = trials
    draw = np.random.default_rng(seed)
    probes, names = draw.permutation(len(champion.users)), draw.permutation(6)
    mixed = [
        Trial(
            one.mated[probes], names[one.users[probes]], draw.permutation(one.choosing), draw.permutation(one.checking)
        )
        for one in trials
    ]
    assert judged(*mixed) == judged(champion, challenger)


@given(two_trials(), st.integers(0, 100))
def test_the_same_seed_gives_the_same_verdict(trials, seed):
    assert judged(*trials, seed=seed) == judged(*trials, seed=seed)


@given(two_trials())
def test_fewer_users_than_it_takes_prove_nothing(trials):
    few = [changed(one, users=one.users % (LEAST_USERS - 1)) for one in trials]
    assert judged(*few).verdict is Verdict.KEPT


def test_a_clear_gain_is_promoted_and_told_with_its_counts():
    champion, challenger = a_household(0.15)
    judgement = judged(champion, challenger, target=1e-3)
    assert judgement.verdict is Verdict.PROMOTED
    assert judgement.after.fnmr.count < judgement.before.fnmr.count
    assert f"{judgement.before.fnmr.count} of 48" in judgement.reason


def test_a_gain_within_its_uncertainty_is_kept():
    champion, challenger = a_household(0.0)
    lucky = challenger.mated.copy()
    lucky[np.argmin(np.abs(lucky - figures(champion, 1e-3).threshold + 0.01))] += 0.05
    assert judged(champion, changed(challenger, mated=lucky), target=1e-3).verdict is Verdict.KEPT


def test_a_gain_at_one_threshold_that_is_none_beside_it_is_kept():
    champion, challenger = a_household(0.0)
    own, stricter = (figures(champion, target).threshold for target in (1e-2, 1e-2 * AROUND[0]))
    before = np.where(np.arange(48) % 2, own - 0.001, stricter + 0.001)
    after = np.full(48, own)  # all pass at the target, and half of them fail beside it now
    judgement = judged(changed(champion, mated=before), changed(challenger, mated=after), target=1e-2)
    assert judgement.after.fnmr.count == 0 < judgement.before.fnmr.count
    assert judgement.verdict is Verdict.KEPT


def test_a_gain_around_the_target_that_is_none_at_it_is_kept():
    champion, challenger = a_household(0.0)
    laxer = figures(champion, 1e-2 * AROUND[-1]).threshold
    before, after = np.full(48, laxer - 0.001), np.full(48, laxer)
    judgement = judged(changed(champion, mated=before), changed(challenger, mated=after), target=1e-2)
    assert judgement.after.fnmr.count == judgement.before.fnmr.count == 48
    assert judgement.verdict is Verdict.KEPT


@given(two_trials())
def test_around_a_target_each_probe_fails_at_some_of_the_thresholds(trials):
    for trial in trials:
        missed = missed_around(trial, 0.2)
        assert set(missed.tolist()) <= set(range(len(AROUND) + 1))
        strictest = figures(trial, supported(0.2 * AROUND[0], len(trial.choosing))).threshold
        assert ((missed > 0) == (trial.mated < strictest)).all()


def test_a_gain_that_lets_strangers_in_is_kept():
    champion, challenger = a_household(0.15)
    let_in = challenger.checking.copy()
    let_in[:40] = 0.9
    judgement = judged(champion, changed(challenger, checking=let_in), target=1e-3)
    assert judgement.verdict is Verdict.KEPT
    assert "outsiders' FMR" in judgement.reason


def test_doubts_refuse_whatever_was_gained_and_name_whom():
    judgement = judged(*a_household(0.3), doubts=("the confirmed frames of bob look like alice",))
    assert judgement.verdict is Verdict.REFUSED
    assert "bob" in judgement.reason


def test_a_target_too_low_for_its_strangers_is_raised_to_what_they_support():
    assert supported(1e-6, 1000) == pytest.approx(5e-3)
    assert supported(1e-2, 1000) == pytest.approx(1e-2)
    champion, challenger = a_household(0.15)
    assert judged(champion, challenger, target=1e-9).after.target_fmr == pytest.approx(5 / 4000)


def test_trials_of_different_probes_are_no_comparison():
    champion, challenger = a_household(0.1)
    with pytest.raises(ValueError, match="same probes"):
        judged(champion, changed(challenger, users=challenger.users[::-1]))


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=40), st.integers(0, 50))
def test_the_least_gain_is_at_most_what_was_seen_where_nobody_loses(gains, seed):
    gained, users = np.array(gains), np.arange(len(gains)) % 7
    least = least_gain(gained, users, np.random.default_rng(seed))
    assert -1 <= least <= 1
    if (gained <= 0).all():
        assert least <= 0


def test_who_gains_and_who_loses_is_counted_by_people():
    gained = np.array([1.0, 1.0, 1.0, -1.0, -1.0, 0.0])
    assert gainers_over_losers(gained, np.array([0, 0, 0, 1, 2, 3])) == -1


def test_a_share_of_nothing_claims_nothing():
    assert Share(0, 0).to_json() == {"rate": 0.0, "count": 0, "of": 0, "lower": 0.0, "upper": 1.0}
    assert Share(1, 4).to_json()["rate"] == 0.25
