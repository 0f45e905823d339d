"""Where a trunk's weights come from: drawn, a start's file, a torch checkpoint, or a point between two trunks."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facegate.core.ports import Crops
from facegate.errors import UnusableInputError
from facegate.siamese.networks import InvertedResidual, Trunk, fed_to
from facegate.siamese.shapes import BRANCHED, KNOWN, REID_0095, TrunkShape, growing
from facegate.siamese.teachers import principal_axes

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


def branched(start: Trunk, shape: TrunkShape = BRANCHED, *, seed: int = 0) -> Trunk:
    """Return a start with a branch that grows: as many values again, and scores that are the start's until it learns.

    The branch begins as a copy of the way that it leaves. Where it is longer, its blocks add nothing yet; where its
    head is wider, the projection does not look there yet.

    Raises:
        UnusableInputError: What is to grow a branch has one already, or another shape.
    """
    own, branch, values = start.shape, shape.branch, start.shape.dimension
    if branch is None or replace(shape, branch=None) != own:
        raise UnusableInputError("A branch grows on a start that has none", "Give the start's own weights")
    trunk = fresh_trunk(growing(shape, values), seed=seed)
    state = trunk.state_dict()  # views of the weights: what is written here is written there
    for name, value in start.state_dict().items():
        if name != PROJECTION:
            state[name].copy_(value)
        if (place := _in_branch(name, branch.after)) in state:
            state[place][: len(value)] = value
    for at in range(len(own.blocks) - branch.after, len(branch.blocks)):
        state[f"branch.blocks.{at}.project.weight"].zero_()
    projection = state[PROJECTION].zero_()  # (2 d, f, 1, 1)
    projection[:values, : own.head] = start.embed.weight.detach()
    projection[values:, own.head : 2 * own.head] = start.embed.weight.detach()
    return trunk


def _in_branch(name: str, after: int) -> str:
    """Return what a weight of the trunk's way is called in the branch, if its layer lies behind so many blocks."""
    if not name.startswith("blocks."):
        return f"branch.{name}"
    _, number, rest = name.split(".", 2)
    return f"branch.blocks.{int(number) - after}.{rest}"


def folded(trunk: Trunk, crops: Crops) -> Trunk:
    """Return a trunk whose branch has done growing: templates and features as long as the start's, scores all but kept.

    The projection is turned to the directions in which templates differ most (their principal axes about the origin,
    since scores are cosines), and as many as the start had values are kept. What it sees is narrowed to the space that
    it looks at and, up to the trunk's width, the directions in which the rest differs most; turned at random, so that
    all features weigh alike.

    Args:
        trunk: A trunk with a branch that has values of its own; another is returned as it is.
        crops: uint8 (n, s, s, 3) of many faces, n > the trunk's width.
    """
    shape, branch = trunk.shape, trunk.shape.branch
    if branch is None or not shape.grows:
        return trunk
    done = Trunk(replace(shape, dimension=shape.dimension - branch.dimension, branch=replace(branch, dimension=0)))
    seen = features_seen(trunk, crops).astype(np.float64)  # (n, seen)
    state = trunk.state_dict()
    projection = state[PROJECTION][:, :, 0, 0].cpu().numpy().astype(np.float64)  # (2 d, seen)
    templates = seen @ projection.T
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    wanted = principal_axes(templates, done.shape.dimension) @ projection  # (d, seen)
    looked_at = np.linalg.qr(wanted.T)[0].T  # (d, seen), orthonormal
    rest = seen - (seen @ looked_at.T) @ looked_at
    kept = np.vstack((looked_at, principal_axes(rest, done.shape.features - len(looked_at))))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(len(kept), len(kept))))[0]
    narrow = turn @ kept  # (features, seen), orthonormal
    layers = {"narrow.weight": narrow, PROJECTION: wanted @ narrow.T}
    done.load_state_dict({**state, **{name: _pointwise(value) for name, value in layers.items()}})
    return done.eval()


def _pointwise(matrix: NDArray[np.float64]) -> Tensor:
    """(out, in) -> the weight of a 1x1 convolution."""
    return torch.from_numpy(matrix.astype(np.float32))[:, :, None, None]


@torch.no_grad()
def features_seen(trunk: Trunk, crops: Crops) -> NDArray[np.float32]:
    """Return what the projection head sees of crops uint8 (n, s, s, 3), float32 (n, f)."""
    seen = [trunk.features(trunk.early(some)).flatten(1).cpu().numpy() for some in fed_to(trunk, crops)]
    return np.concatenate(seen)


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
        if not isinstance(state, dict):
            raise TypeError("no weights with names")
        trunk = next(trunk for trunk in map(Trunk, shapes) if trunk.state_dict().keys() == state.keys())
        trunk.load_state_dict(state)
    except (
        *(OSError, EOFError, StopIteration, ValueError),
        *(RuntimeError, AttributeError, TypeError, UnpicklingError),
    ) as error:
        raise UnusableInputError(f"{path} holds no weights for this trunk", "Give a model's network.pt") from error
    return trunk.eval()


def between(start: Trunk, trained: Trunk, share: float) -> Trunk:
    """Return the trunk that lies a share of the way from a start to what was trained from it: 0 is the start.

    Where a branch grew on the start, its values of the template are multiplied by the share, so that the square of it
    counts in a score. Otherwise the weights lie between the two (Wortsman and others, CVPR 2022, WiSE-FT): the line
    between often has points better than both ends, since less is forgotten.
    """
    if trained.shape != start.shape:
        if not share:
            return copy.deepcopy(start).eval()
        weighed = copy.deepcopy(trained)
        with torch.no_grad():
            weighed.embed.weight[-trained.shape.learnt :] *= share
        return weighed.eval()
    mixed, goal = copy.deepcopy(start), trained.state_dict()
    mixed.load_state_dict({name: value.lerp(goal[name], share) for name, value in start.state_dict().items()})
    return mixed.eval()
