"""Writes a trunk as an ONNX file, node by node, so that the same weights give the same bytes; and reads it back.

Input `crops`: float32 (n, 3, crop, crop), blue, green, red, 0 to 255. Output `templates`: float32 (n, d), unit length.
A PReLU of one slope is written as LeakyRelu: bit-equal, and 2.4 times as fast, since ONNX Runtime fuses it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from facegate.errors import UnusableInputError
from facegate.siamese.checkpoints import replacing
from facegate.siamese.companion import Companion, WholeConv
from facegate.siamese.graph import COMPANION, Graph, fill_companion
from facegate.siamese.networks import Trunk
from facegate.siamese.shapes import KNOWN, REID_0095, TrunkShape

OPSET: Final = 17
IR_VERSION: Final = 9  # what every ONNX Runtime since 1.16 reads


def write_onnx(trunk: Trunk, path: Path, *, features: bool = False, half: bool = False) -> None:
    """Write the trunk to `path`, checked.

    Args:
        trunk: The network.
        path: Where to.
        features: Give what the projection head sees as a second output, `features`: float32 (n, f).
        half: Store the trunk's weights as float16, at half the size. It computes in float32 all the same, and as fast,
            since ONNX Runtime widens them once at load; weights that float16 cannot hold are rounded. A companion's are
            whole numbers of eight bits either way.
    """
    graph = Graph(np.float16 if half else np.float32)
    seen = graph.trunk("crops", trunk)  # (n, f, 1, 1)
    flat = graph.node("Flatten", graph.conv(seen, trunk.embed), axis=1)
    graph.nodes.append(helper.make_node("LpNormalization", [flat], ["templates"], axis=1, p=2))
    outputs = [helper.make_tensor_value_info("templates", TensorProto.FLOAT, ["n", trunk.shape.dimension])]
    if features:
        graph.nodes.append(helper.make_node("Flatten", [seen], ["features"], axis=1))
        outputs.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", trunk.shape.features]))
    _write(graph, trunk.shape.crop, outputs, path)


def write_beginning(trunk: Trunk, companion: Companion, layers: int, path: Path) -> None:
    """Write a trunk without what its companion's layer `layers` and later ones do.

    Outputs: `own`, the trunk's own features, (n, head, 1, 1), and `map`, what that layer is given, (n, c, h, w).
    """
    graph, shape = Graph(np.float32), trunk.shape
    own = graph.summary("crops", trunk)
    seen = graph.middle("crops", shape.crop, companion.shape.crop)
    given = graph.chain(seen, companion, layers)
    graph.nodes += [helper.make_node("Identity", [x], [name]) for x, name in ((own, "own"), (given, "map"))]
    maps = ["n", None, None, None]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, maps) for name in ("own", "map")]
    _write(graph, shape.crop, outputs, path)


def _write(graph: Graph, crop: int, outputs: Sequence[Any], path: Path) -> None:
    """Write a network that sees crops of so many pixels."""
    crops = helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["n", 3, crop, crop])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "twin", [crops], outputs, graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="facegate",
    )
    onnx.checker.check_model(model, full_check=True)
    with replacing(path) as fresh:
        fresh.write_bytes(model.SerializeToString(deterministic=True))


def read_onnx(path: Path, shapes: Sequence[TrunkShape] = KNOWN) -> Trunk:
    """Return the trunk that `write_onnx` wrote, in whole or half; writing it again so gives the same bytes.

    Raises:
        UnusableInputError: The file holds no trunk of these shapes.
    """
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
        arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        own = [torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays if not name.startswith(COMPANION)]
        slopes = (node.attribute[0].f for node in graph.node if node.op_type == "LeakyRelu")
        crop = graph.input[0].type.tensor_type.shape.dim[-1].dim_value
        trunk = _trunk_of(len(own), len(own) < len(arrays), crop, shapes)
        _filled(trunk, iter(own), slopes)
        if trunk.companion is not None:
            fill_companion(trunk.companion, arrays)
    except (OSError, DecodeError, ValueError, IndexError, KeyError) as error:
        raise UnusableInputError(
            f"{path} holds no twin that facegate wrote", "Only facegate's own networks can be trained on"
        ) from error
    return trunk.eval()


def _trunk_of(weights: int, companion: bool, crop: int, shapes: Sequence[TrunkShape]) -> Trunk:
    """Return an empty trunk of the shape with so many weights of its own, scale and shift among them.

    Raises:
        ValueError: There is none that takes such crops.
    """
    fitting = (shape for shape in shapes if (shape.companion is not None) == companion and shape.crop == crop)
    for trunk in map(Trunk, fitting):
        if weights == 2 + sum(len(list(layer.parameters())) for layer in _layers(trunk) if _is_written(layer)):
            return trunk
    msg = f"no trunk has {weights} weights"
    raise ValueError(msg)


def _is_written(layer: nn.Module) -> bool:
    return not isinstance(layer, nn.PReLU)  # a slope is an attribute of its node


def trunk_of_bytes(data: bytes, shape: TrunkShape = REID_0095) -> Trunk:
    """Return the trunk whose weights follow one another as float16, little-endian: scale, shift, then layer by layer.

    So they lie in the `.bin` file of face-reidentification-retail-0095 (Open Model Zoo, FP16).

    Raises:
        UnusableInputError: They are too few or too many.
    """
    trunk, values = Trunk(shape), np.frombuffer(data[: len(data) // 2 * 2], "<f2").astype(np.float32)
    places = [trunk.in_scale, trunk.in_shift, *(place for layer in _layers(trunk) for place in layer.parameters())]
    if len(data) != 2 * sum(place.numel() for place in places):
        raise UnusableInputError(f"{len(data)} bytes hold no weights for this trunk", "Fetch the file again")
    with torch.no_grad():
        at = 0
        for place in places:
            place.copy_(torch.from_numpy(values[at : at + place.numel()].copy()).reshape(place.shape))
            at += place.numel()
    return trunk.eval()


def bytes_of_trunk(trunk: Trunk) -> bytes:
    """Return the weights as `trunk_of_bytes` takes them."""
    places = [trunk.in_scale, trunk.in_shift, *(place for layer in _layers(trunk) for place in layer.parameters())]
    return b"".join(place.detach().cpu().numpy().astype("<f2").tobytes() for place in places)


def _filled(trunk: Trunk, weights: Iterator[Tensor], slopes: Iterator[float]) -> Trunk:
    """Fill a trunk, layer after layer in the order of the graph.

    Raises:
        ValueError: There are too few or too many, or one has another shape.
    """
    with torch.no_grad():
        for value in (trunk.in_scale, trunk.in_shift):
            _fill(value, weights)
        for layer in _layers(trunk):
            if isinstance(layer, nn.PReLU):
                layer.weight.fill_(next(slopes, float("nan")))
            else:
                _fill(layer.weight, weights)
                if layer.bias is not None:
                    _fill(layer.bias, weights)
    if next(weights, None) is not None or next(slopes, None) is not None:
        msg = "more weights than the trunk has"
        raise ValueError(msg)
    if not all(bool(value.isfinite().all()) for value in trunk.state_dict().values()):
        msg = "fewer slopes than the trunk has, or a weight that is no number"
        raise ValueError(msg)
    return trunk


def _fill(value: Tensor, weights: Iterator[Tensor]) -> None:
    found = next(weights, None)
    if found is None or found.shape != value.shape:
        msg = "a weight is missing or has another shape"
        raise ValueError(msg)
    value.copy_(found)


def _layers(trunk: Trunk) -> Iterator[nn.Conv2d | nn.PReLU]:
    """Give the trunk's own layers in the order in which `write_onnx` meets them, which is that of their making."""
    return (
        layer
        for layer in trunk.modules()
        if isinstance(layer, (nn.Conv2d, nn.PReLU)) and not isinstance(layer, WholeConv)
    )
