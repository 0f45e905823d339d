"""Everything that decides a network's layers, in numbers."""

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
class CompanionShape:
    """A plain chain of convolutions that sees the same face as the trunk beside it.

    Attributes:
        side: Of what its first layer sees, pixels.
        crop: Side of the aligned crop that it sees, pixels; the trunk's own crop lies in the middle of it.
        face: That crop is resized to so many pixels, and lies in the middle of grey where they are fewer than `side`,
            or is seen in its middle where they are more. `face` / `crop` must be a fraction that float32 holds exactly.
        stem: Channels of the first convolution.
        pairs: Channels and stride of each depthwise and pointwise convolution that follow.
        narrow: Channels that the last map is narrowed to.
        dimension: Values of the template that are its own.
        even: They are brought to unit length before they stand beside the trunk's, which are as long as they come: a
            face that is half hidden gives shorter ones, so that the companion counts more where it knows more.
    """

    side: int
    crop: int
    face: int
    stem: int
    pairs: tuple[tuple[int, int], ...]
    narrow: int
    dimension: int
    even: bool = False

    @property
    def border(self) -> tuple[int, int]:
        """Grey at the left and top of the face, and at its right and bottom, pixels; below 0 so many are cut off."""
        before = int((self.side - self.face) / 2)
        return before, self.side - self.face - before

    @property
    def last_map(self) -> int:
        """Side of the last feature map."""
        side = self.side
        for _, stride in self.pairs:
            side = -(-side // stride)
        return side


@dataclass(frozen=True, slots=True)
class TrunkShape:
    """Everything that decides a trunk's layers.

    Attributes:
        size: Side of the square crop that its own layers see, pixels; a multiple of 16.
        stem: Channels of the first convolution.
        blocks: The inverted residuals.
        head: Channels before the depthwise convolution over the whole map.
        dimension: Length of the template, with what a companion adds.
        companion: Stands beside the trunk, if there is one.
    """

    size: int
    stem: int
    blocks: tuple[BlockShape, ...]
    head: int
    dimension: int
    companion: CompanionShape | None = None

    @property
    def crop(self) -> int:
        """Side of the aligned crop that goes in, pixels: all that trunk and companion see of it."""
        return max(self.size, self.companion.crop if self.companion else 0)

    @property
    def features(self) -> int:
        """Values that the projection head sees."""
        return self.head + (self.companion.dimension if self.companion else 0)

    @property
    def parts(self) -> tuple[int, ...]:
        """Values of the template that are the trunk's own, and after them those of its companion."""
        if self.companion is None:
            return (self.dimension,)
        return self.dimension - self.companion.dimension, self.companion.dimension

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

SFACE_IN_GREY: Final = CompanionShape(
    side=112,
    crop=128,
    face=104,
    stem=32,
    pairs=((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)),
    narrow=256,
    dimension=128,
)
"""SFace's own trunk (Zhong and others, IEEE TIP 2021; OpenCV Zoo), its last map narrowed from 1,024 channels.

In SFace's own alignment a face is smaller than in the start's: its eyes are 35 pixels apart, of the whole crop at 112
pixels 41. This one sees the start's crop, smaller, in a grey border.
"""

SFACE: Final = replace(SFACE_IN_GREY, crop=144, face=117, even=True)
"""The same, and what is around the face in the place of grey: hair, ears and neck, as SFace knew it."""


def accompanied_by(shape: TrunkShape, companion: CompanionShape) -> TrunkShape:
    """Return the shape of a trunk with a companion beside it: templates are longer by the companion's values."""
    return replace(shape, dimension=shape.dimension + companion.dimension, companion=companion)


ACCOMPANIED: Final = accompanied_by(REID_0095, SFACE)
"""Both side by side: 6.3 million parameters, five of them in whole numbers."""

ACCOMPANIED_IN_GREY: Final = accompanied_by(REID_0095, SFACE_IN_GREY)
"""The same in the form that shipped first."""

KNOWN: Final = (REID_0095, ACCOMPANIED, ACCOMPANIED_IN_GREY)
"""Shapes that facegate reads."""
