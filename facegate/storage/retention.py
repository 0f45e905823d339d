"""Retention: what is older than the settings say is deleted; the sums stay, and so does what the chain needs."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from facegate.settings import RetentionSection
from facegate.storage import audit
from facegate.storage.events import SqlEventLog
from facegate.storage.frames import forget_frames
from facegate.storage.runs import forget_runs
from facegate.storage.signing import DecisionSigner
from facegate.storage.views import CameraViews

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows retention deleted."""

    decisions: int
    events: int
    frames: int = 0


class Retention:
    """Deletes what is older than the section `retention` says."""

    def __init__(self, engine: Engine, signer: DecisionSigner, settings: RetentionSection) -> None:
        self._engine = engine
        self._signer = signer
        self._settings = settings

    def apply(self, now: datetime | None = None) -> Forgotten:
        """Delete what is too old at a moment, by default this one.

        Raises:
            NotReadyError: The database fails, or the key that signs the checkpoint cannot be read.
        """
        moment = now or datetime.now(UTC)
        decisions = audit.cut(
            self._engine, self._signer, before=moment - timedelta(days=self._settings.decisions_days), now=moment
        )
        events = SqlEventLog(self._engine).forget(moment - timedelta(days=self._settings.events_days))
        frames = forget_frames(self._engine, moment - timedelta(days=self._settings.frames_days))
        long_ago = moment - timedelta(days=self._settings.decisions_days)
        forget_runs(self._engine, long_ago)
        CameraViews(self._engine).forget(long_ago)
        if decisions or events or frames:
            log.info("forgotten", extra={"decisions": decisions, "events": events, "frames": frames})
        return Forgotten(decisions, events, frames)
