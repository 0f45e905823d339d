"""Steps of the aftermath: the sealed face of a decision is kept for an operator's word; how cameras see is measured."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from facegate.core.decision import Decision
from facegate.core.ports import Clock
from facegate.core.sighting import Sighting
from facegate.daemon.aftermath import Aftermath
from facegate.daemon.shadow import Shadow
from facegate.settings import RetentionSection, Settings
from facegate.storage.frames import DecisionFrame, DecisionFrames
from facegate.storage.opening import Storage
from facegate.storage.views import CameraViews
from facegate.verifier.finetuning.views import statistics_of, store
from facegate.verifier.keepsake import as_frame
from facegate.vision.align import ALIGNMENT, align
from facegate.vision.view import NOTHING_SEEN, ViewStatistics, look

FLUSH: Final = timedelta(seconds=60)
MAX_CAMERAS: Final = 1000


class FrameKeeper:
    """Keeps the face that a decision rests on, sealed, bounded in number and days (`storage.frames`)."""

    def __init__(self, frames: DecisionFrames, settings: RetentionSection) -> None:
        self._frames = frames
        self._settings = settings

    def keep(self, decision: Decision, sighting: Sighting) -> None:
        """Keep the face of a decision."""
        if sighting.cutout is None or not self._settings.frames_days or not self._settings.frames:
            return
        frame = DecisionFrame(
            decision.id, sighting.user, sighting.camera, sighting.captured_at, as_frame(sighting.cutout)
        )
        self._frames.keep(frame, most=self._settings.frames)


class ViewKeeper:
    """Measures how cameras see, strangers' faces too: sums are kept, never pictures. For one thread."""

    def __init__(self, views: CameraViews, clock: Clock) -> None:
        self._views = views
        self._clock = clock
        self._seen: dict[str, ViewStatistics] | None = None
        self._changed: set[str] = set()
        self._flushed_at: datetime = clock.now()

    def measure(self, _: Decision, sighting: Sighting) -> None:
        """Add a face to what its camera has shown."""
        if sighting.cutout is None or sighting.quality is None:
            return
        seen = self._all()
        if sighting.camera not in seen and len(seen) >= MAX_CAMERAS:
            return
        crop = align(sighting.cutout.pixels, sighting.cutout.landmarks, ALIGNMENT)
        face = look(crop, sighting.quality.size)
        seen[sighting.camera] = seen.get(sighting.camera, NOTHING_SEEN).with_face(face)
        self._changed.add(sighting.camera)

    def flush(self, *, at_once: bool = False) -> None:
        """Store what was measured, once a minute at most, or at once."""
        now = self._clock.now()
        if not self._changed or (not at_once and abs(now - self._flushed_at) < FLUSH):
            return
        self._flushed_at = now
        store(self._views, {camera: self._all()[camera] for camera in self._changed}, now)
        self._changed.clear()

    def _all(self) -> dict[str, ViewStatistics]:
        if self._seen is None:
            self._seen = statistics_of(self._views)
        return self._seen


def aftermath_of(
    settings: Settings, storage: Storage, clock: Clock, shadow: Shadow, busy: Callable[[], bool] = lambda: False
) -> Aftermath:
    """Return what is done with a sighting once its decision is out, when no frame is being judged (`busy`)."""
    frames = FrameKeeper(storage.frames, settings.retention)
    views = ViewKeeper(storage.views, clock)

    def remember(decision: Decision, sighting: Sighting, _: bool) -> None:
        frames.keep(decision, sighting)

    def measure(decision: Decision, sighting: Sighting, _: bool) -> None:
        views.measure(decision, sighting)

    return Aftermath(
        [remember, measure, shadow.score],
        idle=[views.flush, shadow.tend],
        last=[lambda: views.flush(at_once=True)],
        busy=busy,
    )
