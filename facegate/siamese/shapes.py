"""Everything that decides a network's layers, in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
class BranchShape:
    """A second way from one of the trunk's maps to features of its own, and to the second half of the template.

    Attributes:
        after: So many blocks of the trunk lie before it.
        blocks: Its own.
        head: Its channels before the depthwise convolution over the whole map.
    """

    after: int
    blocks: tuple[BlockShape, ...]
    head: int


@dataclass(frozen=True, slots=True)
class TrunkShape:
    """Everything that decides a trunk's layers.

    Attributes:
        size: Side of the square crop, pixels; a multiple of 16.
        stem: Channels of the first convolution.
        blocks: The inverted residuals.
        head: Channels before the depthwise convolution over the whole map.
        dimension: Length of the template; with a branch, half of it is the trunk's.
        branch: Leaves the trunk on its way, if there is one.
    """

    size: int
    stem: int
    blocks: tuple[BlockShape, ...]
    head: int
    dimension: int
    branch: BranchShape | None = None

    @property
    def features(self) -> int:
        """Values that the projection head sees."""
        return self.head + (self.branch.head if self.branch else 0)

    @property
    def learnt(self) -> int:
        """Values of the template that training changes, the last ones: the half that is the branch's, else all."""
        return self.dimension // 2 if self.branch else self.dimension

    @property
    def last_map(self) -> int:
        """Side of the last feature map."""
        return self.map_after(self.blocks)

    @property
    def last_map_of_branch(self) -> int:
        """Side of the branch's last feature map."""
        return self.map_after((*self.blocks[: self.branch.after], *self.branch.blocks)) if self.branch else 0

    def map_after(self, blocks: Sequence[BlockShape]) -> int:
        """Return the side of the map after some blocks."""
        side = self.size // 2
        for block in blocks:
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

BRANCHED: Final = replace(
    REID_0095,
    dimension=512,
    branch=BranchShape(
        after=12,
        blocks=(*REID_0095.blocks[12:], BlockShape(128, 256, 128, 1, 16)),
        head=768,
    ),
)
"""The same with a branch from the last map of 16 by 16: 2,139,333 parameters, 14 % more time."""

KNOWN: Final = (REID_0095, BRANCHED)
"""Shapes that facegate writes."""
