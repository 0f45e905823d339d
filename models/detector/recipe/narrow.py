"""From YuNet-n to our shape with its smaller first kernel, before any training, by least squares on pictures.

The first convolution sees 2x2 pixels in place of 3x3. It and the 1x1 convolutions at stride 4 are fitted so that their
outputs on example pictures come as near as possible to YuNet-n's; all else is YuNet-n's. That alone finds the same
faces on clean pictures, with landmarks 4 % of the eye distance from YuNet-n's. Training then mends the rest.
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
    for wide_unit, small in zip(_first_units(wide), _first_units(ours), strict=True):
        weight, bias = fitted(_rows(mine), _rows(wide_unit.point(theirs)))
        _set(small.point, weight, bias)
        theirs, mine = wide_unit(theirs), small(mine)
    return ours


def _first_units(network: Detector) -> list[Unit]:
    """The units at stride 4, which see the new stem's maps first."""
    return [unit for stage in (0, 1) for unit in units(network.stages[stage])]


def _equal_parts(wide: Detector, ours: Detector) -> dict[str, Tensor]:
    """Tensors of YuNet-n that have the same shape in ours."""
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    return {name: tensor for name, tensor in wide.state_dict().items() if tensor.shape == shapes[name]}
