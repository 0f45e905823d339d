"""A network as ONNX nodes and weights, layer by layer.

The trunk's weights have numbers for names, in the order of its layers; a companion's have words.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from facegate.siamese.companion import GREY, Companion, WholeConv, WholePReLU
from facegate.siamese.networks import InvertedResidual, SqueezeExcite, Trunk
from facegate.vision.align import edge_around

COMPANION: Final = "companion."
"""What the names of a companion's weights begin with."""


LEAST_SLOPE: Final = 1e-6
"""A smaller one is multiplied as none at all; its size only has to be more than nothing."""


class Graph:
    """Collects nodes and weights; each method adds a layer and returns the name of its output."""

    def __init__(self, stored: type[np.floating]) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._stored = stored

    def constant(self, value: NDArray[np.floating]) -> str:
        """Add a weight of the trunk."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value, self._stored), name))
        return name if self._stored is np.float32 else self.node("Cast", name, to=TensorProto.FLOAT)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(self, x: str, layer: nn.Conv2d) -> str:
        """Add a convolution with weights of the trunk."""
        weights = [self.constant(layer.weight.detach().numpy())]
        if layer.bias is not None:
            weights.append(self.constant(layer.bias.detach().numpy()))
        return self.convolved(x, layer, *weights)

    def convolved(self, x: str, layer: nn.Conv2d, *weights: str) -> str:
        """Add a convolution with these weights and biases."""
        pad = int(layer.padding[0])
        return self.node(
            "Conv",
            x,
            *weights,
            group=layer.groups,
            kernel_shape=list(layer.kernel_size),
            pads=[pad] * 4,
            strides=list(layer.stride),
        )

    def prelu(self, x: str, layer: nn.PReLU) -> str:
        """Add a slope."""
        return self.node("LeakyRelu", x, alpha=float(layer.weight.detach()[0]))

    def squeeze_excite(self, x: str, layer: SqueezeExcite) -> str:
        """Add a squeeze-and-excite."""
        mean = self.node("GlobalAveragePool", x)
        inner = self.prelu(self.conv(mean, layer.fc1), layer.act)
        return self.node("Mul", x, self.node("Sigmoid", self.conv(inner, layer.fc2)))

    def block(self, x: str, layer: nn.Module) -> str:
        """Add an inverted residual."""
        if not isinstance(layer, InvertedResidual):
            raise TypeError(layer)
        y = self.prelu(self.conv(x, layer.expand), layer.act1)
        y = self.prelu(self.conv(y, layer.dw), layer.act2)
        y = self.squeeze_excite(self.conv(y, layer.project), layer.se)
        return self.node("Add", x, y) if layer.shape.shortcut else y

    def trunk(self, crops: str, trunk: Trunk) -> str:
        """Add all up to what the projection head sees, (n, f, 1, 1)."""
        own = self.summary(crops, trunk)
        if trunk.companion is None:
            return own
        chain = self.chain(self.middle(crops, trunk.shape.crop, trunk.companion.shape.crop), trunk.companion)
        return self.node("Concat", own, self.values(chain, trunk.companion), axis=1)

    def summary(self, crops: str, trunk: Trunk) -> str:
        """Add the trunk's own features, (n, head, 1, 1)."""
        seen = self.middle(crops, trunk.shape.crop, trunk.shape.size)
        x = self.node("Mul", seen, self.constant(trunk.in_scale.numpy()))
        x = self.node("Add", x, self.constant(trunk.in_shift.numpy()))
        x = self.prelu(self.conv(x, trunk.stem), trunk.act0)
        x = self.prelu(self.conv(x, trunk.dw0), trunk.act1)
        for block in trunk.blocks:
            x = self.block(x, block)
        return self.conv(self.prelu(self.conv(x, trunk.head), trunk.act2), trunk.gdw)

    def middle(self, crops: str, given: int, side: int) -> str:
        """Add what cuts the middle out of crops, if they are larger."""
        if given == side:
            return crops
        edge = edge_around(side, given)
        places = (np.array([at] * 2, np.int64) for at in (edge, edge + side))
        start, end = (self.named(f"{side}.{name}", at) for name, at in zip(("start", "end"), places, strict=True))
        return self.node("Slice", crops, start, end, self.named(f"{side}.axes", np.array([2, 3], np.int64)))

    def chain(self, crops: str, companion: Companion, layers: int | None = None) -> str:
        """Add a companion's first layers, or all up to its last map.

        ONNX Runtime finds the convolutions between two roundings and multiplies whole numbers.
        """
        shape = companion.shape
        scales = np.array([1, 1, shape.face / shape.crop, shape.face / shape.crop], np.float32)
        x = self.node(
            "Resize",
            crops,
            "",
            self.named("scales", scales),
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
        step, grey = self.named("pixel", np.float32(1 / GREY)), self.named("grey", np.uint8(GREY))
        whole = self.node("QuantizeLinear", x, self.named("one", np.float32(1)), self.named("black", np.uint8(0)))
        before, after = shape.border
        pads = self.named("border", np.array([0, 0, before, before, 0, 0, after, after], np.int64))
        x = self.node("DequantizeLinear", self.node("Pad", whole, pads, grey), step, grey)
        for number, (layer, bend) in enumerate(companion.stages()[:layers]):
            x = self.bent(self.whole_conv(x, layer, f"{number}", companion.came(number)), bend, f"{number}")
        return x

    def values(self, x: str, companion: Companion) -> str:
        """Add what turns its last map into values of the template."""
        y = self.whole_conv(self.whole_conv(x, companion.narrow, "narrow"), companion.last, "last")
        return self.node("LpNormalization", y, axis=1, p=2) if companion.shape.even else y

    def whole_conv(self, x: str, layer: WholeConv, name: str, came: Tensor | None = None) -> str:
        """Add a convolution with whole weights; what comes in has steps of `came`, or is float, as the product then."""
        own = layer.steps(came)
        whole, steps = self.named(f"{name}.weight", layer.numbers(own).numpy().astype(np.int8)), own.numpy()
        if came is None:  # widened once, at load
            spread = self.named(f"{name}.step", steps[:, None, None, None])
            weight = self.node("Mul", self.node("Cast", whole, to=TensorProto.FLOAT), spread)
            return self.convolved(x, layer, weight, self.named(f"{name}.bias", layer.bias.detach().numpy()))
        weight = self.node("DequantizeLinear", whole, self.named(f"{name}.step", steps), axis=0)
        bias_steps = self.named(f"{name}.bias_step", (own * came).numpy())
        bias = self.named(f"{name}.bias", layer.bias_numbers(own, came).numpy().astype(np.int32))
        return self.convolved(x, layer, weight, self.node("DequantizeLinear", bias, bias_steps, axis=0))

    def bent(self, x: str, bend: WholePReLU, name: str) -> str:
        """Add a PReLU in bytes: the larger of x and slope * x. A slope is 1 or -1 in steps of its size."""
        step = self.named(f"{name}.grain", np.float32(bend.step))
        zero = self.named(f"{name}.zero", np.uint8(bend.zero))
        size = bend.slope.abs().numpy()
        sign = np.where(size < LEAST_SLOPE, 0, np.sign(bend.slope.numpy()))[:, None, None, None]
        sizes = self.named(f"{name}.slope", np.maximum(size, np.float32(LEAST_SLOPE)))
        weight = self.node("DequantizeLinear", self.named(f"{name}.sign", sign.astype(np.int8)), sizes, axis=0)
        whole = self.node("QuantizeLinear", x, step, zero)
        real = self.node("DequantizeLinear", whole, step, zero)
        below = self.node("Conv", real, weight, group=len(sign), kernel_shape=[1, 1])
        larger = self.node("Max", whole, self.node("QuantizeLinear", below, step, zero))
        return self.node("DequantizeLinear", larger, step, zero)

    def named(self, name: str, value: Any) -> str:
        """Add a weight of the companion."""
        name = COMPANION + name
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name


@torch.no_grad()
def fill_companion(companion: Companion, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Fill a companion from the weights that `Graph.companion` wrote, by name.

    Raises:
        KeyError: One is missing.
        ValueError: One has another shape, or cannot be what was written.
    """

    def read(name: str, shape: Sequence[int], least: float = -math.inf) -> Tensor:
        value = arrays[COMPANION + name]
        if value.dtype.kind not in "iuf" or value.size != math.prod(shape) or not (value > least).all():
            msg = f"{name} has another shape, or holds what no companion has"
            raise ValueError(msg)
        return torch.from_numpy(value.astype(np.float32)).reshape(tuple(shape))

    def filled(layer: WholeConv, name: str) -> None:
        steps = read(f"{name}.step", layer.step.shape, 0.0)
        layer.weight.copy_(read(f"{name}.weight", layer.weight.shape) * steps[:, None, None, None])
        bias = read(f"{name}.bias", layer.bias.shape)
        if f"{COMPANION}{name}.bias_step" in arrays:
            bias *= read(f"{name}.bias_step", layer.bias.shape, 0.0)
        layer.bias.copy_(bias)
        layer.step.copy_(steps)

    for number, (layer, bend) in enumerate(companion.stages()):
        filled(layer, f"{number}")
        bend.step.copy_(read(f"{number}.grain", (), 0.0))
        bend.zero.copy_(read(f"{number}.zero", ()))
        sign = read(f"{number}.sign", bend.slope.shape)
        bend.slope.copy_(sign * read(f"{number}.slope", bend.slope.shape, 0.0))
    filled(companion.narrow, "narrow")
    filled(companion.last, "last")
