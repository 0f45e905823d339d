"""Trains the twins: P x K batches, contrastive loss, teachers as anchors, averaged weights; seeded and resumable.

Batch number k depends on the seed and k alone, so a run that was stopped goes on as if it had not been. What is written
lies in the run's folder: `checkpoint.pt` (arrays only, read with `weights_only`), and `log.jsonl`, a line now and then.
The first blocks may stay as they are: they see edges and colours, and without them a picture costs a third.
"""

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from facegate.siamese import augment, losses
from facegate.siamese.corpus import Source
from facegate.siamese.networks import Trunk
from facegate.siamese.pairs import Labels, PeopleSampler

CHECKPOINT: Final = "checkpoint.pt"
LOG: Final = "log.jsonl"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run.

    Attributes:
        seed: Of batches and augmentation.
        steps: Batches in all.
        people: P, people in a batch.
        pictures: K, pictures of each.
        rate: Highest learning rate of AdamW; a warm-up, then half a cosine.
        warmup: Steps until it is reached.
        decay: Weight decay.
        frozen: So many first blocks, and all before them, stay as they are.
        doors: Share of pictures that are augmented as at a door; the others are only shifted a little.
        near: Mated pairs closer than this distance are left alone.
        far: Non-mated pairs farther than this are left alone.
        hardest: Share of non-mated pairs that counts.
        contrastive: Weight of the contrastive loss.
        anchor: Weight of the teachers' templates.
        relations: Weight of the teachers' scores within a batch.
        average: Decay of the averaged weights, a step.
        bf16: Compute in bfloat16 where torch allows it.
        every: Steps between two checkpoints.
    """

    seed: int = 20261123
    steps: int = 3000
    people: int = 32
    pictures: int = 2
    rate: float = 5e-4
    warmup: int = 50
    decay: float = 1e-4
    frozen: int = 6
    doors: float = 0.7
    near: float = 0.75
    far: float = 1.25
    hardest: float = 0.05
    contrastive: float = 1.0
    anchor: float = 2.0
    relations: float = 4.0
    average: float = 0.998
    bf16: bool = True
    every: int = 100


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """What is learnt from: crops of several sources, who is on them, and the teachers' targets.

    Attributes:
        sources: The crops.
        labels: Who is on each, counted through the sources.
        rows: Numbers of the crops that may be used.
        targets: float32 (n, d), the teachers' template of each clean crop; unused rows may hold anything.
        weights: Share of a batch's people from each source, shape (sources,).
    """

    sources: tuple[Source, ...]
    labels: Labels
    rows: NDArray[np.int64]
    targets: NDArray[np.float32]
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Crops uint8 (n, 3, s, s), people and groups int64 (n,), targets float32 (n, d)."""

    crops: Tensor
    people: Tensor
    groups: Tensor
    targets: Tensor


class Batches(Dataset[Batch]):
    """Batch number k of a run, made from the seed and k alone."""

    def __init__(self, collection: Collection, recipe: Recipe) -> None:
        self._collection, self._recipe = collection, recipe
        chosen = Labels(collection.labels.people[collection.rows], collection.labels.sources[collection.rows])
        self._sampler = PeopleSampler(
            chosen, people=recipe.people, pictures=recipe.pictures, weights=collection.weights
        )
        self._starts = np.cumsum([0, *(len(source.paths) for source in collection.sources)])

    def __len__(self) -> int:
        return self._recipe.steps

    def __getitem__(self, step: int) -> Batch:
        """Draw and augment the batch."""
        draw = np.random.default_rng((self._recipe.seed, step))
        rows = self._collection.rows[self._sampler.draw(draw)]
        crops = np.stack([self._seen(int(row), draw) for row in rows])
        labels = self._collection.labels
        return Batch(
            torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))),
            torch.from_numpy(labels.people[rows]),
            torch.from_numpy(labels.sources[rows]),
            torch.from_numpy(self._collection.targets[rows]),
        )

    def _seen(self, row: int, draw: np.random.Generator) -> NDArray[np.uint8]:
        at = int(np.searchsorted(self._starts, row, "right")) - 1
        wide = np.asarray(self._collection.sources[at].crops[row - self._starts[at]])
        return augment.door(wide, draw) if draw.random() < self._recipe.doors else augment.place(wide, draw)


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run stands: step, and the mean losses since the last word."""

    step: int
    rate: float
    contrastive: float
    anchor: float
    relations: float
    pictures_per_second: float


class Run:
    """One training run in one folder."""

    def __init__(self, start: Trunk, collection: Collection, recipe: Recipe, folder: Path) -> None:
        """Take the start's weights; nothing is learnt yet."""
        self.recipe, self._collection, self._folder = recipe, collection, folder
        self.student = _thawed(copy.deepcopy(start), recipe.frozen)
        self.averaged = copy.deepcopy(self.student).requires_grad_(requires_grad=False)
        self._optimizer = torch.optim.AdamW(
            [weight for weight in self.student.parameters() if weight.requires_grad], lr=0.0, weight_decay=recipe.decay
        )
        self.step = 0

    def resume(self) -> bool:
        """Go on from the folder's checkpoint; False if there is none."""
        path = self._folder / CHECKPOINT
        if not path.is_file():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.student.load_state_dict(state["student"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])
        return True

    def train(self, report: Callable[[Progress], None]) -> Trunk:
        """Train to the last step, with a checkpoint and a word to `report` every so often.

        Returns:
            The averaged trunk.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        steps = range(self.step, self.recipe.steps)
        loader: DataLoader[Batch] = DataLoader(
            Batches(self._collection, self.recipe), batch_size=None, sampler=list(steps), num_workers=1
        )
        since, sums = time.monotonic(), np.zeros(3)
        for done, batch in enumerate(loader, 1):
            sums += self._learn(batch)
            self.step += 1
            if self.step % self.recipe.every == 0 or self.step == self.recipe.steps:
                count = (done - 1) % self.recipe.every + 1
                speed = count * len(batch.people) / (time.monotonic() - since)
                progress = self._progress(sums / count, speed)
                self._write(progress)
                report(progress)
                since, sums = time.monotonic(), np.zeros(3)
        return self.averaged

    def _progress(self, means: NDArray[np.float64], speed: float) -> Progress:
        contrastive, anchored, related = map(float, means)
        return Progress(self.step, self._rate(), contrastive, anchored, related, speed)

    def _rate(self) -> float:
        recipe = self.recipe
        if self.step < recipe.warmup:
            return recipe.rate * (self.step + 1) / recipe.warmup
        share = (self.step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
        return recipe.rate * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))

    def _learn(self, batch: Batch) -> NDArray[np.float64]:
        """Take one step; the three losses."""
        recipe = self.recipe
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        templates = self._templates(batch.crops)
        parts = (
            losses.batch_contrastive(
                templates, batch.people, batch.groups, near=recipe.near, far=recipe.far, hardest=recipe.hardest
            ),
            losses.anchor(templates, batch.targets),
            losses.relations(templates, batch.targets),
        )
        weights = (recipe.contrastive, recipe.anchor, recipe.relations)
        self._optimizer.zero_grad(set_to_none=True)
        sum((weight * part for weight, part in zip(weights, parts, strict=True)), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self._optimizer.step()
        self._average()
        return np.array([part.item() for part in parts])

    def _templates(self, crops: Tensor) -> Tensor:
        """(n, 3, s, s) uint8 -> (n, d)."""
        student, frozen = self.student, self.recipe.frozen
        x = crops.float().to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.recipe.bf16):
            with torch.set_grad_enabled(frozen == 0):
                x = student.blocks[:frozen](student.early(x))
            x = student.late(student.blocks[frozen:](x))
        return nn.functional.normalize(x.float(), dim=1)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.averaged.parameters(), self.student.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)

    def _write(self, progress: Progress) -> None:
        state: dict[str, Any] = {
            "student": self.student.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
        }
        torch.save(state, self._folder / f"{CHECKPOINT}.new")
        (self._folder / f"{CHECKPOINT}.new").replace(self._folder / CHECKPOINT)
        with (self._folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps({**asdict(progress), "recipe": asdict(self.recipe)}) + "\n")


def _thawed(trunk: Trunk, frozen: int) -> Trunk:
    """Let everything after the first `frozen` blocks learn, but the slopes: fixed, their gradient costs nothing."""
    trunk = trunk.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own stub
    trunk.requires_grad_(requires_grad=True)
    if frozen:
        for part in (trunk.stem, trunk.dw0, trunk.blocks[:frozen]):
            part.requires_grad_(requires_grad=False)
    for part in trunk.modules():
        if isinstance(part, nn.PReLU):
            part.requires_grad_(requires_grad=False)
    return trunk


def between(start: Trunk, trained: Trunk, share: float) -> Trunk:
    """Return the trunk whose weights lie between two: 0 is the start, 1 the trained (Wortsman et al. 2022, WiSE-FT).

    The line between a start and what was trained from it often has points better than both ends: less is forgotten.
    """
    mixed = copy.deepcopy(start)
    goal = trained.state_dict()
    mixed.load_state_dict({name: value.lerp(goal[name], share) for name, value in start.state_dict().items()})
    return mixed.eval()
