"""Run by torchrun in test_processes.py: trains on drawn pictures and writes each rank's weights."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from facegate.siamese.losses import Head
from facegate.siamese.processes import team
from facegate.siamese.training import Run
from tests.siamese.test_training import RECIPE, collection, start


def main(folder: Path, head: str) -> None:
    torch.set_num_threads(1)
    recipe = replace(RECIPE, head=Head(head), workers=0, frozen=0)
    with team() as mates:
        run = Run(start(), collection(), recipe, folder / f"run{mates.size}", team=mates)
        run.train(lambda _: None)
        state = {name: value.numpy() for name, value in run.student.state_dict().items()}
        np.savez(folder / f"weights{mates.size}-{mates.rank}.npz", **state)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
