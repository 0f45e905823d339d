import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.siamese.tuning.cohort import LIGHTS, Strangers
from facegate.siamese.tuning.crossfit import (
    FEWEST,
    References,
    best_scores,
    deal,
    left_out_best,
    left_out_mean,
    tail_of,
    threshold_for,
    trials,
)
from facegate.siamese.tuning.head import HeadPlan, Rows, learn_head, mean_references, templates
from facegate.siamese.tuning.material import Material


def a_head(dimension=16, seed=0):
    return np.random.default_rng(seed).normal(0, 1, (dimension, 512)).astype(np.float32)


def a_household(users=5, photos=3, copies=2, frames=2, seed=0):
    """Rows as `material.features_of` lays them out: photos, their copies, frames."""
    draw = np.random.default_rng(seed)
    faces = draw.normal(0, 1, (users, 512))
    n, m = users * photos, users * frames
    owners = np.concatenate((np.repeat(np.arange(users), photos), np.repeat(np.arange(users), photos * copies),
                             np.repeat(np.arange(users), frames)))  # fmt: skip
    features = (faces[owners] + draw.normal(0, 0.7, (len(owners), 512))).astype(np.float32)
    items = np.concatenate((np.arange(n), np.repeat(np.arange(n), copies), n + np.arange(m)))
    weights = np.concatenate((np.ones(n), np.full(n * copies, 1 / copies), np.ones(m))).astype(np.float32)
    door = np.arange(len(owners)) >= n
    rows = Rows(features, owners, items, weights, door, ~door)
    return Material(tuple(f"user{at}" for at in range(users)), rows, n, copies)


def strangers(people=60, seed=9, first=0):
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), len(LIGHTS))
    faces = draw.normal(0, 1, (people, 512))
    features = (faces[who] + draw.normal(0, 0.7, (len(who), 512))).astype(np.float32)
    return Strangers(features, first + who, np.tile(np.arange(len(LIGHTS)), people))


@given(st.integers(0, 200), st.integers(2, 5))
def test_a_probe_is_never_held_against_its_own_photo_or_its_copies(seed, photos):
    head, rows = a_head(), a_household(photos=photos, seed=seed).rows
    probes = np.flatnonzero(rows.probes)
    made = templates(head, rows.features)
    best, mean = left_out_best(head, rows, probes), left_out_mean(head, rows, probes, 5)
    for probe, seen, middle in zip(probes[:7], best, mean, strict=False):
        others = [at for at in range(len(rows.owners)) if rows.owners[at] == rows.owners[probe]
                  and rows.items[at] != rows.items[probe]]  # fmt: skip
        assert seen == pytest.approx(max(made[at] @ made[probe] for at in others if rows.photos[at]), abs=1e-5)
        total = sum(rows.weights[at] * made[at] for at in others)
        assert middle == pytest.approx(total @ made[probe] / np.linalg.norm(total), abs=1e-5)


@given(st.integers(0, 200), st.integers(2, 6))
def test_copies_are_held_out_with_their_photo_and_everybody_is_dealt_evenly(seed, folds):
    rows = a_household(seed=seed).rows
    fold_of = deal(rows, folds, np.random.default_rng(seed))
    assert set(fold_of) <= set(range(folds))
    for item in np.unique(rows.items):
        assert len(set(fold_of[rows.items == item])) == 1
    for user in range(5):
        counts = np.bincount(fold_of[(rows.owners == user) & rows.photos], minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_no_head_sees_what_it_is_judged_on_and_no_stranger_counts_twice():
    material, taught, asked = a_household(), [], []

    def learn(rows, fold):
        taught.append(set(rows.items.tolist()))
        asked.append(fold)
        return a_head()

    outsiders = strangers()
    one, two = trials(material, a_head(), learn, outsiders, folds=3, draw=np.random.default_rng(0))
    every = set(material.rows.items.tolist())
    assert asked == [0, 1, 2]
    assert [len(every - seen) for seen in taught] != [0, 0, 0]
    assert set.union(*(every - seen for seen in taught)) == every
    assert len(one.choosing) + len(one.checking) == len(outsiders.people) * len(material.users)
    assert np.array_equal(one.users, two.users)
    assert len(one.mated) == int(material.rows.probes.sum())


def test_where_nothing_is_left_to_compare_with_there_is_no_trial():
    alone = a_household(photos=1, frames=0)
    assert trials(alone, a_head(), lambda *_: a_head(), strangers(), folds=3, draw=np.random.default_rng(0)) is None


@given(st.integers(0, 100))
def test_the_best_of_a_users_references_is_what_a_loop_finds(seed):
    draw = np.random.default_rng(seed)
    owners = draw.permutation(np.repeat([0, 2, 5], [1, 3, 2]))
    references, probes = (draw.normal(0, 0.2, (count, 4)).astype(np.float32) for count in (6, 3))
    best = best_scores(probes, References(references, owners))
    slow = [[max(float(probe @ one) for one, who in zip(references, owners, strict=True) if who == user)
             for user in (0, 2, 5)] for probe in probes]  # fmt: skip
    assert best == pytest.approx(np.clip(slow, -1, 1), abs=1e-6)


@given(st.integers(0, 50), st.sampled_from([1e-2, 1e-3, 1e-4]))
def test_a_threshold_from_few_strangers_and_a_borrowed_tail_lies_where_many_would_put_it(seed, target):
    draw = np.random.default_rng(seed)
    many = draw.normal(0, 0.1, 300_000)
    few, generic = many[:6000], draw.normal(0, 0.1, 1_000_000).astype(np.float32)
    threshold = threshold_for(target, few, tail_of(generic))
    assert target / 3 <= (many >= threshold).mean() <= 3 * target
    assert threshold >= threshold_for(10 * target, few, tail_of(generic))


def test_a_threshold_from_enough_strangers_borrows_nothing():
    few = np.linspace(0, 1, 20 * FEWEST)
    assert threshold_for(0.1, few, tail_of(np.zeros(100, np.float32))) == threshold_for(0.1, few, None)


# --- the head ---------------------------------------------------------------------------------------------------


def learnt(plan, seed=1, rows=None, users=5):
    rows = a_household().rows if rows is None else rows
    return learn_head(a_head(), rows, users, strangers(), np.array([0.2, 0.0, 0.8]), plan=plan, seed=seed)


def test_no_step_leaves_the_champion_and_the_seed_decides_the_rest():
    assert np.array_equal(learnt(HeadPlan(steps=0)), a_head())
    assert np.array_equal(learnt(HeadPlan(steps=3)), learnt(HeadPlan(steps=3)))
    assert not np.array_equal(learnt(HeadPlan(steps=3)), learnt(HeadPlan(steps=3), seed=2))


def test_a_step_of_low_rank_has_that_rank():
    step = learnt(HeadPlan(steps=5, rank=3, rate=1e-2)) - a_head()
    assert np.linalg.matrix_rank(step, tol=1e-4) == 3


def test_a_tighter_leash_keeps_the_head_nearer_to_the_champions():
    far, near = (np.linalg.norm(learnt(HeadPlan(steps=40, rate=1e-2, leash=leash)) - a_head()) for leash in (0, 1e4))
    assert near < far / 2


def test_learning_parts_users_from_strangers_better_than_before():
    rows = a_household(seed=4).rows
    head = learnt(HeadPlan(steps=60, rate=5e-3), rows=rows)
    outsiders = strangers(seed=77)

    def gap(weights):
        references = mean_references(weights, rows, 5)
        own = left_out_mean(weights, rows, np.flatnonzero(rows.probes), 5).mean()
        return own - (templates(weights, outsiders.features) @ references.T).std() * 3

    assert gap(head) > gap(a_head())


def test_many_users_are_met_a_few_at_a_time_and_frames_of_nobody_only_part():
    rows = a_household(users=90, photos=2, copies=1, frames=1).rows
    nobody = Rows(rows.features, np.where(np.arange(len(rows.owners)) % 11 == 0, -1, rows.owners), rows.items,
                  rows.weights, rows.probes, rows.photos)  # fmt: skip
    assert np.isfinite(learnt(HeadPlan(steps=4), rows=nobody, users=90)).all()


# --- a champion that was learnt from the same household ---------------------------------------------------------


def test_a_challenger_gains_nothing_by_what_a_learnt_champion_has_already():
    material, outsiders = a_household(), strangers()
    referenced = np.ones(10, np.bool_)

    def same(**changes):
        return trials(
            material, a_head(), lambda *_: a_head(), outsiders, folds=3, draw=np.random.default_rng(0), **changes
        )

    one, two = same(referenced=referenced)
    assert np.array_equal(one.mated, two.mated)
    assert np.array_equal(one.choosing, two.choosing)
    assert np.array_equal(one.checking, two.checking)
    first, _ = same()
    assert first.mated.mean() < one.mated.mean()


def test_frames_that_a_learnt_champion_has_not_met_are_none_of_its_references():
    material = a_household(frames=3)
    late = np.tile([True, True, False], 5)
    one, two = trials(
        material, a_head(), lambda *_: a_head(), strangers(), folds=3, draw=np.random.default_rng(0), referenced=late
    )
    assert one.mated.mean() < two.mated.mean()
