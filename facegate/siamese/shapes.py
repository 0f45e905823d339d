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
    """A second way from one of the trunk's maps to features of its own.

    Attributes:
        after: So many blocks of the trunk lie before it.
        blocks: Its own.
        head: Its channels before the depthwise convolution over the whole map.
        dimension: While it grows so many values of the template, the last ones, are its own, and the others the
            trunk's; 0: it has done growing, and every value is made of what both see, narrowed to the trunk's width.
    """

    after: int
    blocks: tuple[BlockShape, ...]
    head: int
    dimension: int = 0


@dataclass(frozen=True, slots=True)
class TrunkShape:
    """Everything that decides a trunk's layers.

    Attributes:
        size: Side of the square crop, pixels; a multiple of 16.
        stem: Channels of the first convolution.
        blocks: The inverted residuals.
        head: Channels before the depthwise convolution over the whole map.
        dimension: Length of the template.
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
        return self.seen if self.grows else self.head

    @property
    def seen(self) -> int:
        """Values that trunk and branch give together."""
        return self.head + (self.branch.head if self.branch else 0)

    @property
    def grows(self) -> bool:
        """A branch has values of its own, as it has while it learns."""
        return self.branch is not None and self.branch.dimension > 0

    @property
    def learnt(self) -> int:
        """Values of the template that training changes, the last ones: the branch's own if it has any, else all."""
        return (self.branch.dimension if self.branch else 0) or self.dimension

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
    REID_0095, branch=BranchShape(after=12, blocks=(*REID_0095.blocks[12:], BlockShape(128, 256, 128, 1, 16)), head=768)
)
"""The same with a branch from the last map of 16 by 16: 2,270,405 parameters, a sixth more time."""


def growing(shape: TrunkShape, dimension: int) -> TrunkShape:
    """Return a shape with a branch as it is while it learns: so many values of its own follow the trunk's."""
    if shape.branch is None:
        msg = "a shape without a branch does not grow"
        raise ValueError(msg)
    return replace(shape, dimension=shape.dimension + dimension, branch=replace(shape.branch, dimension=dimension))


KNOWN: Final = (REID_0095, BRANCHED)
"""Shapes that facegate writes."""
