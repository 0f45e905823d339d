import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.comparison import References, best_match, distance_of, is_template, nobody, score, score_of, scores

MODEL = "twin@0123456789ab"


def unit(rng: np.random.Generator, count: int, dimension: int = 16) -> np.ndarray:
    vectors = rng.standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


galleries = st.builds(
    lambda seed, rows, users: (np.random.default_rng(seed), rows, users),
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.integers(1, 8),
)


def gallery(rng: np.random.Generator, rows: int, users: int) -> References:
    owners = np.concatenate([np.arange(min(rows, users)), rng.integers(0, min(rows, users), max(0, rows - users))])
    return References(
        MODEL, unit(rng, rows), owners.astype(np.int64), tuple(f"user{n}" for n in range(min(rows, users)))
    )


@given(galleries)
def test_the_best_match_is_what_a_plain_loop_finds(drawn):
    references = gallery(*drawn)
    probe = unit(drawn[0], 1)[0]
    by_user = {}
    for row, owner in zip(references.templates, references.owners, strict=True):
        user = references.users[owner]
        by_user[user] = max(by_user.get(user, -2.0), score(probe, row))
    ranked = sorted(by_user.values(), reverse=True)
    match = best_match(probe, references)
    assert match is not None
    assert match.score == pytest.approx(ranked[0], abs=1e-5)
    assert by_user[match.user] == pytest.approx(ranked[0], abs=1e-5)
    assert (match.runner_up is None) == (len(ranked) == 1)
    if match.runner_up is not None:
        assert match.runner_up == pytest.approx(ranked[1], abs=1e-5)
        assert match.runner_up_user != match.user


@given(galleries)
def test_comparing_changes_no_reference(drawn):
    references = gallery(*drawn)
    before = references.templates.copy()
    best_match(unit(drawn[0], 1)[0], references)
    assert np.array_equal(before, references.templates)


def test_an_empty_gallery_matches_nobody():
    assert best_match(unit(np.random.default_rng(1), 1)[0], nobody(MODEL, 16)) is None


@pytest.mark.parametrize("probe", [np.full(16, np.nan), np.zeros(16), np.full(16, 9.0)])
def test_what_is_no_template_is_never_compared(probe):
    references = gallery(np.random.default_rng(1), 3, 3)
    with pytest.raises(ValueError, match="unit"):
        best_match(probe.astype(np.float32), references)


@given(st.floats(-1, 1))
def test_distance_and_score_are_inverse(cosine):
    assert score_of(distance_of(cosine)) == pytest.approx(cosine, abs=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_the_distance_is_that_of_the_vectors(seed):
    left, right = unit(np.random.default_rng(seed), 2).astype(np.float64)
    assert distance_of(float(left @ right)) == pytest.approx(float(np.linalg.norm(left - right)), abs=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_scores_are_symmetric_and_within_bounds(seed):
    vectors = unit(np.random.default_rng(seed), 6)
    table = scores(vectors, vectors)
    assert table.max() <= 1.0
    assert table.min() >= -1.0
    assert np.allclose(table, table.T, atol=1e-6)
    assert math.isclose(score(vectors[0], vectors[1]), float(table[0, 1]), abs_tol=1e-6)


def test_a_template_is_finite_and_of_unit_length():
    assert is_template(np.eye(4, dtype=np.float32)[0])
    assert not is_template(np.array([np.inf, 0.0], np.float32))
    assert not is_template(np.eye(4, dtype=np.float32))
