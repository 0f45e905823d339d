"""A companion: a second network beside the trunk that sees the same crop, in whole numbers of eight bits.

It is a plain chain, a 3x3 convolution and then pairs of a depthwise and a pointwise one (MobileNet v1; Howard and
others, 2017), with a PReLU behind each that has a slope for each channel. What a processor adds and multiplies are
whole numbers: weights of -63 to 63 times a step for each channel, activations of 0 to 255, less a zero, times a step
for each layer (Jacob and others, CVPR 2018). A slope is at most 1, so that the PReLU is the larger of x and slope * x:
a depthwise convolution of one place, and the larger of two bytes. All that takes a tenth of the time of the same chain
in float32. Weights stay below 64 since processors without VNNI add two products in 16 bits: 2 * 255 * 63 fits, and
every machine gives the same sums.

While it learns, all is float, rounded on the way forward and passed through on the way back (the straight-through
estimator; Bengio and others, 2013). In bfloat16 products of a step are off by up to half a step, as a little noise.
"""

import functools
from collections.abc import Callable
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from facegate.siamese.shapes import CompanionShape
from facegate.vision.align import edge_around

LEVELS: Final = 63
"""Largest whole number of a weight that is multiplied as one."""
STORED: Final = 127
"""Largest whole number of a weight that is only stored as one, and multiplied as a float."""
TOP: Final = 255
"""Largest whole number of an activation."""
GREY: Final = 128.0
"""Pixels less this, divided by this, are what the first layer sees; its border is grey."""
DETAIL: Final = 16
"""A step of weights is a whole number of 8 to 16 times a power of two: times a weight's own it fits into float16."""
MOST_BIAS: Final = 2.0**22
"""Largest whole number of a bias; float32 holds it exactly."""


def middle(pixels: Tensor, side: int) -> Tensor:
    """Return the middle of crops, (n, 3, s, s) -> (n, 3, side, side).

    Raises:
        ValueError: They are smaller than that, or have no middle.
    """
    edge = edge_around(side, pixels.shape[-1])
    return pixels[:, :, edge : edge + side, edge : edge + side] if edge else pixels


def _slopes_at(x: Tensor, slope: Tensor) -> Tensor:
    """Return the slope of a PReLU at each place: 1 above zero, the channel's own below."""
    return functional.prelu(x.sign(), -slope)


def _bent(x: Tensor, slope: Tensor) -> Tensor:
    return functional.prelu(x, slope)


def _bent_back(gradient: Tensor, x: Tensor, slope: Tensor) -> Tensor:
    return gradient * _slopes_at(x, slope)


def _whole(x: Tensor, slope: Tensor, step: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    """Return what stands in whole steps before and behind a PReLU; the latter times its step."""
    whole = torch.minimum(torch.maximum((x / step).round_(), -zero), TOP - zero)
    return whole, torch.minimum(functional.prelu(whole, slope).round_(), TOP - zero).mul_(step)


def _whole_back(gradient: Tensor, whole: Tensor, slope: Tensor) -> Tensor:
    return gradient * _slopes_at(whole + 0.5, slope)  # none stands at zero


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=True)  # once for maps of all sizes


def _run(function: Callable[..., Any], *given: Tensor, fused: bool) -> Any:
    """Call a function on maps; fused it is one loop over all values, and not one for each operation."""
    return (_compiled(function) if fused else function)(*given)


class _PReLU(torch.autograd.Function):
    """A PReLU whose slopes do not learn: torch's own would find their gradient all the same, in most of its time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor, fused: bool) -> Tensor:
        ctx.save_for_backward(x, slope)
        ctx.fused = fused
        return cast("Tensor", _run(_bent, x, slope, fused=fused))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _run(_bent_back, gradients[0], *ctx.saved_tensors, fused=ctx.fused), None, None


class _Rounded(torch.autograd.Function):
    """The same in whole steps. The gradient passes as if nothing were rounded or cut off."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor, grain: tuple[Tensor, Tensor], fused: bool) -> Tensor:
        whole, bent = _run(_whole, x, slope, *grain, fused=fused)
        ctx.save_for_backward(whole, slope)
        ctx.fused = fused
        return cast("Tensor", bent)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _run(_whole_back, gradients[0], *ctx.saved_tensors, fused=ctx.fused), None, None, None


class WholePReLU(nn.Module):
    """A slope for each channel below zero, in bytes; neither slope nor step learns.

    Attributes:
        slope: float32 (c,), at most 1.
        step: float32 (): of what goes in and comes out.
        zero: float32 (): the whole number, 0 to 255, that stands for zero.
    """

    slope: Tensor
    step: Tensor
    zero: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.zeros(channels))
        self.register_buffer("step", torch.tensor(1 / TOP))
        self.register_buffer("zero", torch.tensor(0.0))

    def spread(self, step: float, zero: int) -> None:
        """Choose what a byte stands for."""
        self.step.fill_(step)
        self.zero.fill_(zero)

    def apply_to(self, x: Tensor, *, rounds: bool, fused: bool = False) -> Tensor:
        """Bend maps (n, c, h, w), or places of them (n, c)."""
        slope, step, zero = (value.to(x.dtype) for value in (self.slope, self.step, self.zero))
        if rounds:
            return cast("Tensor", _Rounded.apply(x, slope, (step, zero), fused))  # type: ignore[no-untyped-call]
        return cast("Tensor", _PReLU.apply(x, slope, fused))  # type: ignore[no-untyped-call]


class WholeConv(nn.Conv2d):
    """A convolution whose weights are whole numbers times a step for each channel out.

    `step` is zero until `settle` fixes it; until then it follows the weights.
    """

    step: Tensor
    bias: nn.Parameter

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        stride: int = 1,
        *,
        pad: int = 0,
        groups: int = 1,
        levels: int = LEVELS,
    ) -> None:
        super().__init__(inputs, outputs, side, stride, pad, groups=groups)
        self.levels = levels
        self.register_buffer("step", torch.zeros(outputs))

    def steps(self, came: Tensor | None = None) -> Tensor:
        """Return the step of each channel out, (outputs,).

        Args:
            came: The step of what comes in, if that is in whole numbers too: then a bias in steps of both has to be a
                whole number that is not too large.
        """
        least = self.weight.detach().abs().flatten(1).amax(1) / self.levels
        if came is not None:
            least = torch.maximum(least, self.bias.detach().abs() / (came * MOST_BIAS))
        fraction, exponent = torch.frexp(least.clamp_min(2.0**-20))
        follows = torch.ldexp((fraction * DETAIL).ceil() / DETAIL, exponent)
        return torch.where(self.step > 0, self.step, follows)  # asking whether it is fixed would wait for a GPU

    def numbers(self, steps: Tensor) -> Tensor:
        """Return the weights in steps, whole, as floats: (outputs, ...)."""
        return (self.weight.detach() / steps[:, None, None, None]).round().clamp(-self.levels, self.levels)

    def bias_numbers(self, steps: Tensor, came: Tensor) -> Tensor:
        """Return the bias in steps of weights and input, whole, as floats: (outputs,)."""
        return (self.bias.detach() / (steps * came)).round()

    @torch.no_grad()
    def settle(self, came: Tensor | None) -> None:
        """Fix the steps, and round weights to them; and the bias, where what comes in is in steps too."""
        steps = self.steps(came)
        self.weight.copy_(self.numbers(steps) * steps[:, None, None, None])
        if came is not None:
            self.bias.copy_(self.bias_numbers(steps, came) * (steps * came))
        self.step.copy_(steps)

    def rounded(self, came: Tensor | None) -> Tensor:
        """Return the weights as they are multiplied; their gradient is that of the weights themselves."""
        steps = self.steps(came)
        whole = self.numbers(steps) * steps[:, None, None, None]
        return self.weight + (whole - self.weight.detach()) if self.weight.requires_grad else whole

    def apply_to(self, x: Tensor, *, rounds: bool, came: Tensor | None = None) -> Tensor:
        """Convolve, (n, c, h, w).

        Where it learns on a processor, one of stride 2 takes every step, as `networks.Depthwise` does.
        """
        weight = self.rounded(came) if rounds else self.weight
        step, pad = self.stride[0], self.padding[0]
        if step == 1 or x.is_cuda or not (self.weight.requires_grad and torch.is_grad_enabled()):
            return functional.conv2d(x, weight, self.bias, step, pad, groups=self.groups)
        return functional.conv2d(x, weight, self.bias, 1, pad, groups=self.groups)[:, :, ::step, ::step]


class Companion(nn.Module):
    """Pixels float32 (n, 3, s, s), blue, green, red, 0 to 255 -> float32 (n, d, 1, 1), of unit length if it is even.

    Attributes:
        rounds: It computes as in whole numbers; switched off only at the beginning of its training.
        fused: Its PReLUs are compiled, for training; that needs a C++ compiler.
    """

    def __init__(self, shape: CompanionShape) -> None:
        super().__init__()
        self.shape, self.rounds, self.fused = shape, True, False
        layers, channels = [WholeConv(3, shape.stem, 3, pad=1)], shape.stem
        for wide, stride in shape.pairs:
            layers += [WholeConv(channels, channels, 3, stride, pad=1, groups=channels), WholeConv(channels, wide, 1)]
            channels = wide
        self.layers = nn.ModuleList(layers)
        self.bends = nn.ModuleList([WholePReLU(layer.out_channels) for layer in layers])
        self.narrow = WholeConv(channels, shape.narrow, 1, levels=STORED)
        self.last = WholeConv(shape.narrow, shape.dimension, shape.last_map, levels=STORED)

    def stages(self) -> list[tuple[WholeConv, WholePReLU]]:
        """Return the convolutions of the chain, each with the PReLU behind it."""
        pairs = zip(self.layers, self.bends, strict=True)
        return [(c, b) for c, b in pairs if isinstance(c, WholeConv) and isinstance(b, WholePReLU)]

    def came(self, number: int) -> Tensor:
        """Return the step of what comes into layer `number`, of no dimension."""
        return self.stages()[number - 1][1].step if number else self.last.bias.new_tensor(1 / GREY)

    def seen(self, pixels: Tensor) -> Tensor:
        """Return what the first layer sees of a crop: (n, 3, side, side), about -1 to 1; a border is 0, grey."""
        face = (self.shape.face, self.shape.face)
        x = functional.interpolate(middle(pixels, self.shape.crop), size=face, mode="bilinear", align_corners=False)
        return functional.pad(((x.round() if self.rounds else x) - GREY) / GREY, self.shape.border * 2)

    def before(self, number: int, x: Tensor) -> Tensor:
        """Take a map through the convolution of layer `number`, up to its PReLU."""
        return self.stages()[number][0].apply_to(x, rounds=self.rounds, came=self.came(number))

    def after(self, number: int, x: Tensor) -> Tensor:
        """Take a map through layer `number` and its PReLU."""
        return self.stages()[number][1].apply_to(self.before(number, x), rounds=self.rounds, fused=self.fused)

    def values(self, x: Tensor) -> Tensor:
        """Turn the last map into values of the template: (n, c, m, m) -> (n, d, 1, 1)."""
        y = self.last.apply_to(self.narrow.apply_to(x, rounds=self.rounds), rounds=self.rounds)
        return functional.normalize(y, dim=1) if self.shape.even else y

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, d, 1, 1)."""
        return self.onward(0, self.seen(pixels))

    def onward(self, number: int, x: Tensor) -> Tensor:
        """Take what layer `number` is given, (n, c, h, w), to the end: (n, d, 1, 1)."""
        for later in range(number, len(self.layers)):
            x = self.after(later, x)
        return self.values(x)

    def settle(self) -> None:
        """Round every weight for good: then a checkpoint and an ONNX file hold them to the bit."""
        for number, (layer, _) in enumerate(self.stages()):
            layer.settle(self.came(number))
        self.narrow.settle(None)
        self.last.settle(None)

    def unsettle(self) -> None:
        """Let the steps follow the weights again, so that these can learn on."""
        for layer in (*(layer for layer, _ in self.stages()), self.narrow, self.last):
            layer.step.zero_()
