"""The periodic jobs, as a table. Jobs live in memory: a job store in the database would unpickle what it reads."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from facegate.core.schedule import WEEKDAYS, Cron, Every, Schedule

RETENTION: Final = CronTrigger(hour=4, timezone="UTC", jitter=600)
MONTHLY: Final = CronTrigger(day=1, hour=5, timezone="UTC", jitter=600)
NIGHT_GRACE_SECONDS: Final = 6 * 3600
"""A machine that slept at the hour still does the job when it wakes, once."""
JITTER_SECONDS: Final = 300
"""Many houses share a broker or a database: they do not all learn in the same minute."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something that is done again and again: one at a time, and once if it was missed several times.

    Attributes:
        name: What it is called.
        action: Does it.
        trigger: When (APScheduler); None: never.
        grace_seconds: It is still done so long after its time.
    """

    name: str
    action: Callable[[], None]
    trigger: Any
    grace_seconds: int = 60


def every(seconds: float) -> Any:
    """Return the trigger of what is done every so many seconds."""
    return IntervalTrigger(seconds=seconds)


def trigger_of(schedule: Schedule, zone: Any = None) -> Any:
    """Return the trigger of a schedule, in a time zone, none: the machine's; None: never."""
    match schedule:
        case None:
            return None
        case Every(seconds):
            return IntervalTrigger(seconds=seconds, jitter=min(JITTER_SECONDS, seconds // 10))
        case Cron():
            return _cron(schedule, zone)


def schedule(jobs: Iterable[Job]) -> BackgroundScheduler:
    """Return the scheduler with the jobs that have a time, not yet started."""
    scheduler = BackgroundScheduler(timezone="UTC")
    for job in jobs:
        if job.trigger is not None:
            scheduler.add_job(
                job.action,
                job.trigger,
                id=job.name,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=job.grace_seconds,
            )
    return scheduler


def _cron(cron: Cron, zone: Any) -> Any:
    """Return the trigger of a cron line; numbers and names as APScheduler wants them, which has Monday first."""
    common = {
        "minute": _listed(cron.minutes),
        "hour": _listed(cron.hours),
        "month": _listed(cron.months),
        "timezone": zone,
    }
    days, weekdays = _listed(cron.days), ",".join(WEEKDAYS[day] for day in cron.weekdays)
    if cron.either:
        return OrTrigger([CronTrigger(day=days, **common), CronTrigger(day_of_week=weekdays, **common)], JITTER_SECONDS)
    return CronTrigger(day=days, day_of_week=weekdays, jitter=JITTER_SECONDS, **common)


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))
