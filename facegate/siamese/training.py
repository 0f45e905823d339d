"""Trains the twins: P x K batches, contrastive loss, teachers as anchors, averaged weights; seeded and resumable.

Picture k of batch n depends on the seed, n and k alone, so a run that was stopped goes on as if it had not been, and
several processes draw the same batch and take a part each. What is written lies in the run's folder: `checkpoint.pt`
(arrays only, read with `weights_only`), and `log.jsonl`, a line now and then.
Start and companion learn together, each held to its own teacher, and to tell people apart by the sum of their scores;
or the start stays, and its companion learns to stand beside it; or a start learns alone. Of a start alone the first
blocks may stay: they see edges and colours, and without them a picture costs a third. Where the start stays beside a
companion, it and the companion's layers that stay run in ONNX Runtime on a processor.
On a GPU the student learns there, while as many workers as there are cores augment: 1.3 ms of a core a picture.
"""

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from facegate.errors import UnusableInputError
from facegate.siamese import losses
from facegate.siamese.batches import Batch, Batches, Collection
from facegate.siamese.checkpoints import of_this_kind, read_checkpoint, write_checkpoint
from facegate.siamese.corpus import digest_of_sources
from facegate.siamese.losses import Head
from facegate.siamese.networks import Trunk
from facegate.siamese.plan import Recipe
from facegate.siamese.processes import Team
from facegate.siamese.settled import Settled

LOG: Final = "log.jsonl"
FREE: Final = ("every", "look_every", "workers")
"""What of a recipe decides nothing of what is learnt."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """FNMR at an FMR of 1e-3 of people on whom nothing is learnt, the mean of the sources.

    One of two pictures is as it is, the other as it is, masked, or as at a door.
    """

    plain: float
    masked: float
    door: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run stands: step, the mean losses since the last word, and now and then how held-out people do."""

    step: int
    rate: float
    contrastive: float
    anchor: float
    relations: float
    heading: float
    pictures_per_second: float
    held_out: HeldOut | None = None


class Run:
    """One training run in one folder, perhaps by several processes that all hold the same weights."""

    def __init__(
        self,
        start: Trunk,
        collection: Collection,
        recipe: Recipe,
        folder: Path,
        *,
        team: Team | None = None,
        look: Callable[[Trunk], HeldOut] | None = None,
    ) -> None:
        """Take the start's weights; nothing is learnt yet.

        Args:
            start: The trunk to begin with.
            collection: What is learnt from.
            recipe: Everything else that decides the run.
            folder: Where checkpoints go.
            team: This process among its peers.
            look: Says how held-out people do under a trunk.

        Raises:
            UnusableInputError: Nothing is to be learnt, or a batch cannot be shared among the processes.
        """
        self.recipe, self._collection, self._folder, self._team = recipe, collection, folder, team or Team()
        self._look, self._lessons = look, digest_of_sources(collection.sources)
        if recipe.people * recipe.pictures % self._team.size:
            what = f"{self._team.size} processes cannot share a batch of {recipe.people * recipe.pictures} pictures"
            raise UnusableInputError(what, "Start as many as divide it")
        if not (recipe.contrastive or recipe.anchor or recipe.relations or recipe.head is not Head.NONE):
            raise UnusableInputError("There is no loss left to learn from", "Leave out fewer (--without)")
        device = self._team.device
        self.student = _thawed(copy.deepcopy(start).to(device), recipe)
        self.averaged = copy.deepcopy(self.student).requires_grad_(requires_grad=False)
        if self.student.companion is not None:
            self.student.companion.fused = recipe.fused
        self._sees: Trunk | Settled = self.student
        self.head = _head(collection, recipe, start.shape.dimension).to(device)
        learning = [weight for weight in self.student.parameters() if weight.requires_grad]
        self._learning = [*learning, *self.head.parameters()]
        projection = self.student.embed.weight
        decayed = [weight for weight in self._learning if weight is not projection]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": [projection], "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=recipe.decay)
        self.step = 0

    def resume(self) -> bool:
        """Go on from the folder's checkpoint; False if there is none.

        Raises:
            UnusableInputError: The checkpoint cannot be read, or is of another recipe or of a run of another kind.
        """
        state = read_checkpoint(self._folder, self.recipe, self._lessons, self._team.device, FREE)
        if state is None:
            return False
        with of_this_kind(self._folder):
            self.student.load_state_dict(state["student"])
            self.averaged.load_state_dict(state["averaged"])
            self.head.load_state_dict(state["head"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.step = int(state["step"])
        return True

    def train(self, report: Callable[[Progress], None]) -> Trunk:
        """Train to the last step, with a checkpoint and a word to `report` every so often; both by the leader alone.

        Returns:
            The averaged trunk.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        recipe, gpu = self.recipe, self._team.device.type == "cuda"
        if self.student.companion is not None and not recipe.together and not gpu:
            self._sees = Settled(self.student, recipe.frozen)
        cv2.setNumThreads(1)  # a worker is a fork, and OpenCV's threads do not come along
        loader: DataLoader[Batch] = DataLoader(
            Batches(self._collection, recipe, self._team),
            batch_size=None,
            sampler=list(range(self.step, recipe.steps)),
            num_workers=recipe.workers,
            prefetch_factor=4 if recipe.workers else None,
            pin_memory=gpu,
            multiprocessing_context="fork" if recipe.workers else None,  # anything else would copy the crops
        )
        since, sums, count = time.monotonic(), torch.zeros(4, device=self._team.device), 0
        for batch in loader:
            sums += self._learn(batch.to(self._team.device))
            self.step, count = self.step + 1, count + 1
            if self.step % recipe.every == 0 or self.step == recipe.steps:
                means = sums / count  # reading it waits for the GPU
                speed = count * len(batch.people) / (time.monotonic() - since)
                if self._team.leads:
                    self._tell(means.tolist(), speed, report)
                self._team.wait()
                since, sums, count = time.monotonic(), torch.zeros_like(sums), 0
        return self.averaged

    def _tell(self, means: Sequence[float], speed: float, report: Callable[[Progress], None]) -> None:
        """Write a checkpoint and report, with a look at held-out people where it is time for one."""
        if not all(map(math.isfinite, means)):
            what = f"At step {self.step} the loss is no number any more: training has come apart"
            raise UnusableInputError(what, "Begin anew in another folder, with a lower --rate")
        contrastive, anchored, related, heading = means
        progress = Progress(self.step, self._rate(), contrastive, anchored, related, heading, speed)
        every = self.recipe.look_every
        if self._look is not None and every and self.step % every < self.recipe.every:
            progress = replace(progress, held_out=self._look(self.averaged))
        self._write(progress)
        report(progress)

    def _rate(self) -> float:
        recipe = self.recipe
        if self.step < recipe.warmup:
            return recipe.rate * (self.step + 1) / recipe.warmup
        share = (self.step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
        return recipe.rate * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))

    def _learn(self, batch: Batch) -> Tensor:
        """Take one step; the four losses, (4,)."""
        recipe, team = self.recipe, self._team
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        if self.student.companion is not None:
            self.student.companion.rounds = self.step >= recipe.rounded * recipe.steps
        parts = self._losses(team.gather(self._templates(batch.crops)), batch)
        weights = (recipe.contrastive, recipe.anchor, recipe.relations, recipe.heading)
        self._optimizer.zero_grad(set_to_none=True)
        loss = torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        team.sum_gradients(self.student.parameters())  # the head sees the whole batch in every process already
        nn.utils.clip_grad_norm_(self._learning, 1.0)
        self._optimizer.step()
        self._average()
        return torch.stack([part.detach() for part in parts])

    def _losses(self, templates: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(n, d) of the whole batch -> contrastive, anchor, relations, head; 0 for what has no weight."""
        recipe, nothing = self.recipe, templates.new_zeros(())
        contrastive = nothing
        if recipe.contrastive:
            contrastive = losses.batch_contrastive(
                templates, batch.people, batch.groups, near=recipe.near, far=recipe.far, hardest=recipe.hardest
            )
        anchored = losses.anchor(templates, batch.targets, self.student.shape.parts) if recipe.anchor else nothing
        related = losses.relations(templates, batch.targets) if recipe.relations else nothing
        if recipe.head is Head.ARCFACE:
            return contrastive, anchored, related, self.head(templates, batch.people)
        if recipe.head is Head.MULTI_SIMILARITY:
            return contrastive, anchored, related, losses.multi_similarity(templates, batch.people, batch.groups)
        return contrastive, anchored, related, nothing

    def _templates(self, crops: Tensor) -> Tensor:
        """(m, 3, s, s) uint8 -> (m, d), unit length."""
        x = crops.float().to(memory_format=torch.channels_last)
        with torch.autocast(crops.device.type, dtype=torch.bfloat16, enabled=self.recipe.bf16):
            values = self._sees.values(x)  # before the first weight that learns nothing is kept for the way back
        return nn.functional.normalize(values.float(), dim=1)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.student.parameters()), 1 - decay)

    def _write(self, progress: Progress) -> None:
        state: dict[str, Any] = {
            "student": self.student.state_dict(),
            "averaged": self.averaged.state_dict(),
            "head": self.head.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
        }
        write_checkpoint(self._folder, state, self.recipe, self._lessons)
        with (self._folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps({**asdict(progress), "recipe": asdict(self.recipe)}) + "\n")


def _head(collection: Collection, recipe: Recipe, dimension: int) -> nn.Module:
    """Return the head that learns along, the same in every process; one without weights where there is none."""
    if recipe.head is not Head.ARCFACE:
        return nn.Identity()
    labels = collection.labels
    groups = np.zeros(int(labels.people.max()) + 1, np.int64)
    groups[labels.people] = labels.groups
    torch.manual_seed(recipe.seed)
    return losses.ArcFace(dimension, torch.from_numpy(groups))


def _thawed(trunk: Trunk, recipe: Recipe) -> Trunk:
    """Let learn what the recipe says, but the slopes: fixed, their gradient costs nothing.

    Where there is a companion the projection stays: it only lays the values of both side by side.
    """
    trunk = trunk.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own stub
    trunk.requires_grad_(requires_grad=trunk.companion is None or recipe.together)
    stays: list[nn.Module]
    if trunk.companion is not None:
        trunk.companion.requires_grad_(requires_grad=True)
        stays = [*trunk.companion.layers[: recipe.frozen], trunk.embed]
    else:
        stays = [trunk.stem, trunk.dw0, trunk.blocks[: recipe.frozen]] if recipe.frozen else []
    for part in (*stays, *(part for part in trunk.modules() if isinstance(part, nn.PReLU))):
        part.requires_grad_(requires_grad=False)
    return trunk
