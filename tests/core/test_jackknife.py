import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.jackknife import least_fmr, student_t


def matches(pairs):
    """False matches by pair of people: {(left, right): how many}."""
    left = [one for (one, _), count in pairs.items() for _ in range(count)]
    right = [other for (_, other), count in pairs.items() for _ in range(count)]
    return np.array(left, np.int64), np.array(right, np.int64)


def slow(left, right, photos, t):
    """The same by plain loops over the people."""
    people = [p for p, count in enumerate(photos) if count]

    def rate(kept):
        false = sum(a in kept and b in kept for a, b in zip(left, right, strict=True))
        total = sum(photos[a] * photos[b] for at, a in enumerate(kept) for b in kept[at + 1 :])
        return false / total

    rates = [rate([q for q in people if q != p]) for p in people]
    mean, n = sum(rates) / len(rates), len(rates)
    variance = (n - 1) / n * sum((each - mean) ** 2 for each in rates)
    return max(0.0, rate(people) - t * variance**0.5)


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.7062), (2, 4.30265), (5, 2.57058), (10, 2.22814), (30, 2.04227)])
def test_students_t_is_that_of_the_tables(freedom, t):
    assert student_t(freedom) == pytest.approx(t, abs=1e-4)


def test_another_confidence_has_another_t():
    assert student_t(10, 0.99) == pytest.approx(3.16927, abs=1e-4)


@given(
    st.lists(st.integers(1, 5), min_size=4, max_size=8),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=12),
)
def test_it_is_what_plain_loops_say(photos, pairs):
    pairs = [(a, b) for a, b in pairs if a < b < len(photos)]
    left, right = (np.array([pair[at] for pair in pairs], np.int64) for at in (0, 1))
    counts = np.array(photos, np.int64)
    expected = slow(left.tolist(), right.tolist(), photos, student_t(len(photos) - 1))
    assert least_fmr(left, right, counts) == pytest.approx(expected, abs=1e-12)


def test_two_who_look_alike_are_chance_among_ten():
    photos = np.full(10, 20)
    assert least_fmr(*matches({(0, 1): 300}), photos) == 0


def test_a_group_in_which_everybody_looks_alike_is_none():
    photos = np.full(10, 20)
    everybody = {(a, b): 40 for a in range(10) for b in range(a + 1, 10)}
    assert least_fmr(*matches(everybody), photos) == pytest.approx(0.1)


def test_people_without_photos_do_not_count():
    photos = np.array([3, 0, 4, 5, 0])
    pairs = matches({(0, 2): 2, (2, 3): 1})
    packed = matches({(0, 1): 2, (1, 2): 1})
    assert least_fmr(*pairs, photos) == pytest.approx(least_fmr(*packed, np.array([3, 4, 5])))


@pytest.mark.parametrize("photos", [[], [4], [4, 5], [4, 0, 5]])
def test_of_fewer_than_three_nothing_is_said(photos):
    none = np.array([], np.int64)
    assert least_fmr(none, none, np.array(photos, np.int64)) is None
