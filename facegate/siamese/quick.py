"""SFace made quick: a companion that says what SFace says, but for rounding, before anything is trained.

SFace is a chain of convolutions with a PReLU behind each; a companion computes the same in whole numbers of eight bits,
and narrows the last map to the directions that SFace's last layer looks at most, since that layer alone is larger than
all that ships. What is lost is kept small in four ways, none of which changes what the chain says in real numbers:

* A slope above 1 is turned: -a * x stands for x, and the slope is 1 / a. So a PReLU is the larger of x and slope * x.
* Channels are made equally loud, as far as the layer behind allows (Nagel and others, "Data-Free Quantization Through
  Weight Equalization and Bias Correction", ICCV 2019): a layer's activations share their step.
* Weights are rounded so that what the layer gives of faces changes least, not each by itself: neighbouring pixels are
  nearly alike, and an edge filter whose weights are rounded one by one answers to plain skin. (Nagel and others, "Up or
  Down? Adaptive Rounding for Post-Training Quantization", ICML 2020, say why; here single steps up or down are taken
  for as long as one helps.) The bias takes up what is lost in the mean.
* A layer's step and zero are those that err least behind its PReLU, in the channels that the next layer listens to.

That needs no labels: faces as they are and as at a door, a few hundred.
"""

import itertools
import math
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from facegate.siamese.companion import TOP, Companion, WholeConv, WholePReLU
from facegate.siamese.sface import BRIGHTER, Chain, Layer

RIDGE: Final = 1e-4
"""Times the mean variance of what comes in."""
COLOURS: Final = 3
PLACES: Final = 40_000
"""So many places of all maps say what comes into a pointwise layer."""
PLACES_OF_ONE: Final = 8_000
"""So many say what comes into a channel of a depthwise layer, and how loud a channel is."""
ALMOST_ALL: Final = 0.9999
"""An activation beyond this share of them does not say how loud a channel is."""
KEPT_ABOVE: Final = (1.0, 0.9999, 0.9997, 0.999, 0.998, 0.995)
KEPT_BELOW: Final = (1.0, 0.9999, 0.9997, 0.999, 0.998, 0.995, 0.99, 0.98, 0.96, 0.93, 0.9)
"""Shares of a layer's activations that a byte's range may hold at the top and at the bottom; the rest is cut off."""
VALUES: Final = 500_000
"""So many activations of a layer say which."""
LOUDER: Final = 64.0
"""A channel is made at most so many times as loud as it was, or as faint."""
SHARED: Final = 0.5
"""How far channels are made equally loud where a pointwise layer follows, whose weights for them share a step."""
LEAST_RANGE: Final = 1e-4
"""Of a channel on either side of zero."""
PICTURES: Final = 32
"""So many say what comes into a depthwise layer."""
AT_ONCE: Final = 32
"""Channels of a depthwise layer that are looked at together."""
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
    own, loud, turned = chain.first(x), torch.ones(COLOURS), _turned(chain)
    for number, (layer, (made, bend)) in enumerate(zip(turned.layers, companion.stages(), strict=True)):
        wanted = layer.before(own)
        came, loud = loud, _loudness(wanted, layer.slope, 1.0 if made.groups == 1 else SHARED, draw)
        _take_over(layer, made, came, loud)
        bend.slope.copy_(layer.slope)
        _put_on_whole_numbers(made, x, companion.came(number), draw)
        given = companion.before(number, x)
        _spread_over_bytes(bend, given, _heard(turned, number, loud), draw)
        own, x = layer.behind(wanted), bend.apply_to(given, rounds=companion.rounds)
    _narrow(companion, turned, x, own)
    return companion


def _turned(chain: Chain) -> Chain:
    """Return the same chain with no slope above 1: there PReLU(a, x) = -PReLU(1 / a, -a * x)."""
    layers, turn = [], torch.ones(COLOURS)
    for layer in chain.layers:
        weight = layer.weight * (turn[:, None, None, None] if layer.weight.shape[1] == 1 else turn[:, None, None])
        steep = layer.slope > 1
        factor = torch.where(steep, -layer.slope, 1.0)
        slope = torch.where(steep, 1 / layer.slope, layer.slope)
        layers.append(
            replace(layer, weight=weight * factor[:, None, None, None], bias=layer.bias * factor, slope=slope)
        )
        turn = torch.where(steep, -1.0, 1.0)
    return replace(chain, layers=tuple(layers), weight=chain.weight * turn[:, None, None])


def _loudness(wanted: Tensor, slope: Tensor, how_far: float, draw: torch.Generator) -> Tensor:
    """Return what each channel of what a PReLU is given (n, c, h, w) is multiplied by, so that all fill the same range.

    What lies far below zero counts as much as the slope lets of it through.
    """
    ordered = _places(wanted, _drawn_places(wanted, PLACES_OF_ONE, draw)).float().sort(0).values
    most = round(ALMOST_ALL * (len(ordered) - 1))
    above = ordered[most].clamp_min(LEAST_RANGE)
    below = (-ordered[-1 - most] * (4 * slope.abs()).clamp_max(1)).clamp_min(LEAST_RANGE)
    loud = torch.minimum(above.median() / above, below.median() / below)
    return loud.clamp(1 / LOUDER, LOUDER) ** how_far


def _take_over(layer: Layer, made: WholeConv, came: Tensor, loud: Tensor) -> None:
    """Copy a layer, whose channels come in and go out louder by so much."""
    weight, bias = layer.weight, layer.bias
    if weight.shape[1] == COLOURS:  # the first layer sees the pixels, the other way round
        weight, bias = weight.flip(1), bias + weight.sum((1, 2, 3)) * BRIGHTER
    weight = weight / (came[:, None, None, None] if made.groups > 1 else came[:, None, None])
    _fill(made, weight * loud[:, None, None, None], bias * loud)


def _heard(chain: Chain, number: int, loud: Tensor) -> Tensor:
    """Return how much of an error in each channel of layer `number` comes through the layer behind it, (c,)."""
    last = number + 1 == len(chain.layers)
    weight = chain.weight if last else chain.layers[number + 1].weight
    energy = weight.square().sum((1, 2, 3) if weight.shape[1] == 1 else (0, 2, 3))
    return energy / loud.square()


def _spread_over_bytes(bend: WholePReLU, given: Tensor, heard: Tensor, draw: torch.Generator) -> None:
    """Choose step and zero of a PReLU so that what is heard of its errors over maps (n, c, h, w) is least.

    What goes in and what comes out share a step, so that a channel that lies far below zero, where its slope lets
    little through, would make the steps of all others coarse: it is cut off sooner than what lies above.
    """
    some = _places(given, _drawn_places(given, VALUES // given.shape[1], draw)).float()
    real, ordered = bend.apply_to(some, rounds=False), some.flatten().sort().values
    least, best = math.inf, (1 / TOP, 0)
    for kept_above, kept_below in itertools.product(KEPT_ABOVE, KEPT_BELOW):
        above = float(ordered[round(kept_above * (len(ordered) - 1))].clamp_min(LEAST_RANGE))
        below = float(-ordered[round((1 - kept_below) * (len(ordered) - 1))].clamp_max(0))
        tried = (above + below) / TOP, round(TOP * below / (above + below))
        bend.spread(*tried)
        wrong = float((bend.apply_to(some, rounds=True) - real).square_().mean(0) @ heard)
        if wrong < least:
            least, best = wrong, tried
    bend.spread(*best)


def _places(maps: Tensor, at: Tensor) -> Tensor:
    """Return the channels of maps (n, c, h, w) at places, float64 (k, c)."""
    height, width = maps.shape[2:]
    picture, place = at // (height * width), at % (height * width)
    return maps.flatten(2)[picture, :, place].double()


def _drawn_places(maps: Tensor, count: int, draw: torch.Generator) -> Tensor:
    return torch.randint(maps.shape[0] * maps.shape[2] * maps.shape[3], (count,), generator=draw)


def _ridge(inputs: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Solve wanted = inputs @ weight + bias: (k, i), (k, o) -> (i, o), (o,)."""
    mean, goal = inputs.mean(0), wanted.mean(0)
    centred = inputs - mean
    spread = centred.T @ centred
    spread.diagonal().add_(spread.diagonal().mean() * RIDGE + 1e-9)
    weight = torch.linalg.solve(spread, centred.T @ (wanted - goal))
    return weight, goal - mean @ weight


def _fill(layer: WholeConv, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight.reshape(layer.weight.shape))
    layer.bias.copy_(bias)


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
    pictures, parts = torch.randperm(len(x), generator=draw)[:PICTURES], []
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
