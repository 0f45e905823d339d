from datetime import timedelta
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.comparison import References
from facegate.core.drift import (
    LEVEL,
    Visit,
    fall_chance,
    months,
    sinking_cameras,
    sinking_users,
    too_alike,
)
from tests.fakes import START

NEW, OLD = "twins@0123456789ab", "twins@ba9876543210"


def days(user, level, *, ago, count=30, camera="porch", model=NEW, spread=0.03, seed=0):
    """Two visits a day around a level, `ago` days ago and before."""
    rng = np.random.default_rng([seed, ago, *user.encode()])
    return [
        Visit(user, "front", camera, model, float(level + rng.normal(0, spread)), START - timedelta(days=ago + at // 2))
        for at in range(2 * count)
    ]


def test_a_user_whose_scores_sink_is_named_with_counts_and_nobody_else():
    visits = days("alice", 0.7, ago=31, count=60) + days("alice", 0.6, ago=0, count=28)
    visits += days("bob", 0.7, ago=31, count=60) + days("bob", 0.7, ago=0, count=28)
    (fall,) = sinking_users(visits, START)
    assert fall.name == "alice"
    assert fall.before == pytest.approx(0.7, abs=0.02)
    assert fall.now == pytest.approx(0.6, abs=0.02)
    assert (fall.days_before, fall.days_now) == (60, 28)
    assert fall.chance < 1e-6


def test_too_few_days_too_small_a_fall_and_a_rise_name_nobody():
    sinking = days("alice", 0.7, ago=31, count=60)
    assert sinking_users(sinking + days("alice", 0.5, ago=0, count=6), START) == []
    assert sinking_users(sinking + days("alice", 0.69, ago=0, count=28, spread=0.001), START) == []
    assert sinking_users(sinking + days("alice", 0.8, ago=0, count=28), START) == []
    assert sinking_users([], START) == []


def test_twenty_visits_of_one_day_are_one_observation():
    bad_day = [Visit("alice", "front", "porch", NEW, 0.4, START) for _ in range(200)]
    assert sinking_users(days("alice", 0.7, ago=31, count=60) + bad_day, START) == []


def test_scores_of_two_networks_are_not_mixed():
    visits = days("alice", 0.9, ago=40, count=60, model=OLD) + days("alice", 0.6, ago=0, count=28)
    assert sinking_users(visits, START) == []


def test_nothing_that_changes_nothing_is_named_more_often_than_the_level_says():
    named = 0
    for seed in range(300):
        visits = days("alice", 0.7, ago=31, count=40, seed=seed) + days("alice", 0.7, ago=0, count=28, seed=seed + 1000)
        named += bool(sinking_users(visits, START))
    assert named / 300 <= 3 * LEVEL


def test_a_camera_at_which_everybody_sinks_is_named():
    visits = []
    for user, level in (("alice", 0.8), ("bob", 0.6)):
        for camera, fall in (("porch", 0.1), ("yard", 0.0)):
            visits += days(user, level, ago=31, count=40, camera=camera)
            visits += days(user, level - fall, ago=0, count=28, camera=camera)
    assert [fall.name for fall in sinking_cameras(visits, START)] == ["porch"]
    assert sinking_cameras([visit for visit in visits if visit.user == "alice"], START) == []


def test_a_user_who_sinks_does_not_drag_the_camera_down():
    visits = days("alice", 0.8, ago=31, count=40) + days("alice", 0.6, ago=0, count=28)
    visits += days("bob", 0.8, ago=31, count=40) + days("bob", 0.8, ago=0, count=28)
    assert [fall.name for fall in sinking_users(visits, START)] == ["alice"]
    assert sinking_cameras(visits, START) == []


def test_months_are_counted_for_each_user_door_and_camera():
    visits = [Visit("alice", "front", "porch", NEW, score, START) for score in (0.5, 0.6, 0.7)]
    visits.append(Visit("alice", "front", "yard", NEW, 0.9, START - timedelta(days=40)))
    assert [month.to_json() for month in months(visits)] == [
        {
            "month": "2026-10", "user": "alice", "door": "front", "camera": "yard", "visits": 1, "median": 0.9,
            "p10": 0.9,
        },
        {
            "month": "2026-11", "user": "alice", "door": "front", "camera": "porch", "visits": 3, "median": 0.6,
            "p10": 0.52,
        },
    ]  # fmt: skip


levels = st.lists(st.integers(0, 8), min_size=3, max_size=12)


@given(levels, levels)
def test_the_chance_is_that_of_counting_pairs(before, now):
    """Against the slow way: pairs are counted, and the variance is that of all ways to deal the values out."""
    wins = sum((a > b) + 0.5 * (a == b) for a in now for b in before)
    values = sorted(before + now)
    shared = {value: np.mean([at + 1 for at, other in enumerate(values) if other == value]) for value in values}
    ranks = np.array([shared[value] for value in before + now])
    spread = ranks.var() * len(before) * len(now) / (len(values) - 1)
    from math import erfc, sqrt

    z = (wins - len(before) * len(now) / 2 + 0.5) / sqrt(spread) if spread > 0 else None
    expected = 1.0 if z is None else 0.5 * erfc(-z / sqrt(2))
    assert fall_chance(before, now) == pytest.approx(expected, abs=1e-9)


@given(st.integers(2, 30), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_alike_pairs_are_those_of_a_plain_loop(count, users, seed):
    rng = np.random.default_rng(seed)
    templates = rng.standard_normal((count, 4)).astype(np.float32)
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    owners = rng.integers(users, size=count)
    references = References(NEW, templates, owners, tuple(f"u{at}" for at in range(users)))
    expected = {}
    for one, other in combinations(range(count), 2):
        if owners[one] != owners[other]:
            pair = tuple(sorted((f"u{owners[one]}", f"u{owners[other]}")))
            score = float(templates[one] @ templates[other])
            if score >= 0.3:
                expected[pair] = max(score, expected.get(pair, -1.0))
    found = too_alike(references, 0.3)
    assert {(pair.one, pair.other): pytest.approx(pair.score, abs=1e-5) for pair in found} == expected
    assert [pair.score for pair in found] == sorted((pair.score for pair in found), reverse=True)
