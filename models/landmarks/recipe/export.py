"""Write the network as the ONNX file that facegate reads: the norms folded into the convolutions, nothing exporter's.

    python -m models.landmarks.recipe.export --weights RUN/mean.pt --out landmarks.onnx

Input `crops` float32 [n, 3, 96, 96]; output `shifts` float32 [n, 10], in pixels of the crop.
"""

import argparse
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

from facegate.vision.landmarks import SIDE
from models.detector.recipe.export import IR_VERSION, OPSET, Graph
from models.landmarks.recipe.network import REACH, Placer


def convolved(graph: Graph, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d, name: str) -> str:
    """A convolution, the norm folded into it, and ReLU."""
    return graph.add("Relu", [graph.conv(x, conv, norm, name)])


def linear(graph: Graph, x: str, layer: nn.Linear, name: str, times: float = 1.0) -> str:
    """A linear layer, its answer `times` as large."""
    weight, bias = (times * part.detach().numpy() for part in (layer.weight, layer.bias))
    names = [x, graph.constant(weight, f"{name}.weight"), graph.constant(bias, f"{name}.bias")]
    return graph.add("Gemm", names, transB=1)


def build(network: Placer) -> onnx.ModelProto:
    """The whole graph of `network`."""
    graph = Graph()
    x = convolved(graph, "crops", network.stem, network.stem_norm, "stem")
    for number, unit in enumerate(network.chain()):
        y = convolved(graph, x, unit.depth, unit.depth_norm, f"units.{number}.depth")
        y = convolved(graph, y, unit.point, unit.point_norm, f"units.{number}.point")
        x = graph.add("Add", [x, y]) if unit.same else y
    x = graph.add("Flatten", [convolved(graph, x, network.narrow, network.narrow_norm, "narrow")])
    x = graph.add("Relu", [linear(graph, x, network.hidden, "hidden")])
    x = linear(graph, x, network.out, "out", REACH)
    graph.nodes[-1].output[0] = "shifts"
    value = helper.make_tensor_value_info
    source = value("crops", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    result = value("shifts", TensorProto.FLOAT, ["n", 10])
    whole = helper.make_graph(graph.nodes, "facegate_landmarks", [source], [result], graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="facegate")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Export as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="mean.pt of a run")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx to write")
    options = parser.parse_args()
    network = Placer()
    network.load_state_dict(torch.load(options.weights, weights_only=True))
    options.out.write_bytes(build(network).SerializeToString())
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
