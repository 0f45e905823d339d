import numpy as np
import pytest
import torch

from facegate.errors import UnusableInputError
from facegate.siamese.shapes import BRANCHED
from facegate.siamese.weights import (
    between,
    branched,
    checkpoint_of,
    features_seen,
    folded,
    fresh_trunk,
    load_checkpoint,
    load_start,
)
from tests.siamese.small_trunks import CROPS, SMALL, SPLIT, small_trunk, through_a_checkpoint, torch_templates


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


def test_a_checkpoint_with_code_in_it_or_of_another_network_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("run",)

    path = tmp_path / "network.pt"
    for content in ({"stem.weight": torch.zeros(3)}, {"stem.weight": Evil()}, [1]):
        torch.save(content, path)
        with pytest.raises(UnusableInputError, match="holds no weights for this trunk"):
            load_checkpoint(path, [SMALL, SPLIT])
    for data in (b"", checkpoint_of(small_trunk())[:-300]):
        path.write_bytes(data)
        with pytest.raises(UnusableInputError, match="holds no weights for this trunk"):
            load_checkpoint(path, [SMALL, SPLIT])
    with pytest.raises(UnusableInputError, match="holds no weights for this trunk"):
        load_checkpoint(tmp_path / "none.pt", [SMALL, SPLIT])


def test_weights_of_another_network_are_refused(tmp_path):
    np.savez(tmp_path / "weights.npz", stem=np.zeros(3))
    with pytest.raises(UnusableInputError, match="no weights for this trunk"):
        load_start(tmp_path / "weights.npz", SMALL)


def test_half_way_between_two_trunks_every_weight_is_the_mean():
    one, other = small_trunk(1), small_trunk(2)
    middle = between(one, other, 0.5).state_dict()
    for name, value in one.state_dict().items():
        assert torch.allclose(middle[name], (value + other.state_dict()[name]) / 2)


def test_a_new_branch_changes_no_score():
    start = small_trunk()
    before, after = torch_templates(start), torch_templates(branched(start, SPLIT))
    assert after.shape == (3, 48)
    assert after == pytest.approx(np.hstack((before, before)) / 2**0.5, abs=1e-5)


def test_a_new_branch_takes_up_all_that_the_way_it_leaves_knows():
    start, trunk = small_trunk(), branched(small_trunk(), SPLIT)
    own, copied = start.state_dict(), trunk.state_dict()
    for name, value in own.items():
        assert name == "embed.weight" or torch.equal(copied[name], value), name
    assert torch.equal(copied["branch.blocks.0.expand.weight"], own["blocks.1.expand.weight"])
    assert torch.equal(copied["branch.gdw.weight"][:32], own["gdw.weight"])
    assert not copied["branch.blocks.1.project.weight"].any()
    assert copied["branch.head.weight"][32:].any()
    assert torch.equal(copied["embed.weight"][24:, 32:64], own["embed.weight"])
    assert not copied["embed.weight"][:, 64:].any()  # the projection does not look at the new channels yet


def test_a_branch_grows_once_and_on_its_own_trunk_alone():
    with pytest.raises(UnusableInputError, match="A branch grows on a start that has none"):
        branched(small_trunk(shape=SPLIT), SPLIT)
    with pytest.raises(UnusableInputError, match="A branch grows on a start that has none"):
        branched(small_trunk(), BRANCHED)
    with pytest.raises(UnusableInputError, match="A branch grows on a start that has none"):
        branched(small_trunk(), SMALL)


def grown():
    """A trunk whose branch has learnt something."""
    trunk = branched(small_trunk(1), SPLIT)
    with torch.no_grad():
        trunk.branch.head.weight.add_(0.3)
    return trunk


def test_the_share_of_a_branch_multiplies_its_values_and_none_of_it_is_the_start():
    start = small_trunk(1)
    none, half, whole = (torch_templates(between(start, grown(), share)) for share in (0.0, 0.5, 1.0))
    assert np.array_equal(none, torch_templates(start))
    assert np.array_equal(whole, torch_templates(grown()))
    weighed = whole * np.where(np.arange(48) < 24, 1.0, 0.5)
    assert half == pytest.approx(weighed / np.linalg.norm(weighed, axis=1, keepdims=True), abs=1e-5)


def test_a_branch_that_has_done_growing_can_learn_on_like_any_start():
    start, trained = small_trunk(1, SPLIT), small_trunk(2, SPLIT)
    middle = between(start, trained, 0.25).state_dict()
    for name, value in start.state_dict().items():
        assert torch.allclose(middle[name], value.lerp(trained.state_dict()[name], 0.25))


def test_folding_makes_templates_as_long_as_the_starts_and_keeps_the_scores():
    crops = np.random.default_rng(1).integers(0, 256, (200, 32, 32, 3), np.uint8)
    templates, done = torch_templates(grown(), crops), folded(grown(), crops)
    assert done.shape == SPLIT
    assert features_seen(done, crops).shape == (200, 32)
    seen = torch_templates(done, crops)
    assert seen.shape == (200, 24)
    dropped = np.linalg.eigvalsh(templates.T @ templates)[:24].sum() / len(templates)  # what lies along other axes
    assert np.abs(seen @ seen.T - templates @ templates.T).mean() <= dropped + 1e-5


def test_what_has_no_branch_or_is_folded_is_not_folded():
    for trunk in (small_trunk(), small_trunk(shape=SPLIT)):
        assert folded(trunk, CROPS) is trunk


def test_a_checkpoint_says_by_its_layers_which_shape_it_has(tmp_path):
    for shape in (SMALL, SPLIT):
        assert through_a_checkpoint(small_trunk(shape=shape), tmp_path).shape == shape


def test_a_checkpoint_of_layers_that_do_not_fit_its_projection_or_of_one_tensor_is_refused(tmp_path):
    state = small_trunk(shape=SPLIT).state_dict()
    for content in ({**state, "branch.head.weight": torch.zeros(3, 8, 1, 1)}, torch.zeros(3)):
        torch.save(content, tmp_path / "network.pt")
        with pytest.raises(UnusableInputError, match="holds no weights for this trunk"):
            load_checkpoint(tmp_path / "network.pt", [SMALL, SPLIT])
