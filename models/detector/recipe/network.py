"""The detector's network: YuNet's shape, made cheaper where OpenCV spends its time, to be trained on from YuNet-n.

    stem      2x2/2 conv 3 -> 16, norm, ReLU; unit(16, 16); pool
    trunk     five stages of two units, a pool after the second, third and fourth
    neck      top down: each finer level adds the next coarser one, doubled by nearest neighbour
    head      at each level one unit(64, 64), then one unit without norm to 16 channels

A unit is a 1x1 convolution, then a 3x3 depthwise one, then norm and ReLU. The sixteen channels are, in order,
class (1), objectness (1), box (4), points (10).

What differs from YuNet-n, and why (OpenCV 5.0, one core, 640x360, the times are in the card):
- the first convolution sees 2x2 pixels in place of 3x3, so the graph can begin by sorting pixels into twelve
  channels of half the size; OpenCV's own re-layout of three full planes and the 3x3 kernel took 5 of the 14 ms;
- one output convolution of sixteen channels in place of four small ones, which computes the same.

Input: float32 (n, 3, h, w), BGR, 0..255 as they are, h and w multiples of 32.
Shape and weights to start from: Wu, Peng, Yu, YuNet: a tiny millisecond-level face detector, Machine Intelligence
Research 20, 2023; libfacedetection.train, Apache-2.0.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDES = (8, 16, 32)
FIRST_LEVEL = 2
"""The stage whose output is the finest level (stride 8); the stages after it give the others."""
PARTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
WIDE = (64, 64, 64)


@dataclass(frozen=True)
class Shape:
    """What differs between YuNet-n and ours."""

    stem_side: int
    """Pixels that the first kernel sees in each direction."""
    stages: tuple[tuple[int, int, int], ...]
    """Channels into, within and out of each stage."""


YUNET_N = Shape(3, ((16, 16, 64), WIDE, WIDE, WIDE, WIDE))
OURS = Shape(2, YUNET_N.stages)


class Unit(nn.Module):
    """1x1 convolution, 3x3 depthwise convolution; then norm and ReLU, unless `plain`."""

    def __init__(self, wide_in: int, wide_out: int, *, plain: bool = False) -> None:
        super().__init__()
        self.point = nn.Conv2d(wide_in, wide_out, 1)
        self.depth = nn.Conv2d(wide_out, wide_out, 3, padding=1, groups=wide_out)
        self.norm = None if plain else nn.BatchNorm2d(wide_out)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, wide_in, h, w) to (n, wide_out, h, w)."""
        x = self.depth(self.point(x))
        return x if self.norm is None else F.relu(self.norm(x))


class Detector(nn.Module):
    """Pictures (n, 3, h, w) to raw maps (n, 16, h / s, w / s) for the strides s = 8, 16, 32; no sigmoid yet."""

    def __init__(self, shape: Shape = OURS) -> None:
        super().__init__()
        first, width = shape.stages[0][0], shape.stages[-1][-1]
        self.stem = nn.Conv2d(3, first, shape.stem_side, stride=2, padding=shape.stem_side // 3)
        self.stem_norm = nn.BatchNorm2d(first)
        self.stem_unit = Unit(first, first)
        self.stages = nn.ModuleList(nn.Sequential(Unit(a, b), Unit(b, c)) for a, b, c in shape.stages)
        self.lateral = nn.ModuleList(Unit(width, width) for _ in STRIDES)
        self.shared = nn.ModuleList(Unit(width, width) for _ in STRIDES)
        self.out = nn.ModuleList(Unit(width, sum(PARTS.values()), plain=True) for _ in STRIDES)

    def forward(self, x: Tensor) -> list[Tensor]:
        """See the class."""
        x = F.max_pool2d(self.stem_unit(F.relu(self.stem_norm(self.stem(x)))), 2)
        levels = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number >= FIRST_LEVEL:
                levels.append(x)
            if number in (1, 2, 3):
                x = F.max_pool2d(x, 2)
        levels[2] = self.lateral[2](levels[2])
        for fine in (1, 0):
            coarse = F.interpolate(levels[fine + 1], scale_factor=2.0, mode="nearest")
            levels[fine] = self.lateral[fine](levels[fine] + coarse)
        return [out(shared(x)) for out, shared, x in zip(self.out, self.shared, levels, strict=True)]


def units(parent: nn.Module) -> list[Unit]:
    """The units directly in a list or stage, with their type."""
    return [child for child in parent.children() if isinstance(child, Unit)]


def flatten(maps: list[Tensor]) -> Tensor:
    """Join the maps of all strides into (n, cells, 16): stride 8 first, each level row by row."""
    return torch.cat([level.flatten(2) for level in maps], 2).transpose(1, 2)


def load_yunet_n(path: Path) -> Detector:
    """YuNet-n itself from its state (float32 .npz, norms not folded); the four output convolutions become one."""
    network = Detector(YUNET_N)
    with np.load(path) as archive:
        theirs = {name: torch.from_numpy(archive[name]) for name in archive.files}
    state = network.state_dict()
    for name in state:
        if name.endswith("num_batches_tracked"):
            continue
        if name.startswith("out."):
            _, level, rest = name.split(".", 2)
            state[name] = torch.cat([theirs[_their_name(f"{part}.{level}.{rest}")] for part in PARTS])
        else:
            state[name] = theirs[_their_name(name)]
    network.load_state_dict(state)
    return network.eval()


def _their_name(ours: str) -> str:
    """Translate the name of a tensor of ours to YuNet's."""
    words = {
        "point": "pw",
        "depth": "dw",
        "norm": "bn",
        "stem_norm": "stem_bn",
        "stem_unit": "stem_dp",
        "shared": "share",
    }
    return ".".join(words.get(word, word) for word in ours.split("."))


def save(network: Detector, path: Path) -> None:
    """Write the state as an .npz of float32 arrays (no pickle)."""
    np.savez(path, **{name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()})


def load(network: Detector, path: Path) -> None:
    """Read what `save` wrote."""
    with np.load(path) as archive:
        network.load_state_dict({name: torch.from_numpy(archive[name]) for name in archive.files})


@torch.no_grad()
def blend(network: Detector, start: Detector, share: float) -> None:
    """Take the network's weights back towards those it started from: `share` (0..1) of the way from start is left.

    A part of the way often keeps most of what was learned and gives back most of what was forgotten (Wortsman and
    others, Robust fine-tuning of zero-shot models, 2022).
    """
    for mine, first in zip(network.parameters(), start.parameters(), strict=True):
        mine.copy_(first.lerp(mine, share))
