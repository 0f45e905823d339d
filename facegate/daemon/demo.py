"""The demo: enroll people who do not exist, run the real daemon, play events over MQTT, check every answer."""

import json
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from facegate.core.decision import Reason
from facegate.core.frame import Box, Pixels
from facegate.core.policy import EVERYONE, Door, Permission
from facegate.daemon.assembly import detector_of
from facegate.daemon.clock import SystemClock
from facegate.daemon.harness import DaemonProcess, Harness, Stopped
from facegate.daemon.lesson import Lesson, teach
from facegate.errors import FacegateError
from facegate.settings import Settings
from facegate.storage.opening import open_storage
from facegate.verifier.enrollment import Enrollment
from facegate.vision.composites import Composite, people
from facegate.vision.decode import decode
from facegate.vision.programme import CAMERAS, DemoEvent, programme
from facegate.vision.sheet import Tile, annotate, contact_sheet

ANSWER_SECONDS: Final = 10.0
STOP_SECONDS: Final = 5.0
DOORS: Final = {"porch": ("front", "Front door"), "garden": ("back", "Garden door")}


@dataclass(frozen=True, slots=True)
class Row:
    """One event of the demo and its answer.

    Attributes:
        event: What was played and what is expected.
        decision: The answer, as it came over MQTT; None if none came.
        seconds: From publishing the picture to hearing the decision.
        wrong: What is wrong with the answer; empty if it is as expected.
    """

    event: DemoEvent
    decision: dict[str, Any] | None
    seconds: float
    wrong: str

    @property
    def granted(self) -> bool:
        """Whether the door was opened."""
        return self.decision is not None and self.decision["outcome"] == "grant"

    @property
    def is_right(self) -> bool:
        """Whether an operator who stands by would confirm the answer: who stood there was told, and stood there."""
        known = self.event.expected.reason in {Reason.MATCH, Reason.NO_MATCH}
        return known and self.event.live and not self.wrong

    @property
    def verdict(self) -> str:
        """The answer in a few words."""
        if self.decision is None:
            return "no answer"
        who = f" {self.decision['user']}" if self.decision["user"] else ""
        detail = f" ({self.decision['detail']})" if self.decision.get("detail") else ""
        return f"{self.decision['outcome']}{who}: {self.decision['reason']}{detail}"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "title": self.event.title,
            "camera": self.event.camera,
            "expected": {"reason": str(self.event.expected.reason), "user": self.event.expected.user},
            "decision": self.decision,
            "milliseconds": round(self.seconds * 1000, 1),
            "wrong": self.wrong,
        }


@dataclass(slots=True)
class Report:
    """What the demo showed, and what was wrong with it."""

    rows: list[Row] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    events: dict[str, Any] = field(default_factory=dict)
    lesson: Lesson | None = None
    enrolled: int = 0
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether everything was as it must be."""
        return not self.faults and bool(self.rows)

    @property
    def granted(self) -> int:
        """How many events opened a door."""
        return sum(row.granted for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "passed": self.passed,
            "faults": self.faults,
            "enrolled": self.enrolled,
            "granted": self.granted,
            "denied": len(self.rows) - self.granted,
            "events": self.events,
            "finetune": None if self.lesson is None else self.lesson.to_json(),
            "seconds": round(self.seconds, 1),
            "rows": [row.to_json() for row in self.rows],
        }


class Narrator(Protocol):
    """Is told each step of the demo as it happens."""

    def enrolled(self, person: Composite) -> None:
        """Somebody was enrolled from one photo."""

    def started(self, status: dict[str, Any], seconds: float) -> None:
        """The daemon is online."""

    def answered(self, row: Row) -> None:
        """An event was played and answered."""

    def learning(self, confirmed: int) -> None:
        """So many decisions are confirmed and a fine-tune is ordered."""

    def learned(self, lesson: Lesson) -> None:
        """The fine-tune has its verdict."""


def play(folder: Path, *, seed: int, keep: bool, narrator: Narrator) -> Report:
    """Do the whole job in a folder and return what happened.

    Args:
        folder: An empty folder for database, keys and, if kept, pictures.
        seed: Draws other scenes.
        keep: Also write the annotated frames and the contact sheet.
        narrator: Is told each step.

    Raises:
        NotReadyError: The daemon did not start.
    """
    begun = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    settings, report = Settings(data_dir=folder), Report()
    jwks = open_household(settings, report, narrator)
    events = programme(people(), seed)
    daemon = DaemonProcess(folder)
    with Harness(daemon.port) as harness:
        started = time.monotonic()
        daemon.start()
        try:
            harness.wait_until_online(daemon)
            narrator.started(harness.status, time.monotonic() - started)
            for number, event in enumerate(events):
                row = asked(harness, event, f"demo-{number:02d}", jwks)
                report.rows.append(row)
                narrator.answered(row)
            if not harness.wait_for_balance(len(events), ANSWER_SECONDS):
                report.faults.append(f"the books do not balance after {len(events)} events")
            report.events = harness.status.get("events", {})
            narrator.learning(sum(row.is_right for row in report.rows))
            report.lesson = teach(settings, harness, report.rows, SystemClock())
            narrator.learned(report.lesson)
        finally:
            stopped = daemon.stop()
    report.faults += [f"{row.event.title}: {row.wrong}" for row in report.rows if row.wrong]
    report.faults += [report.lesson.fault] if report.lesson is not None and report.lesson.fault else []
    report.faults += faults_of_stop(stopped)
    report.seconds = time.monotonic() - begun
    if keep:
        keep_pictures(settings, report.rows)
    return report


def open_household(settings: Settings, report: Report, narrator: Narrator) -> KeySet:
    """Make the database, the doors and the household, one photo each; returns the public keys of the decisions."""
    storage = open_storage(settings, upgrade_empty=True)
    try:
        for camera in CAMERAS:
            slug, name = DOORS[camera]
            storage.doors.add(Door(slug, name, (camera,), permissions=(Permission(EVERYONE),)))
        enrollment = Enrollment.of(settings, storage)
        for person in people():
            if not person.stranger:
                enrollment.enroll(person.slug, person.name, [person.picture_path(0)])
                report.enrolled += 1
                narrator.enrolled(person)
        return KeySet.import_key_set(json.loads(json.dumps(storage.signer.jwks(SystemClock().now()))))
    finally:
        storage.close()


def asked(harness: Harness, event: DemoEvent, name: str, keys: KeySet) -> Row:
    """Play one event and hold the answer against what is expected."""
    sent = harness.send(event.camera, name, event.picture)
    decision = harness.decision_on(name, ANSWER_SECONDS)
    if decision is None:
        return Row(event, None, time.monotonic() - sent, f"no decision within {ANSWER_SECONDS:g} s")
    return Row(event, decision, harness.arrived_at(name) - sent, fault_of(decision, event, keys))


def fault_of(decision: dict[str, Any], event: DemoEvent, keys: KeySet) -> str:
    """Return what is wrong with an answer: outcome, reason, user, door, or signature."""
    expected = event.expected
    if decision["reason"] != expected.reason:
        return f"expected {expected.reason}, came {decision['reason']}"
    if expected.reason is Reason.MATCH and decision["user"] != expected.user:
        return f"expected {expected.user}, came {decision['user']}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joserfc prefers the newer name of the same algorithm
            signed = json.loads(jws.deserialize_compact(decision["jws"], keys, algorithms=["EdDSA"]).payload)
    except (JoseError, ValueError) as error:
        return f"its signature does not verify: {error}"
    if any(signed.get(name) != value for name, value in decision.items() if name != "jws"):
        return "the signature says something else than the message"
    return ""


def faults_of_stop(stopped: Stopped) -> list[str]:
    """Return what was wrong with how the daemon ended."""
    faults = []
    if stopped.code != 0:
        faults.append(f"the daemon left with {stopped.code}")
    if stopped.seconds > STOP_SECONDS:
        faults.append(f"the daemon took {stopped.seconds:.1f} s to stop")
    return faults


def keep_pictures(settings: Settings, rows: list[Row]) -> None:
    """Write the annotated frames and the contact sheet that shows who was let in and why."""
    frames = settings.data_dir / "frames"
    frames.mkdir(exist_ok=True)
    detector = detector_of(settings)
    tiles = []
    for number, row in enumerate(rows):
        picture = readable(row.event.picture)
        faces = detector.detect(picture) if picture is not None else []
        box: Box | None = faces[0].box if faces else None
        tiles.append(Tile(picture, row.event.title, row.verdict, row.granted, box))
        if picture is not None:
            caption = f"{row.event.title} - {row.verdict}"
            cv2.imwrite(str(frames / f"{number:02d}.jpg"), annotate(picture, box, caption, row.granted))
    cv2.imwrite(str(settings.data_dir / "contact_sheet.jpg"), contact_sheet(tiles))


def readable(picture: bytes) -> Pixels | None:
    """Return the picture's pixels, or None if it is none."""
    try:
        return decode(picture)
    except FacegateError:
        return None
