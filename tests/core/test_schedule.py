import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.schedule import Cron, Every, parse


def test_the_usual_line_is_read():
    assert parse("30 3 * * *") == Cron(
        (30,), (3,), tuple(range(1, 32)), tuple(range(1, 13)), tuple(range(7)), either=False
    )


def test_nothing_is_never():
    assert parse("  ") is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("every 6 hours", 21_600), ("Every day", 86_400), ("every 10 minutes", 600)]
)
def test_an_interval_is_read(text, seconds):
    assert parse(text) == Every(seconds)


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("0", (0,)), ("7", (0,)), ("sun", (0,)), ("1-5", (1, 2, 3, 4, 5)), ("mon-fri", (1, 2, 3, 4, 5)),
        ("fri-mon", (0, 1, 5, 6)), ("5-7", (0, 5, 6)), ("sat,sun", (0, 6)), ("*/2", (0, 2, 4, 6)),
        ("*", tuple(range(7))),
    ],
)  # fmt: skip
def test_days_of_the_week_are_those_of_cron_where_sunday_is_0_and_7(field, days):
    assert parse(f"0 3 * * {field}").weekdays == days


@pytest.mark.parametrize(
    ("field", "minutes"),
    [("*/15", (0, 15, 30, 45)), ("5-9/2", (5, 7, 9)), ("50/5", (50, 55)), ("7,3,3", (3, 7))],
)
def test_lists_ranges_and_steps_are_read(field, minutes):
    assert parse(f"{field} * * * *").minutes == minutes


def test_where_both_days_are_restricted_either_will_do():
    assert parse("0 3 1 * mon").either
    assert not parse("0 3 1 * *").either
    assert not parse("0 3 * * mon").either


def test_months_have_names():
    assert parse("0 3 1 jan,jul-sep *").months == (1, 7, 8, 9)


@pytest.mark.parametrize(
    "text",
    [
        "nightly", "30 3 * *", "30 3 * * * *", "60 3 * * *", "30 24 * * *", "30 3 0 * *", "30 3 * 13 *", "30 3 * * 8",
        "30 3 * * mo", "*/0 3 * * *", "9-5 3 * * *", "-1 3 * * *", "1-*/2 * * * *", "*-5 * * * *", "٣ 3 * * *",
        "every 5 minutes", "every night", "every 0 days", "@daily", "0 3 31 2 *", "0 3 31 feb,apr *", ", 3 * * *",
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_told(text):
    with pytest.raises(ValueError, match=r"cron line|never comes|interval"):
        parse(text)


def test_the_29th_of_february_comes():
    assert parse("0 3 29 2 *").days == (29,)


@given(st.text(alphabet=string.printable, max_size=40))
def test_any_text_is_a_schedule_or_a_plain_error(text):
    try:
        schedule = parse(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - both ways out are right
    else:
        assert schedule is None or isinstance(schedule, Every | Cron)


numbers = st.sets(st.integers(0, 59), min_size=1).map(sorted)


@given(numbers, st.sets(st.integers(0, 23), min_size=1), st.sets(st.integers(0, 6), min_size=1))
def test_numbers_that_are_listed_come_back(minutes, hours, weekdays):
    text = " ".join(",".join(map(str, part)) for part in (minutes, hours, ["*"], ["*"], weekdays))
    found = parse(text)
    assert found.minutes == tuple(sorted(minutes))
    assert found.hours == tuple(sorted(hours))
    assert found.weekdays == tuple(sorted(weekdays))
