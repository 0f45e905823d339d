"""The twins: one trunk with shared weights that turns two crops into two templates.

The trunk has the shape of face-reidentification-retail-0095 (Open Model Zoo, Apache-2.0), written anew: a stem,
inverted residuals with squeeze-and-excite on their output, one depthwise convolution over the whole last map, a linear
layer. Each PReLU has a single slope, so that it can be exported as LeakyRelu, which ONNX Runtime fuses. There are no
batch norms.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from facegate.errors import UnusableInputError


@dataclass(frozen=True, slots=True)
class BlockShape:
    """Channels in, expanded and out, stride, and the width of the squeeze; the shortcut is there where it fits."""

    channels_in: int
    expanded: int
    channels_out: int
    stride: int
    squeeze: int

    @property
    def shortcut(self) -> bool:
        """The block adds its input to its output."""
        return self.stride == 1 and self.channels_in == self.channels_out


@dataclass(frozen=True, slots=True)
class TrunkShape:
    """Everything that decides a trunk's layers.

    Attributes:
        size: Side of the square crop, pixels; a multiple of 16.
        stem: Channels of the first convolution.
        blocks: The inverted residuals.
        head: Channels before the depthwise convolution over the whole map.
        dimension: Length of the template.
    """

    size: int
    stem: int
    blocks: tuple[BlockShape, ...]
    head: int
    dimension: int

    @property
    def last_map(self) -> int:
        """Side of the last feature map."""
        side = self.size // 2
        for block in self.blocks:
            side = -(-side // block.stride)
        return side


REID_0095: Final = TrunkShape(
    size=128,
    stem=64,
    blocks=(
        BlockShape(64, 128, 64, 2, 8),
        *[BlockShape(64, 128, 64, 1, 8)] * 4,
        BlockShape(64, 256, 128, 2, 16),
        *[BlockShape(128, 256, 128, 1, 16)] * 6,
        BlockShape(128, 512, 128, 2, 16),
        *[BlockShape(128, 256, 128, 1, 16)] * 2,
    ),
    head=512,
    dimension=256,
)
"""1,106,808 parameters, 0.588 GFLOP."""


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
        self.dw = nn.Conv2d(wide, wide, 3, shape.stride, 1, groups=wide)
        self.act2 = Slope()
        self.project = nn.Conv2d(wide, shape.channels_out, 1)
        self.se = SqueezeExcite(shape.channels_out, shape.squeeze)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, h, w) -> (n, channels_out, h / stride, w / stride)."""
        y: Tensor = self.se(self.project(self.act2(self.dw(self.act1(self.expand(x))))))
        return x + y if self.shape.shortcut else y


class Trunk(nn.Module):
    """Crops in, templates out: float32 (n, 3, s, s), blue, green, red, 0 to 255 -> float32 (n, d), unit length."""

    in_scale: Tensor
    in_shift: Tensor

    def __init__(self, shape: TrunkShape = REID_0095) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("in_scale", torch.full((1, 3, 1, 1), 1 / 64))
        self.register_buffer("in_shift", torch.full((1, 3, 1, 1), -2.0))
        self.stem = nn.Conv2d(3, shape.stem, 3, 2, 1)
        self.act0 = Slope()
        self.dw0 = nn.Conv2d(shape.stem, shape.stem, 3, 1, 1, groups=shape.stem)
        self.act1 = Slope()
        self.blocks = nn.Sequential(*map(InvertedResidual, shape.blocks))
        self.head = nn.Conv2d(shape.blocks[-1].channels_out, shape.head, 1)
        self.act2 = Slope()
        self.gdw = nn.Conv2d(shape.head, shape.head, shape.last_map, groups=shape.head)
        self.embed = nn.Conv2d(shape.head, shape.dimension, 1, bias=False)

    def early(self, x: Tensor) -> Tensor:
        """Scale the pixels and take them through the stem: (n, 3, s, s) -> (n, stem, s / 2, s / 2)."""
        x = x * self.in_scale + self.in_shift
        y: Tensor = self.act1(self.dw0(self.act0(self.stem(x))))
        return y

    def late(self, x: Tensor) -> Tensor:
        """Turn the last block's map into templates: (n, c, m, m) -> (n, d), unit length."""
        y = self.embed(self.gdw(self.act2(self.head(x)))).flatten(1)  # (n, d)
        return nn.functional.normalize(y, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, size, size) -> (n, d), unit length."""
        return self.late(self.blocks(self.early(x)))


class Twins(nn.Module):
    """Two crops, one trunk: what the contrastive loss is computed on. Sharing the weights is what makes them twins."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Two batches (n, 3, s, s) -> their templates (n, d) each; one pass for both."""
        both = self.trunk(torch.cat((left, right)))
        return both[: len(left)], both[len(left) :]


def fresh_trunk(shape: TrunkShape = REID_0095, *, seed: int = 0) -> Trunk:
    """Return a trunk with random weights that can be trained without batch norms.

    Weights are normal with the variance that keeps that of the signal (He and others, 2015; the slopes begin at 0.25).
    The sigmoid of a squeeze-and-excite begins at a half, which the layer before it makes up for. A block with a
    shortcut adds only its share, 1 / sqrt(blocks), so that the sum of all does not grow (Zhang and others, Fixup,
    2019).
    """
    trunk, draw = Trunk(shape), torch.Generator().manual_seed(seed)
    for name, layer in trunk.named_modules():
        if isinstance(layer, nn.Conv2d):
            inputs = layer.weight[0].numel()
            linear = name.endswith((".project", "gdw", "embed"))  # no slope follows
            gain = 0.1 if name.endswith(".fc2") else 1.0 if linear else (2 / (1 + 0.25**2)) ** 0.5
            nn.init.normal_(layer.weight, 0.0, gain * inputs**-0.5, generator=draw)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    shortcuts = sum(block.shortcut for block in shape.blocks)
    with torch.no_grad():
        for block in trunk.blocks:
            if isinstance(block, InvertedResidual):
                block.project.weight.mul_(2.0 * (shortcuts**-0.5 if block.shape.shortcut else 1.0))
    return trunk.eval()


def load_start(path: Path, shape: TrunkShape = REID_0095) -> Trunk:
    """Return a trunk with the weights of an `.npz` file, whose names are those of `Trunk`'s state.

    Raises:
        UnusableInputError: The file does not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            state = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}
        trunk = Trunk(shape)
        trunk.load_state_dict(state)
    except (OSError, ValueError, RuntimeError) as error:
        raise UnusableInputError(
            f"{path} holds no weights for this trunk", "Give the .npz file of face-reidentification-retail-0095"
        ) from error
    return trunk.eval()


def checkpoint_of(trunk: Trunk) -> bytes:
    """Return the trunk's state in half precision as a torch checkpoint: arrays only, no code."""
    state, file = {name: value.detach().cpu().half().clone() for name, value in trunk.state_dict().items()}, BytesIO()
    torch.save(state, file)
    return file.getvalue()


def load_checkpoint(path: Path, shape: TrunkShape = REID_0095) -> Trunk:
    """Return the trunk of a torch checkpoint; no code in the file is run.

    Raises:
        UnusableInputError: The file does not fit.
    """
    try:
        trunk = Trunk(shape)
        trunk.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, EOFError, ValueError, RuntimeError, AttributeError, TypeError, UnpicklingError) as error:
        raise UnusableInputError(f"{path} holds no weights for this trunk", "Give a model's network.pt") from error
    return trunk.eval()


def use_threads(number: int) -> None:
    """Let torch use so many threads."""
    torch.set_num_threads(number)
