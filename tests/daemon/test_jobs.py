from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.schedule import parse
from facegate.daemon.jobs import JITTER_SECONDS, Job, every, schedule, trigger_of

SUNDAY = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
JITTER = timedelta(seconds=JITTER_SECONDS)


def next_time(text: str, now: datetime, zone: str = "UTC") -> datetime:
    return trigger_of(parse(text), ZoneInfo(zone)).get_next_fire_time(None, now)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 3 * * *", datetime(2026, 11, 23, 3, 30, tzinfo=UTC)),
        ("30 3 * * 0", datetime(2026, 11, 29, 3, 30, tzinfo=UTC)),  # Sunday, as cron has it
        ("30 3 * * 1", datetime(2026, 11, 23, 3, 30, tzinfo=UTC)),
        ("30 3 1 * 3", datetime(2026, 11, 25, 3, 30, tzinfo=UTC)),  # the first, or a Wednesday
        ("0 0 29 2 *", datetime(2028, 2, 29, 0, 0, tzinfo=UTC)),
    ],
)
def test_a_cron_line_fires_when_cron_would_or_some_minutes_later(text, expected):
    assert expected <= next_time(text, SUNDAY) <= expected + JITTER


def test_a_cron_line_is_in_the_zone_of_the_wall_clock():
    fires = next_time("30 3 * * *", SUNDAY, "America/New_York")
    assert datetime(2026, 11, 23, 8, 30, tzinfo=UTC) <= fires <= datetime(2026, 11, 23, 8, 30, tzinfo=UTC) + JITTER


lists = st.sets(st.integers(1, 28), min_size=1, max_size=3)


@given(lists, st.sets(st.integers(0, 6), min_size=1, max_size=3), st.booleans(), st.booleans())
def test_the_days_are_those_of_cron(days, weekdays, every_day, every_weekday):
    day = "*" if every_day else ",".join(map(str, days))
    weekday = "*" if every_weekday else ",".join(map(str, weekdays))
    fits = {
        (True, True): lambda _: True,
        (True, False): lambda moment: moment.isoweekday() % 7 in weekdays,
        (False, True): lambda moment: moment.day in days,
        (False, False): lambda moment: moment.day in days or moment.isoweekday() % 7 in weekdays,
    }[every_day, every_weekday]
    moments = (datetime(2026, 11, 23, 0, 0, tzinfo=UTC) + timedelta(days=at) for at in range(400))
    expected = next(moment for moment in moments if fits(moment))
    assert expected <= next_time(f"0 0 {day} * {weekday}", SUNDAY) <= expected + JITTER


def test_an_interval_waits_for_its_length_first():
    fires = next_time("every 6 hours", SUNDAY)
    assert fires - datetime.now(UTC) > timedelta(hours=5)


def test_never_is_no_trigger_and_makes_no_job():
    scheduler = schedule([Job("learn", lambda: None, trigger_of(parse(""))), Job("tick", lambda: None, every(5))])
    assert [job.id for job in scheduler.get_jobs()] == ["tick"]


def test_jobs_run_one_at_a_time_and_once_if_they_were_missed_several_times():
    (job,) = schedule([Job("tick", lambda: None, every(5), grace_seconds=7)]).get_jobs()
    assert (job.max_instances, job.coalesce, job.misfire_grace_time) == (1, True, 7)
