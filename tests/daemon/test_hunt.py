import threading
from datetime import UTC, datetime, timedelta

from facegate.core.ports import Pulled
from facegate.daemon.hunt import Hunts, Prey
from facegate.errors import UnusableInputError


class TrueClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Camera:
    """A camera that numbers its pictures, and fails when it is told to."""

    def __init__(self) -> None:
        self.pulls = 0
        self.failing = False

    def pull(self, camera: str, event: str | None) -> Pulled:
        self.pulls += 1
        if self.failing:
            raise UnusableInputError("go2rtc has no stream porch", "Name one")
        return Pulled(str(self.pulls).encode(), datetime.now(UTC), "test")


class Rig:
    def __init__(self, *, fast: float = 200.0, camera: Camera | None = None) -> None:
        self.camera = camera or Camera()
        self.frames, self.ends = [], []
        self.wanted = True
        self.over = threading.Event()
        self.some = threading.Event()
        self.hunts = Hunts(
            prey_of=lambda name: Prey(self.camera, fast) if name == "porch" else None,
            offer=self.offer,
            wanted=lambda _: self.wanted,
            ended=self.ended,
            clock=TrueClock(),
        )

    def offer(self, frame) -> None:
        self.frames.append(frame)
        if len(self.frames) >= 3:
            self.some.set()

    def ended(self, event, camera, failure) -> None:
        self.ends.append((event, camera, failure))
        self.over.set()


def soon(seconds: float = 20.0) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_frames_are_pulled_under_the_event_until_nobody_wants_them():
    rig = Rig()
    assert rig.hunts.start("e1", "porch", soon()) == ""
    assert rig.some.wait(10)
    rig.wanted = False
    assert rig.over.wait(10)
    assert {frame.event for frame in rig.frames} == {"e1"}
    assert all(frame.hunted for frame in rig.frames)
    assert len({frame.digest for frame in rig.frames}) == len(rig.frames)
    assert rig.ends == [("e1", "porch", "")]


def test_a_hunt_ends_at_its_limit():
    rig = Rig()
    rig.hunts.start("e1", "porch", soon(0.05))
    assert rig.over.wait(10)
    assert rig.hunts.cameras == 0


def test_the_end_of_the_event_ends_the_hunt():
    rig = Rig()
    rig.hunts.start("e1", "porch", soon())
    assert rig.some.wait(10)
    rig.hunts.end("e1", "porch")
    assert rig.over.wait(10)


def test_a_hunt_without_any_frame_says_why():
    rig = Rig()
    rig.camera.failing = True
    rig.hunts.start("e1", "porch", soon(0.05))
    assert rig.over.wait(10)
    assert rig.ends == [("e1", "porch", "go2rtc has no stream porch")]


def test_two_events_of_a_camera_share_one_thread_and_the_newest_names_the_frames():
    rig = Rig(fast=20)
    rig.hunts.start("e1", "porch", soon())
    rig.hunts.start("e2", "porch", soon())
    assert rig.hunts.cameras == 1
    assert rig.some.wait(10)
    assert rig.frames[-1].event == "e2"
    rig.hunts.end("e2", "porch")
    assert rig.over.wait(10)
    assert rig.ends == [("e2", "porch", "")]
    rig.hunts.close()


def test_a_camera_without_a_source_is_not_hunted_and_says_so():
    rig = Rig()
    assert "attic" in rig.hunts.start("e1", "attic", soon())
    assert rig.ends == []


def test_frames_come_at_the_set_rate():
    rig = Rig(fast=5)
    begun = datetime.now(UTC)
    rig.hunts.start("e1", "porch", soon())
    assert rig.some.wait(10)
    rig.hunts.close()
    assert (datetime.now(UTC) - begun).total_seconds() >= 0.4  # the third frame comes two pauses after the first


def test_an_event_that_comes_after_the_camera_went_dark_is_told_why():
    rig = Rig()
    rig.hunts.start("e1", "porch", soon())
    assert rig.some.wait(10)
    rig.camera.failing = True
    rig.hunts.start("e2", "porch", soon(0.2))
    assert rig.over.wait(10)
    assert rig.ends == [("e2", "porch", "go2rtc has no stream porch")]
    rig.hunts.close()


def test_why_no_frame_comes_can_be_asked_while_the_hunt_is_on_and_is_forgotten_by_the_next():
    rig = Rig(fast=20)
    assert rig.hunts.failure("porch") == ""
    rig.camera.failing = True
    rig.hunts.start("e1", "porch", soon(0.02))
    assert rig.over.wait(10)
    assert rig.hunts.failure("porch") == "go2rtc has no stream porch"
    rig.camera.failing = False
    rig.hunts.start("e2", "porch", soon())
    assert rig.some.wait(10)
    assert rig.hunts.failure("porch") == ""
    rig.hunts.close()
