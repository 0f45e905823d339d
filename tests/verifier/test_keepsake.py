import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from facegate.errors import NotReadyError
from facegate.storage.packing import Crop
from facegate.verifier.keepsake import aligned_again, as_kept, cut_out
from facegate.vision.align import ALIGNMENT, align


def picture(width, height):
    """Random pixels, smoothed a little: any shift of a pixel shows."""
    noise = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (5, 5), 0), np.uint8)


def landmarks(scale, angle, x, y):
    """The template's points turned, scaled, and moved to a place."""
    points = ALIGNMENT.template - ALIGNMENT.template.mean(axis=0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (scale * points @ turn.T + (x, y)).astype(np.float32)


PICTURE = picture(900, 700)


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    scale=st.floats(0.3, 5.0),
    angle=st.floats(-0.7, 0.7),
    x=st.floats(100, 800),
    y=st.floats(100, 600),
)
def test_what_is_kept_gives_the_crop_that_the_photo_gave(scale, angle, x, y):
    points = landmarks(scale, angle, x, y)
    again = aligned_again(as_kept(cut_out(PICTURE, points)), ALIGNMENT).astype(int)
    assert np.abs(again - align(PICTURE, points).astype(int)).max() <= 4  # the fixed-point steps of cv2.warpAffine


def test_little_more_than_the_face_is_kept():
    kept = cut_out(PICTURE, landmarks(1.0, 0.0, 450, 350))
    assert max(kept.pixels.shape) <= 1.5 * ALIGNMENT.size


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_what_is_cut_out_holds_no_frame_in_memory(scale):
    kept = cut_out(PICTURE, landmarks(scale, 0.0, 450, 350))
    assert not np.shares_memory(kept.pixels, PICTURE)
    assert kept.pixels.base is None or kept.pixels.base.nbytes == kept.pixels.nbytes


def test_a_face_from_a_large_photo_is_kept_small():
    kept = cut_out(picture(3000, 3000), landmarks(15.0, 0.3, 1500, 1500))
    assert max(kept.pixels.shape) <= 4 * ALIGNMENT.size


def test_what_is_no_picture_any_more_is_told():
    with pytest.raises(NotReadyError, match="A stored crop is no picture"):
        aligned_again(Crop(landmarks(1, 0, 50, 50), b"junk"), ALIGNMENT)
