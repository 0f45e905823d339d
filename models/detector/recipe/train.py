"""Train the detector on painted canvases; stop and go on at will.

    python -m models.detector.recipe.train --data DIR --labels labels.npz --scenes DIR --start yunet_n_f32.npz --out DIR

AdamW, warm-up and cosine over wall-clock minutes or steps, a running mean of the weights (EMA) that is what is kept.
`out` gets `start.npz` (the weights before training, for `export --start`), `last.pt` (everything needed to go on;
written by and for this program only) and `ema.npz` (the weights).
Each canvas comes from a generator seeded with (seed, step), so a run that was stopped goes on with the canvases it
would have had. With `--minutes` the schedule follows the clock, and the last digits of the weights with it.
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from models.detector.recipe.backdrops import load_scenes
from models.detector.recipe.canvases import Painter, Sample, load_photos
from models.detector.recipe.losses import Targets, cells, loss
from models.detector.recipe.narrow import narrowed
from models.detector.recipe.network import Detector, flatten, load_yunet_n, save

SIZES = (256, 256, 256, 320, 384)
"""Sides of the canvases, in pixels; drawn once for each batch."""
PIXELS = 16 * 256 * 256
"""Pixels in a batch, whatever the side."""
PEAK_RATE, FLOOR = 5e-4, 0.01
WARM_UP = 60
FITTED = 48
"""Canvases that the narrowed network is fitted on before it learns."""
DECAY = 1e-4
EMA = 0.996
LARGEST_GRADIENT = 10.0


Batch = tuple[Tensor, Tensor, list[Targets]]
"""Spoiled and clean pictures, uint8 (n, 3, side, side), and what they hold."""


class Batches(IterableDataset[Batch]):
    """Batches of canvases, worker w of n takes the steps w, w + n, ..."""

    def __init__(self, painter: Painter, *, seed: int, first: int) -> None:
        self.painter, self.seed, self.first = painter, seed, first

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        offset, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        step = self.first + offset
        while True:
            rng = np.random.default_rng((self.seed, step))
            size = SIZES[int(rng.integers(len(SIZES)))]
            yield batch([self.painter.canvas(size, rng) for _ in range(PIXELS // size**2)])
            step += stride


def batch(samples: list[Sample]) -> Batch:
    """Join samples of one size."""
    spoiled = torch.from_numpy(np.stack([sample.picture for sample in samples])).permute(0, 3, 1, 2)
    clean = torch.from_numpy(np.stack([sample.clean for sample in samples])).permute(0, 3, 1, 2)
    targets = [
        Targets(torch.from_numpy(s.faces), torch.from_numpy(s.pointed), torch.from_numpy(s.ignored)) for s in samples
    ]
    return spoiled, clean, targets


def prepared(pictures: Tensor) -> Tensor:
    """Bytes to the float32 pictures that the networks take, in the order of memory that is fastest here."""
    return pictures.float().contiguous(memory_format=torch.channels_last)


def rate(progress: float) -> float:
    """Share of the peak learning rate when `progress` (0..1) of the run is done: a cosine down to `FLOOR`."""
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


@torch.no_grad()
def follow(mean: nn.Module, network: nn.Module, step: int, most: float = EMA) -> None:
    """Move the running mean of weights and norms a little towards the network; at `most` the mean is kept."""
    keep = min(most, (1 + step) / (10 + step))
    for slow, fast in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, 1 - keep)
        else:
            slow.copy_(fast)


class Run:
    """The state of a training run, and its file."""

    def __init__(self, teacher: Detector, start: Detector) -> None:
        # Channels last in memory halves the time of a step on a CPU.
        self.teacher = teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        self.network = start.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        self.mean = copy.deepcopy(self.network)
        many = [p for p in self.network.parameters() if p.dim() > 1]
        few = [p for p in self.network.parameters() if p.dim() == 1]
        groups = [{"params": many, "weight_decay": DECAY}, {"params": few, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE)
        self.step, self.seconds = 0, 0.0

    def write(self, out: Path) -> None:
        """Save the state to go on from, and the mean weights."""
        state = {"network": self.network.state_dict(), "mean": self.mean.state_dict()}
        state |= {"optimizer": self.optimizer.state_dict(), "step": self.step, "seconds": self.seconds}
        torch.save(state, out / "last.tmp")
        (out / "last.tmp").replace(out / "last.pt")
        save(self.mean, out / "ema.npz")

    def read(self, path: Path) -> None:
        """Go on from a saved state."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.mean.load_state_dict(state["mean"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def learn(self, batch: Batch, share: float) -> dict[str, float]:
        """One step with the given share of the peak rate; the parts of its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = PEAK_RATE * share * min(1.0, (self.step + 1) / WARM_UP)
        spoiled, clean, targets = batch
        with torch.no_grad():
            wanted = flatten(self.teacher(prepared(clean)))
        raw = flatten(self.network(prepared(spoiled)))
        same = (spoiled == clean).flatten(1).all(1).tolist()
        parts = loss(raw, wanted, cells(spoiled.shape[-1]), targets, same)
        self.optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]  # torch's stub
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        self.step += 1
        follow(self.mean, self.network, self.step)
        return {name: float(value.detach()) for name, value in parts.items()}


def train(run: Run, batches: DataLoader[Batch], options: argparse.Namespace) -> None:
    """Learn until the minutes or steps are used up; report and save now and then."""
    run.network.eval()  # the norms keep YuNet-n's means and variances: a copy needs an exact function
    begun, saved, recent = time.monotonic() - run.seconds, time.monotonic(), []
    for batch in batches:
        run.seconds = time.monotonic() - begun
        progress = run.seconds / 60 / options.minutes if options.minutes else run.step / options.steps
        recent.append(run.learn(batch, rate(progress)))
        if run.step % 50 == 0:
            means = {name: round(float(np.mean([parts[name] for parts in recent])), 3) for name in recent[0]}
            print(json.dumps({"step": run.step, "minutes": round(run.seconds / 60, 1), **means}), flush=True)
            recent = []
        if progress >= 1 or time.monotonic() - saved > options.save_every:
            run.write(options.out)
            saved = time.monotonic()
        if progress >= 1:
            return


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets of photos")
    parser.add_argument("--labels", type=Path, required=True, help="what models.detector.recipe.labels wrote")
    parser.add_argument("--scenes", type=Path, required=True, help="folder with pictures without faces")
    parser.add_argument("--start", type=Path, required=True, help="YuNet-n's weights, norms not folded, .npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for last.pt and ema.npz; goes on from last.pt")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="length of the run by the clock")
    length.add_argument("--steps", type=int, help="length of the run in batches")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="processes that paint")
    parser.add_argument("--threads", type=int, default=2, help="threads that learn")
    parser.add_argument("--save-every", type=float, default=120.0, help="seconds between saved states")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)  # before OpenCV starts threads: a forked worker would wait for them for ever
    options.out.mkdir(parents=True, exist_ok=True)
    painter = Painter(load_photos(options.data, options.labels), load_scenes(options.scenes, training=True))
    teacher = load_yunet_n(options.start)
    rng = np.random.default_rng(options.seed)
    examples = np.stack([painter.canvas(SIZES[0], rng).clean for _ in range(FITTED)])
    run = Run(teacher, narrowed(teacher, prepared(torch.from_numpy(examples).permute(0, 3, 1, 2))))
    if not (options.out / "start.npz").exists():
        save(run.network, options.out / "start.npz")
    if (options.out / "last.pt").exists():
        run.read(options.out / "last.pt")
    source = Batches(painter, seed=options.seed, first=run.step)
    train(run, DataLoader(source, batch_size=None, num_workers=options.workers, prefetch_factor=3), options)


if __name__ == "__main__":
    main()
