"""Who may pass which door when, and the limits on tries.

Everything here denies unless a clause says yes: a door without permissions permits nobody, an unknown user passes
nowhere, a window that is empty is never open.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from facegate.core.decision import Reason

EVERYONE: Final = "everyone"
"""The group that every user is in. A door made without `--group` permits it."""

EVERY_DAY: Final = frozenset(range(7))


class Mode(StrEnum):
    """What the operator told a door to be."""

    ARMED = "armed"
    DISARMED = "disarmed"
    LOCKDOWN = "lockdown"


@dataclass(frozen=True, slots=True)
class Hours:
    """A window of the week: days as Monday = 0 to Sunday = 6, `opens <= t < closes` by the door's own clock.

    `closes` at 00:00 means the end of the day. A window over midnight is two windows.
    """

    days: frozenset[int] = EVERY_DAY
    opens: time = time(0)
    closes: time = time(0)

    def hold(self, local: datetime) -> bool:
        """Tell whether `local`, a time at the door, lies in the window."""
        clock = local.time()
        return local.weekday() in self.days and self.opens <= clock and (clock < self.closes or self.closes == time(0))


@dataclass(frozen=True, slots=True)
class Permission:
    """A group may pass within the hours; several permissions add up."""

    group: str
    hours: Hours = Hours()


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on tries at one door; 0 switches a limit off.

    Attributes:
        denials: So many denials of strangers within `window_seconds` lock the door for `lockout_seconds`.
        window_seconds: How far back denials are counted.
        lockout_seconds: How long the door then stays locked, counted from the newest of them.
        cooldown_seconds: After a grant the same user is not granted again at this door for so long.
    """

    denials: int = 0
    window_seconds: float = 60.0
    lockout_seconds: float = 60.0
    cooldown_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Door:
    """What is granted; it has cameras and a policy.

    Attributes:
        slug: Its name in topics.
        name: Its name for people.
        cameras: Slugs of its cameras; a camera belongs to one door.
        mode: Armed, disarmed or in lockdown.
        permissions: Who may pass when; none permits nobody.
        zone: IANA time zone of the hours.
        limits: Limits on tries.
        target_fmr: Share of strangers that may be let in per visit, in (0, 1), or None for the gate's.
        agreeing_frames: How many distinct frames must name one user, or None for the gate's.
        alone: Deny as `several_faces` when more than one face is seen.
    """

    slug: str
    name: str
    cameras: tuple[str, ...]
    mode: Mode = Mode.ARMED
    permissions: tuple[Permission, ...] = ()
    zone: str = "UTC"
    limits: Limits = Limits()
    target_fmr: float | None = None
    agreeing_frames: int | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """A person who may be enrolled: slug, shown name, groups, and whether they may pass at all."""

    slug: str
    name: str
    groups: frozenset[str] = frozenset({EVERYONE})
    suspended: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What happened at a door lately, as far as its limits ask.

    Attributes:
        denials: Moments of denials of strangers, UTC.
        granted: Last grant of each user, UTC.
    """

    denials: tuple[datetime, ...] = ()
    granted: Mapping[str, datetime] | None = None


def closed(door: Door, history: History, now: datetime) -> Reason | None:
    """Return why the door is closed to everybody just now, or None."""
    if door.mode is Mode.LOCKDOWN:
        return Reason.LOCKDOWN
    if door.mode is not Mode.ARMED:
        return Reason.NOT_ARMED
    limits = door.limits
    if limits.denials:
        recent = sorted(history.denials)[-limits.denials :]
        if (
            len(recent) == limits.denials
            and (recent[-1] - recent[0]).total_seconds() <= limits.window_seconds
            and (now - recent[-1]).total_seconds() < limits.lockout_seconds
        ):
            return Reason.LOCKED_OUT
    return None


def refusal(  # noqa: PLR0911 - a clause, a way out
    door: Door, user: User | None, history: History, now: datetime
) -> Reason | None:
    """Return why `user` may not pass `door` at `now`, or None if every clause says yes.

    Args:
        door: The door with its permissions and limits.
        user: The user whom the verifier named, or None if no such user is known any more.
        history: What happened at this door lately.
        now: The moment, UTC.
    """
    if (reason := closed(door, history, now)) is not None:
        return reason
    if user is None:
        return Reason.NOT_PERMITTED
    if user.suspended:
        return Reason.SUSPENDED
    if user.expires_at is not None and not now < user.expires_at:
        return Reason.EXPIRED_USER
    theirs = [permission for permission in door.permissions if permission.group in user.groups]
    if not theirs:
        return Reason.NOT_PERMITTED
    local = now.astimezone(ZoneInfo(door.zone))
    if not any(permission.hours.hold(local) for permission in theirs):
        return Reason.OUTSIDE_HOURS
    last = (history.granted or {}).get(user.slug)
    # A clock that was set back makes the time since then negative; a limit of 0 is off nevertheless.
    cooldown = door.limits.cooldown_seconds
    if cooldown and last is not None and (now - last).total_seconds() < cooldown:
        return Reason.COOLING_DOWN
    return None
