import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from facegate.errors import UnusableInputError
from facegate.resources import shipped
from facegate.siamese.export import bytes_of_trunk, read_onnx, trunk_of_bytes, write_onnx
from facegate.siamese.networks import Depthwise, Twins, WholeMap
from facegate.siamese.shapes import REID_0095
from facegate.siamese.teachers import fit_merge, one_target
from facegate.siamese.weights import load_checkpoint
from facegate.verifier.contract import InputContract
from facegate.verifier.extractor import OnnxExtractor
from facegate.verifier.library import DEFAULT
from tests.siamese.small_trunks import (
    BOTH,
    CROPS,
    LARGE,
    SMALL,
    SURROUNDED,
    pixels,
    small_trunk,
    through_a_checkpoint,
    torch_templates,
)

SHAPES = [SMALL, BOTH, SURROUNDED]


@pytest.mark.parametrize(("shape", "crops"), [(SMALL, CROPS), (BOTH, CROPS), (SURROUNDED, LARGE)])
def test_the_exported_network_answers_as_torch_does(tmp_path, shape, crops):
    trunk = small_trunk(shape=shape)
    write_onnx(trunk, tmp_path / "network.onnx")
    extractor = OnnxExtractor(tmp_path / "network.onnx", model="m", contract=InputContract(shape.crop, "reid-0095"))
    assert extractor.extract(crops) == pytest.approx(
        torch_templates(trunk, crops), abs=1e-5 if shape is SMALL else 1e-3
    )


def test_what_is_around_the_face_matters_to_the_companion_alone():
    trunk, other = small_trunk(shape=SURROUNDED), LARGE.copy()
    other[:, :4], other[:, -4:] = 255 - other[:, :4], 255 - other[:, -4:]
    with torch.no_grad():
        seen, changed = (trunk.features(pixels(crops)).flatten(1) for crops in (LARGE, other))
    assert torch.equal(seen[:, : SURROUNDED.head], changed[:, : SURROUNDED.head])
    assert not torch.equal(seen[:, SURROUNDED.head :], changed[:, SURROUNDED.head :])


@pytest.mark.parametrize("shape", [SMALL, BOTH])
def test_of_a_larger_crop_a_trunk_sees_the_middle(shape):
    trunk = small_trunk(shape=shape)
    assert np.array_equal(torch_templates(trunk, LARGE), torch_templates(trunk, LARGE[:, 4:-4, 4:-4]))


def test_equal_weights_are_exported_to_equal_bytes(tmp_path):
    for name in ("a.onnx", "b.onnx"):
        write_onnx(small_trunk(), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_the_exported_graph_holds_no_prelu_and_takes_any_number_of_crops(tmp_path):
    write_onnx(small_trunk(), tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    assert session.get_inputs()[0].shape == ["n", 3, 32, 32]
    assert b"PRelu" not in (tmp_path / "network.onnx").read_bytes()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_written_network_is_read_back_to_the_bit(tmp_path, shape):
    write_onnx(small_trunk(shape=shape), tmp_path / "network.onnx")
    read = read_onnx(tmp_path / "network.onnx", SHAPES)
    assert read.shape == shape
    write_onnx(read, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "network.onnx").read_bytes()


def test_the_shipped_network_can_be_trained_on(tmp_path):
    shipped_network = shipped("models") / "verifier" / DEFAULT / "network.onnx"
    write_onnx(read_onnx(shipped_network), tmp_path / "again.onnx", half=True)
    assert (tmp_path / "again.onnx").read_bytes() == shipped_network.read_bytes()


def test_the_shipped_checkpoint_holds_the_shipped_networks_weights():
    folder = shipped("models") / "verifier" / DEFAULT
    network, checkpoint = read_onnx(folder / "network.onnx"), load_checkpoint(folder / "network.pt")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(checkpoint.state_dict()[name], value, rtol=1e-3, atol=0)


def test_weights_stored_by_halves_take_half_the_room_and_give_the_same_templates(tmp_path):
    trunk = through_a_checkpoint(small_trunk(), tmp_path)  # weights that float16 holds
    whole, half, again = (tmp_path / f"{name}.onnx" for name in ("whole", "half", "again"))
    write_onnx(trunk, whole, features=True)
    write_onnx(trunk, half, features=True, half=True)
    feed = np.ascontiguousarray(CROPS.transpose(0, 3, 1, 2), np.float32)
    told = [onnxruntime.InferenceSession(path).run(None, {"crops": feed}) for path in (whole, half)]
    for one, other in zip(*told, strict=True):
        assert np.array_equal(one, other)

    read = read_onnx(half, [SMALL, BOTH])
    assert all(torch.equal(value, read.state_dict()[name]) for name, value in trunk.state_dict().items())
    write_onnx(read, again, features=True, half=True)
    assert again.read_bytes() == half.read_bytes()
    stored = [sum(len(weight.raw_data) for weight in onnx.load(path).graph.initializer) for path in (whole, half)]
    assert stored[0] == 2 * stored[1]


def test_a_companions_whole_numbers_are_stored_as_such_and_read_back_to_the_bit(tmp_path):
    trunk = through_a_checkpoint(small_trunk(shape=BOTH), tmp_path)
    one, again = tmp_path / "one.onnx", tmp_path / "again.onnx"
    write_onnx(trunk, one, half=True)
    read = read_onnx(one, [SMALL, BOTH])
    for name, value in trunk.state_dict().items():
        assert torch.equal(value, read.state_dict()[name]), name
    write_onnx(read, again, half=True)
    assert again.read_bytes() == one.read_bytes()
    weights = {weight.name: weight for weight in onnx.load(one).graph.initializer}
    whole = [weight for name, weight in weights.items() if name.startswith("companion.") and name.endswith(".weight")]
    assert len(whole) == 9
    assert all(weight.data_type == onnx.TensorProto.INT8 for weight in whole)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("0.grain", np.float32(0)),
        ("0.grain", np.float32("nan")),
        ("0.grain", np.ones(2, np.float32)),
        ("1.step", np.zeros(8, np.float32)),
        ("2.weight", np.zeros((1, 1, 1, 1), np.int8)),
    ],
)
def test_a_companion_that_nobody_wrote_is_refused(name, value, tmp_path):
    write_onnx(small_trunk(shape=BOTH), tmp_path / "network.onnx")
    model = onnx.load(tmp_path / "network.onnx")
    (weight,) = [weight for weight in model.graph.initializer if weight.name == f"companion.{name}"]
    weight.CopyFrom(onnx.numpy_helper.from_array(np.asarray(value), weight.name))
    onnx.save(model, tmp_path / "network.onnx")
    with pytest.raises(UnusableInputError, match="no twin that facegate wrote"):
        read_onnx(tmp_path / "network.onnx", [SMALL, BOTH])


def test_the_runtime_multiplies_a_companions_whole_numbers(tmp_path):
    write_onnx(small_trunk(shape=BOTH), tmp_path / "network.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(tmp_path / "network.onnx", options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("QLinearConv") == 14  # seven convolutions, and a slope behind each
    assert "DequantizeLinear" not in kinds[: kinds.index("QLinearConv")]


@pytest.mark.parametrize("bad", [b"", b"no network", "another shape"])
def test_a_file_that_is_no_such_twin_is_refused(bad, tmp_path):
    path = tmp_path / "network.onnx"
    if isinstance(bad, bytes):
        path.write_bytes(bad)
    else:
        write_onnx(small_trunk(), path)
    with pytest.raises(UnusableInputError, match="no twin that facegate wrote"):
        read_onnx(path, [SMALL if isinstance(bad, bytes) else REID_0095])


@pytest.mark.parametrize("shape", [SMALL, BOTH])
def test_the_features_are_what_the_projection_head_sees(tmp_path, shape):
    trunk = small_trunk(shape=shape)
    write_onnx(trunk, tmp_path / "network.onnx", features=True)
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    feed = np.ascontiguousarray(CROPS.transpose(0, 3, 1, 2), np.float32)
    templates, features = session.run(["templates", "features"], {"crops": feed})
    assert features.shape == (3, shape.features)
    projected = features @ trunk.embed.weight.detach().numpy()[:, :, 0, 0].T
    assert projected / np.linalg.norm(projected, axis=1, keepdims=True) == pytest.approx(templates, abs=1e-5)


def test_a_trunk_goes_through_the_bytes_of_its_weights(tmp_path):
    trunk = through_a_checkpoint(small_trunk(), tmp_path)
    again = trunk_of_bytes(bytes_of_trunk(trunk), SMALL)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in trunk.state_dict().items())
    for data in (b"", b"123", bytes_of_trunk(trunk)[:-2], bytes_of_trunk(trunk) + b"00"):
        with pytest.raises(UnusableInputError, match="hold no weights"):
            trunk_of_bytes(data, SMALL)


def test_templates_have_unit_length():
    assert np.linalg.norm(torch_templates(small_trunk()), axis=1) == pytest.approx(1, abs=1e-5)


def test_twins_share_their_weights():
    trunk = small_trunk()
    left, right = torch.rand(2, 3, 32, 32) * 255, torch.rand(2, 3, 32, 32) * 255
    one, other = Twins(trunk)(left, right)
    swapped, _ = Twins(trunk)(right, left)
    assert torch.allclose(one, trunk(left), atol=1e-5)
    assert torch.allclose(other, swapped, atol=1e-5)


def test_the_merged_teachers_keep_the_mean_of_both_scores_near_the_first_ones_place():
    draw = np.random.default_rng(0)
    common = draw.normal(size=(400, 12))  # what both see, and what each sees alone

    def teacher(dimension):
        raw = common @ draw.normal(size=(12, dimension)) + 0.3 * draw.normal(size=(400, dimension))
        return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)

    first, second = teacher(32), teacher(16)
    targets = fit_merge(first, second).targets(first, second)
    mean = (first @ first.T + second @ second.T) / 2
    assert np.abs(targets @ targets.T - mean).mean() < 0.03
    assert (targets * first).sum(1).mean() > 0.8


def test_a_short_teacher_alone_keeps_its_scores_and_a_long_one_is_refused():
    draw = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    said = draw / np.linalg.norm(draw, axis=1, keepdims=True)
    target = one_target([said], 24)
    assert target.shape == (5, 24)
    assert target @ target.T == pytest.approx(said @ said.T, abs=1e-6)
    assert one_target([said, said[:, ::-1]], 16).shape == (5, 16)
    for bad in ([said], [said, np.hstack((said, said))]):
        with pytest.raises(UnusableInputError, match="not as long as the student's"):
            one_target(bad, 8)


@pytest.mark.parametrize("side", [8, 7])
def test_a_depthwise_layer_says_the_same_while_it_learns(side):
    torch.manual_seed(0)
    maps = torch.randn(2, 6, side, side)
    for layer in (Depthwise(6, 1), Depthwise(6, 2), WholeMap(6, side)):
        learning = layer(maps)
        layer.requires_grad_(requires_grad=False)
        torch.testing.assert_close(learning, layer(maps))
