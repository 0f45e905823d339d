import numpy as np
import pytest
import torch

from facegate.errors import UnusableInputError
from facegate.siamese.weights import (
    accompanied,
    balanced,
    between,
    checkpoint_of,
    features_seen,
    fresh_trunk,
    load_checkpoint,
    load_start,
)
from tests.siamese.small_trunks import (
    BOTH,
    CROPS,
    SMALL,
    SURROUNDED,
    pixels,
    small_companion,
    small_trunk,
    through_a_checkpoint,
    torch_templates,
)


def test_random_weights_carry_the_signal_and_its_gradient_through_without_batch_norms():
    trunk = fresh_trunk(seed=3)
    sizes = []
    for block in trunk.blocks:
        block.register_forward_hook(lambda _, __, out: sizes.append(float(out.std())))
    crops = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    templates = trunk(torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32)))
    assert len(sizes) == 15
    assert 0.05 < min(sizes) < max(sizes) < 20 * min(sizes)
    templates[0, :8].sum().backward()
    flow = [float(block.project.weight.grad.norm()) for block in trunk.blocks]
    assert 0 < max(flow) < 100 * min(flow)


def test_random_weights_depend_on_the_seed_alone():
    one, same, other = (fresh_trunk(SMALL, seed=seed).stem.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_weights_survive_the_way_through_a_file(tmp_path):
    trunk = small_trunk()
    np.savez(tmp_path / "weights.npz", **{name: value.half().numpy() for name, value in trunk.state_dict().items()})
    templates = torch_templates(through_a_checkpoint(trunk, tmp_path))
    assert np.array_equal(torch_templates(load_start(tmp_path / "weights.npz", SMALL)), templates)
    assert templates == pytest.approx(torch_templates(trunk), abs=2e-2)
    assert checkpoint_of(trunk) == checkpoint_of(trunk)


@pytest.mark.parametrize("shape", [SMALL, BOTH, SURROUNDED])
def test_a_checkpoint_says_what_its_companion_sees(tmp_path, shape):
    trunk = small_trunk(shape=shape)
    assert through_a_checkpoint(trunk, tmp_path).shape == shape


def test_a_checkpoint_with_code_in_it_or_of_another_network_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("run",)

    path = tmp_path / "network.pt"
    for content in ({"stem.weight": torch.zeros(3)}, {"stem.weight": Evil()}, [1]):
        torch.save(content, path)
        with pytest.raises(UnusableInputError, match="holds no weights for this trunk"):
            load_checkpoint(path, [SMALL, BOTH])
    for data in (b"", checkpoint_of(small_trunk())[:-300]):
        path.write_bytes(data)
        with pytest.raises(UnusableInputError, match="holds no weights for this trunk"):
            load_checkpoint(path, [SMALL, BOTH])
    with pytest.raises(UnusableInputError, match="holds no weights for this trunk"):
        load_checkpoint(tmp_path / "none.pt", [SMALL, BOTH])


def test_weights_of_another_network_are_refused(tmp_path):
    np.savez(tmp_path / "weights.npz", stem=np.zeros(3))
    whole = (tmp_path / "weights.npz").read_bytes()
    np.save(tmp_path / "plain.npy", np.zeros(3))
    for content in (whole, whole[:-20], b"", (tmp_path / "plain.npy").read_bytes()):
        (tmp_path / "weights.npz").write_bytes(content)
        with pytest.raises(UnusableInputError, match="no weights for this trunk"):
            load_start(tmp_path / "weights.npz", SMALL)


def test_half_way_between_two_trunks_every_weight_is_the_mean():
    one, other = small_trunk(1), small_trunk(2)
    middle = between(one, other, 0.5).state_dict()
    for name, value in one.state_dict().items():
        assert torch.allclose(middle[name], (value + other.state_dict()[name]) / 2)


def test_the_values_of_a_companion_follow_the_starts_as_they_are():
    start, companion = small_trunk(), small_companion(1)
    both = accompanied(start, companion)
    assert both.shape == BOTH
    with torch.no_grad():
        own = start.embed(start.features(pixels(CROPS))).flatten(1)
        added = companion(pixels(CROPS)).flatten(1)
        seen = both.embed(both.features(pixels(CROPS))).flatten(1)
        assert torch.allclose(seen, torch.cat((own, added), 1), atol=1e-5)
        assert torch.equal(both.values(pixels(CROPS)), seen)
    for name, value in start.state_dict().items():
        assert name == "embed.weight" or torch.equal(both.state_dict()[name], value), name


def test_a_start_takes_one_companion():
    with pytest.raises(UnusableInputError, match="has a companion already"):
        accompanied(small_trunk(shape=BOTH), small_companion())


def test_balanced_a_companion_counts_as_much_as_the_start():
    trunk = balanced(accompanied(small_trunk(1), small_companion(2)), CROPS)
    values = features_seen(trunk, CROPS) @ trunk.embed.weight.detach().flatten(1).numpy().T
    own, added = (np.linalg.norm(part, axis=1).mean() for part in (values[:, :24], values[:, 24:]))
    assert own == pytest.approx(added, rel=1e-3)
    alone = small_trunk()
    assert balanced(alone, CROPS) is alone


def test_the_share_of_a_companion_multiplies_its_values_and_none_of_it_is_the_start():
    start, trained = small_trunk(1), accompanied(small_trunk(1), small_companion(2))
    none, half, whole = (torch_templates(between(start, trained, share)) for share in (0.0, 0.5, 1.0))
    assert np.array_equal(none, torch_templates(start))
    assert np.array_equal(whole, torch_templates(trained))
    weighed = whole * np.where(np.arange(36) < 24, 1.0, 0.5)
    assert half == pytest.approx(weighed / np.linalg.norm(weighed, axis=1, keepdims=True), abs=1e-5)


def test_a_settled_companion_comes_back_from_a_checkpoint_to_the_bit(tmp_path):
    trunk = small_trunk(shape=BOTH)
    trunk.companion.settle()
    again = through_a_checkpoint(trunk, tmp_path).state_dict()
    for name, value in trunk.state_dict().items():
        assert not name.startswith("companion.") or torch.equal(value, again[name]), name


def test_a_checkpoint_says_by_its_layers_which_shape_it_has(tmp_path):
    for shape in (SMALL, BOTH):
        assert through_a_checkpoint(small_trunk(shape=shape), tmp_path).shape == shape


def test_a_checkpoint_of_layers_that_do_not_fit_its_projection_or_of_one_tensor_is_refused(tmp_path):
    state = small_trunk(shape=BOTH).state_dict()
    for content in ({**state, "companion.narrow.weight": torch.zeros(3, 8, 1, 1)}, torch.zeros(3)):
        torch.save(content, tmp_path / "network.pt")
        with pytest.raises(UnusableInputError, match="holds no weights for this trunk"):
            load_checkpoint(tmp_path / "network.pt", [SMALL, BOTH])
