import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core import arming
from facegate.core.arming import (
    FEWEST,
    Arming,
    Relative,
    digest_of,
    highest,
    measured,
    nearest_users,
    required,
    strictness_of,
)
from facegate.core.calibration import calibrate, unmeasured
from facegate.core.comparison import References, nobody
from facegate.core.levelling import Levelling

MODEL = "twin@0123456789ab"
DRAW = np.random.default_rng(7)
CALIBRATION = calibrate(
    model=MODEL, source="a line", people=100, mated=DRAW.normal(0.6, 0.1, 999), non_mated=DRAW.normal(0, 0.125, 400_000)
)


def unit(raw):
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def gallery(users, photos=1, seed=1, dimension=64):
    raw = np.random.default_rng(seed).normal(size=(users * photos, dimension))
    return References(MODEL, unit(raw), np.repeat(np.arange(users), photos), tuple(f"u{at}" for at in range(users)))


def strangers(count, seed=9, dimension=64):
    return unit(np.random.default_rng(seed).normal(size=(count, dimension)))


@given(st.integers(1, 8), st.integers(1, 3), st.integers(0, 99), st.integers(1, 60))
def test_the_most_alike_other_user_is_that_of_a_plain_loop(users, photos, seed, cells):
    references = gallery(users, photos, seed, dimension=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arming, "CELLS", cells)
        found = nearest_users(references)
    for user in range(users):
        mine = [at for at, owner in enumerate(references.owners) if owner == user]
        others = [at for at, owner in enumerate(references.owners) if owner != user]
        scores = [float(references.templates[one] @ references.templates[two]) for one in mine for two in others]
        if not others:
            assert found == {}
        else:
            assert found[f"u{user}"].score == pytest.approx(max(scores), abs=1e-6)
            assert found[f"u{user}"].user != f"u{user}"


def test_twins_are_named_and_nobody_else():
    references = gallery(6)
    templates = references.templates.copy()
    templates[1] = unit((templates[0] + 0.1 * templates[2])[None])[0]
    found = measured(References(MODEL, templates, references.owners, references.users))
    raised = found.raised(0.6, 0.05)
    assert set(raised) == {"u0", "u1"}
    assert raised["u0"].user == "u1"
    assert raised["u0"].score == pytest.approx(float(templates[0] @ templates[1]))


def test_a_gallery_of_nobody_or_of_one_is_measured():
    for references in (nobody(MODEL), nobody(MODEL, 64), gallery(1, 3)):
        found = measured(references, CALIBRATION, strangers(200))
        assert (found.nearest, found.strictness) == ({}, 1.0)
        assert found.fits(references)


def test_what_was_measured_fits_no_other_gallery_not_even_an_equal_one():
    references, again, other = gallery(3), gallery(3), gallery(3, seed=2)
    found = measured(references)
    assert found.fits(references)
    assert not found.fits(again)
    assert not found.fits(other)


def test_the_digest_tells_every_change_and_only_changes():
    references = gallery(3, 2)
    same = digest_of(gallery(3, 2))
    assert digest_of(references) == same
    templates = references.templates.copy()
    templates[0, 0] += 1e-6
    changed = [
        References("other@0123456789ab", references.templates, references.owners, references.users),
        References(MODEL, templates, references.owners, references.users),
        References(MODEL, references.templates, references.owners[::-1].copy(), references.users),
        References(MODEL, references.templates, references.owners, ("u0", "u2", "u1")),
        References(MODEL, references.templates[:-1], references.owners[:-1], references.users),
    ]
    assert len({same, *map(digest_of, changed)}) == 6


def test_references_that_are_read_anew_are_not_measured_anew():
    first = measured(gallery(3), CALIBRATION, strangers(300))
    kept = Arming(first.references, first.gallery, {"u0": Relative("u9", 0.5)}, strictness=1.5, strangers=300)
    again = gallery(3)
    found = measured(again, CALIBRATION, strangers(300), before=kept)
    assert found.fits(again)
    assert (found.nearest, found.strictness) == (kept.nearest, 1.5)
    grown = gallery(4)
    assert measured(grown, CALIBRATION, strangers(300), before=kept).nearest["u0"].user != "u9"


def test_a_gallery_that_draws_no_more_strangers_than_others_is_as_strict():
    assert measured(gallery(20), CALIBRATION, strangers(3000)).strictness == pytest.approx(1, abs=0.1)


def test_a_gallery_that_draws_more_strangers_than_others_is_stricter():
    """The strangers lie in the half of the space where the users are."""
    people = strangers(3000)
    people[:, :8] = np.abs(people[:, :8]) * 2
    references = gallery(20)
    templates = references.templates.copy()
    templates[:, :8] = np.abs(templates[:, :8]) * 2
    crowded = References(MODEL, unit(templates), references.owners, references.users)
    found = measured(crowded, CALIBRATION, unit(people))
    assert found.strictness > 2
    assert found.strangers == 3000


@given(st.integers(1, 400), st.integers(0, 50))
def test_strictness_never_makes_a_threshold_laxer(count, seed):
    tops = np.random.default_rng(seed).normal(0.2, 0.2, count)
    assert strictness_of(tops, CALIBRATION, 5) >= 1.0
    assert math.isfinite(strictness_of(tops, CALIBRATION, 5))


@given(st.floats(0, 0.3), st.integers(0, 50))
def test_where_strangers_refute_the_curve_as_many_are_counted_on_as_came(nearer, seed):
    tops = np.sort(np.random.default_rng(seed).normal(nearer, 0.2, 900))[::-1]
    strictness = strictness_of(tops, CALIBRATION, 5)
    for rank in range(FEWEST, 90):  # the ranks between those that are looked at may lie a little above
        allowed = CALIBRATION.gallery_fmr(float(tops[rank - 1]), 5) * strictness
        assert strictness == 1 or allowed >= 0.95 * rank / 900


@given(st.floats(1e-4, 0.5), st.integers(0, 200), st.floats(1, 30), st.floats(1, 10))
def test_more_references_attempts_or_strictness_never_lower_a_threshold(target, references, attempts, strictness):
    base = CALIBRATION.visit_threshold(target, references=references)
    more = CALIBRATION.visit_threshold(target, references=references, attempts=attempts, strictness=strictness)
    assert more is None or (base is not None and more >= base)
    if more is not None:
        allowed = CALIBRATION.fmr(more) * max(references, 1) * attempts * strictness
        assert 1 - math.exp(-allowed) <= target * 1.001


def test_many_references_are_not_searched_and_many_strangers_not_all_tried(monkeypatch):
    monkeypatch.setattr(arming, "MOST_SEARCHED", 4)
    monkeypatch.setattr(arming, "MOST_TRIES", 500)
    found = measured(gallery(5), CALIBRATION, strangers(300))
    assert (found.searched, found.nearest, found.strangers) == (False, {}, 100)


def test_a_calibration_of_another_network_is_refused_and_an_empty_one_adds_nothing():
    other = calibrate(model="b@0", source="", people=2, mated=np.ones(3), non_mated=np.zeros(9))
    with pytest.raises(ValueError, match="calibration of b@0"):
        measured(gallery(3), other)
    assert measured(gallery(3), unmeasured(MODEL), strangers(300)).strictness == 1


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 50))
def test_a_users_rise_is_that_of_their_least_common_reference(users, photos, seed):
    references = gallery(users, photos, seed)
    levelling = Levelling(strangers(40), ordinary=0.4, slope=2.0, nearest=10)
    found = measured(references, replace(CALIBRATION, levelling=levelling))
    rises = levelling.rises(references.templates)
    for at, user in enumerate(references.users):
        assert found.rise(user) == pytest.approx(max(rises[references.owners == at]))
    assert found.rise("nobody") == 0
    assert measured(references, CALIBRATION).rises == dict.fromkeys(references.users, 0.0)


@given(st.floats(-1, 1), st.floats(0, 0.3), st.none() | st.floats(-1, 1), st.floats(0, 1))
def test_what_names_a_user_is_never_less_than_the_door_asks_for(threshold, margin, alike, rise):
    other = None if alike is None else Relative("twin", alike)
    asked = required(threshold, margin, other, rise)
    assert asked >= threshold + rise >= threshold
    assert other is None or asked >= other.score + margin


def test_a_rise_that_reaches_beyond_a_relative_leaves_nothing_to_raise():
    found = replace(measured(gallery(2)), nearest={"u0": Relative("u1", 0.6)}, rises={"u0": 0.1})
    assert set(found.raised(0.5, 0.04)) == {"u0"}
    assert set(found.raised(0.55, 0.04)) == set()


def test_strangers_are_held_against_levelled_scores():
    references, people = gallery(5, 2), strangers(200)
    rises = np.linspace(0, 0.3, len(references))
    plain = people @ references.templates.T
    assert highest(people, references, rises) == pytest.approx((plain - rises).max(axis=1), abs=1e-6)
    assert highest(people, references) == pytest.approx(plain.max(axis=1), abs=1e-6)


def test_what_was_levelled_is_kept_for_references_that_are_read_anew():
    levelled = replace(CALIBRATION, levelling=Levelling(strangers(40), 0.4, 2.0, 10))
    first = measured(gallery(3), levelled, strangers(300))
    again = measured(gallery(3), levelled, strangers(300), before=first)
    assert again.rises == first.rises
    assert min(first.rises.values()) > 0
