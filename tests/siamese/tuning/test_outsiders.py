import numpy as np
import pytest
import torch

from facegate.errors import NotReadyError
from facegate.resources import shipped
from facegate.siamese.export import read_onnx
from facegate.siamese.shapes import ACCOMPANIED
from facegate.siamese.tuning.cohort import CLEAN, COHORT, LIGHTS, Cohort, Strangers, digest_of_trunk, document
from facegate.siamese.tuning.outsiders import templates_of_crowd, templates_of_outsiders
from facegate.verifier.library import DEFAULT


@pytest.fixture(scope="module")
def network():
    (path,) = (shipped("models") / "verifier" / DEFAULT).glob("network.onnx")
    return path


def strangers(count, seed):
    features = np.random.default_rng(seed).normal(size=(count, ACCOMPANIED.features)).astype(np.float32)
    return Strangers(features, np.arange(count), np.arange(count) % len(LIGHTS))


@pytest.fixture
def folder(network, tmp_path):
    trunk = read_onnx(network)
    (tmp_path / "network.onnx").write_bytes(network.read_bytes())
    cohort = Cohort(digest_of_trunk(trunk), strangers(7, 1), strangers(40, 2))
    (tmp_path / COHORT).write_bytes(document(cohort))
    return tmp_path


def test_outsiders_become_the_templates_that_the_head_makes_of_their_features_at_doors(folder):
    made = templates_of_outsiders(folder)
    assert made.shape == (30, 384)  # of the ten others good photos are all there is
    assert np.linalg.norm(made, axis=1) == pytest.approx(1, abs=1e-5)
    head = read_onnx(folder / "network.onnx").embed.weight.detach().numpy()[:, :, 0, 0]  # (d, f)
    expected = strangers(40, 2).at_doors().features @ head.T
    cosines = (made * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.999  # features are kept in bytes


def test_strangers_of_another_trunk_are_refused(folder):
    trunk = read_onnx(folder / "network.onnx")
    with torch.no_grad():
        trunk.stem.weight[0] += 1
    other = Cohort(digest_of_trunk(trunk), strangers(7, 1), strangers(40, 2))
    (folder / COHORT).write_bytes(document(other))
    with pytest.raises(NotReadyError, match="another trunk"):
        templates_of_outsiders(folder)


def test_the_crowd_is_those_whom_the_trunk_learnt_from_each_as_they_are(folder):
    made = templates_of_crowd(folder)
    assert made.shape == (2, 384)
    head = read_onnx(folder / "network.onnx").embed.weight.detach().numpy()[:, :, 0, 0]
    expected = strangers(7, 1).seen(CLEAN).features @ head.T
    assert ((made * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)).min() > 0.999
