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

from facegate.core.arming import measured, required
from facegate.core.calibration import Calibration
from facegate.core.comparison import References, Templates
from facegate.core.judging import Share
from facegate.siamese.tuning.crossfit import best_of_each

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
        asked = np.array([
            required(door, margin, arming.nearest.get(user), arming.rise(user)) for user in references.users
        ])  # fmt: skip
        known = named(visits.users, references, asked, margin) == visits.owners
        let_in = named(visits.strangers, references, asked, margin) >= 0
        told[target] = Counted(Share(int((~known).sum()), len(known)), Share(int(let_in.sum()), len(let_in)))
    return told


def named(probes: Templates, references: References, asked: NDArray[np.float64], margin: float) -> NDArray[np.int64]:
    """Return whom each probe names, int64 (n,): the number of a user, or -1.

    Args:
        probes: float32 (n, d).
        references: Everybody's; a user without any is never named.
        asked: float64 (users,): what names each.
        margin: How far the runner-up must be behind.
    """
    best = np.full((len(probes), len(references.users)), -np.inf)
    best[:, np.unique(references.owners)] = best_of_each(probes @ references.templates.T, references.owners)
    first, every = best.argmax(axis=1), np.arange(len(best))
    score = best[every, first]
    best[every, first] = -np.inf
    clear = (score >= asked[first]) & (score - best.max(axis=1, initial=-np.inf) >= margin)
    return np.where(clear, first, -1)
