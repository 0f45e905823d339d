"""Write the network as the ONNX file that `cv2.FaceDetectorYN` reads.

Contract (YuNet's): input `input` float32 [1, 3, height, width], BGR, 0..255; twelve outputs `cls_S obj_S bbox_S kps_S`
for S = 8, 16, 32, each [1, cells, width of the part], cells row by row; class and objectness after the sigmoid.
The graph is built node by node: the norms are folded into the depthwise convolutions, height and width stay symbolic,
and nothing depends on an exporter's version. The 2x2/2 stem becomes four slices, one for each place in the 2x2
square, joined to twelve channels, and a 1x1 convolution: the same numbers, 2 ms less in OpenCV at 640x360.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from models.detector.recipe.network import FIRST_LEVEL, PARTS, STRIDES, Detector, Unit, blend, load, units

OPSET = 13
NORM = ("running_mean", "running_var", "weight", "bias")
IR_VERSION = 8
Array = NDArray[np.float32]


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Array, Array]:
    """Weight and bias of a convolution with the norm that follows it folded in: y = (x - mean) * scale + shift."""
    weight = conv.weight.detach().double().numpy()
    bias = np.zeros(len(weight)) if conv.bias is None else conv.bias.detach().double().numpy()
    if norm is not None:
        mean, variance, gain, shift = (norm.state_dict()[name].double().numpy() for name in NORM)
        scale = gain / np.sqrt(variance + norm.eps)
        weight = weight * scale[:, None, None, None]
        bias = (bias - mean) * scale + shift
    return weight.astype(np.float32), bias.astype(np.float32)


class Graph:
    """Nodes and constants in the making; each method adds one step and returns the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[Any], name: str) -> str:
        """A tensor, kept once for each name."""
        if name not in {known.name for known in self.constants}:
            self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, kind: str, inputs: list[str], *, outputs: list[str] | None = None, **attributes: Any) -> str:
        """A node of one operator; the name of its first output."""
        outputs = outputs or [f"{kind.lower()}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=f"n{len(self.nodes)}", **attributes))
        return outputs[0]

    def conv(self, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None, name: str) -> str:
        """A convolution with the norm after it folded in."""
        weight, bias = folded(conv, norm)
        side, pad, stride = conv.kernel_size[0], int(conv.padding[0]), conv.stride[0]
        names = [x, self.constant(weight, f"{name}.weight"), self.constant(bias, f"{name}.bias")]
        shape: dict[str, Any] = {
            "kernel_shape": [side, side],
            "pads": [pad] * 4,
            "strides": [stride, stride],
            "dilations": [1, 1],
        }
        return self.add("Conv", names, group=conv.groups, **shape)

    def unit(self, x: str, unit: Unit, name: str) -> str:
        """A unit of the network."""
        x = self.conv(x, unit.point, None, f"{name}.point")
        x = self.conv(x, unit.depth, unit.norm, f"{name}.depth")
        return x if unit.norm is None else self.add("Relu", [x])

    def patches(self, x: str) -> str:
        """Cut (1, 3, h, w) into (1, 12, h / 2, w / 2): the planes of top left, top right, bottom left, bottom right."""
        axes = self.constant(np.array([2, 3]), "height_and_width")
        end = self.constant(np.array([np.iinfo(np.int32).max] * 2), "to_the_end")
        step = self.constant(np.array([2, 2]), "every_second")
        corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
        starts = [self.constant(np.array(corner), f"from_{corner[0]}{corner[1]}") for corner in corners]
        return self.add("Concat", [self.add("Slice", [x, start, end, axes, step]) for start in starts], axis=1)

    def stem(self, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> str:
        """The 2x2/2 convolution, norm and ReLU on patches."""
        weight, bias = folded(conv, norm)
        planes = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1, 1, 1)
        names = [self.patches(x), self.constant(planes, "stem.weight"), self.constant(bias, "stem.bias")]
        return self.add("Relu", [self.add("Conv", names, kernel_shape=[1, 1])])

    def pool(self, x: str) -> str:
        """The largest of 2x2."""
        return self.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])

    def doubled(self, x: str) -> str:
        """Twice the height and width, by the nearest neighbour."""
        scales = self.constant(np.array([1, 1, 2, 2], np.float32), "twice")
        mode: dict[str, Any] = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
        return self.add("Resize", [x, "", scales], **mode)

    def outputs(self, x: str, stride: int) -> None:
        """Cut the sixteen channels into the four named outputs, each (1, cells, width)."""
        x = self.add("Transpose", [x], perm=[0, 2, 3, 1])
        shape = self.constant(np.array([1, -1, sum(PARTS.values())]), "cells_first")
        x = self.add("Reshape", [x, shape])
        split = self.constant(np.array(list(PARTS.values())), "parts")
        names = [f"{part}_{stride}" + ("_raw" if part in ("cls", "obj") else "") for part in PARTS]
        self.add("Split", [x, split], outputs=names, axis=2)
        for part in ("cls", "obj"):
            self.add("Sigmoid", [f"{part}_{stride}_raw"], outputs=[f"{part}_{stride}"])


def build(network: Detector) -> onnx.ModelProto:
    """The whole graph of `network`, in eval mode."""
    graph = Graph()
    x = graph.stem("input", network.stem, network.stem_norm)
    x = graph.pool(graph.unit(x, network.stem_unit, "stem_unit"))
    levels = []
    for number, stage in enumerate(network.stages):
        for place, unit in enumerate(units(stage)):
            x = graph.unit(x, unit, f"stages.{number}.{place}")
        if number >= FIRST_LEVEL:
            levels.append(x)
        if number in (1, 2, 3):
            x = graph.pool(x)
    lateral, shared, out = units(network.lateral), units(network.shared), units(network.out)
    levels[2] = graph.unit(levels[2], lateral[2], "lateral.2")
    for fine in (1, 0):
        merged = graph.add("Add", [levels[fine], graph.doubled(levels[fine + 1])])
        levels[fine] = graph.unit(merged, lateral[fine], f"lateral.{fine}")
    for number, stride in enumerate(STRIDES):
        y = graph.unit(levels[number], shared[number], f"shared.{number}")
        graph.outputs(graph.unit(y, out[number], f"out.{number}"), stride)
    return _model(graph)


def _model(graph: Graph) -> onnx.ModelProto:
    """Wrap the graph with its input and outputs, and check it."""
    value = helper.make_tensor_value_info
    source = [value("input", TensorProto.FLOAT, [1, 3, "height", "width"])]
    results = [
        value(f"{part}_{stride}", TensorProto.FLOAT, [1, f"cells_{stride}", width])
        for part, width in PARTS.items()
        for stride in STRIDES
    ]
    whole = helper.make_graph(graph.nodes, "facegate_face_detector", source, results, graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="facegate")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Export the weights that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="the .npz that training wrote")
    parser.add_argument("--start", type=Path, help="the .npz before training, to blend with")
    parser.add_argument("--share", type=float, default=1.0, help="of the trained weights in the blend, 0..1")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx to write")
    options = parser.parse_args()
    network = Detector().eval()
    load(network, options.weights)
    if options.start:
        start = Detector().eval()
        load(start, options.start)
        blend(network, start, options.share)
    onnx.save(build(network), options.out)


if __name__ == "__main__":
    main()
