"""Trains the one-shot networks: batches of alphabets, all their pairs, averaged weights; seeded and resumable.

Batch number k depends on the seed and k alone, so a run that was stopped goes on as if it had not been. The learning
rate is constant after a warm-up and falls to nothing over the last steps, so a run can also be made longer: resume it
with more steps before it falls. What is written lies in the run's folder: `checkpoint.pt` (arrays only, read with
`weights_only`), `log.jsonl`, and `network.npz`: the averaged weights that did best on held-out alphabets.
"""

import copy
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facegate.errors import UnusableInputError
from facegate.siamese import losses
from facegate.siamese.checkpoints import of_this_kind, read_checkpoint, write_checkpoint
from facegate.siamese.oneshot.batches import BatchShape, Drawn, Sampler, pair_cross_entropy, trial_cross_entropy
from facegate.siamese.oneshot.distortion import Distortion, distort
from facegate.siamese.oneshot.drawings import Drawings, Task, held_out_tasks
from facegate.siamese.oneshot.networks import UNITS, EmbeddingTwins, OneShotTwins, PaperTwins, save_twins
from facegate.siamese.oneshot.trials import Judge, evaluate

LOG: Final = "log.jsonl"
FREE: Final = ("steps",)
"""What of a recipe may change under way: a run can be made longer."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run.

    Attributes:
        seed: Of batches, distortions and the split.
        steps: Batches in all.
        shape: Of a batch.
        distortion: Of the drawings.
        rate: Highest learning rate of AdamW.
        units_rate: Times it, for the layer of 4096 units.
        weigh_rate: Times it, for the weights of the distances: one step moves all of them, and their sum is the logit.
        decay: Weight decay; none on vectors and on the weights of the distances.
        warmup: Steps until the rate is reached.
        cooling: Share of the steps, the last, over which the rate falls to nothing.
        near: Mated pairs closer than this distance are left alone.
        far: Non-mated pairs farther than this are left alone.
        hardest: Share of non-mated pairs that counts.
        trials: Weight of the trials' loss.
        sharpness: Scores of templates times this are the logits of the trials.
        hints: Weight of the teacher's templates, where there is a teacher.
        average: Decay of the averaged weights, a step.
        held_out: So many alphabets are only chosen on.
        drawers: Trials on held-out alphabets use the drawers from this one on.
        tasks: Tasks of each held-out alphabet.
        bf16: Compute in bfloat16 where torch allows it.
        every: Steps between two checkpoints.
    """

    seed: int = 20151103
    steps: int = 3000
    shape: BatchShape = field(default_factory=BatchShape)
    distortion: Distortion = field(default_factory=Distortion)
    rate: float = 1e-3
    units_rate: float = 0.3
    weigh_rate: float = 0.02
    decay: float = 0.01
    warmup: int = 100
    cooling: float = 0.4
    near: float = 0.0
    far: float = 1.2
    hardest: float = 0.2
    trials: float = 0.0
    sharpness: float = 16.0
    hints: float = 2.0
    average: float = 0.995
    held_out: int = 5
    drawers: int = 12
    tasks: int = 20
    bf16: bool = True
    every: int = 250


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run stands: step, mean loss since the last word, share of right answers on held-out alphabets."""

    step: int
    rate: float
    loss: float
    held_out: float
    pictures_per_second: float


def split(drawings: Drawings, recipe: Recipe) -> tuple[Drawings, Drawings]:
    """Return the drawings to learn from, and those of held-out alphabets, which the seed draws.

    Raises:
        UnusableInputError: There are no more alphabets than are held out.
    """
    if len(drawings.names) <= recipe.held_out:
        what = f"{len(drawings.names)} alphabets leave none to learn from: {recipe.held_out} are held out"
        raise UnusableInputError(what, "Give more alphabets, as omniglot.zip has them")
    order = np.random.default_rng(recipe.seed).permutation(len(drawings.names))
    held = np.isin(drawings.alphabets, order[: recipe.held_out])
    return drawings.of(~held), drawings.of(held)


class Run:
    """One training run in one folder."""

    def __init__(
        self,
        twins: OneShotTwins,
        drawings: Drawings,
        recipe: Recipe,
        folder: Path,
        *,
        device: str = "cpu",
        teacher: EmbeddingTwins | None = None,
    ) -> None:
        """Take a network at its start; nothing is learnt yet.

        Args:
            twins: What learns.
            drawings: Of all alphabets.
            recipe: How.
            folder: Where checkpoints go.
            device: Where to compute.
            teacher: Its templates of the same pictures are hints for the paper's network: a linear map of the 4096
                units, thrown away afterwards, must tell them.
        """
        learnt, held = split(drawings, recipe)
        self.recipe, self._folder, self._device = recipe, folder, device
        self._lessons = hashlib.sha256(drawings.pictures.tobytes()).hexdigest()[:12]
        self._sampler = Sampler(learnt, recipe.shape)
        self._tasks = held_out_tasks(
            held.of(held.drawers >= recipe.drawers), np.random.default_rng(recipe.seed), tasks=recipe.tasks
        )
        self.twins = twins.train().requires_grad_(requires_grad=True).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own stub
        self.averaged = copy.deepcopy(self.twins).requires_grad_(requires_grad=False)
        self._teacher = teacher
        self._hint = nn.Linear(UNITS, 1 if teacher is None else teacher.norm.num_features, bias=False).to(device)
        learning = [*_layers(self.twins, recipe), {"params": [self._hint.weight], "times": 1.0, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(learning, lr=0.0, fused=True)
        self.step, self.best = 0, 0.0

    def resume(self) -> bool:
        """Go on from the folder's checkpoint; False if there is none.

        Raises:
            UnusableInputError: The checkpoint cannot be read, or is of another recipe or of a run of another kind.
        """
        state = read_checkpoint(self._folder, self.recipe, self._lessons, self._device, FREE)
        if state is None:
            return False
        with of_this_kind(self._folder):
            self.twins.load_state_dict(state["twins"])
            self.averaged.load_state_dict(state["averaged"])
            self._hint.load_state_dict(state["hint"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.step, self.best = int(state["step"]), float(state["best"])
        return True

    def train(self, report: Callable[[Progress], None], moved: Callable[[int, float], None] | None = None) -> float:
        """Train to the last step, with a checkpoint and a word to `report` every so often.

        Returns:
            The best share of right answers on held-out alphabets: that of the network written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        since, sums, pictures = time.monotonic(), [], 0
        while self.step < self.recipe.steps:
            drawn = self._draw(self.step)
            sums.append(self._learn(drawn))
            pictures += len(drawn.groups)
            self.step += 1
            if moved is not None:
                moved(self.step, sums[-1])
            if self.step % self.recipe.every == 0 or self.step == self.recipe.steps:
                speed = pictures / (time.monotonic() - since)
                progress = Progress(self.step, self._rate(), float(np.mean(sums)), self._held_out(), speed)
                self._write(progress)
                report(progress)
                since, sums, pictures = time.monotonic(), [], 0
        return self.best

    @torch.no_grad()
    def measure(self, batches: int) -> None:
        """Let the norms measure some batches anew, with equal weight: what a grown sketch needs."""
        norms = [part for part in self.twins.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        for number in range(batches):
            drawn = self._draw(number)
            with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self.recipe.bf16):
                self.twins(drawn.pictures.contiguous(memory_format=torch.channels_last))
        for norm in norms:
            norm.momentum = 0.1
        self.averaged.load_state_dict(self.twins.state_dict())

    def _rate(self) -> float:
        recipe, cooling = self.recipe, max(1.0, self.recipe.cooling * self.recipe.steps)
        warm, cool = (self.step + 1) / recipe.warmup, (recipe.steps - self.step) / cooling
        return recipe.rate * min(1.0, warm, cool)

    def _draw(self, number: int) -> Drawn:
        """Draw and distort a batch of a number."""
        draw = np.random.default_rng((self.recipe.seed, number))
        drawn = self._sampler.draw(draw)
        pictures = distort(drawn.pictures.to(self._device), self.recipe.distortion, draw)
        return Drawn(pictures, drawn.characters.to(self._device), drawn.groups.to(self._device))

    def _learn(self, drawn: Drawn) -> float:
        """Take one step; the loss."""
        rate = self._rate()
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["times"]
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self.recipe.bf16):
            features = self.twins(drawn.pictures.contiguous(memory_format=torch.channels_last))
        loss = self._loss(features.float(), drawn) + self._hints(features.float(), drawn)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.twins.parameters(), 5.0)
        self._optimizer.step()
        if isinstance(self.twins, PaperTwins):
            self.twins.keep_foldable()
        self._average()
        return float(loss.item())

    def _loss(self, features: Tensor, drawn: Drawn) -> Tensor:
        own = [self._loss_within(features[rows], drawn.characters[rows]) for rows in drawn.alphabets()]
        loss = torch.stack(own).mean()
        if isinstance(self.twins, EmbeddingTwins):
            recipe = self.recipe
            loss = loss + losses.batch_contrastive(
                features, drawn.characters, drawn.groups, near=recipe.near, far=recipe.far, hardest=recipe.hardest
            )
        return loss

    def _loss_within(self, features: Tensor, characters: Tensor) -> Tensor:
        """Return the loss that needs the scores of an alphabet."""
        recipe, scores = self.recipe, self.twins.logits(features, features)
        if isinstance(self.twins, EmbeddingTwins):
            return recipe.trials * trial_cross_entropy(recipe.sharpness * scores, characters)
        pairs = pair_cross_entropy(scores, characters, hardest=recipe.hardest)
        return pairs + recipe.trials * trial_cross_entropy(scores, characters) if recipe.trials else pairs

    def _hints(self, features: Tensor, drawn: Drawn) -> Tensor:
        """Return what the features do not tell of the teacher's templates: the mean of 1 - cosine, weighted."""
        if self._teacher is None:
            return features.new_zeros(())
        with torch.no_grad(), torch.autocast(self._device, dtype=torch.bfloat16, enabled=self.recipe.bf16):
            templates = self._teacher(drawn.pictures.contiguous(memory_format=torch.channels_last))
        told = functional.normalize(self._hint(features - 0.5), dim=1)
        return self.recipe.hints * losses.anchor(told, templates)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.averaged.state_dict().values(), self.twins.state_dict().values(), strict=True):
            if value.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def _held_out(self) -> float:
        """Return the share of right answers of the averaged network, and write it if there was none better."""
        twins = copy.deepcopy(self.averaged).eval()
        found = judged(twins, self._tasks, self._device)
        if found >= self.best:
            self.best = found
            save_twins(twins, self._folder / "network.npz")
        return found

    def _write(self, progress: Progress) -> None:
        state: dict[str, Any] = {
            "twins": self.twins.state_dict(),
            "averaged": self.averaged.state_dict(),
            "hint": self._hint.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "best": self.best,
        }
        write_checkpoint(self._folder, state, self.recipe, self._lessons)
        with (self._folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps({**asdict(progress), "recipe": asdict(self.recipe)}) + "\n")


def judged(twins: OneShotTwins, tasks: list[Task], device: str) -> float:
    """Return the share of right answers on tasks, without copies."""
    return float(evaluate(tasks, Judge(twins, device=device))["accuracy"])


def _layers(twins: OneShotTwins, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the weights in groups, each with its share of the rate (`times`) and its decay."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, weight in twins.named_parameters():
        times = {"units": recipe.units_rate, "weigh": recipe.weigh_rate}.get(name.split(".")[0], 1.0)
        decay = 0.0 if weight.dim() == 1 or name.startswith("weigh") else recipe.decay
        groups.setdefault((times, decay), []).append(weight)
    return [{"params": own, "times": times, "weight_decay": decay} for (times, decay), own in groups.items()]
