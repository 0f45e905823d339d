"""Reads SFace's network (OpenCV Zoo, Apache-2.0) from its ONNX file, in float32 or with block-quantised weights.

A batch norm is folded into the layer before it, or into the one behind where it stands alone before the last layer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional

from facegate.errors import UnusableInputError
from facegate.siamese.companion import GREY, Companion
from facegate.siamese.shapes import SFACE, CompanionShape

Values = NDArray[np.float64]
BRIGHTER: Final = 0.5 / GREY
"""So much more than a companion SFace sees: the one's grey is 128, the other's 127.5."""
LAYERS: Final = ("Conv", "BatchNormalization", "PRelu", "Gemm")


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A convolution, and the slope of each channel's PReLU behind it.

    Attributes:
        weight: float32 (out, in / groups, k, k), for red, green, blue in the first layer.
        bias: float32 (out,).
        slope: float32 (out,).
        stride: 1 or 2.
    """

    weight: Tensor
    bias: Tensor
    slope: Tensor
    stride: int

    def before(self, x: Tensor) -> Tensor:
        """Return what the PReLU is given, (n, out, h, w)."""
        pad = self.weight.shape[-1] // 2
        groups = x.shape[1] // self.weight.shape[1]
        return functional.conv2d(x, self.weight, self.bias, self.stride, pad, groups=groups)

    def behind(self, x: Tensor) -> Tensor:
        """Return what the PReLU makes of it."""
        return functional.prelu(x, self.slope)


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """SFace: its layers, and the linear one over the last map.

    Attributes:
        shape: Of a companion that is made of it.
        layers: First a 3x3 convolution, then pairs of a depthwise and a pointwise one.
        weight: float32 (d, c, m, m).
        bias: float32 (d,).
    """

    shape: CompanionShape
    layers: tuple[Layer, ...]
    weight: Tensor
    bias: Tensor

    def first(self, seen: Tensor) -> Tensor:
        """Turn what a companion sees, blue, green, red in about -1 to 1, into what SFace's first layer is given."""
        return seen.flip(1) + BRIGHTER


def read_sface(path: Path, shape: CompanionShape = SFACE) -> Chain:
    """Return SFace's network with its norms folded.

    Raises:
        UnusableInputError: The file holds another network, or none.
    """
    try:
        chain = _folded(onnx.load(str(path), load_external_data=False).graph, shape)
    except (OSError, DecodeError, ValueError, TypeError, KeyError, IndexError, StopIteration) as error:
        raise UnusableInputError(
            f"{path} holds no network of SFace's shape", "Give face_recognition_sface_2021dec.onnx of OpenCV Zoo"
        ) from error
    return chain


def _folded(graph: Any, shape: CompanionShape) -> Chain:
    values = _values(graph)
    nodes = [node for node in graph.node if node.op_type in LAYERS]
    count = 1 + 2 * len(shape.pairs)
    if [node.op_type for node in nodes] != [*LAYERS[:3] * count, LAYERS[1], LAYERS[3], LAYERS[1]]:
        msg = "another order of layers"
        raise ValueError(msg)
    layers = []
    for number, (like, _) in enumerate(Companion(shape).stages()):
        conv, norm, act = nodes[3 * number : 3 * number + 3]
        scale, shift = _scale_and_shift(norm, values)
        bias = shift + (scale * values[conv.input[2]] if len(conv.input) > 2 else 0.0)  # noqa: PLR2004
        weight = values[conv.input[1]] * scale[:, None, None, None]
        strides = next(list(attribute.ints) for attribute in conv.attribute if attribute.name == "strides")
        if weight.shape != tuple(like.weight.shape) or strides != list(like.stride):
            msg = f"layer {number} is another"
            raise ValueError(msg)
        layers.append(Layer(_tensor(weight), _tensor(bias), _tensor(values[act.input[1]].ravel()), like.stride[0]))
    before, gemm, after = nodes[3 * count :]
    (s1, o1), (s2, o2) = _scale_and_shift(before, values), _scale_and_shift(after, values)
    side = shape.last_map
    weight = values[gemm.input[1]].reshape(shape.dimension, -1, side, side)
    bias = values[gemm.input[2]] + (weight * o1[None, :, None, None]).sum((1, 2, 3))
    weight = weight * s1[None, :, None, None] * s2[:, None, None, None]
    return Chain(shape, tuple(layers), _tensor(weight), _tensor(bias * s2 + o2))


def _values(graph: Any) -> dict[str, Values]:
    """Return all weights by name, block-quantised ones spread out."""
    raw = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    values = {name: np.asarray(value, np.float64) for name, value in raw.items()}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            whole, scale, zero = (values[name] for name in node.input)
            how = {attribute.name: attribute.i for attribute in node.attribute}
            axis, count = how["axis"], whole.shape[how["axis"]]
            scale, zero = (
                np.take(np.repeat(part, how["block_size"], axis), np.arange(count), axis) for part in (scale, zero)
            )
            values[node.output[0]] = (whole - zero) * scale
        elif node.op_type == "Reshape" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]].reshape(raw[node.input[1]].tolist())
    return values


def _scale_and_shift(norm: Any, values: dict[str, Values]) -> tuple[Values, Values]:
    gamma, beta, mean, variance = (values[name] for name in norm.input[1:5])
    epsilon = next(attribute.f for attribute in norm.attribute if attribute.name == "epsilon")
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale


def _tensor(values: Values) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
