"""SFace made quick: a companion that says nearly what SFace says, before anything is trained.

SFace's PReLUs have a slope for each channel, which no processor multiplies in whole numbers, and its last layer alone
is larger than all that ships. So the chain is built anew with ReLUs, layer by layer: each convolution is solved by
least squares (ridge) for what SFace's own gives at that place, from what the new layers before it give; and where a
ReLU bends is chosen for each channel, and which way round it is, so that a line through what it lets pass comes nearest
to the PReLU. A channel that SFace leaves nearly straight is so moved to where the ReLU does not bend. The last map is
narrowed to the directions that SFace's last layer looks at most.

Each layer is put on whole numbers before the next one is solved, which so makes up for some of it; and so that what it
gives of faces changes least, not each weight by itself: neighbouring pixels are nearly alike, and an edge filter whose
weights are rounded one by one answers to plain skin. (Nagel and others, "Up or Down? Adaptive Rounding for
Post-Training Quantization", ICML 2020, say why; here single steps up or down are taken for as long as one helps.)

What is solved by least squares needs no labels: faces as they are and as at a door, a few hundred.
"""

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from facegate.siamese.companion import TOP, Companion, WholeConv
from facegate.siamese.sface import BRIGHTER, Chain, Layer

RIDGE: Final = 1e-4
"""Times the mean variance of what comes in."""
PLACES: Final = 40_000
"""So many places of all maps say how a pointwise layer is solved."""
PLACES_OF_ONE: Final = 8_000
"""So many say how a channel of a depthwise layer is solved."""
PLACES_OF_A_BEND: Final = 5_000
"""So many say where a ReLU bends."""
BENDS: Final = (0.001, 0.05, 0.12, 0.22, 0.35, 0.5)
"""Shares of the values that may lie before the bend; and where SFace's own lies."""
ALMOST_ALL: Final = 0.9999
"""An activation larger than this share of them is cut off."""
FEWEST: Final = 32
"""Pictures that say how a depthwise layer is solved, however large its maps."""
AT_ONCE: Final = 32
"""Channels of a depthwise layer that are solved together."""
LEAST_GAIN: Final = 1e-12
"""Of a move of a weight; less is lost in float64."""
MOST_MOVES: Final = 2000
"""So many weights of a channel are moved up or down a step, one after the other, if that helps."""


@torch.no_grad()
def quickened(chain: Chain, crops: Tensor, *, seed: int = 0) -> Companion:
    """Return a companion that answers as SFace does, about.

    Args:
        chain: SFace.
        crops: Pixels float32 (n, 3, s, s), blue, green, red, 0 to 255, of some hundred faces.
        seed: Of the places that are looked at.
    """
    companion, draw = Companion(chain.shape).eval(), torch.Generator().manual_seed(seed)
    x = companion.seen(crops)
    own = chain.first(x)
    for number, (layer, solved) in enumerate(zip(chain.layers, companion.convolutions(), strict=True)):
        wanted = layer.before(own)
        if x.shape[1] == 3:  # noqa: PLR2004 - the first layer is kept as it is: it sees the pixels themselves
            _take_over(layer, solved)
        elif solved.groups == 1:
            _solve_pointwise(solved, x, wanted, draw)
        else:
            _solve_depthwise(solved, x, wanted, draw)
        _bend(solved, _before(solved, x), wanted, layer, draw)
        _put_on_whole_numbers(solved, x, companion.came(number), draw)
        own = layer.behind(wanted)
        companion.grains[number] = _top(functional.relu(_before(solved, x)), draw) / TOP
        x = companion.after(number, x)
    _narrow(companion, chain, x, own)
    return companion


def _top(activations: Tensor, draw: torch.Generator) -> Tensor:
    """Return the value that almost none exceeds, of no dimension."""
    some = _some(activations.flatten(), 1_000_000, draw)
    return some.kthvalue(math.ceil(ALMOST_ALL * len(some))).values


def _before(layer: WholeConv, x: Tensor) -> Tensor:
    return layer.apply_to(x, rounds=False)


def _some(values: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Draw so many of values (n, ...), with repetition."""
    return values[torch.randint(len(values), (min(count, len(values)),), generator=draw)]


def _places(maps: Tensor, at: Tensor) -> Tensor:
    """Return the channels of maps (n, c, h, w) at places, float64 (k, c)."""
    height, width = maps.shape[2:]
    picture, place = at // (height * width), at % (height * width)
    return maps.flatten(2)[picture, :, place].double()


def _drawn_places(maps: Tensor, count: int, draw: torch.Generator) -> Tensor:
    return torch.randint(maps.shape[0] * maps.shape[2] * maps.shape[3], (count,), generator=draw)


def _ridge(inputs: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Solve wanted = inputs @ weight + bias: (..., k, i), (..., k, o) -> (..., i, o), (..., o)."""
    mean, goal = inputs.mean(-2, keepdim=True), wanted.mean(-2, keepdim=True)
    centred = inputs - mean
    spread = centred.mT @ centred
    shrink = spread.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None] * RIDGE + 1e-9
    weight = torch.linalg.solve(
        spread + shrink * torch.eye(spread.shape[-1], dtype=spread.dtype), centred.mT @ (wanted - goal)
    )
    return weight, (goal - mean @ weight).squeeze(-2)


def _take_over(layer: Layer, solved: WholeConv) -> None:
    solved.weight.copy_(layer.weight.flip(1))
    solved.bias.copy_(layer.bias + layer.weight.sum((1, 2, 3)) * BRIGHTER)


def _fill(layer: WholeConv, weight: Tensor, bias: Tensor, channels: slice = slice(None)) -> None:
    layer.weight[channels].copy_(weight.reshape(layer.weight[channels].shape))
    layer.bias[channels].copy_(bias.flatten())


def _solve_pointwise(layer: WholeConv, x: Tensor, wanted: Tensor, draw: torch.Generator) -> None:
    at = _drawn_places(x, PLACES, draw)
    weight, bias = _ridge(_places(x, at), _places(wanted, at))
    _fill(layer, weight.T, bias)


def _solve_depthwise(layer: WholeConv, x: Tensor, wanted: Tensor, draw: torch.Generator) -> None:
    """Each channel by itself: nine neighbours, as many places as there are or are needed."""
    pictures = torch.randperm(len(x), generator=draw)[: max(FEWEST, PLACES // wanted[0, 0].numel())]
    for first in range(0, x.shape[1], AT_ONCE):
        some = slice(first, first + AT_ONCE)
        around = _around(layer, x[pictures, some])
        goal = wanted[pictures, some].flatten(2).transpose(0, 1).flatten(1)[:, :, None]  # (c, n * places, 1)
        at = torch.randint(around.shape[1], (PLACES_OF_ONE,), generator=draw)
        weight, bias = _ridge(around[:, at].double(), goal[:, at].double())
        _fill(layer, weight, bias, some)


def _around(layer: WholeConv, x: Tensor) -> Tensor:
    """Return what each channel of maps (n, c, h, w) holds around each place, (c, n * places, 9)."""
    around = functional.unfold(x, 3, padding=1, stride=layer.stride[0])  # (n, c * 9, places)
    return around.reshape(len(x), x.shape[1], 9, -1).permute(1, 0, 3, 2).flatten(1, 2)


def _put_on_whole_numbers(layer: WholeConv, x: Tensor, came: Tensor, draw: torch.Generator) -> None:
    """Round the weights so that what the layer gives of maps (n, c, h, w) changes least; the bias takes up the mean."""
    mean, spread = _moments(layer, x, draw)
    steps, weight = layer.steps(came).double(), layer.weight.flatten(1).double()
    wrong = well_rounded(weight / steps[:, None], spread, layer.levels) * steps[:, None] - weight
    _fill(layer, weight + wrong, layer.bias - (wrong * mean).sum(1))


def _moments(layer: WholeConv, x: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return mean (1 or c, i) and covariance (1 or c, i, i) of what each weight of a channel is multiplied with."""

    def told(seen: Tensor) -> tuple[Tensor, Tensor]:
        mean = seen.mean(1)
        centred = seen - mean[:, None]
        return mean, centred.mT @ centred / seen.shape[1]

    if layer.kernel_size == (1, 1):
        return told(_places(x, _drawn_places(x, PLACES, draw))[None])
    pictures, parts = torch.randperm(len(x), generator=draw)[:FEWEST], []
    for first in range(0, x.shape[1], AT_ONCE):
        around = _around(layer, x[pictures, first : first + AT_ONCE])
        at = torch.randint(around.shape[1], (PLACES_OF_ONE,), generator=draw)
        seen = around[:, at].double()  # (c, k, 9)
        parts.append(told(seen if layer.groups > 1 else seen.transpose(0, 1).flatten(1)[None]))
    means, spreads = zip(*parts, strict=True)
    return torch.cat(means), torch.cat(spreads)


def well_rounded(weights: Tensor, spread: Tensor, levels: int) -> Tensor:
    """Round weights so that their sum over what comes in changes little.

    Args:
        weights: float64 (o, i), in steps.
        spread: float64 (o or 1, i, i), the covariance of what comes in.
        levels: The largest whole number.

    Returns:
        Whole numbers, float64 (o, i); the largest of each row is rounded away from zero, so that the step that follows
        from it stays.
    """
    every = torch.arange(len(weights))
    largest = weights.abs().argmax(1)
    numbers = weights.round().clamp(-levels, levels)
    numbers[every, largest] = weights[every, largest].sign() * weights[every, largest].abs().ceil().clamp_max(levels)
    free = torch.ones_like(numbers, dtype=torch.bool)
    free[every, largest] = False
    spread = spread.expand(len(weights), -1, -1)
    own = spread.diagonal(dim1=-2, dim2=-1)  # (o, i)
    slope = ((numbers - weights)[:, None] @ spread)[:, 0]
    busy = every  # rows that gain by a move
    for _ in range(MOST_MOVES):
        ways = -slope[busy].sign()  # against the slope; the other way nothing is to be had
        allowed = free[busy] & ((numbers[busy] + ways).abs() <= levels)
        change = torch.where(allowed, own[busy] - 2 * slope[busy].abs(), math.inf)
        best, column = change.min(1)
        gains = best < -LEAST_GAIN
        busy, column, by = busy[gains], column[gains], ways[gains, column[gains]]
        if not len(busy):
            break
        numbers[busy, column] += by
        slope[busy] += by[:, None] * spread[busy, column]
    return numbers


def _bend(solved: WholeConv, got: Tensor, wanted: Tensor, layer: Layer, draw: torch.Generator) -> None:
    """Turn and shift each channel so that a line through its ReLU comes nearest to SFace's PReLU."""
    at = _drawn_places(got, PLACES_OF_A_BEND, draw)
    values = _places(got, at).float()
    goal = torch.where(_places(wanted, at) > 0, 1.0, layer.slope) * _places(wanted, at).float()
    ordered, last = values.T.contiguous().sort(1).values, len(values) - 1  # (c, places), sorted once
    ways = [(sign, values.new_zeros(values.shape[1])) for sign in (1.0, -1.0)]
    ways += [(1.0, -ordered[:, round(share * last)]) for share in BENDS]
    ways += [(-1.0, ordered[:, last - round(share * last)]) for share in BENDS]
    told = torch.stack([_explained(functional.relu(sign * values + shift), goal) for sign, shift in ways])
    best = told.argmax(0)
    sign = torch.tensor([sign for sign, _ in ways])[best]
    shift = torch.stack([shift for _, shift in ways])[best, torch.arange(len(best))]
    solved.weight.mul_(sign[:, None, None, None])
    solved.bias.mul_(sign).add_(shift)


def _explained(passed: Tensor, goal: Tensor) -> Tensor:
    """Return how much of each column's variance a line through the other's explains, (c,)."""
    x, y = passed - passed.mean(0), goal - goal.mean(0)
    return (x * y).sum(0).square() / (x.square().sum(0) * y.square().sum(0)).clamp_min(1e-12)


def _narrow(companion: Companion, chain: Chain, x: Tensor, own: Tensor) -> None:
    """Solve SFace's last map from the companion's, and narrow that to what the last layer looks at most."""
    every = torch.arange(x.shape[0] * x.shape[2] * x.shape[3])
    seen = _places(x, every)
    weight, bias = _ridge(seen, _places(own, every))
    last = chain.weight.double()  # (d, c, m, m)
    looks = last.permute(0, 2, 3, 1).flatten(0, 2) @ weight.T  # (d * m * m, channels of the companion)
    mean = seen.mean(0)
    sizes, axes = torch.linalg.eigh((seen - mean).T @ (seen - mean) / len(seen))
    spread = sizes.clamp_min(1e-9).sqrt()
    left, strength, right = torch.linalg.svd(looks @ axes * spread, full_matrices=False)
    kept = companion.shape.narrow
    narrow = right[:kept] / spread @ axes.T
    _fill(companion.narrow, narrow, -narrow @ mean)
    dimension, side = companion.shape.dimension, companion.shape.last_map
    whole = (left[:, :kept] * strength[:kept]).reshape(dimension, side, side, kept).permute(0, 3, 1, 2)
    constant = chain.bias.double() + last.sum((2, 3)) @ bias + (looks @ mean).reshape(dimension, -1).sum(1)
    _fill(companion.last, whole, constant)
