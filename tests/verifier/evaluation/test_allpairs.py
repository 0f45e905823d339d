import tracemalloc
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegate.core import rates
from facegate.errors import UnusableInputError
from facegate.verifier.evaluation import allpairs
from facegate.verifier.evaluation.allpairs import Highest, compare_all, score_people
from facegate.verifier.evaluation.figures import report
from facegate.verifier.photos import Photo


def world(people, photos, dimension=16, noise=0.7, seed=1):
    """Templates of people who are points, each photo near its person's."""
    draw = np.random.default_rng(seed)
    owners = np.repeat(np.arange(people), photos)
    raw = draw.normal(size=(people, dimension))[owners] + noise * draw.normal(size=(len(owners), dimension))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32), owners


def in_a_loop(templates, owners):
    """The slow way."""
    own, other = [], []
    for one, two in combinations(range(len(owners)), 2):
        (own if owners[one] == owners[two] else other).append(float(np.clip(templates[one] @ templates[two], -1, 1)))
    return np.array(own), np.array(other)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(1, 4), st.integers(1, 40))
def test_blocks_of_any_size_compare_each_two_once(people, photos, cells):
    templates, owners = world(people, photos + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allpairs, "CELLS", cells * len(owners))
        found = compare_all(templates, owners)
    own, other = in_a_loop(templates, owners)
    assert np.sort(found.mated.scores) == pytest.approx(np.sort(own), abs=1e-6)
    assert found.non_mated.scores == pytest.approx(np.sort(other), abs=1e-6)
    assert (found.top.left != found.top.right).all()


@pytest.mark.parametrize("most", [10, 100, 1000])
def test_what_is_only_counted_never_makes_a_threshold_laxer(most):
    templates, owners = world(60, 3)
    whole, part = compare_all(templates, owners), compare_all(templates, owners, most=most)
    assert part.non_mated.total == whole.non_mated.total
    assert len(part.top) <= most
    for target in (0.3, 0.1, 0.01, 0.001):
        exact, binned = (rates.threshold_at(target, found.non_mated) for found in (whole, part))
        assert rates.fmr(binned.threshold, whole.non_mated) <= target
        assert binned.threshold == pytest.approx(exact.threshold, abs=3e-5)
    kept = rates.threshold_at(0.5 * len(part.top) / whole.non_mated.total, whole.non_mated)
    assert rates.threshold_at(0.5 * len(part.top) / whole.non_mated.total, part.non_mated) == kept


def test_the_highest_of_a_stream_are_those_of_all_of_it():
    draw = np.random.default_rng(2)
    values = np.round(draw.normal(size=5000), 2).astype(np.float32)
    highest = Highest(most=300)
    for part in np.split(np.arange(5000, dtype=np.int32), 50):
        highest.add(values[part], part, part)
        assert highest.held < 700
    found = highest.comparisons()
    assert sorted(found.scores) == sorted(values[values > highest.cut])
    assert 250 < len(found) <= 300
    assert (values[found.left] == found.scores.astype(np.float32)).all()


def test_memory_stays_far_below_that_of_all_comparisons():
    """4,000 photos: 8 million comparisons are 64 MB as numbers of 8 bytes, before anything is done with them."""
    templates, owners = world(1000, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allpairs, "CELLS", 50_000)
        tracemalloc.start()
        found = compare_all(templates, owners, most=20_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert found.non_mated.total == 4000 * 3999 // 2 - 6000
    assert peak < 16e6


def photos_of(templates, owners, lost=()):
    people = {}
    for at, (template, owner) in enumerate(zip(templates, owners, strict=True)):
        shown = None if at in lost else template
        people.setdefault(f"p{owner}", []).append(Photo(Path(f"{at}.jpg"), shown, "" if shown is not None else "none"))
    return people


def test_lost_photos_are_counted_for_the_person_who_lost_them():
    people = photos_of(*world(3, 3), lost={0, 1, 5})
    scored = score_people(people)
    assert scored.lost.tolist() == [3, 2, 0]
    assert (scored.mated_failures, scored.non_mated_failures) == (5, 27 - 11)
    assert (scored.failures_to_acquire, scored.photos, scored.people) == (3, 9, 3)


def test_a_report_of_a_part_of_the_comparisons_is_that_of_all():
    people = photos_of(*world(60, 3), lost={7})
    whole, part = (report(score_people(people, most=most), threshold=0.6, model="m", max_fmr=1e-3)
                   for most in (10**6, 4000))  # fmt: skip
    assert whole["eer"] == pytest.approx(part["eer"], abs=1e-3)
    for target in ("0.01", "0.001"):
        one, other = whole["fnmr_at_fmr"][target], part["fnmr_at_fmr"][target]
        assert one["threshold"] == other["threshold"]
        assert one["people_upper"] == pytest.approx(other["people_upper"])
    for rate in ("fmr", "fnmr"):
        assert whole["at_shipped_threshold"][rate] == pytest.approx(part["at_shipped_threshold"][rate])
    assert part["accuracy"] == pytest.approx(whole["accuracy"], abs=2e-3)


def test_progress_is_told_until_all_is_done():
    told = []
    score_people(photos_of(*world(5, 2)), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)


def test_more_photos_than_can_be_compared_are_refused(monkeypatch):
    monkeypatch.setattr(allpairs, "MOST_PHOTOS", 5)
    with pytest.raises(UnusableInputError, match="9 photos are more than 5"):
        score_people(photos_of(*world(3, 3)))
