"""Where a camera's frames come from: the cascade go2rtc, Frigate's latest frame, the event's snapshot, a snapshot URL.

The first that gives a new picture is taken. One that failed is left out for a while, longer each time, so that a dead
one does not cost every frame its five seconds. A picture that came before is a failure too: a frozen camera must not
look like a patient one.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from facegate.cameras.frigate import EventSnapshot, Frigate, LatestFrame
from facegate.cameras.go2rtc import Go2rtc, places, plain
from facegate.cameras.picture import Repeats
from facegate.cameras.snapshot import Snapshot
from facegate.cameras.web import UnreachableError
from facegate.core.ports import Clock, FrameSource, Pulled
from facegate.errors import FacegateError
from facegate.settings import CameraSection, Settings

FIRST_PAUSE_SECONDS: Final = 0.3
LONGEST_PAUSE_SECONDS: Final = 10.0


@dataclass(slots=True)
class Step:
    """One source of the cascade, and how it fared."""

    name: str
    source: FrameSource
    repeats: Repeats = field(default_factory=Repeats)
    failures: int = 0
    not_before: datetime | None = None
    why: str = ""


class Cascade:
    """A `FrameSource` that asks several, one after the other. For one camera, and one thread at a time."""

    def __init__(self, steps: list[Step], clock: Clock) -> None:
        self._steps = steps
        self._clock = clock

    @property
    def names(self) -> tuple[str, ...]:
        """The sources, in their order."""
        return tuple(step.name for step in self._steps)

    def pull(self, camera: str, event: str | None) -> Pulled:
        """Fetch one frame from the first source that has a new one.

        Raises:
            UnreachableError: None had; the error names each one's reason.
        """
        for step in self._steps:
            if step.not_before is not None and self._clock.now() < step.not_before:
                continue
            try:
                pulled = step.source.pull(camera, event)
                step.repeats.check(pulled.picture, step.name)
            except FacegateError as error:
                self._note(step, error)
            else:
                step.failures, step.not_before, step.why = 0, None, ""
                return pulled
        reasons = "; ".join(step.why for step in self._steps if step.why)
        raise UnreachableError(reasons, "Check the camera and its section in the settings")

    def _note(self, step: Step, error: FacegateError) -> None:
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(step.failures, 16))
        step.failures += 1
        step.not_before = self._clock.now() + timedelta(seconds=pause)
        step.why = error.what


class Sources:
    """The sources of all cameras, each made once, with one session at Frigate. Safe to use from several threads.

    Args:
        settings: Frigate, go2rtc and the cameras.
        clock: Tells the time.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._frigate = Frigate(settings.frigate, clock) if settings.frigate.url else None
        self._made: dict[str, Cascade] = {}

    def source_for(self, camera: str) -> Cascade | None:
        """Return how a camera's frames are pulled, or None if the settings give no way."""
        if camera not in self._made:
            steps = self._steps(self._settings.cameras.get(camera, CameraSection()))
            if not steps:
                return None
            self._made.setdefault(camera, Cascade(steps, self._clock))
        return self._made[camera]

    def _steps(self, section: CameraSection) -> list[Step]:
        steps: list[Step] = []
        if section.go2rtc_src:
            through = self._frigate.ask if self._frigate is not None else plain
            candidates = places(self._settings.frigate, through)
            steps.append(Step("go2rtc", Go2rtc(section.go2rtc_src, candidates, self._clock)))
        if self._frigate is not None:
            steps.append(Step("Frigate", LatestFrame(self._frigate, self._clock)))
            steps.append(Step("Frigate's snapshot", EventSnapshot(self._frigate, self._clock)))
        if section.snapshot_url:
            steps.append(Step("the snapshot URL", Snapshot(section.snapshot_url, self._clock)))
        return steps


def source_for(camera: str, settings: Settings, clock: Clock) -> Cascade | None:
    """Return how one camera's frames are pulled, or None if the settings give no way."""
    return Sources(settings, clock).source_for(camera)
