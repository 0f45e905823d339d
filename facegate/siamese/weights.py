"""Where a trunk's weights come from: drawn, a start's file, a torch checkpoint, or a point between two trunks."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facegate.core.ports import Crops
from facegate.errors import UnusableInputError
from facegate.siamese.checkpoints import UNREADABLE
from facegate.siamese.companion import Companion
from facegate.siamese.networks import InvertedResidual, Trunk, fed_to
from facegate.siamese.shapes import KNOWN, REID_0095, TrunkShape, accompanied_by

CROP: Final = "companion.crop"
"""What a checkpoint calls the side of the crop that a companion sees, where that is more than the trunk's own."""
PROJECTION: Final = "embed.weight"
"""The last layer's weights among a trunk's: (d, f, 1, 1)."""


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
        for block in trunk.modules():
            if isinstance(block, InvertedResidual):
                block.project.weight.mul_(2.0 * (shortcuts**-0.5 if block.shape.shortcut else 1.0))
    return trunk.eval()


def accompanied(start: Trunk, companion: Companion) -> Trunk:
    """Return a start with a companion beside it, whose values follow the start's in the template as they are.

    Raises:
        UnusableInputError: The start has one already.
    """
    if start.shape.companion is not None:
        raise UnusableInputError("The start has a companion already", "Give the start's own weights")
    own, values = start.shape, start.shape.dimension
    trunk = Trunk(accompanied_by(own, companion.shape))
    trunk.companion = copy.deepcopy(companion)
    state = trunk.state_dict()  # views of the weights: what is written here is written there
    for name, value in start.state_dict().items():
        if name != PROJECTION:
            state[name].copy_(value)
    projection = state[PROJECTION].zero_()  # (d, f, 1, 1)
    projection[:values, : own.head] = start.embed.weight.detach()
    projection[values:, own.head :] = torch.eye(companion.shape.dimension)[:, :, None, None]
    return trunk.eval()


def alone(trunk: Trunk) -> Trunk:
    """Return a trunk without the companion beside it."""
    if trunk.shape.companion is None:
        return trunk
    own, head = trunk.shape.parts[0], trunk.shape.head
    bare = Trunk(replace(trunk.shape, dimension=own, companion=None))
    state = {name: value for name, value in trunk.state_dict().items() if not name.startswith("companion.")}
    bare.load_state_dict({**state, PROJECTION: state[PROJECTION][:own, :head]})
    return bare.to(trunk.embed.weight.device).eval()


def balanced(trunk: Trunk, crops: Crops) -> Trunk:
    """Return a trunk whose companion's values are as long as the trunk's own, in the mean: so both count the same.

    Args:
        trunk: With a companion; another is returned as it is.
        crops: uint8 (n, s, s, 3) of some faces.
    """
    if trunk.companion is None:
        return trunk
    done, last = copy.deepcopy(trunk), trunk.companion.shape.dimension
    values = features_seen(trunk, crops) @ trunk.embed.weight.detach().flatten(1).cpu().numpy().T
    own, added = (float(np.linalg.norm(part, axis=1).mean()) for part in (values[:, :-last], values[:, -last:]))
    with torch.no_grad():
        done.embed.weight[-last:] *= own / max(added, 1e-9)
    return done.eval()


@torch.no_grad()
def features_seen(trunk: Trunk, crops: Crops) -> NDArray[np.float32]:
    """Return what the projection head sees of crops uint8 (n, s, s, 3), float32 (n, f)."""
    seen = [trunk.features(some).flatten(1).cpu().numpy() for some in fed_to(trunk, crops)]
    return np.concatenate(seen)


def load_start(path: Path, shape: TrunkShape = REID_0095) -> Trunk:
    """Return a trunk with the weights of an `.npz` file, whose names are those of `Trunk`'s state.

    Raises:
        UnusableInputError: The file does not fit.
    """
    if not path.is_file():
        raise UnusableInputError(f"There is no {path}", "Name the file of weights to begin with")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            state = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}
        trunk = Trunk(shape)
        trunk.load_state_dict(state)
    except (*UNREADABLE, BadZipFile) as error:
        raise UnusableInputError(
            f"{path} holds no weights for this trunk", "Give the .npz file of face-reidentification-retail-0095"
        ) from error
    return trunk.eval()


def checkpoint_of(trunk: Trunk) -> bytes:
    """Return the trunk's state as a torch checkpoint, arrays only, no code: in half precision, and as little as that.

    A companion that has settled is stored as it computes: whole numbers of eight bits, biases and steps as they are.
    """
    state = {name: value.detach().cpu() for name, value in trunk.state_dict().items()}
    stored = {}
    for name, value in state.items():
        step = state.get(f"{name.removesuffix('.weight')}.step") if name.startswith("companion.") else None
        if step is not None and bool(step.all()):
            stored[name] = (value / step[:, None, None, None]).round().to(torch.int8)
        else:
            stored[name] = value.clone() if name.startswith("companion.") and value.dim() <= 1 else value.half()
    if trunk.shape.crop > trunk.shape.size:
        stored[CROP] = torch.tensor(trunk.shape.crop)
    file = BytesIO()
    torch.save(stored, file)
    return file.getvalue()


def _widened(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state as `checkpoint_of` found it."""
    return {
        name: value * stored[f"{name.removesuffix('.weight')}.step"][:, None, None, None]
        if value.dtype is torch.int8
        else value
        for name, value in stored.items()
    }


def load_checkpoint(path: Path, shapes: Sequence[TrunkShape] = KNOWN) -> Trunk:
    """Return the trunk of a torch checkpoint; no code in the file is run.

    Raises:
        UnusableInputError: The file fits none of the shapes.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise TypeError("no weights with names")
        crop = state.pop(CROP, None)  # a companion that sees grey around the face has the same weights
        known = (shape for shape in shapes if shape.crop == (shape.size if crop is None else int(crop)))
        trunk = next(trunk for trunk in map(Trunk, known) if trunk.state_dict().keys() == state.keys())
        trunk.load_state_dict(_widened(state))
    except (*UNREADABLE, StopIteration) as error:
        raise UnusableInputError(f"{path} holds no weights for this trunk", "Give a model's network.pt") from error
    return trunk.eval()


def between(start: Trunk, trained: Trunk, share: float, way: float = 0.0) -> Trunk:
    """Return the trunk that lies between a start and what was trained from it: 0 is the start.

    The weights lie a share of the way between the two (Wortsman and others, CVPR 2022, WiSE-FT): the line between often
    has points better than both ends, since less is forgotten. Where a companion stands beside the start, its values of
    the template are multiplied by the share, so that the square of it counts in a score.

    Args:
        start: Without a companion.
        trained: With or without one.
        share: How far, or what the companion weighs.
        way: How far the start itself goes where there is a companion.
    """
    if trained.companion is None:
        return _mixed(start, trained, share)
    own = _mixed(start, alone(trained), way)
    if not share:
        return own
    weighed = copy.deepcopy(trained)
    state = weighed.state_dict()  # views of the weights
    with torch.no_grad():
        for name, value in own.state_dict().items():
            if name != PROJECTION:
                state[name].copy_(value)
        weighed.embed.weight[-trained.companion.shape.dimension :] *= share
    return weighed.eval()


def _mixed(start: Trunk, trained: Trunk, share: float) -> Trunk:
    mixed, goal = copy.deepcopy(start), trained.state_dict()
    mixed.load_state_dict({name: value.lerp(goal[name], share) for name, value in start.state_dict().items()})
    return mixed.eval()
