"""The part of a photo that is kept: the surroundings of the face, so that any network may look at it again.

A region around the face is cut out along the pixels. Where `vision.align` would reduce the picture by a whole number
before it samples, the region is reduced by the same number on the same grid: aligning the region then gives, for the
alignment that is kept in mind here, the crop that the photo itself would give, but for the rounding of sampling.
"""

from typing import Final

import cv2
import numpy as np

from facegate.core.frame import Cutout, Landmarks, Pixels
from facegate.errors import NotReadyError
from facegate.storage.packing import Crop
from facegate.vision.align import ALIGNMENT, Alignment, align, similarity

MARGIN: Final = 0.15
"""How much further than the crop the region reaches on each side, as a share of the crop: other networks see more."""


def cut_out(picture: Pixels, landmarks: Landmarks, alignment: Alignment = ALIGNMENT) -> Cutout:
    """Cut the surroundings of a face out of an upright picture.

    Raises:
        ValueError: The landmarks are not finite or all in one place.
    """
    transform = similarity(landmarks, alignment.template)
    by = max(1, int(1.0 / float(np.hypot(transform[0, 0], transform[1, 0]))))
    left, top, right, bottom = _reach(picture, np.vstack([transform, (0, 0, 1)]), alignment.size, by)
    part = picture[top:bottom, left:right]
    if by > 1:
        part = np.asarray(
            cv2.resize(part, ((right - left) // by, (bottom - top) // by), interpolation=cv2.INTER_AREA), np.uint8
        )
    else:
        part = part.copy()
    # A reduced pixel's centre lies in the middle of its `by` pixels: x = by * x' + (by - 1) / 2 + left.
    moved = (np.asarray(landmarks, np.float64) - (left, top) - (by - 1) / 2) / by
    return Cutout(moved.astype(np.float32), part)


def as_kept(cutout: Cutout) -> Crop:
    """Return a cut-out face as it is kept: its picture as PNG."""
    return Crop(cutout.landmarks, cv2.imencode(".png", cutout.pixels)[1].tobytes())


def as_frame(cutout: Cutout) -> Crop:
    """Return a cut-out face as a frame's is kept: as JPEG, which it mostly was before, at a fifth of the size."""
    how = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return Crop(cutout.landmarks, cv2.imencode(".jpg", cutout.pixels, how)[1].tobytes())


def aligned_again(crop: Crop, alignment: Alignment) -> Pixels:
    """Return the aligned crop of a face that was kept, as a network wants it.

    Raises:
        NotReadyError: What was kept is no picture any more.
    """
    picture = cv2.imdecode(np.frombuffer(crop.picture, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise NotReadyError("A stored crop is no picture", "Restore the database from a backup")
    return align(np.asarray(picture, np.uint8), crop.landmarks, alignment)


def _reach(picture: Pixels, forward: np.ndarray, size: int, by: int) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the region: multiples of `by`, within the picture."""
    near, far = -MARGIN * size, (1 + MARGIN) * size
    corners = np.array([[near, near, 1], [far, near, 1], [near, far, 1], [far, far, 1]], np.float64)
    points = corners @ np.linalg.inv(forward)[:2].T
    height, width = picture.shape[:2]
    limits = np.array([width - width % by, height - height % by])
    low = np.clip(np.floor(points.min(axis=0) / by) * by, 0, limits - by).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) / by) * by, low + by, limits).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
