"""The one-shot test: a drawing is given, and one drawing of each of twenty characters; which one is it?

The published test has twenty runs of twenty trials, all within one alphabet, the known drawn by one person and the
asked by another. The answer is the known drawing with the highest score. Each trial is answered for itself: that the
answers of a run differ from one another is not used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facegate.core.rates import clopper_pearson
from facegate.siamese.oneshot.distortion import Distortion, distort
from facegate.siamese.oneshot.drawings import Drawing, Task
from facegate.siamese.oneshot.networks import OneShotTwins

COPIES: Final = Distortion(turn=5, shear=0.08, scale=0.07, shift=1.5, probability=1.0)
"""Distortion of the further copies of a drawing at test time."""
SEED: Final = 20151103
CHUNK: Final = 64


@dataclass(frozen=True, slots=True)
class Answered:
    """How a task was answered: trials, and how many were right."""

    name: str
    trials: int
    right: int


class Judge:
    """Scores drawings with a network, as they are, or the most alike of distorted copies."""

    def __init__(self, twins: OneShotTwins, *, copies: int = 1, device: str = "cpu") -> None:
        """Take a network.

        Args:
            twins: In evaluation mode.
            copies: How many copies of each drawing are compared with each of the other; the first is not distorted.
            device: Where to compute.
        """
        self._twins, self._copies, self._device = twins.to(device), copies, device

    @torch.no_grad()
    def features(self, pictures: Drawing) -> Tensor:
        """Drawings (n, 105, 105) -> features of all copies, float (copies, n, d)."""
        plain = torch.from_numpy(pictures).float().unsqueeze(1).to(self._device)
        draw = np.random.default_rng(SEED)
        copies = [plain, *(distort(plain, COPIES, draw) for _ in range(self._copies - 1))]
        seen = [self._twins(part.contiguous(memory_format=torch.channels_last))
                for part in torch.cat(copies).split_with_sizes(_parts(self._copies * len(pictures)))]  # fmt: skip
        return torch.cat(seen).reshape(self._copies, len(pictures), -1)

    @torch.no_grad()
    def scores(self, asked: Tensor, known: Tensor) -> NDArray[np.float32]:
        """Features (copies, a, d) and (copies, k, d) -> scores (a, k), the highest of all pairs of copies.

        Among slightly distorted copies two are better aligned than the drawings were; the mean brings less.
        """
        logits = self._twins.logits(asked.flatten(0, 1), known.flatten(0, 1))
        best = logits.reshape(*asked.shape[:2], *known.shape[:2]).amax((0, 2))
        return np.asarray(best.cpu(), np.float32)


def _parts(count: int) -> list[int]:
    return [min(CHUNK, count - at) for at in range(0, count, CHUNK)]


def answer(task: Task, judge: Judge) -> Answered:
    """Answer the trials of a task. Of two known drawings that score the same, none is chosen."""
    scores = judge.scores(judge.features(task.asked), judge.features(task.known))
    return Answered(task.name, len(task.answers), right_answers(scores, task.answers))


def right_answers(scores: NDArray[np.float32], answers: NDArray[np.int64]) -> int:
    """Return how many rows of scores (a, k) are highest at the answer (a,) alone; a tie is wrong, and so is NaN."""
    best = scores[np.arange(len(answers)), answers]
    return int(((scores >= best[:, None]).sum(1) == 1).sum())


def evaluate(tasks: Sequence[Task], judge: Judge, told: Callable[[Answered], None] | None = None) -> dict[str, Any]:
    """Return the report on tasks: trials, right answers, accuracy with 95 % Clopper-Pearson bounds, and each run."""
    answered = []
    for task in tasks:
        answered.append(answer(task, judge))
        if told is not None:
            told(answered[-1])
    trials, right = sum(one.trials for one in answered), sum(one.right for one in answered)
    bounds = clopper_pearson(right, trials)
    return {
        "trials": trials,
        "right": right,
        "accuracy": right / trials,
        "lower": bounds.lower,
        "upper": bounds.upper,
        "chance": sum(one.trials / len(task.known) for one, task in zip(answered, tasks, strict=True)) / trials,
        "runs": {one.name: {"trials": one.trials, "right": one.right} for one in answered},
    }
