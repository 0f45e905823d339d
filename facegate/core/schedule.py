"""When something is done again and again: a cron line as crontab(5) means it, or `every 6 hours`, or never.

    minute hour day-of-month month day-of-week

Each is `*` or a list of numbers and ranges, with `/step`; months and days of the week also have their English names.
Sunday is 0 and 7. Where both days are restricted, either will do, as in cron.
"""

import re
from dataclasses import dataclass
from typing import Final

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
DAYS_AT_MOST: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
UNITS: Final = {"minute": 60, "hour": 3600, "day": 86_400}
SHORTEST_SECONDS: Final = 600
"""Learning more often than every ten minutes learns nothing new."""

_INTERVAL: Final = re.compile(r"every (\d{1,4})? ?(minute|hour|day)s?")
_PART: Final = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d{1,2}))?")


@dataclass(frozen=True, slots=True)
class _Field:
    """A part of a cron line: what it is called, its numbers, and names for them from the first number on."""

    what: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_WEEKDAY: Final = _Field("weekday", 0, 7, WEEKDAYS)
_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _WEEKDAY,
)


@dataclass(frozen=True, slots=True)
class Every:
    """So many seconds after the time before."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Cron:
    """Whenever the clock on the wall shows one of each.

    Attributes:
        minutes: 0 to 59.
        hours: 0 to 23.
        days: Days of the month, 1 to 31.
        months: 1 to 12.
        weekdays: 0 is Sunday, 6 Saturday.
        either: The day of the month or that of the week will do; else it takes both.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either: bool


Schedule = Every | Cron | None
"""None: never."""


def parse(text: str) -> Schedule:
    """Read when something is done.

    Raises:
        ValueError: It is no cron line and no interval, or that day never comes.
    """
    plain = " ".join(text.lower().split())
    if not plain:
        return None
    if plain.startswith("every"):
        return _interval(plain)
    fields = plain.split()
    if len(fields) != 5:  # noqa: PLR2004 - crontab(5)
        msg = f"{text!r} has {len(fields)} of the 5 parts of a cron line: minute hour day month weekday"
        raise ValueError(msg)
    minutes, hours, days, months, weekdays = map(_numbers, fields, _FIELDS)
    weekdays = tuple(sorted({day % 7 for day in weekdays}))
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    if not either and min(days) > max(DAYS_AT_MOST[month - 1] for month in months):
        msg = f"day {fields[2]} of month {fields[3]} never comes"
        raise ValueError(msg)
    return Cron(minutes, hours, days, months, weekdays, either)


def _interval(plain: str) -> Every:
    found = _INTERVAL.fullmatch(plain)
    seconds = int(found[1] or 1) * UNITS[found[2]] if found else 0
    if seconds < SHORTEST_SECONDS:
        msg = f"{plain!r} is no interval of ten minutes or more, such as 'every 6 hours'"
        raise ValueError(msg)
    return Every(seconds)


def _numbers(text: str, field: _Field) -> tuple[int, ...]:
    """Return the numbers that a part of a cron line stands for, in order."""
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise _unreadable(part, field)
        step = int(match[3] or 1)
        first, last = _range(match, field)
        if not field.low <= first <= field.high or not field.low <= last <= field.high or not step:
            raise _unreadable(part, field)
        if first > last and field is not _WEEKDAY:
            raise _unreadable(part, field)
        found.update(range(first, (last if first <= last else last + 7) + 1, step))
    return tuple(sorted({number if number <= field.high else number - 7 for number in found}))


def _range(match: re.Match[str], field: _Field) -> tuple[int, int]:
    """Return the first and the last number of a range; a number with a step runs to the end, as in cron."""
    if match[1] == "*":
        if match[2] is not None:
            raise _unreadable(match[0], field)
        return field.low, field.high - (field is _WEEKDAY)  # Sunday once
    first = _number(match[1], match[0], field)
    if match[2] is not None:
        return first, _number(match[2], match[0], field)
    return first, field.high if match[3] else first


def _number(word: str, part: str, field: _Field) -> int:
    if word in field.names:
        return field.names.index(word) + field.low
    if not word.isascii() or not word.isdigit():
        raise _unreadable(part, field)
    return int(word)


def _unreadable(part: str, field: _Field) -> ValueError:
    return ValueError(f"{part!r} is no {field.what} of a cron line")
