import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegate.siamese import augment
from facegate.vision.align import STORED, middle_of

SIDE = STORED.size
WIDE = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
EFFECTS = {effect for effect, _ in augment.WORN} | set(augment.LIGHTS) | set(augment.OPTICS) | {augment.jpeg}


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_what_a_door_sees_is_a_crop_and_depends_on_the_seed_alone(seed):
    one, again = (augment.door(WIDE, np.random.default_rng(seed)) for _ in range(2))
    assert one.shape == (144, 144, 3)
    assert one.dtype == np.uint8
    assert (one == again).all()


@pytest.mark.parametrize("effect", sorted(EFFECTS, key=lambda effect: effect.__name__))
def test_every_effect_changes_a_crop_and_keeps_its_shape_and_its_input(effect):
    crop = augment.plain(WIDE).copy()
    before = crop.copy()
    changed = effect(crop, np.random.default_rng(1))
    assert changed.shape == crop.shape
    assert changed.dtype == np.uint8
    assert (crop == before).all()
    assert (changed != crop).any()


@pytest.mark.parametrize("around", [0, 8])
def test_a_mask_hides_the_mouth_and_leaves_the_eyes(around):
    grey = np.full((128 + 2 * around, 128 + 2 * around, 3), 128, np.uint8)
    for seed in range(30):
        masked = middle_of(augment.mask(grey, np.random.default_rng(seed))).astype(int)
        assert (abs(masked[105, 45:84] - 128) > 0).mean() > 0.5
        assert (masked[46:53, 35:95] == 128).all()


def test_a_masked_crop_is_a_shifted_one_with_a_mask():
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    masked = augment.masked(grey, np.random.default_rng(3)).astype(int)
    assert masked.shape == (144, 144, 3)
    masked = middle_of(masked)
    assert (abs(masked[105, 45:84] - 128) > 0).mean() > 0.5
    assert (masked[:40] == 128).all()


@pytest.mark.parametrize("around", [0, 8])
def test_sunglasses_hide_the_eyes_and_leave_the_mouth(around):
    bright = np.full((128 + 2 * around, 128 + 2 * around, 3), 200, np.uint8)
    worn = middle_of(augment.sunglasses(bright, np.random.default_rng(0)))
    assert worn[59, 40].mean() < 120
    assert worn[59, 87].mean() < 120
    assert (worn[100:] == 200).all()
