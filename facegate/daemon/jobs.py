"""The periodic jobs, as a table. Jobs live in memory: a job store in the database would unpickle what it reads."""

import logging
from collections.abc import Callable
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

log = logging.getLogger(__name__)

RETENTION_HOUR: Final = 4
MISFIRE_GRACE_SECONDS: Final = 3600
"""A machine that slept at the hour still does the job when it wakes, once."""


def schedule(*, retention: Callable[[], None], catch_up: Callable[[], None]) -> BackgroundScheduler:
    """Return the scheduler with every periodic job, not yet started.

    Args:
        retention: Deletes what is older than the settings say; at night.
        catch_up: Settles events that the database could not take; every few seconds.
    """
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.add_job(
        retention,
        CronTrigger(hour=RETENTION_HOUR, timezone="UTC"),
        id="retention",
        jitter=600,
        max_instances=1,
        coalesce=True,
        misfire_grace_time=MISFIRE_GRACE_SECONDS,
    )
    scheduler.add_job(catch_up, IntervalTrigger(seconds=5), id="catch_up", max_instances=1, coalesce=True)
    return scheduler
