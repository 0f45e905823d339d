from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.commands.hours import parse, written
from facegate.core.policy import EVERY_DAY, Hours
from facegate.errors import UnusableInputError

minutes = st.integers(0, 1439)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("mon-fri 07:00-19:00", Hours(frozenset(range(5)), time(7), time(19))),
        ("sat,sun 10:00-16:00", Hours(frozenset({5, 6}), time(10), time(16))),
        ("fri-mon", Hours(frozenset({4, 5, 6, 0}))),
        ("22:00-24:00", Hours(EVERY_DAY, time(22), time(0))),
        ("DAILY", Hours()),
        ("mon,wed-fri 7:05-8:10", Hours(frozenset({0, 2, 3, 4}), time(7, 5), time(8, 10))),
    ],
)
def test_hours_are_read_as_an_operator_writes_them(text, hours):
    assert parse(text) == hours


@pytest.mark.parametrize(
    "text",
    [
        "",
        "noon",
        "mon tue wed",
        "mon tue",
        "10:00-12:00 14:00-18:00",
        "24:00-06:00",
        "24:00-24:00",
        "mon-",
        "08:00",
        "09:00-08:00",
        "08:00-08:00",
        "08:60-09:00",
        "montag 08:00-09:00",
    ],
)
def test_what_names_no_hours_is_refused_with_an_example(text):
    with pytest.raises(UnusableInputError, match="mon-fri 07:00-19:00"):
        parse(text)


@given(days=st.frozensets(st.integers(0, 6), min_size=1), opens=minutes, closes=minutes)
def test_hours_that_were_written_are_read_back(days, opens, closes):
    opens, closes = sorted((opens, closes))
    end = time(0) if opens == closes else time(closes // 60, closes % 60)
    hours = Hours(days, time(opens // 60, opens % 60), end)
    assert parse(written(hours)) == hours
