"""The network that places five landmarks from near, once the detector has said where about the face is.

    stem      3x3/2 conv 3 -> 16, norm, ReLU
    trunk     eight units: depthwise 3x3, norm, ReLU, then 1x1, norm, ReLU (MobileNet v1; Howard and others, 2017)
    narrow    1x1 to 32 channels, norm, ReLU
    head      a linear layer over the whole last map to 128, ReLU, a linear layer to ten numbers

Input: float32 (n, 3, 96, 96), BGR, each crop brought to mean 0 and deviation 1, so that little light is no matter of
its own. Output: float32 (n, 10), x and y of right eye, left eye, nose, right and left mouth corner, the subject's
right: how far each lies from its place in an aligned crop, in `REACH` pixels.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

REACH: Final = 8.0
"""Pixels of the crop in one unit of the output."""
STEM: Final = 16
UNITS: Final = (
    *((16, 32, 2), (32, 48, 1), (48, 96, 2), (96, 96, 1)),
    *((96, 128, 1), (128, 160, 2), (160, 160, 1), (160, 160, 1)),
)
"""Channels in, channels out, stride."""
NARROW: Final = 32
HIDDEN: Final = 128
MAP: Final = 6


class Unit(nn.Module):
    """Depthwise 3x3, norm, ReLU, 1x1, norm, ReLU; the input is added where the shape stays."""

    def __init__(self, wide_in: int, wide_out: int, stride: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(wide_in, wide_in, 3, stride, 1, groups=wide_in, bias=False)
        self.depth_norm = nn.BatchNorm2d(wide_in)
        self.point = nn.Conv2d(wide_in, wide_out, 1, bias=False)
        self.point_norm = nn.BatchNorm2d(wide_out)
        self.same = wide_in == wide_out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """(n, wide_in, h, w) -> (n, wide_out, h / stride, w / stride)."""
        y = functional.relu(self.depth_norm(self.depth(x)))
        y = functional.relu(self.point_norm(self.point(y)))
        return x + y if self.same else y


class Placer(nn.Module):
    """Crops in, shifts of the landmarks out; see the module."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(STEM)
        self.units = nn.Sequential(*(Unit(*shape) for shape in UNITS))
        self.narrow = nn.Conv2d(UNITS[-1][1], NARROW, 1, bias=False)
        self.narrow_norm = nn.BatchNorm2d(NARROW)
        self.hidden = nn.Linear(NARROW * MAP * MAP, HIDDEN)
        self.out = nn.Linear(HIDDEN, 10)

    def chain(self) -> list[Unit]:
        """The trunk's units in their order."""
        return [unit for unit in self.units if isinstance(unit, Unit)]

    def forward(self, crops: Tensor) -> Tensor:
        """(n, 3, 96, 96) -> (n, 10)."""
        x = functional.relu(self.stem_norm(self.stem(crops)))
        x = functional.relu(self.narrow_norm(self.narrow(self.units(x))))
        shifts: Tensor = self.out(functional.relu(self.hidden(torch.flatten(x, 1))))
        return shifts
