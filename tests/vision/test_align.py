import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.vision.align import (
    ALIGNMENT,
    STORED,
    WIDE,
    Alignment,
    align,
    align_all,
    middle_of,
    sampled,
    similarity,
)

TEMPLATE = ALIGNMENT.template
turns = st.floats(-3.1, 3.1)
scales = st.floats(0.05, 20)
shifts = st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000))


def moved(points, turn, scale, shift):
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return scale * points @ rotation.T + np.array(shift)


def waves(height, width):
    """A smooth picture that looks different everywhere and is known between its pixels."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    return painted(x, y)


def painted(x, y):
    tones = [128 + 90 * np.sin(x / 31 + k) * np.cos(y / 43 - k) for k in range(3)]
    return np.clip(np.rint(np.stack(tones, axis=-1)), 0, 255).astype(np.uint8)


@given(turn=turns, scale=scales, shift=shifts)
def test_landmarks_of_a_moved_template_land_on_the_template(turn, scale, shift):
    points = moved(TEMPLATE, turn, scale, shift)
    transform = similarity(points, TEMPLATE)
    landed = np.column_stack([points, np.ones(5)]) @ transform.T
    assert np.allclose(landed, TEMPLATE, atol=1e-6)


@given(turn=turns, scale=scales, shift=shifts, seed=st.integers(0, 1000))
def test_moving_scaling_or_turning_the_input_moves_no_landmark_in_the_crop(turn, scale, shift, seed):
    points = TEMPLATE + np.random.default_rng(seed).normal(0, 4, (5, 2))
    other = moved(points, turn, scale, shift)
    here = np.column_stack([points, np.ones(5)]) @ similarity(points, TEMPLATE).T
    there = np.column_stack([other, np.ones(5)]) @ similarity(other, TEMPLATE).T
    assert np.allclose(here, there, atol=1e-6)


@given(seed=st.integers(0, 1000))
def test_no_small_change_of_the_transform_brings_the_points_nearer(seed):
    rng = np.random.default_rng(seed)
    points = TEMPLATE + rng.normal(0, 6, (5, 2))
    best = similarity(points, TEMPLATE)

    def error(transform):
        return np.sum((np.column_stack([points, np.ones(5)]) @ transform.T - TEMPLATE) ** 2)

    for _ in range(8):
        a, b, x, y = rng.normal(0, 1e-3, 4)
        change = np.array([[a, -b, x], [b, a, y]])
        assert error(best + change) >= error(best) - 1e-9


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7, 2.0, 3.4, 6.5])
def test_the_crop_shows_what_lies_under_the_template(scale):
    picture = waves(1200, 1400)
    points = moved(TEMPLATE, 0.2, scale, (260, 180)).astype(np.float32)
    crop = align(picture, points)
    back = np.linalg.inv(np.vstack([similarity(points, TEMPLATE), (0, 0, 1)]))
    y, x = np.mgrid[0:128, 0:128]
    source = np.stack([x, y, np.ones_like(x)], axis=-1) @ back[:2].T
    inside = (source > 8).all(axis=-1) & (source[..., 0] < 1390) & (source[..., 1] < 1190)
    expected = painted(source[..., 0], source[..., 1]).astype(float)
    assert np.abs(crop.astype(float) - expected)[inside].max() <= 6


def test_a_batch_is_the_single_crops():
    picture = waves(600, 800)
    faces = [moved(TEMPLATE, t, s, (100 * s, 90)).astype(np.float32) for t, s in ((0, 0.5), (0.4, 2.2), (-0.2, 1))]
    crops = align_all(picture, faces)
    assert crops.shape == (3, 128, 128, 3)
    for crop, face in zip(crops, faces, strict=True):
        assert np.array_equal(crop, align(picture, face))


def test_what_lies_outside_the_picture_is_black():
    picture = np.full((200, 200, 3), 200, np.uint8)
    crop = align(picture, moved(TEMPLATE, 0, 1, (-64, 0)).astype(np.float32))
    assert (crop[:, :60] == 0).all()
    assert (crop[:, 68:] == 200).all()


@pytest.mark.parametrize("shift", [(5000, 5000), (-5000, 0)])
@pytest.mark.parametrize("scale", [1, 5])
def test_a_face_wholly_outside_gives_a_black_crop(shift, scale):
    picture = np.full((200, 200, 3), 200, np.uint8)
    assert not align(picture, moved(TEMPLATE, 0, scale, shift).astype(np.float32)).any()


def test_another_alignment_gives_another_size():
    half = Alignment(64, tuple((x / 2, y / 2) for x, y in ALIGNMENT.points))
    assert align(waves(300, 300), TEMPLATE.astype(np.float32), half).shape == (64, 64, 3)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.full((5, 2), np.inf)])
def test_landmarks_that_are_no_face_are_refused(points):
    with pytest.raises(ValueError, match="landmarks"):
        similarity(points, TEMPLATE)


def test_a_fine_pattern_does_not_alias_when_a_large_face_is_shrunk():
    picture = np.zeros((1300, 1300, 3), np.uint8)
    picture[::2] = 255
    transform = similarity(moved(TEMPLATE, 0, 8.01, (100, 100)), TEMPLATE)
    assert np.ptp(sampled(picture, transform, 128)[2:-2, 2:-2].astype(int)) <= 2


@pytest.mark.parametrize("shown", [WIDE, STORED])
def test_the_aligned_face_lies_in_the_middle_of_what_shows_more_of_it(shown):
    picture = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    landmarks = (ALIGNMENT.template * 1.1 + 70).astype(np.float32)
    more = align(picture, landmarks, shown)
    assert np.abs(middle_of(more).astype(int) - align(picture, landmarks)).max() <= 1  # sampled from another corner
    assert middle_of(np.stack([more, more]), 100).shape == (2, 100, 100, 3)


@pytest.mark.parametrize("side", [141, 146])
def test_crops_without_the_middle_that_is_wanted_are_refused(side):
    with pytest.raises(ValueError, match="have no middle"):
        middle_of(np.zeros((144, 144, 3), np.uint8), side)
