import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from facegate.siamese.oneshot.networks import EmbeddingTwins, PaperTwins, apart, load_twins, save_twins


def pictures(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, 1, 105, 105, generator=generator) > 0.8).float()


def learnt(*, sketch=False):
    """The network with norms that have seen something, so that folding has something to do."""
    torch.manual_seed(1)
    twins = PaperTwins(norms=True, sketch=sketch)
    twins.train()(pictures(8))
    for name, value in twins.named_parameters():
        if name.startswith("norms"):
            nn.init.uniform_(value, 0.2, 1.5)
    return twins.eval()


def test_the_papers_network_has_the_papers_layers():
    twins = PaperTwins()
    shapes = {}
    for name, layer in twins.named_modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
    features = twins(pictures(1))
    twins.logits(features, features)
    assert shapes == {
        "convolutions.0": (64, 96, 96),
        "convolutions.1": (128, 42, 42),
        "convolutions.2": (128, 18, 18),
        "convolutions.3": (256, 6, 6),
        "units": (4096,),
        "weigh": (1,),
    }
    weights = {name: tuple(value.shape) for name, value in twins.named_parameters() if name.endswith("weight")}
    assert weights == {
        "convolutions.0.weight": (64, 1, 10, 10),
        "convolutions.1.weight": (128, 64, 7, 7),
        "convolutions.2.weight": (128, 128, 4, 4),
        "convolutions.3.weight": (256, 128, 4, 4),
        "units.weight": (4096, 9216),
        "weigh.weight": (1, 4096),
    }
    assert sum(value.numel() for value in twins.parameters()) == 38_951_745


@torch.no_grad()
def test_the_folded_network_is_the_paper_s_formula_and_what_was_learnt():
    with_norms = learnt()
    bare = with_norms.folded()
    assert bare.norms is None
    x = pictures(3, seed=2)
    for convolution in bare.convolutions[:3]:  # the paper: convolution, ReLU, max-pooling
        x = functional.max_pool2d(functional.relu(convolution(x)), 2)
    x = torch.sigmoid(bare.units(functional.relu(bare.convolutions[3](x)).flatten(1)))
    assert bare(pictures(3, seed=2)).numpy() == pytest.approx(x.numpy(), abs=1e-5)
    assert with_norms(pictures(3, seed=2)).numpy() == pytest.approx(x.numpy(), abs=1e-4)


@torch.no_grad()
def test_a_logit_is_the_weighted_sum_of_distances():
    torch.manual_seed(0)
    twins = PaperTwins()
    nn.init.normal_(twins.weigh.weight)
    left, right = torch.rand(2, 4096), torch.rand(3, 4096)
    weights, bias = twins.weigh.weight[0].numpy(), float(twins.weigh.bias)
    by_hand = [[float((weights * np.abs((a - b).numpy())).sum()) + bias for b in right] for a in left]
    assert twins.logits(left, right).numpy() == pytest.approx(np.array(by_hand), rel=1e-3, abs=1e-3)
    assert twins.logits(left, left).numpy() == pytest.approx(twins.logits(left, left).T.numpy(), abs=1e-4)


@torch.no_grad()
def test_a_grown_sketch_sees_what_the_sketch_saw():
    sketch = learnt(sketch=True)
    grown = sketch.grown().eval()
    assert not grown.sketch
    seen = sketch.convolutions[0](functional.avg_pool2d(pictures(1), 2))
    assert grown.convolutions[0](pictures(1))[..., ::2, ::2].numpy() == pytest.approx(seen.numpy(), abs=1e-4)
    assert grown.convolutions[1].weight.shape == (128, 64, 7, 7)
    assert torch.equal(grown.units.weight, sketch.units.weight)


def test_taps_move_apart_and_those_between_are_interpolated():
    kernel = torch.tensor([[1.0, 2.0], [3.0, 6.0]]).view(1, 1, 2, 2)
    expected = torch.tensor([[1.0, 1.5, 2.0], [2.0, 3.0, 4.0], [3.0, 4.5, 6.0]]) / 4
    assert torch.allclose(apart(kernel)[0, 0], expected)


def test_scales_that_would_change_places_with_nothing_are_kept_positive():
    twins = PaperTwins(norms=True)
    nn.init.constant_(twins.norms[0].weight, -1.0)
    twins.keep_foldable()
    assert twins.norms[0].weight.min() > 0


@torch.no_grad()
def test_templates_have_unit_length():
    torch.manual_seed(0)
    twins = EmbeddingTwins(32).eval()
    templates = twins(pictures(4))
    assert templates.shape == (4, 32)
    assert templates.norm(dim=1).numpy() == pytest.approx(np.ones(4), abs=1e-5)
    assert twins.logits(templates, templates).diagonal().numpy() == pytest.approx(np.ones(4), abs=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("make", [EmbeddingTwins, learnt], ids=["embedding", "paper"])
def test_a_network_comes_back_from_its_file_as_arrays(make, tmp_path):
    torch.manual_seed(0)
    twins = make().eval()
    save_twins(twins, tmp_path / "network.npz")
    back = load_twins(tmp_path / "network.npz")
    assert back.kind == twins.kind
    assert not back.training
    assert back(pictures(2)).numpy() == pytest.approx(twins(pictures(2)).numpy(), abs=0.02)
    with np.load(tmp_path / "network.npz", allow_pickle=False) as arrays:
        assert {arrays[name].dtype for name in arrays.files if name != "about"} == {np.dtype(np.float16)}
        assert not any(name.startswith("norms") for name in arrays.files)
