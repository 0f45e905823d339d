"""Crops to templates, by ONNX Runtime."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.comparison import Templates
from facegate.core.ports import Crops
from facegate.inference import open_network
from facegate.vision.align import ALIGNMENT, WIDE, Alignment

ARCFACE: Final = Alignment(
    size=112,
    points=((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)),
)
"""The alignment of ArcFace, which most published networks want."""

OWN: Final[Mapping[str, Alignment]] = {"reid-0095": ALIGNMENT, "reid-0095-wide": WIDE}
"""The alignments of our own networks."""
TEMPLATES: Final[Mapping[str, Alignment]] = {**OWN, "arcface": ARCFACE}

SHORTEST: Final = 1e-6
"""A vector shorter than this has no direction."""


class NoDirectionError(ValueError):
    """A network answered a crop with a vector that has no direction (NaN, zero): a score with it would mean nothing."""


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


class OnnxExtractor:
    """A network in ONNX Runtime. Implements `core.ports.TemplateExtractor`; its session may be shared by threads."""

    def __init__(self, network: Path, *, model: str, contract: InputContract, threads: int = 1) -> None:
        """Load a network.

        Args:
            network: The ONNX file.
            model: Its id, `name@digest12`.
            contract: What it wants to see.
            threads: Threads inside ONNX Runtime; one is fastest where several frames are judged at a time.

        Raises:
            NotReadyError: ONNX Runtime refuses the file.
        """
        self._model = model
        self.contract = contract
        self._session = open_network(network, threads)
        self._input = self._session.get_inputs()[0]
        self._output: str = self._session.get_outputs()[0].name

    @property
    def model(self) -> str:
        """Name and digest of the network, `name@digest12`."""
        return self._model

    def extract(self, crops: Crops) -> Templates:
        """Return one template of unit length for each crop, float32 (n, d).

        Raises:
            ValueError: The crops do not fit.
            NoDirectionError: The network answered one of them with a vector that has no direction.
        """
        return normalised(self.raw(crops))

    def raw(self, crops: Crops) -> NDArray[np.float32]:
        """Return what the network answers to each crop, before it is normalised: float32 (n, d).

        Raises:
            ValueError: The crops do not fit.
        """
        feed = self.contract.feed(crops)
        if self._input.shape[0] == 1:  # some networks of others take one at a time
            return np.concatenate([self._run(feed[at : at + 1]) for at in range(len(feed))])
        return self._run(feed)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the network's input as its graph says it; None where it is free."""
        return tuple(side if isinstance(side, int) else None for side in self._input.shape)

    def _run(self, feed: NDArray[np.float32]) -> NDArray[np.float32]:
        answer = self._session.run([self._output], {self._input.name: feed})[0]
        if np.ndim(answer) == 0 or len(answer) != len(feed):
            raise ValueError(f"the network's answer to {len(feed)} crops has the shape {np.shape(answer)}")
        return np.asarray(answer, np.float32).reshape(len(feed), -1)


def normalised(raw: NDArray[np.float32]) -> Templates:
    """Return vectors (n, d) at unit length.

    Raises:
        NoDirectionError: A vector has none: the network is broken, or cannot cope with what it saw.
    """
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    if not bool((np.isfinite(lengths) & (lengths > SHORTEST)).all()):
        raise NoDirectionError("the network answered with a vector that has no direction")
    return np.asarray(raw / lengths, np.float32)
