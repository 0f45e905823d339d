"""The recipes of the two one-shot networks, for anyone to repeat.

The embedding network is learnt in two stages: on turned and mirrored alphabets, then on mostly upright ones, less
distorted. The paper's network is learnt in three: the first of these, whose templates are hints for it; its sketch,
which costs a third of the time a picture; then the network itself, from where the sketch stopped.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import torch

from facegate.siamese.checkpoints import require_no_run
from facegate.siamese.oneshot.batches import BatchShape
from facegate.siamese.oneshot.distortion import Distortion
from facegate.siamese.oneshot.drawings import Drawings
from facegate.siamese.oneshot.networks import EmbeddingTwins, OneShotTwins, PaperTwins
from facegate.siamese.oneshot.training import Progress, Recipe, Run

WAVERING: Final = Distortion(elastic=2.0)
TURNED: Final = Recipe(steps=4000, distortion=WAVERING, trials=1.0, cooling=0.3, every=200)
UPRIGHT: Final = replace(
    TURNED,
    steps=440,
    shape=BatchShape(turned=0.25),
    distortion=Distortion(shear=0.2, scale=0.15, elastic=1.5),
    warmup=50,
    average=0.98,
    cooling=0.7,
    every=75,
)
SKETCH: Final = Recipe(
    steps=2000,
    shape=BatchShape(alphabets=3),
    distortion=WAVERING,
    trials=1.0,
    cooling=0.3,
    average=0.99,
    tasks=8,
    every=150,
)
PAPER: Final = replace(SKETCH, steps=400, rate=3e-4, warmup=20, cooling=0.8, every=50)
MEASURED: Final = 20
"""Batches on which the norms of a grown sketch are measured."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One of a recipe's runs: its name, also its folder's, and its recipe."""

    name: str
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it: the network's file, and its share of right answers on held-out alphabets."""

    path: Path
    held_out: float


def stages(network: str, *, seed: int, steps: int | None = None) -> tuple[Stage, ...]:
    """Return the runs that make a network; with `steps`, each that many steps long."""
    known = {
        "embedding": (Stage("turned", TURNED), Stage("embedding", UPRIGHT)),
        "paper": (Stage("turned", TURNED), Stage("sketch", SKETCH), Stage("paper", PAPER)),
    }
    return tuple(
        replace(stage, recipe=replace(stage.recipe, seed=seed, steps=steps or stage.recipe.steps))
        for stage in known[network]
    )


def train(
    drawings: Drawings,
    plan: tuple[Stage, ...],
    out: Path,
    *,
    resume: bool,
    device: str,
    report: Callable[[str, Progress], None],
    moved: Callable[[str, int, float], None],
) -> Trained:
    """Go through the stages, each in its folder below `out`.

    Args:
        drawings: Of all alphabets; some are held out to choose on.
        plan: The stages.
        out: The runs' folder.
        resume: Go on from the last checkpoint of each stage.
        device: Where to compute.
        report: Told the stage's name and how it stands, at each checkpoint.
        moved: Told the stage's name, the step and its loss, at each step.

    Raises:
        UnusableInputError: There is a run in the folder that is not to be resumed, or is of another recipe.
    """
    if not resume:
        for stage in plan:
            require_no_run(out / stage.name)
    before: OneShotTwins | None = None
    teacher: EmbeddingTwins | None = None
    held_out = 0.0
    for stage in plan:
        torch.manual_seed(stage.recipe.seed)
        twins = start(stage.name, before)
        hints = teacher if isinstance(twins, PaperTwins) else None
        run = Run(twins, drawings, stage.recipe, out / stage.name, device=device, teacher=hints)
        if not (resume and run.resume()) and stage.name == "paper":
            run.measure(MEASURED)
        held_out = run.train(partial(report, stage.name), partial(moved, stage.name))
        if isinstance(run.averaged, EmbeddingTwins):
            teacher = run.averaged.eval()
        before = run.averaged
    return Trained(out / plan[-1].name / "network.npz", held_out)


def start(stage: str, before: OneShotTwins | None) -> OneShotTwins:
    """Return the network that a stage begins with: random weights, or those of the stage before; a sketch is grown."""
    if stage == "turned":
        return EmbeddingTwins()
    if stage == "embedding" and before is not None:
        return copy.deepcopy(before)
    if isinstance(before, PaperTwins) and before.sketch:
        return before.cpu().grown()
    return PaperTwins(norms=True, sketch=True)


def device() -> str:
    """Return where to compute: `cuda` where there is a GPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"
