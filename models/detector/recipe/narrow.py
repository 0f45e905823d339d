"""From YuNet-n to our narrower shape, before any training, by least squares on pictures.

Two places lose something: the first kernel (3x3 to 2x2 pixels) and the channels at stride 4 (64 to 48). In each the
convolution that is left is fitted so that its output on example pictures comes as near as possible to YuNet-n's; the
channels kept are those that matter most to the next layer. Training then mends the rest.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.detector.recipe.network import OURS, Detector, Unit, units

ROWS = 200_000
"""Places in the pictures that a fit uses, at most."""
RIDGE = 1e-4
"""Share of the mean square of the inputs that is added, so that a fit has one answer."""


def fitted(inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (o, i) and bias (o,) that take inputs (n, i) nearest to outputs (n, o), in double precision."""
    step = max(1, len(inputs) // ROWS)
    x, y = inputs[::step].double(), outputs[::step].double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    square = x.T @ x
    square += RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=torch.float64)
    weight = torch.linalg.solve(square, x.T @ y).T
    return weight.float(), (y_mean - weight @ x_mean).float()


def _rows(maps: Tensor) -> Tensor:
    """Maps (n, c, h, w) as one row for each place: (n * h * w, c)."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _norm(unit: Unit) -> nn.BatchNorm2d:
    """The norm of a unit that has one."""
    if unit.norm is None:
        raise ValueError("A plain unit has no norm")
    return unit.norm


def _kept(unit: Unit, following: Unit, width: int) -> Tensor:
    """Channels out of `unit` with the largest activation times weight in the following unit, in order."""
    norm = _norm(unit)
    activation = norm.weight.abs() + norm.bias.clamp(min=0)
    use = following.point.weight.flatten(1).norm(dim=0)
    order = torch.argsort(activation * use, descending=True)
    return torch.sort(order[:width]).values


def _copy(target: nn.Module, source: nn.Module, kept: Tensor | None = None) -> None:
    """Copy all tensors; with `kept` only those places of the first axis."""
    state = source.state_dict()
    if kept is not None:
        state = {name: tensor[kept] if tensor.dim() else tensor for name, tensor in state.items()}
    target.load_state_dict(state)


def _set(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Give a convolution a fitted weight (o, i) and bias (o,)."""
    conv.load_state_dict({"weight": weight.reshape_as(conv.weight), "bias": bias})


@torch.no_grad()
def narrowed(wide: Detector, pictures: Tensor) -> Detector:
    """Our network, as near to YuNet-n (in eval mode) as fits on `pictures` float32 (n, 3, h, w) bring it."""
    ours = Detector(OURS).eval()
    ours.load_state_dict({**ours.state_dict(), **_equal_parts(wide, ours)})
    patches = F.pixel_unshuffle(pictures, 2)
    weight, bias = fitted(_rows(patches), _rows(wide.stem(pictures)))
    _set(ours.stem, weight, bias)
    theirs = F.max_pool2d(wide.stem_unit(F.relu(wide.stem_norm(wide.stem(pictures)))), 2)
    mine = F.max_pool2d(ours.stem_unit(F.relu(ours.stem_norm(ours.stem(pictures)))), 2)
    stages = [(0, 0, None), (0, 1, OURS.stages[0][2]), (1, 0, OURS.stages[1][1]), (1, 1, None)]
    for stage, place, width in stages:
        unit, small = units(wide.stages[stage])[place], units(ours.stages[stage])[place]
        kept = None
        if width is not None:
            kept = _kept(unit, units(wide.stages[stage + place])[1 - place], width)
        _copy(small.depth, unit.depth, kept)
        _copy(_norm(small), _norm(unit), kept)
        wanted = unit.point(theirs)
        weight, bias = fitted(_rows(mine), _rows(wanted if kept is None else wanted[:, kept]))
        _set(small.point, weight, bias)
        theirs, mine = unit(theirs), small(mine)
    return ours


def _equal_parts(wide: Detector, ours: Detector) -> dict[str, Tensor]:
    """Tensors of YuNet-n that have the same shape in ours."""
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    return {name: tensor for name, tensor in wide.state_dict().items() if tensor.shape == shapes[name]}
