from dataclasses import replace

import pytest
import torch

from facegate.siamese.settled import Settled
from facegate.siamese.training import Run
from tests.siamese import test_training as drawn
from tests.siamese.small_trunks import BOTH, CROPS, LARGE, SURROUNDED, pixels, small_trunk


@pytest.mark.parametrize("layers", [0, 1, 4, 7])
@pytest.mark.parametrize(("shape", "crops"), [(BOTH, CROPS), (BOTH, LARGE), (SURROUNDED, LARGE)])
def test_what_stays_says_in_onnx_runtime_what_it_says_in_torch(shape, crops, layers):
    trunk = small_trunk(3, shape)
    own, seen = Settled(trunk, layers).given(pixels(crops))
    with torch.no_grad():
        assert torch.allclose(own, trunk.summary(pixels(crops)), atol=1e-5)
        through, alone = trunk.companion.onward(layers, seen), trunk.companion(pixels(crops))
    alike = torch.nn.functional.cosine_similarity(through.flatten(1), alone.flatten(1))
    assert float(alike.min()) > 0.9995  # a value that lies between two whole numbers may fall to either


def test_a_trunk_without_a_companion_has_nothing_that_it_could_begin():
    with pytest.raises(ValueError, match="no companion"):
        Settled(small_trunk(), 1)


def test_a_run_learns_the_same_whatever_computes_what_stays(tmp_path, monkeypatch):
    recipe = replace(drawn.RECIPE, frozen=3, rounded=0.0, steps=20)
    quick = Run(drawn.with_companion(), drawn.lesson(), recipe, tmp_path / "quick").train(lambda _: None)
    monkeypatch.setattr(Settled, "given", _in_torch)
    slow = Run(drawn.with_companion(), drawn.lesson(), recipe, tmp_path / "slow").train(lambda _: None)
    weights, before = drawn.weights(slow), drawn.weights(drawn.with_companion())
    assert float((weights - drawn.weights(quick)).norm() / (weights - before).norm()) < 0.2


@torch.no_grad()
def _in_torch(_, crops):
    trunk = drawn.with_companion()
    x = trunk.companion.seen(crops.float())
    for number in range(3):
        x = trunk.companion.after(number, x)
    return trunk.summary(crops.float()), x


def test_nothing_of_what_stays_is_kept_for_the_way_back():
    own, seen = Settled(small_trunk(3, BOTH), 2).given(pixels(CROPS))
    assert not own.requires_grad
    assert not seen.requires_grad
