import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from facegate.siamese.companion import GREY, LEVELS, STORED, TOP, Companion, WholeConv, WholePReLU, middle
from tests.siamese.small_trunks import CROPS, LARGE, SURROUNDED, pixels, small_companion

WEIGHTS = arrays.arrays(np.float32, (4, 3, 1, 1), elements=st.floats(-8, 8, width=16))
BIASES = arrays.arrays(np.float32, (4,), elements=st.floats(-100, 100, width=16))


def layer(weight, bias=(0, 0, 0, 0), levels=LEVELS):
    conv = WholeConv(3, 4, 1, levels=levels)
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(weight))
        conv.bias.copy_(torch.as_tensor(bias))
    return conv


@given(WEIGHTS, BIASES, st.sampled_from([LEVELS, STORED]))
def test_weights_are_whole_numbers_of_steps_and_hardly_moved(weight, bias, levels):
    conv = layer(weight, bias, levels)
    steps = conv.steps(0.02)
    numbers = conv.numbers(steps)
    assert torch.equal(numbers, numbers.round())
    assert numbers.abs().max() <= levels
    moved = (numbers * steps[:, None, None, None] - conv.weight).abs()
    assert bool((moved <= steps[:, None, None, None] / 2 + 1e-6).all())


@given(WEIGHTS, BIASES)
def test_a_bias_is_a_whole_number_that_a_processor_holds(weight, bias):
    conv = layer(weight, bias)
    numbers = conv.bias_numbers(conv.steps(0.02), 0.02)
    assert torch.equal(numbers, numbers.round())
    assert numbers.abs().max() <= 2**22


@given(WEIGHTS, BIASES, st.sampled_from([LEVELS, STORED]))
def test_what_has_settled_stays_and_half_precision_holds_it(weight, bias, levels):
    conv = layer(weight, bias, levels)
    conv.settle(0.02)
    before = {name: value.clone() for name, value in conv.state_dict().items()}
    conv.settle(0.02)
    assert all(torch.equal(value, before[name]) for name, value in conv.state_dict().items())
    assert torch.equal(conv.weight.half().float(), conv.weight)


def test_a_companion_says_the_same_before_and_after_it_has_settled():
    companion = small_companion()
    with torch.no_grad():
        before = companion(pixels(CROPS))
        companion.settle()
        assert torch.allclose(companion(pixels(CROPS)), before, atol=0.02)  # a bias is rounded, too


def test_activations_are_whole_numbers_of_steps_and_bytes():
    companion = small_companion()
    with torch.no_grad():
        x = companion.seen(pixels(CROPS))
        assert torch.equal(x * GREY, (x * GREY).round())
        for number, (_, bend) in enumerate(companion.stages()):
            x = companion.after(number, x)
            numbers = x / bend.step + bend.zero
            assert torch.allclose(numbers, numbers.round(), atol=1e-3)
            assert float(numbers.min()) >= -1e-3
            assert float(numbers.max()) == pytest.approx(TOP, abs=1)


def test_a_face_lies_in_the_middle_of_grey():
    companion = small_companion()
    seen = companion.seen(pixels(CROPS))
    assert companion.shape.border == (2, 2)
    border = 2
    assert seen.shape[2:] == (28, 28)
    assert bool((seen[:, :, border:-border, border:-border] != 0).any())
    seen[:, :, border:-border, border:-border] = 0
    assert not seen.any()


def test_what_is_around_the_face_is_seen_in_the_place_of_grey():
    companion = small_companion(shape=SURROUNDED.companion)
    assert companion.shape.border == (-3, -4)
    resized = torch.nn.functional.interpolate(pixels(LARGE), size=(35, 35), mode="bilinear", align_corners=False)
    assert torch.equal(companion.seen(pixels(LARGE)), ((resized.round() - 128) / 128)[:, :, 3:31, 3:31])


def test_values_of_an_even_companion_are_those_of_another_at_unit_length():
    one = small_companion(shape=SURROUNDED.companion)
    other = Companion(replace(one.shape, even=False)).eval()
    other.load_state_dict(one.state_dict())
    even, uneven = (each(pixels(LARGE)).flatten(1) for each in (one, other))
    assert torch.allclose(even.norm(dim=1), torch.ones(len(LARGE)))
    assert torch.allclose(even, uneven / uneven.norm(dim=1, keepdim=True), atol=1e-6)
    assert not torch.allclose(even, uneven, atol=1e-2)


def test_of_a_larger_crop_a_companion_sees_the_middle():
    companion = small_companion()
    assert torch.equal(companion.seen(pixels(LARGE)), companion.seen(pixels(LARGE[:, 4:-4, 4:-4])))


SLOPES = arrays.arrays(np.float32, (4,), elements=st.floats(-2, 1, width=16))
GIVEN = arrays.arrays(np.float32, (2, 4, 1, 3), elements=st.floats(-8, 8, width=16))


@given(GIVEN, SLOPES, st.integers(0, TOP))
def test_a_prelu_in_bytes_is_the_real_one_but_for_half_a_step_in_it_and_half_behind(given_, slopes, zero):
    bend, x = WholePReLU(4), torch.from_numpy(given_)
    bend.slope.copy_(torch.from_numpy(slopes))
    bend.step.fill_(1 / 8)
    bend.zero.fill_(zero)
    least, most = -zero / 8, (TOP - zero) / 8
    inside = x.clamp(least, most)
    wanted = torch.nn.functional.prelu(inside, bend.slope).clamp(least, most)
    got = bend.apply_to(x, rounds=True)
    assert bool(((got - wanted).abs() <= 1 / 16 * (1 + bend.slope.abs()[:, None, None].clamp_min(1)) + 1e-6).all())
    assert torch.equal(got * 8, (got * 8).round())


def test_rounding_changes_a_template_a_little():
    companion = small_companion()
    with torch.no_grad():
        whole = companion(pixels(CROPS)).flatten(1)
        companion.rounds = False
        real = companion(pixels(CROPS)).flatten(1)
    assert not torch.equal(whole, real)
    assert torch.nn.functional.cosine_similarity(whole, real).min() > 0.99


def test_the_gradient_passes_through_rounding():
    companion = small_companion()
    companion.requires_grad_(requires_grad=True)
    slopes = []
    for rounds in (True, False):
        companion.rounds = rounds
        companion.zero_grad()
        companion(pixels(CROPS)).square().sum().backward()
        slopes.append(torch.cat([weight.grad.flatten() for weight in companion.parameters()]))
    assert torch.nn.functional.cosine_similarity(*slopes, dim=0) > 0.9


@pytest.mark.skipif(not shutil.which(os.environ.get("CXX", "g++")), reason="torch compiles with a C++ compiler")
def test_a_compiled_companion_says_and_learns_the_same():
    companion, told = small_companion(), []
    companion.requires_grad_(requires_grad=True)
    for companion.fused in (False, True):
        companion.zero_grad()
        said = companion(pixels(CROPS))
        said.square().sum().backward()
        told.append(torch.cat([said.detach().flatten(), *(weight.grad.flatten() for weight in companion.parameters())]))
    assert torch.allclose(*told, rtol=1e-4, atol=1e-5 * float(told[0].abs().max()))


@pytest.mark.parametrize("side", [33, 42])
def test_a_crop_without_the_middle_that_is_wanted_is_refused(side):
    with pytest.raises(ValueError, match="have no middle"):
        middle(torch.zeros(1, 3, 40, 40), side)
