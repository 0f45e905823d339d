from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import helper, numpy_helper
from torch.nn.functional import conv2d, cosine_similarity, prelu

from facegate.errors import UnusableInputError
from facegate.siamese.companion import LEVELS, Companion
from facegate.siamese.quick import quickened, well_rounded
from facegate.siamese.sface import read_sface
from tests.siamese.small_trunks import SHORT, pixels, small_chain

CROPS = np.random.default_rng(3).integers(0, 256, (48, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)


def told(chain, crops=CROPS):
    """What the network says of crops that it sees as a companion does."""
    companion = Companion(SHORT)
    companion.rounds = False
    x = chain.first(companion.seen(pixels(crops)))
    for layer in chain.layers:
        x = layer.behind(layer.before(x))
    return conv2d(x, chain.weight, chain.bias).flatten(1)


def alike_to(chain, companion):
    """The mean cosine to what the network says, both less the network's mean."""
    wanted = told(chain)
    mean = wanted.mean(0)
    with torch.no_grad():
        return float(cosine_similarity(companion(pixels(CROPS)).flatten(1) - mean, wanted - mean).mean())


@pytest.mark.parametrize("steep", [False, True])
@pytest.mark.parametrize("rounds", [False, True])
def test_a_quick_companion_says_nearly_what_the_network_says(rounds, steep):
    chain = small_chain()
    for layer in chain.layers if steep else ():
        layer.slope.mul_(2.5)  # up to 2
    companion = quickened(chain, pixels(CROPS))
    assert companion.rounds
    companion.rounds = rounds
    assert alike_to(chain, companion) > 0.97


def test_a_quick_companions_slopes_are_at_most_one():
    chain = small_chain()
    for layer in chain.layers:
        layer.slope.mul_(2.5)
    assert max(float(layer.slope.max()) for layer in chain.layers) > 1
    assert all(float(bend.slope.max()) <= 1 for _, bend in quickened(chain, pixels(CROPS)).stages())


def test_channels_that_are_much_fainter_than_others_are_not_lost():
    chain = small_chain()
    louder = torch.logspace(-2, 1, chain.layers[2].weight.shape[0])
    chain.layers[2].weight.mul_(louder[:, None, None, None])
    chain.layers[2].bias.mul_(louder)
    chain.layers[3].weight.div_(louder[:, None, None, None])
    assert alike_to(chain, quickened(chain, pixels(CROPS))) > 0.97


ROWS = arrays.arrays(np.float64, (5, 9), elements=st.floats(-LEVELS, LEVELS))
SEEN = arrays.arrays(np.float64, (40, 9), elements=st.floats(-4, 4))


@given(ROWS, SEEN, st.booleans())
def test_weights_are_rounded_together_and_never_worse_than_one_by_one(rows, seen, apart):
    weights, x = torch.from_numpy(rows), torch.from_numpy(seen)
    spread = (x.T @ x / len(x))[None]
    rounded = well_rounded(weights, spread.expand(5, 9, 9) if apart else spread, LEVELS)
    assert torch.equal(rounded, rounded.round())
    assert rounded.abs().max() <= LEVELS
    largest = weights.abs().argmax(1)
    one_by_one = weights.round()
    one_by_one[range(5), largest] = rounded[range(5), largest]  # that one is always rounded away from zero

    def lost(numbers):
        return ((numbers - weights) @ x.T).square().mean(1)

    assert bool((lost(rounded) <= lost(one_by_one) + 1e-6).all())
    assert bool((rounded.abs().amax(1) >= weights.abs().amax(1)).all())


def test_an_edge_filter_gives_nothing_of_plain_skin():
    plain = torch.ones(1, 9, 9, dtype=torch.float64) + 0.01 * torch.eye(9, dtype=torch.float64)  # pixels nearly alike
    edge = torch.tensor([[40.0, 0, -40] * 3], dtype=torch.float64) + torch.linspace(0.1, 0.45, 9, dtype=torch.float64)
    assert float(well_rounded(edge, plain, LEVELS).sum() - edge.sum()) == pytest.approx(0, abs=0.5)
    assert abs(float(edge.round().sum() - edge.sum())) > 2


def test_the_same_seed_makes_the_same_companion():
    one, same = (quickened(small_chain(), pixels(CROPS[:16]), seed=4).state_dict() for _ in range(2))
    assert all(torch.equal(value, same[name]) for name, value in one.items())


def sface_file(path, chain, draw):
    """Write a chain as SFace's file is: norms behind each layer and around the last one, not folded."""
    weights, nodes = [], []

    def weight(value):
        weights.append(numpy_helper.from_array(np.asarray(value, np.float32), f"w{len(weights)}"))
        return weights[-1].name

    def node(kind, *inputs, **how):
        nodes.append(helper.make_node(kind, list(inputs), [f"v{len(nodes)}"], **how))
        return nodes[-1].output[0]

    def norm(x, channels):
        parts = (draw.uniform(0.5, 2, channels), draw.normal(size=channels), draw.normal(size=channels))
        spread = draw.uniform(0.5, 2, channels)
        scale = parts[0] / np.sqrt(spread + 1e-3)
        out = node("BatchNormalization", x, *map(weight, (*parts, spread)), epsilon=1e-3)
        return out, scale, parts[1] - parts[2] * scale

    side = chain.shape.side
    x = node("Mul", node("Sub", "data", weight(127.5)), weight(1 / 128))
    for layer in chain.layers:
        groups = layer.weight.shape[0] if layer.weight.shape[1] == 1 and layer.weight.shape[2] == 3 else 1
        at, raw = len(weights), weight(layer.weight)
        x = node("Conv", x, raw, group=groups, strides=[layer.stride] * 2, pads=[layer.weight.shape[2] // 2] * 4)
        x, scale, shift = norm(x, layer.weight.shape[0])
        own = layer.weight.numpy() / scale[:, None, None, None]
        weights[at] = numpy_helper.from_array(own.astype(np.float32), raw)
        layer.bias.copy_(torch.from_numpy(shift.astype(np.float32)))
        x = node("PRelu", x, weight(layer.slope[:, None, None]))
    x, s1, o1 = norm(x, chain.weight.shape[1])
    dimension = chain.weight.shape[0]
    x, at = node("Flatten", x), len(weights)
    x = node("Gemm", x, weight(np.zeros(1)), weight(np.zeros(dimension)), transB=1)
    x, s2, o2 = norm(x, dimension)
    raw = (chain.weight.numpy() / s1[None, :, None, None] / s2[:, None, None, None]).astype(np.float32)
    weights[at] = numpy_helper.from_array(raw.reshape(dimension, -1), weights[at].name)
    chain.bias.copy_(torch.from_numpy(((raw * o1[None, :, None, None]).sum((1, 2, 3)) * s2 + o2).astype(np.float32)))
    seen, said = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("data", ["n", 3, side, side]), (x, ["n", dimension]))
    )
    graph = helper.make_graph(nodes, "g", [seen], [said], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def test_norms_are_folded_into_the_layers(tmp_path):
    chain = small_chain()
    sface_file(tmp_path / "network.onnx", chain, np.random.default_rng(0))
    read = read_sface(tmp_path / "network.onnx", SHORT)
    assert len(read.layers) == len(chain.layers)
    assert torch.allclose(told(read), told(chain), rtol=1e-3, atol=1e-3)


def test_a_layer_is_a_convolution_and_slopes():
    layer = small_chain().layers[0]
    x = torch.rand(2, 3, 28, 28)
    assert torch.equal(layer.behind(layer.before(x)), prelu(conv2d(x, layer.weight, layer.bias, 1, 1), layer.slope))


def test_a_network_of_the_same_order_but_other_widths_is_refused(tmp_path):
    sface_file(tmp_path / "network.onnx", small_chain(), np.random.default_rng(0))
    with pytest.raises(UnusableInputError, match="no network of SFace's shape"):
        read_sface(tmp_path / "network.onnx", replace(SHORT, pairs=((12, 1), (16, 2), (32, 2))))


@pytest.mark.parametrize("content", [b"", b"no network", "another shape", None])
def test_a_file_of_another_network_is_refused(content, tmp_path):
    path = tmp_path / "network.onnx"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        onnx.save(helper.make_model(helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g", [], [])), path)
    with pytest.raises(UnusableInputError, match="no network of SFace's shape"):
        read_sface(path, SHORT)


def test_a_channel_far_below_zero_of_which_little_comes_through_does_not_make_the_others_coarse():
    chain = small_chain()
    chain.layers[0].weight[0].mul_(30)
    chain.layers[0].bias[0] = -20.0
    chain.layers[0].slope[0] = -0.01
    assert alike_to(chain, quickened(chain, pixels(CROPS))) > 0.988
