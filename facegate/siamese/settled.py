"""What stays of a student while the rest learns, through ONNX Runtime.

A processor multiplies whole numbers several times as fast as torch does floats that are rounded to them; and the way
back never comes here.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from facegate.inference import open_network
from facegate.siamese.companion import middle
from facegate.siamese.export import write_beginning
from facegate.siamese.networks import Trunk


class Settled:
    """A start that stays, and the first layers of the companion beside it, which compute in whole numbers."""

    def __init__(self, trunk: Trunk, layers: int) -> None:
        """Take the weights as they are; the network runs on as many threads as torch has.

        Args:
            trunk: One with a companion, on a processor.
            layers: So many of the companion's layers.

        Raises:
            ValueError: The trunk has no companion.
        """
        if trunk.companion is None:
            msg = "no companion"
            raise ValueError(msg)
        self._companion = trunk.companion
        with TemporaryDirectory() as folder:
            file = Path(folder) / "beginning.onnx"
            write_beginning(trunk, trunk.companion, layers, file)
            self._session = open_network(file, torch.get_num_threads())
        self._trunk, self._layers = trunk, layers

    def values(self, pixels: Tensor) -> Tensor:
        """Return what `Trunk.values` does, (n, 3, s, s) -> (n, d); the way back ends where the first layer learns."""
        own, seen = self.given(pixels)
        return self._trunk.projected(own, self._companion.onward(self._layers, seen))

    def given(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the trunk's own features (n, head, 1, 1), and what the first layer that learns sees (n, c, h, w)."""
        crops = middle(pixels, self._trunk.shape.crop).contiguous().numpy()
        own, seen = self._session.run(["own", "map"], {"crops": crops})
        return torch.from_numpy(own), torch.from_numpy(seen).to(memory_format=torch.channels_last)
