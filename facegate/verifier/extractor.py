"""Crops to templates, by ONNX Runtime."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.comparison import Templates
from facegate.core.ports import Crops
from facegate.inference import open_network
from facegate.verifier.contract import InputContract

SHORTEST: Final = 1e-6
"""A vector shorter than this has no direction."""


class NoDirectionError(ValueError):
    """A network answered a crop with a vector that has no direction (NaN, zero): a score with it would mean nothing."""


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
