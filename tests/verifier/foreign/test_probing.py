import numpy as np
import onnx
import pytest

from facegate.core.calibration import unmeasured
from facegate.errors import UnusableInputError
from facegate.verifier.contract import InputContract
from facegate.verifier.foreign.importing import staged
from facegate.verifier.foreign.probing import probe
from tests.verifier.networks import insightface, of_one_node

ARCFACE = InputContract(112, "arcface", rgb=True, mean=127.5, std=127.5)


@pytest.fixture(scope="module")
def network(tmp_path_factory, detector):
    return insightface(tmp_path_factory.mktemp("insightface") / "w600k.onnx", ARCFACE, detector)


def test_a_network_in_insightfaces_shape_is_probed(network, detector):
    seen = probe(network, ARCFACE, detector)
    assert seen.contract == ARCFACE
    assert seen.probe.dimension == 512
    assert seen.probe.again == pytest.approx(1, abs=1e-5)
    assert seen.probe.lowest_mated > 0.9 > seen.probe.highest_non_mated
    assert seen.probe.longest > 5
    assert -1 <= seen.probe.mirror <= 1


@pytest.mark.parametrize("batch", [1, "batch"])
def test_a_network_that_takes_one_at_a_time_is_fed_so(tmp_path, detector, batch):
    path = insightface(tmp_path / "one.onnx", ARCFACE, detector, batch=batch)
    assert probe(path, ARCFACE, detector).probe.tells_apart


def test_a_network_that_scales_pixels_itself_is_taken_without_scaling_them_twice(detector):
    from facegate.resources import shipped

    network = shipped("models") / "verifier" / "open-1" / "network.onnx"
    twice = InputContract(128, "reid-0095", mean=127.5, std=127.5)
    assert probe(network, twice, detector).contract == InputContract(128, "reid-0095")


def test_a_network_for_crops_of_another_size_is_refused_with_both_sizes(network, detector):
    with pytest.raises(UnusableInputError, match=r"takes \[n, 3, 112, 112\], not crops of 128 pixels"):
        probe(network, InputContract(128, "arcface"), detector)


@pytest.mark.parametrize(
    ("kind", "node", "complaint"),
    [
        ("Log", {"value": -1.0}, "no direction"),  # NaN
        ("Relu", {"value": -1.0}, "no direction"),  # zeros
        ("Sigmoid", {}, "does not tell composites apart"),  # the same for everybody
        ("RandomNormalLike", {"seed": 1.0}, "answers otherwise when asked again"),
    ],
)
def test_a_network_that_answers_nonsense_is_refused_with_the_reason(tmp_path, detector, kind, node, complaint):
    path = of_one_node(tmp_path / "bad.onnx", kind, **node)
    with pytest.raises(UnusableInputError, match=complaint) as told:
        probe(path, ARCFACE, detector)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("dimension", [8, 5000])
def test_templates_of_too_few_or_too_many_values_are_refused(tmp_path, detector, dimension):
    path = of_one_node(tmp_path / "odd.onnx", "Identity", value=1.0, dimension=dimension)
    with pytest.raises(UnusableInputError, match="not with a template of 16 to 4096"):
        probe(path, ARCFACE, detector)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused_in_one_line(network, tmp_path, detector, share):
    data = network.read_bytes()
    (tmp_path / "half.onnx").write_bytes(data[: int(share * len(data))])
    with pytest.raises(UnusableInputError, match=r"half\.onnx") as told:
        probe(tmp_path / "half.onnx", ARCFACE, detector)
    assert "\n" not in str(told.value)


def test_a_file_whose_weights_lie_beside_it_is_refused_since_only_the_file_is_kept(network, tmp_path, detector):
    model = onnx.load(network)
    onnx.save_model(
        model, tmp_path / "split.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    with staged(tmp_path / "split.onnx") as copy, pytest.raises(UnusableInputError, match=r"cannot load split\.onnx"):
        probe(copy, ARCFACE, detector)


def test_a_model_of_which_nothing_was_measured_arms_no_door_whatever_the_score():
    calibration = unmeasured("net@123456789abc")
    assert not calibration.measured
    assert all(calibration.threshold(target) is None for target in (0.5, 1e-3, 1e-9))
    assert calibration.gallery_threshold(0.5, 1) is None
    assert all(calibration.fmr(score) == 1 for score in (-1.0, 0.5, 1.0, float(np.nan)))
