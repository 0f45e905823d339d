"""Train the network that places landmarks from near; stop and go on at will.

    python -m models.landmarks.recipe.train --data DIR --labels labels.npz --out DIR --steps 12000

AdamW, warm-up, a cosine over the steps, a running mean of the weights that is what is kept. `out` gets `last.pt` (all
that is needed to go on; written by and for this program only) and `mean.pt` (the weights). Crop k of step s is drawn
from (seed, s, k), so that a run that was stopped goes on with what it would have seen.
"""

import argparse
import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from facegate.siamese.corpus import held_out
from facegate.vision.landmarks import NEAR, evened
from models.detector.recipe.train import follow, rate
from models.landmarks.recipe.crops import Patches, crop, load_patches
from models.landmarks.recipe.network import REACH, Placer

CROPS: Final = 96
PEAK_RATE: Final = 2e-3
WARM_UP: Final = 200
DECAY: Final = 1e-4
KEEP: Final = 0.998
LARGEST_GRADIENT: Final = 5.0
KNEE: Final = 0.25
"""Errors beyond this many units count by their size, not by their square: what nobody can see must not lead."""

Batch = tuple[Tensor, Tensor]
"""Evened crops, float32 (n, 3, 96, 96), and shifts of the landmarks, float32 (n, 10)."""


class Batches(IterableDataset[Batch]):
    """Batches of drawn crops; worker w of n takes the steps w, w + n, ..."""

    def __init__(self, patches: Patches, rows: list[int], *, seed: int, first: int, crops: int = CROPS) -> None:
        self.patches, self.rows, self.seed, self.first, self.crops = patches, rows, seed, first, crops

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        offset, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        step = self.first + offset
        while True:
            yield self.batch(step)
            step += stride

    def batch(self, step: int) -> Batch:
        """Draw the batch of one step."""
        drawn = []
        for number in range(self.crops):
            rng = np.random.default_rng((self.seed, step, number))
            row = self.rows[int(rng.integers(len(self.rows)))]
            drawn.append(crop(self.patches.pixels[row], self.patches.faces[row], rng))
        crops = evened(np.stack([pixels for pixels, _ in drawn]))
        shifts = np.stack([points - NEAR.template for _, points in drawn]).reshape(self.crops, 10) / REACH
        return torch.from_numpy(crops), torch.from_numpy(shifts.astype(np.float32))


class Run:
    """The state of a training run, and its file."""

    def __init__(self, start: Path | None = None) -> None:
        network = Placer()
        if start is not None:
            network.load_state_dict(torch.load(start, weights_only=True))
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        self.mean = copy.deepcopy(self.network)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=PEAK_RATE, weight_decay=DECAY)
        self.step = 0

    def write(self, out: Path) -> None:
        """Save the state to go on from, and the mean weights."""
        state = {"network": self.network.state_dict(), "mean": self.mean.state_dict()}
        torch.save(state | {"optimizer": self.optimizer.state_dict(), "step": self.step}, out / "last.tmp")
        (out / "last.tmp").replace(out / "last.pt")
        torch.save(self.mean.state_dict(), out / "mean.pt")

    def read(self, path: Path) -> None:
        """Go on from a saved state."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.mean.load_state_dict(state["mean"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def learn(self, batch: Batch, steps: int) -> float:
        """Take one step of `steps`; the mean error in pixels of the crop."""
        for group in self.optimizer.param_groups:
            group["lr"] = PEAK_RATE * rate(self.step / steps) * min(1.0, (self.step + 1) / WARM_UP)
        crops, shifts = batch
        found = self.network(crops.contiguous(memory_format=torch.channels_last))
        self.optimizer.zero_grad()
        functional.smooth_l1_loss(found, shifts, beta=KNEE).backward()  # type: ignore[no-untyped-call]  # torch's stub
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        self.step += 1
        follow(self.mean, self.network, self.step, KEEP)
        return float((found.detach() - shifts).reshape(-1, 5, 2).norm(dim=2).mean()) * REACH


def train(run: Run, batches: DataLoader[Batch], out: Path, *, steps: int, save_every: float) -> None:
    """Learn until the steps are done; report and save now and then."""
    begun, saved, recent = time.monotonic(), time.monotonic(), []
    for batch in batches:
        if run.step >= steps:
            break
        recent.append(run.learn(batch, steps))
        if run.step % 100 == 0:
            minutes, error = (time.monotonic() - begun) / 60, float(np.mean(recent))
            print(json.dumps({"step": run.step, "minutes": round(minutes, 1), "error": round(error, 3)}), flush=True)
            recent = []
        if time.monotonic() - saved > save_every:
            run.write(out)
            saved = time.monotonic()
    run.write(out)


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets of photos")
    parser.add_argument("--labels", type=Path, required=True, help="what models.detector.recipe.labels wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for last.pt and mean.pt; goes on from last.pt")
    parser.add_argument("--steps", type=int, required=True, help="length of the run in batches of 96")
    parser.add_argument("--start", type=Path, help="weights to learn on from: mean.pt of another run")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1, help="processes that draw crops")
    parser.add_argument("--threads", type=int, default=1, help="threads that learn")
    parser.add_argument("--save-every", type=float, default=60.0, help="seconds between saved states")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    cv2.setNumThreads(1)  # before OpenCV starts threads: a forked worker would wait for them for ever
    options.out.mkdir(parents=True, exist_ok=True)
    patches, run = load_patches(options.data, options.labels), Run(options.start)
    if (options.out / "last.pt").exists():
        run.read(options.out / "last.pt")
    rows = [row for row, path in enumerate(patches.paths) if not held_out(Path(path).parent.name)]
    print(f"{len(rows)} of {len(patches.paths)} faces, the others of people who are held out", flush=True)
    source = Batches(patches, rows, seed=options.seed, first=run.step)
    loader = DataLoader(source, batch_size=None, num_workers=options.workers, prefetch_factor=4)
    train(run, loader, options.out, steps=options.steps, save_every=options.save_every)


if __name__ == "__main__":
    main()
