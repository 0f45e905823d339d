"""Hours as an operator writes them: `mon-fri 07:00-19:00`, `sat,sun 10:00-16:00`, `daily`, `22:00-24:00`."""

import re
from datetime import time
from typing import Final

from facegate.core.policy import EVERY_DAY, Hours
from facegate.errors import UnusableInputError

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WINDOW: Final = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
MEND: Final = 'Write hours like "mon-fri 07:00-19:00" or "sat,sun 10:00-16:00"; over midnight, two of them'


def parse(text: str) -> Hours:
    """Read a window of the week.

    Raises:
        UnusableInputError: It cannot be read, or would never be open.
    """
    words = text.lower().split()
    windows = [match for word in words if (match := WINDOW.fullmatch(word)) is not None]
    named = [word for word in words if WINDOW.fullmatch(word) is None]
    if not words or len(windows) > 1 or len(named) > 1:
        raise _unreadable(text)
    days = _days(named[0], text) if named else EVERY_DAY
    window = (time(0), time(0))
    if windows:
        opens, opens_minute, closes, closes_minute = windows[0].groups()
        window = (_clock(opens, opens_minute, text), _clock(closes, closes_minute, text))
        if opens == "24" or (window[1] != time(0) and window[0] >= window[1]):
            raise _unreadable(text)
    return Hours(days, *window)


def written(hours: Hours) -> str:
    """Write a window as it is read."""
    days = sorted(hours.days)
    if hours.days == EVERY_DAY:
        which = "daily"
    elif len(days) > 1 and days == list(range(days[0], days[-1] + 1)):
        which = f"{DAYS[days[0]]}-{DAYS[days[-1]]}"
    else:
        which = ",".join(DAYS[day] for day in days)
    closes = "24:00" if hours.closes == time(0) else f"{hours.closes:%H:%M}"
    return f"{which} {hours.opens:%H:%M}-{closes}"


def _clock(hour: str, minute: str, text: str) -> time:
    if (hour, minute) == ("24", "00"):
        return time(0)
    try:
        return time(int(hour), int(minute))
    except ValueError as error:
        raise _unreadable(text) from error


def _days(word: str, text: str) -> frozenset[int]:
    if word in ("daily", "always"):
        return EVERY_DAY
    found: set[int] = set()
    for part in word.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise _unreadable(text)
        start, end = DAYS.index(first), DAYS.index(last or first)
        found |= {day % 7 for day in range(start, (end if end >= start else end + 7) + 1)}
    return frozenset(found)


def _unreadable(text: str) -> UnusableInputError:
    return UnusableInputError(f"{text!r} names no hours", MEND)
