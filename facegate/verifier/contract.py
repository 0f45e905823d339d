"""What a network wants to see: how faces are aligned for it, and how its input is filled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.ports import Crops
from facegate.vision.align import ALIGNMENT, WIDE, Alignment

ARCFACE: Final = Alignment(
    size=112,
    points=((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)),
)
"""The alignment of ArcFace, which most published networks want."""

OWN: Final[Mapping[str, Alignment]] = {"reid-0095": ALIGNMENT, "reid-0095-wide": WIDE}
"""The alignments of our own networks."""
TEMPLATES: Final[Mapping[str, Alignment]] = {**OWN, "arcface": ARCFACE}

SMALLEST, LARGEST = 32, 512
"""Side of a crop, pixels."""


@dataclass(frozen=True, slots=True)
class InputContract:
    """What a network wants to see.

    Attributes:
        size: Side of the square crop, pixels.
        template: Name of the alignment, one of `TEMPLATES`; its points are scaled to `size`.
        rgb: Channels red, green, blue; else blue, green, red, as everywhere in facegate.
        mean: Taken from each value before it is divided; 0 where the graph does it itself.
        std: What each value is divided by.
    """

    size: int
    template: str
    rgb: bool = False
    mean: float = 0.0
    std: float = 1.0

    @property
    def alignment(self) -> Alignment:
        """How the network wants its crops."""
        known = TEMPLATES[self.template]
        scale = self.size / known.size
        return Alignment(self.size, tuple((x * scale, y * scale) for x, y in known.points))

    def feed(self, crops: Crops) -> NDArray[np.float32]:
        """Return crops (n, size, size, 3) as the network's input, float32 (n, 3, size, size).

        Raises:
            ValueError: The crops have another shape.
        """
        if crops.ndim != 4 or crops.shape[1:] != (self.size, self.size, 3) or crops.dtype != np.uint8:  # noqa: PLR2004
            raise ValueError(f"crops are uint8 (n, {self.size}, {self.size}, 3), not {crops.dtype} {crops.shape}")
        ordered = crops[..., ::-1] if self.rgb else crops
        values = np.ascontiguousarray(ordered.transpose(0, 3, 1, 2), np.float32)
        return (
            values if (self.mean, self.std) == (0.0, 1.0) else (values - np.float32(self.mean)) / np.float32(self.std)
        )


def own_contract(crop: int) -> InputContract:
    """Return what one of our own networks wants whose crops have so many pixels on a side."""
    return next(InputContract(crop, name) for name, alignment in OWN.items() if alignment.size == crop)
