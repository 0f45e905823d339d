"""What a household gets at its own door, before and after it was learnt from.

Candidates (`tuning.candidates`) get their thresholds from outsiders, for an FMR a comparison. A door's is for a whole
visit, from the calibration of the network in charge, with the gallery's strictness, and each user's own threshold
(`core.arming`). Here champion and challenger stand at that door, each with its own calibration and references.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.arming import Arming, measured
from facegate.core.calibration import Calibration
from facegate.core.comparison import References, Template, Templates, best_match
from facegate.core.judging import Share

VISIT_TARGETS: Final = (1e-2, 1e-3)
"""Shares of strangers' visits, of one picture each, that may end in anybody's name."""


@dataclass(frozen=True, slots=True)
class Counted:
    """One candidate in one household at one target."""

    missed: Share
    passed: Share


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """What comes to the door: templates (n, d) of users with the number of each, int64 (n,), and of strangers."""

    users: Templates
    owners: NDArray[np.int64]
    strangers: Templates


def at_door(
    calibration: Calibration,
    references: References,
    outsiders: Templates,
    visits: Visits,
    *,
    margin: float,
    targets: Sequence[float] = VISIT_TARGETS,
) -> dict[float, Counted]:
    """Return how many visits of users fail and how many of strangers pass; nothing for a target that arms no door.

    Args:
        calibration: Of the network that made all templates.
        references: Everybody's.
        outsiders: Strangers by whom the gallery is measured, float32 (s, d).
        visits: A picture each.
        margin: How far the runner-up must be behind.
        targets: Shares of strangers' visits.
    """
    arming = measured(references, calibration, outsiders)
    told: dict[float, Counted] = {}
    for target in targets:
        door = calibration.visit_threshold(target, references=len(references), strictness=arming.strictness)
        if door is None:
            continue
        named_users = [named(probe, arming, door, margin) for probe in visits.users]
        known = int((np.array(named_users) == visits.owners).sum())
        let_in = sum(named(probe, arming, door, margin) >= 0 for probe in visits.strangers)
        told[target] = Counted(
            Share(len(visits.owners) - known, len(visits.owners)), Share(let_in, len(visits.strangers))
        )
    return told


def named(probe: Template, arming: Arming, door: float, margin: float) -> int:
    """Return whom a probe names, the number of a user, or -1.

    Args:
        probe: float32 (d,).
        arming: Of the gallery.
        door: The door's threshold.
        margin: How far the runner-up must be behind.
    """
    match = best_match(probe, arming.references)
    if match is None or not match.score >= arming.required(match.user, door, margin):
        return -1
    if match.runner_up is not None and not match.score - match.runner_up >= margin:
        return -1
    return arming.references.users.index(match.user)
