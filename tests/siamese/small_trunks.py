"""Trunks small enough to try everything on."""

from dataclasses import replace

import numpy as np
import torch

from facegate.siamese.networks import Trunk
from facegate.siamese.shapes import BlockShape, BranchShape, TrunkShape
from facegate.siamese.weights import checkpoint_of, load_checkpoint

SMALL = TrunkShape(32, 8, (BlockShape(8, 16, 8, 2, 4), BlockShape(8, 16, 8, 1, 4)), 32, 24)


SPLIT = replace(
    SMALL,
    branch=BranchShape(after=1, blocks=(SMALL.blocks[1], BlockShape(8, 16, 8, 1, 4)), head=40),
)


def small_trunk(seed=0, shape=SMALL):
    torch.manual_seed(seed)
    trunk = Trunk(shape)
    for part in trunk.modules():
        if isinstance(part, torch.nn.PReLU):
            torch.nn.init.uniform_(part.weight, -0.3, 1.3)  # a slope may be negative or steep
    return trunk.eval()


CROPS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)


def torch_templates(trunk, crops=CROPS):
    with torch.no_grad():
        return trunk(torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32))).numpy()


def through_a_checkpoint(trunk, folder):
    """Return the trunk with weights that float16 holds."""
    (folder / "through.pt").write_bytes(checkpoint_of(trunk))
    return load_checkpoint(folder / "through.pt", [SMALL, SPLIT])
