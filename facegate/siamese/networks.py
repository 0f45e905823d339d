"""The twins: one trunk with shared weights that turns two crops into two templates.

The trunk has the shape of face-reidentification-retail-0095 (Open Model Zoo, Apache-2.0), written anew: a stem,
inverted residuals with squeeze-and-excite on their output, one depthwise convolution over the whole last map, a linear
layer. Each PReLU has a single slope, so that it can be exported as LeakyRelu, which ONNX Runtime fuses. There are no
batch norms.

A companion may stand beside the trunk and add values of its own to the template: what it learns is added to what the
trunk knows, and takes nothing from it.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from facegate.core.ports import Crops
from facegate.siamese.companion import Companion, middle
from facegate.siamese.shapes import REID_0095, BlockShape, TrunkShape


class Slope(nn.PReLU):
    """PReLU of one slope. Where it is not to be learnt it is a plain number on a processor, which is twice as fast.

    A GPU would have to be waited for at every layer to read that number.
    """

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        if self.weight.requires_grad or x.is_cuda:
            return nn.functional.prelu(x, self.weight.to(x.dtype))
        return nn.functional.leaky_relu(x, float(self.weight))


class Depthwise(nn.Conv2d):
    """A 3x3 convolution of each channel by itself, padded by one.

    While it learns, one of stride 2 takes every step and leaves out every other: the way back through torch's own is
    many times slower on a processor.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, 3, stride, 1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h / stride, w / stride)."""
        step, _ = self.stride
        if step == 1 or x.is_cuda or not self.weight.requires_grad:
            return super().forward(x)
        y = nn.functional.conv2d(x, self.weight, self.bias, 1, 1, groups=self.groups)
        return y[:, :, ::step, ::step]


class WholeMap(nn.Conv2d):
    """A convolution of each channel by itself over the whole map: a weighted sum, which learns faster written so."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__(channels, channels, side, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, side, side) -> (n, c, 1, 1)."""
        if self.bias is None or x.is_cuda or not self.weight.requires_grad:
            return super().forward(x)
        return (x * self.weight[:, 0]).sum((2, 3), keepdim=True) + self.bias[:, None, None]


class SqueezeExcite(nn.Module):
    """Weighs each channel by what the whole map holds."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, width, 1)
        self.act = Slope()
        self.fc2 = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> the same."""
        mean = x.mean((2, 3), keepdim=True)  # (n, c, 1, 1)
        return x * torch.sigmoid(self.fc2(self.act(self.fc1(mean))))


class InvertedResidual(nn.Module):
    """1x1 up, depthwise 3x3, 1x1 down, squeeze-and-excite, shortcut."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        self.shape = shape
        wide = shape.expanded
        self.expand = nn.Conv2d(shape.channels_in, wide, 1)
        self.act1 = Slope()
        self.dw = Depthwise(wide, shape.stride)
        self.act2 = Slope()
        self.project = nn.Conv2d(wide, shape.channels_out, 1)
        self.se = SqueezeExcite(shape.channels_out, shape.squeeze)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, h, w) -> (n, channels_out, h / stride, w / stride)."""
        y: Tensor = self.se(self.project(self.act2(self.dw(self.act1(self.expand(x))))))
        return x + y if self.shape.shortcut else y


class Trunk(nn.Module):
    """Crops in, templates out: float32 (n, 3, s, s), blue, green, red, 0 to 255 -> float32 (n, d), unit length.

    Of crops that are larger than it wants them it sees the middle.
    """

    in_scale: Tensor
    in_shift: Tensor

    def __init__(self, shape: TrunkShape = REID_0095) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("in_scale", torch.full((1, 3, 1, 1), 1 / 64))
        self.register_buffer("in_shift", torch.full((1, 3, 1, 1), -2.0))
        self.stem = nn.Conv2d(3, shape.stem, 3, 2, 1)
        self.act0 = Slope()
        self.dw0 = Depthwise(shape.stem, 1)
        self.act1 = Slope()
        self.blocks = nn.Sequential(*map(InvertedResidual, shape.blocks))
        self.head = nn.Conv2d(shape.blocks[-1].channels_out, shape.head, 1)
        self.act2 = Slope()
        self.gdw = WholeMap(shape.head, shape.last_map)
        self.companion = Companion(shape.companion) if shape.companion else None
        self.embed = nn.Conv2d(shape.features, shape.dimension, 1, bias=False)

    def features(self, pixels: Tensor) -> Tensor:
        """Return what the projection head sees: (n, 3, s, s) -> (n, f, 1, 1)."""
        own = self.summary(pixels)
        return own if self.companion is None else torch.cat((own, self.companion(pixels)), 1)

    def summary(self, pixels: Tensor) -> Tensor:
        """Return the trunk's own features, (n, 3, s, s) -> (n, head, 1, 1)."""
        x = self.act0(self.stem(middle(pixels, self.shape.size) * self.in_scale + self.in_shift))
        x = self.blocks(self.act1(self.dw0(x)))
        y: Tensor = self.gdw(self.act2(self.head(x)))
        return y

    def values(self, pixels: Tensor) -> Tensor:
        """Return the values of a template before they are brought to unit length: (n, 3, s, s) -> (n, d)."""
        return self.projected(self.features(pixels))

    def projected(self, *features: Tensor) -> Tensor:
        """Project features that lie side by side, (n, .., 1, 1) each: (n, d)."""
        y: Tensor = self.embed(torch.cat(features, 1))
        return y.flatten(1)

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, size, size) -> (n, d), unit length."""
        return nn.functional.normalize(self.values(pixels), dim=1)


class Twins(nn.Module):
    """Two crops, one trunk: what the contrastive loss is computed on. Sharing the weights is what makes them twins."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Two batches (n, 3, s, s) -> their templates (n, d) each; one pass for both."""
        both = self.trunk(torch.cat((left, right)))
        return both[: len(left)], both[len(left) :]


def fed_to(trunk: Trunk, crops: Crops, size: int = 64) -> Iterator[Tensor]:
    """Give crops uint8 (n, s, s, 3) in blocks as a trunk wants them, float32 (k, 3, s, s) on its device."""
    device = next(trunk.parameters()).device
    trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # two to three times as fast on a CPU
    for top in range(0, len(crops), size):
        some = np.ascontiguousarray(crops[top : top + size].transpose(0, 3, 1, 2), np.float32)
        yield torch.from_numpy(some).to(device).to(memory_format=torch.channels_last)


def use_threads(number: int) -> None:
    """Let torch use so many threads."""
    torch.set_num_threads(number)
