"""Where a trunk's weights come from: drawn, a start's file, or a torch checkpoint; and the checkpoint itself."""

from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import nn

from facegate.errors import UnusableInputError
from facegate.siamese.networks import InvertedResidual, Trunk
from facegate.siamese.shapes import REID_0095, TrunkShape


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
