"""Small ONNX networks in the shapes of published ones, fitted to composites by least squares: no training, no faces."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facegate.vision.align import align
from facegate.vision.composites import PICTURES, people

GRID = 14
"""Pixels are averaged over squares, so many along a side."""


def sight(crops, *, rgb, mean, std):
    """What the fitted layer sees: (n, s, s, 3) -> (n, 3 * GRID * GRID), float64."""
    ordered = (crops[..., ::-1] if rgb else crops).transpose(0, 3, 1, 2)
    values = (ordered.astype(np.float64) - mean) / std
    step = crops.shape[1] // GRID
    return values.reshape(len(crops), 3, GRID, step, GRID, step).mean((3, 5)).reshape(len(crops), -1)


def fitted(contract, detector, dimension):
    """Weights (inputs, dimension) that give all pictures of one composite nearly one template."""
    pictures = [(number, one.picture(at)) for number, one in enumerate(people()) for at in range(PICTURES)]
    places = [detector.detect(picture)[0].landmarks for _, picture in pictures]
    crops = np.stack(
        [align(picture, at, contract.alignment) for (_, picture), at in zip(pictures, places, strict=True)]
    )
    codes = np.linalg.qr(np.random.default_rng(0).normal(size=(dimension, 14)))[0].T * 10
    seen = sight(crops, rgb=contract.rgb, mean=contract.mean, std=contract.std)
    inner = seen @ seen.T + 1e-4 * np.eye(len(seen))
    return (seen.T @ np.linalg.solve(inner, codes[[number for number, _ in pictures]])).astype(np.float32)


def insightface(path: Path, contract, detector, *, dimension=512, batch="None") -> Path:
    """A network in InsightFace's shape: input `input.1` [None, 3, s, s], output `683` [None, 512], not normalised."""
    weights = fitted(contract, detector, dimension)
    step = contract.size // GRID
    nodes = [
        helper.make_node("AveragePool", ["input.1"], ["small"], kernel_shape=[step, step], strides=[step, step]),
        helper.make_node("Flatten", ["small"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "fc.weight"], ["683"]),
    ]
    shape = [batch, 3, contract.size, contract.size]
    return saved(path, nodes, {"fc.weight": weights}, shape, [batch, dimension], names=("input.1", "683"))


def blind_in_the_dark(path: Path, contract, detector, *, below: float) -> Path:
    """The same, but of crops whose mean value, as it is fed, is below a limit it answers NaN."""
    weights, step = fitted(contract, detector, 512), contract.size // GRID
    nodes = [
        helper.make_node("AveragePool", ["x"], ["small"], kernel_shape=[step, step], strides=[step, step]),
        helper.make_node("Flatten", ["small"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "fc.weight"], ["seen"]),
        helper.make_node("ReduceMean", ["flat"], ["light"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["light", "limit"], ["above"]),
        helper.make_node("Sqrt", ["above"], ["root"]),
        helper.make_node("Mul", ["seen", "root"], ["y"]),
    ]
    shape = ["n", 3, contract.size, contract.size]
    return saved(path, nodes, {"fc.weight": weights, "limit": [below]}, shape, ["n", 512])


def saved(path, nodes, weights, taken, given, *, names=("x", "y")) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, given)],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path


def of_one_node(path, kind, *, size=112, dimension=64, value=0.0, **attributes):
    """A network that flattens, multiplies by one number, and then does one thing more."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["z"]),
        helper.make_node(kind, ["z"], ["y"], **attributes),
    ]
    return saved(
        path, nodes, {"w": np.full((3 * size * size, dimension), value)}, ["n", 3, size, size], ["n", dimension]
    )
