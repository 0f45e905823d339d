"""The thresholds in force for the enrolled, door by door, and who raises them: what `facegate calibrate` tells.

The same functions arm the doors (`core.arming`, `daemon.engine`), so what is told is what is done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegate.core.arming import Arming
from facegate.core.calibration import Calibration
from facegate.core.comparison import References, Templates, scores
from facegate.core.policy import Door
from facegate.settings import GateSection

MOST_SCORED = 5_000
"""References of whom all scores are drawn; of more, the first."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one door asks of a score.

    Attributes:
        door: Slug, or empty for a door without wishes of its own.
        target: Share of strangers' visits that may end in anybody's name.
        frames: How many a visit may have: as many as the settings say, or as the calibration supports.
        attempts: Those over the frames that must agree.
        alone: Threshold of a pushed picture, which is a visit of its own; None: not armed.
        many: Threshold of each frame of a hunt, or where frames must agree; None: not armed.
    """

    door: str
    target: float
    frames: int
    attempts: float
    alone: float | None
    many: float | None


def of_door(door: Door | None, gate: GateSection, calibration: Calibration, arming: Arming) -> Told:
    """Return what a door asks; without one, what a new door would."""
    target = (door.target_fmr if door else None) or gate.target_fmr
    agreeing = (door.agreeing_frames if door else None) or gate.agreeing_frames
    frames = calibration.visit_frames(
        target,
        references=len(arming.references),
        frames=gate.frames_per_visit,
        agreeing=agreeing,
        strictness=arming.strictness,
    )
    frames = frames if frames >= agreeing else gate.frames_per_visit
    attempts = frames / agreeing
    alone, many = (
        calibration.visit_threshold(
            target, references=len(arming.references), attempts=tries, strictness=arming.strictness
        )
        for tries in (1.0, attempts)
    )
    return Told(door.slug if door else "", target, frames, attempts, alone if agreeing == 1 else many, many)


def document(doors: Mapping[str, Door], gate: GateSection, calibration: Calibration, arming: Arming) -> dict[str, Any]:
    """Return everything that is in force for these users, ready for JSON."""
    told = [of_door(door, gate, calibration, arming) for door in doors.values()]
    return {
        "gallery": {
            "digest": arming.gallery,
            "model": arming.references.model,
            "users": len(arming.references.users),
            "references": len(arming.references),
            "strangers": arming.strangers,
            "strictness": arming.strictness,
            "every_two_compared": arming.searched,
            "rises": dict(arming.rises),
        },
        "usual": _row(of_door(None, gate, calibration, arming), gate.margin, arming),
        "doors": [_row(one, gate.margin, arming) for one in told],
    }


def _row(told: Told, margin: float, arming: Arming) -> dict[str, Any]:
    """Return one door's thresholds and the users who have more to reach there, each with the one who is too alike."""
    base = told.alone if told.alone is not None else told.many
    raised = {} if base is None else arming.raised(base, margin)
    return {
        "door": told.door or None,
        "target_far_per_visit": told.target,
        "frames_per_visit": told.frames,
        "attempts": told.attempts,
        "armed": told.alone is not None,
        "threshold": told.alone,
        "armed_in_hunts": told.many is not None,
        "threshold_in_hunts": told.many,
        "raised": [
            {"user": user, "too_alike": other.user, "score": other.score, "threshold": other.score + margin}
            for user, other in sorted(raised.items(), key=lambda item: -item[1].score)
        ],
    }


def scores_of(references: References, strangers: Templates | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mated scores of the enrolled, and their non-mated ones: with one another and with strangers."""
    templates, owners = references.templates[:MOST_SCORED], references.owners[:MOST_SCORED]
    left, right = np.triu_indices(len(owners), 1)
    alike, same = scores(templates, templates)[left, right], owners[left] == owners[right]
    others = [alike[~same]]
    if strangers is not None and len(owners):
        others.append(scores(strangers[: max(1, MOST_SCORED * 1000 // len(owners))], templates).ravel())
    return alike[same], np.concatenate(others)
