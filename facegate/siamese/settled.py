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
        with TemporaryDirectory() as folder:
            file = Path(folder) / "beginning.onnx"
            write_beginning(trunk, layers, file)
            self._session = open_network(file, torch.get_num_threads())
        self._side = trunk.shape.crop

    def given(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Turn crops uint8 (n, 3, s, s) into the trunk's own features (n, head, 1, 1), and what the next layer sees.

        Of crops that are larger than the trunk wants them it sees the middle.
        """
        pixels = middle(crops, self._side).float().contiguous().numpy()
        own, seen = self._session.run(["own", "map"], {"crops": pixels})
        return torch.from_numpy(own), torch.from_numpy(seen).to(memory_format=torch.channels_last)
