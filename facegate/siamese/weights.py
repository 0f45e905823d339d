"""Where a trunk's weights come from: drawn, a start's file, a torch checkpoint, or a point between two trunks."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import nn

from facegate.errors import UnusableInputError
from facegate.siamese.networks import InvertedResidual, Trunk
from facegate.siamese.shapes import BRANCHED, KNOWN, REID_0095, TrunkShape


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


def branched(start: Trunk, shape: TrunkShape = BRANCHED, *, seed: int = 0) -> Trunk:
    """Return a start with a branch, whose scores are those of the start until the branch learns.

    The branch begins as a copy of the way that it leaves. Where it is longer, its blocks add nothing yet; where its
    head is wider, the projection does not look there yet.

    Raises:
        UnusableInputError: What is to grow a branch has one already, or another shape.
    """
    own, trunk, branch = start.shape, fresh_trunk(shape, seed=seed), shape.branch
    if branch is None or shape != replace(own, dimension=2 * own.dimension, branch=branch):
        raise UnusableInputError("A branch grows on a start that has none", "Give the start's own weights")
    state = trunk.state_dict()  # views of the weights: what is written here is written there
    for name, value in start.state_dict().items():
        if name != "embed.weight":
            state[name].copy_(value)
        if (place := _in_branch(name, branch.after)) in state:
            state[place][: len(value)] = value
    for at in range(len(own.blocks) - branch.after, len(branch.blocks)):
        state[f"branch.blocks.{at}.project.weight"].zero_()
    embed = state["embed.weight"].zero_()  # (d, f, 1, 1)
    embed[: own.dimension, : own.head] = start.embed.weight.detach()
    embed[own.dimension :, own.head : 2 * own.head] = start.embed.weight.detach()
    return trunk


def without_branch(trunk: Trunk) -> Trunk:
    """Return the trunk as it was before its branch grew; one that has none as it is."""
    if trunk.branch is None:
        return trunk
    alone = Trunk(replace(trunk.shape, dimension=trunk.shape.learnt, branch=None))
    kept = {name: value for name, value in trunk.state_dict().items() if name in alone.state_dict()}
    embed = kept["embed.weight"][: alone.shape.dimension, : alone.shape.features]
    alone.load_state_dict({**kept, "embed.weight": embed})
    return alone.eval()


def _in_branch(name: str, after: int) -> str:
    """Return what a weight of the trunk's way is called in the branch, if its layer lies behind so many blocks."""
    if not name.startswith("blocks."):
        return f"branch.{name}"
    _, number, rest = name.split(".", 2)
    return f"branch.blocks.{int(number) - after}.{rest}"


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


def load_checkpoint(path: Path, shapes: Sequence[TrunkShape] = KNOWN) -> Trunk:
    """Return the trunk of a torch checkpoint; no code in the file is run.

    Raises:
        UnusableInputError: The file fits none of the shapes.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        trunk = Trunk(shape_of(len(state["embed.weight"]), shapes))
        trunk.load_state_dict(state)
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, AttributeError, TypeError, UnpicklingError) as error:
        raise UnusableInputError(f"{path} holds no weights for this trunk", "Give a model's network.pt") from error
    return trunk.eval()


def shape_of(dimension: int, shapes: Sequence[TrunkShape] = KNOWN) -> TrunkShape:
    """Return the shape whose templates are so long; each of those that facegate writes has a length of its own.

    Raises:
        ValueError: There is none.
    """
    for shape in shapes:
        if shape.dimension == dimension:
            return shape
    msg = f"no trunk gives templates of {dimension}"
    raise ValueError(msg)


def between(start: Trunk, trained: Trunk, share: float) -> Trunk:
    """Return the trunk that lies a share of the way from a start to what was trained from it: 0 is the start.

    Without a branch the weights lie between the two (Wortsman and others, CVPR 2022, WiSE-FT): the line between often
    has points better than both ends, since less is forgotten. With one, nothing is forgotten; the share is what the
    branch's values weigh in the template beside those of the start.
    """
    if trained.branch is not None:
        weighed = copy.deepcopy(trained)
        with torch.no_grad():
            weighed.embed.weight[-trained.shape.learnt :] *= share
        return weighed.eval()
    mixed, goal = copy.deepcopy(start), trained.state_dict()
    mixed.load_state_dict({name: value.lerp(goal[name], share) for name, value in start.state_dict().items()})
    return mixed.eval()
