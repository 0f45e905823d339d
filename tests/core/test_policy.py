from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.decision import Reason
from facegate.core.policy import EVERYONE, Door, History, Hours, Limits, Mode, Permission, User, closed, refusal

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday
ALICE = User("alice", "Alice")
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


def door(**changes) -> Door:
    fields = {"slug": "front", "name": "Front", "cameras": ("porch",), "permissions": (Permission(EVERYONE),)}
    return Door(**(fields | changes))


def test_everyone_may_pass_a_door_that_permits_everyone():
    assert refusal(door(), ALICE, History(), NOON) is None


@given(moments)
def test_a_door_without_permissions_permits_nobody(now):
    assert refusal(door(permissions=()), ALICE, History(), now) is Reason.NOT_PERMITTED


@given(moments)
def test_nobody_unknown_may_pass(now):
    assert refusal(door(), None, History(), now) is Reason.NOT_PERMITTED


@pytest.mark.parametrize(
    ("changes", "user", "reason"),
    [
        ({"mode": Mode.LOCKDOWN}, ALICE, Reason.LOCKDOWN),
        ({"mode": Mode.DISARMED}, ALICE, Reason.NOT_ARMED),
        ({}, User("alice", "Alice", suspended=True), Reason.SUSPENDED),
        ({}, User("alice", "Alice", expires_at=NOON), Reason.EXPIRED_USER),
        ({"permissions": (Permission("staff"),)}, ALICE, Reason.NOT_PERMITTED),
        ({"permissions": (Permission(EVERYONE, Hours(opens=time(13))),)}, ALICE, Reason.OUTSIDE_HOURS),
        ({"permissions": (Permission(EVERYONE, Hours(closes=time(12))),)}, ALICE, Reason.OUTSIDE_HOURS),
        ({"permissions": (Permission(EVERYONE, Hours(days=frozenset({1}))),)}, ALICE, Reason.OUTSIDE_HOURS),
        ({"permissions": (Permission(EVERYONE, Hours(days=frozenset())),)}, ALICE, Reason.OUTSIDE_HOURS),
    ],
)
def test_each_clause_refuses_with_its_own_reason(changes, user, reason):
    assert refusal(door(**changes), user, History(), NOON) is reason


def test_a_user_passes_until_the_moment_of_expiry():
    user = User("alice", "Alice", expires_at=NOON + timedelta(seconds=1))
    assert refusal(door(), user, History(), NOON) is None


def test_one_permission_that_holds_is_enough():
    permissions = (Permission("staff", Hours(opens=time(13))), Permission("cleaners"))
    user = User("bob", "Bob", frozenset({EVERYONE, "staff", "cleaners"}))
    assert refusal(door(permissions=permissions), user, History(), NOON) is None


def test_hours_are_those_of_the_door():
    hours = Hours(opens=time(13), closes=time(14))
    permitted = door(permissions=(Permission(EVERYONE, hours),), zone="Europe/Berlin")
    assert refusal(permitted, ALICE, History(), NOON) is None  # noon in UTC is 13:00 there


def test_hours_end_with_the_day_when_they_close_at_midnight():
    assert Hours(opens=time(22)).hold(datetime(2026, 11, 23, 23, 59))
    assert not Hours(opens=time(22)).hold(datetime(2026, 11, 24, 0, 0))


def test_denials_lock_the_door_and_time_unlocks_it():
    limits = Limits(denials=3, window_seconds=60, lockout_seconds=30)
    denials = tuple(NOON - timedelta(seconds=ago) for ago in (20, 10, 5))
    assert closed(door(limits=limits), History(denials), NOON) is Reason.LOCKED_OUT
    assert closed(door(limits=limits), History(denials), NOON + timedelta(seconds=26)) is None
    assert closed(door(limits=limits), History(denials[:2]), NOON) is None
    assert closed(door(), History(denials), NOON) is None


def test_denials_that_lie_far_apart_lock_nothing():
    limits = Limits(denials=2, window_seconds=60, lockout_seconds=30)
    denials = (NOON - timedelta(seconds=100), NOON)
    assert closed(door(limits=limits), History(denials), NOON) is None


def test_a_grant_cools_down_for_its_own_user_only():
    cooling = door(limits=Limits(cooldown_seconds=60))
    history = History(granted={"alice": NOON - timedelta(seconds=59)})
    assert refusal(cooling, ALICE, history, NOON) is Reason.COOLING_DOWN
    assert refusal(cooling, User("bob", "Bob"), history, NOON) is None
    assert refusal(cooling, ALICE, history, NOON + timedelta(seconds=1)) is None
