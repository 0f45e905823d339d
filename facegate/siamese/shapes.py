"""Everything that decides a network's layers, in numbers."""

from dataclasses import dataclass
from typing import Final


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
