"""The demo: enroll people who do not exist, run the real daemon, play events over MQTT, check every answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2

from facegate.core.decision import Reason
from facegate.daemon.assembly import detector_of
from facegate.daemon.outsider import DaemonProcess, Outsider, Stopped
from facegate.errors import FacegateError
from facegate.settings import Settings
from facegate.storage.opening import open_storage
from facegate.storage.signing import verified
from facegate.verifier.enrollment import enroll_photos
from facegate.verifier.library import library_of
from facegate.vision.composites import Composite, people
from facegate.vision.decode import decode
from facegate.vision.scenes import Happening, annotate, contact_sheet, programme
from facegate.errors import UnusableInputError

ANSWER_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Row:
    """One event of the demo and its answer.

    Attributes:
        happening: What was played and what is expected.
        decision: The answer, as it came over MQTT; None if none came.
        seconds: From publishing the picture to hearing the decision.
        wrong: What is wrong with the answer; empty if it is as expected.
    """

    happening: Happening
    decision: dict[str, Any] | None
    seconds: float
    wrong: str


@dataclass(slots=True)
class Report:
    """What the demo showed, and what was wrong with it."""

    rows: list[Row] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    events: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether everything was as it must be."""
        return not self.faults and bool(self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        granted = sum(1 for row in self.rows if row.decision and row.decision["outcome"] == "grant")
        return {
            "passed": self.passed,
            "faults": self.faults,
            "events": self.events,
            "granted": granted,
            "denied": len(self.rows) - granted,
            "seconds": round(self.seconds, 1),
            "rows": [
                {
                    "title": row.happening.title,
                    "expected": row.happening.expected,
                    "decision": row.decision,
                    "milliseconds": round(row.seconds * 1000, 1),
                    "wrong": row.wrong,
                }
                for row in self.rows
            ],
        }


def play(folder: Path, *, seed: int, keep: bool, told: "Narrator") -> Report:
    """Do the whole job in a folder and return what happened.

    Args:
        folder: An empty folder for database, keys and, if kept, pictures.
        seed: Draws other scenes.
        keep: Also write the annotated frames and the contact sheet.
        told: Is told each step as it happens.
    """
    begun = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(data_dir=folder)
    report = Report()
    enroll_household(settings, told)
    happenings = programme(people(), seed)
    daemon = DaemonProcess(folder)
    daemon.start()
    with Outsider(daemon.port) as outsider:
        try:
            outsider.wait_until_online(daemon)
            told.started(outsider.status)
            for number, happening in enumerate(happenings):
                row = ask(outsider, daemon, happening, f"demo-{number:02d}", settings)
                report.rows.append(row)
                told.answered(row)
            if not outsider.wait_for_balance(len(happenings), ANSWER_SECONDS):
                report.faults.append(f"the books do not balance: {outsider.status.get('events')}")
            report.events = outsider.status.get("events", {})
        finally:
            stopped = daemon.stop()
    report.faults += [f"{row.happening.title}: {row.wrong}" for row in report.rows if row.wrong]
    report.faults += faults_of(stopped)
    report.seconds = time.monotonic() - begun
    if keep:
        keep_pictures(folder, report.rows)
    return report


def enroll_household(settings: Settings, told: "Narrator") -> None:
    """Make the database, the front door and its household: one photo each."""
    upgrade_if_empty_at(settings)
    with open_storage(settings) as storage:
        storage.doors.add(Door("front", "Front door", ("porch",), permissions=(Permission(EVERYONE),)))
        enrollment = Enrollment.of(settings, storage)
        for person in people():
            if not person.stranger:
                result = enrollment.enroll(person.slug, person.name, [person.picture_path(0)])
                told.enrolled(person.name, result)
