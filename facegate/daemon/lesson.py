"""The demo's last act: an operator speaks on what was decided, facegate learns from it, and the judge has its say."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from facegate.core.ports import Clock
from facegate.core.word import CONFIRMED
from facegate.daemon.harness import Harness
from facegate.settings import Settings
from facegate.storage.opening import open_storage
from facegate.verifier.finetuning.shelf import PICTURES

FRAME_SECONDS: Final = 5.0
VERDICT_SECONDS: Final = 300.0
"""Some ten seconds of one core, on a machine that has better things to do."""
TAKE_UP_SECONDS: Final = 10.0
VERDICTS: Final = frozenset({"promoted", "kept", "refused"})


class Spoken(Protocol):
    """An event of the demo with its answer."""

    @property
    def is_right(self) -> bool:
        """Whether an operator who stands by would confirm the answer."""
        ...

    @property
    def decision(self) -> dict[str, Any] | None:
        """The answer."""
        ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """What came of it.

    Attributes:
        confirmed: How many decisions an operator confirmed.
        faces: Of how many of them the face is kept.
        verdict: What was told on `P/models/event`; None: nothing.
        seconds: From the order to the verdict.
        fault: What is wrong; empty if all is as it must be, whatever the verdict.
    """

    confirmed: int
    faces: int
    verdict: dict[str, Any] | None
    seconds: float
    fault: str

    @property
    def picture(self) -> str | None:
        """The picture's path below the data folder, or None without one."""
        name = (self.verdict or {}).get("picture")
        return None if not name else f"{PICTURES}/{Path(str(name)).name}"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "confirmed": self.confirmed,
            "faces_kept": self.faces,
            "event": self.verdict,
            "picture": self.picture,
            "seconds": round(self.seconds, 1),
            "fault": self.fault,
        }


def teach(settings: Settings, harness: Harness, rows: Sequence[Spoken], clock: Clock) -> Lesson:
    """Confirm what was decided rightly, order a fine-tune over MQTT, and wait for its verdict."""
    right = [str(row.decision["decision"]) for row in rows if row.is_right and row.decision is not None]
    faces = speak(settings, right, clock)
    begun = time.monotonic()
    harness.send_raw("models/command", b"finetune")
    verdict = harness.verdict(VERDICT_SECONDS)
    seconds = time.monotonic() - begun
    fault = fault_of(verdict)
    if not fault and verdict is not None and verdict["verdict"] == "promoted":
        model = str(verdict["challenger"])
        took_over = harness.wait_for_status(lambda status: status.get("model") == model, TAKE_UP_SECONDS)
        fault = "" if took_over else f"the daemon did not take {model} up within {TAKE_UP_SECONDS:g} s"
    return Lesson(len(right), faces, verdict, seconds, fault)


def speak(settings: Settings, decisions: Sequence[str], clock: Clock) -> int:
    """Confirm decisions, as `facegate decisions confirm` does; return of how many the face is kept."""
    pause = threading.Event()
    with open_storage(settings) as storage:
        for decision in decisions:
            storage.decisions.speak(decision, CONFIRMED, clock.now())
        deadline = time.monotonic() + FRAME_SECONDS  # faces are kept a moment after the decision
        while (kept := sum(map(storage.frames.has, decisions))) < len(decisions) and time.monotonic() < deadline:
            pause.wait(0.1)
        return kept


def fault_of(verdict: dict[str, Any] | None) -> str:
    """Return what is wrong with a verdict; that the champion leads on is as right as a promotion."""
    if verdict is None:
        return f"no verdict on the fine-tune within {VERDICT_SECONDS:g} s"
    if verdict.get("verdict") not in VERDICTS or not verdict.get("reason"):
        return f"the fine-tune's event says {verdict.get('verdict')!r}"
    if "run" not in verdict or verdict.get("state") == "failed":
        return f"the fine-tune came to nothing: {verdict['reason']}"
    return ""
