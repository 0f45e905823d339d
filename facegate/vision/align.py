"""Five landmarks -> the crop that a network sees, by a similarity transform.

Rotation, one scale and a shift that bring the landmarks nearest to the network's template in the least squares sense
(Umeyama, IEEE PAMI 13, 1991), without reflection. Bilinear, black where the picture ends. Bilinear sampling looks at
four pixels only, so where a face is shrunk by two or more, its region is first reduced by area, by a whole number.
Pixel centres have whole coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Landmarks, Pixels
from facegate.core.ports import Crops

NO_FACE: Final = "landmarks that are not finite or all in one place"

Transform = NDArray[np.float64]
"""float64, shape (2, 3): point in the picture (x, y, 1) -> point in the crop."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a network wants its crops: side in pixels, and where the five landmarks go, (x, y) in pixels of the crop."""

    size: int
    points: tuple[tuple[float, float], ...]

    @property
    def template(self) -> NDArray[np.float64]:
        """float64, shape (5, 2)."""
        return np.asarray(self.points, np.float64)


#: The alignment that face-reidentification-retail-0095 was trained with, and that our network keeps.
ALIGNMENT: Final = Alignment(
    size=128,
    points=(
        (40.3928, 59.0815),
        (87.3757, 59.0815),
        (64.0336, 81.9847),
        (44.7324, 105.5606),
        (83.6399, 105.5606),
    ),
)


def surrounded(alignment: Alignment, by: int) -> Alignment:
    """Return an alignment that shows so many pixels more on each side."""
    return Alignment(alignment.size + 2 * by, tuple((x + by, y + by) for x, y in alignment.points))


#: The same with what is around the face: what a network beside ours sees that knew faces with hair and neck.
WIDE: Final = surrounded(ALIGNMENT, 8)

#: The same with a border, for small turns and shifts: what is learnt from.
STORED: Final = surrounded(WIDE, 8)


def edge_around(side: int, shown: int) -> int:
    """Return how many pixels lie on each side of the middle `side` of `shown`.

    Raises:
        ValueError: It shows less than that, or has no middle.
    """
    edge, odd = divmod(shown - side, 2)
    if edge < 0 or odd:
        raise ValueError(f"crops of {shown} pixels have no middle of {side}")
    return edge


def middle_of(crops: NDArray[np.uint8], side: int = ALIGNMENT.size) -> NDArray[np.uint8]:
    """Return the middle of crops that show as much or more, (..., s, s, 3) -> (..., side, side, 3).

    The aligned face lies in the middle of whatever shows more of it.

    Raises:
        ValueError: They are smaller than that, or have no middle.
    """
    edge = edge_around(side, crops.shape[-2])
    return crops[..., edge : edge + side, edge : edge + side, :]


def similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> Transform:
    """Return the similarity transform that brings `source` nearest to `target`.

    Args:
        source: Shape (n, 2), n >= 2 points.
        target: Shape (n, 2).

    Raises:
        ValueError: The points are not finite or all in one place, so that no transform is the best.
    """
    start, goal = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if not np.isfinite(start).all():
        raise ValueError(NO_FACE)
    from_mean, to_mean = start.mean(axis=0), goal.mean(axis=0)
    # As complex numbers a rotation with scale is one factor, and least squares gives it in one line.
    here = (start - from_mean) @ (1, 1j)
    there = (goal - to_mean) @ (1, 1j)
    spread = float(np.sum(np.abs(here) ** 2))
    if not 0 < spread < np.inf:
        raise ValueError(NO_FACE)
    factor = complex(np.sum(here.conj() * there) / spread)
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, to_mean - linear @ from_mean])


def align(picture: Pixels, landmarks: Landmarks, alignment: Alignment = ALIGNMENT) -> Pixels:
    """Cut the aligned crop out of an upright picture.

    Returns:
        uint8, shape (size, size, 3), blue, green, red.

    Raises:
        ValueError: The landmarks are not finite or all in one place.
    """
    return sampled(picture, similarity(landmarks, alignment.template), alignment.size)


def sampled(picture: Pixels, transform: Transform, size: int, border: int = cv2.BORDER_CONSTANT) -> Pixels:
    """Sample a square crop of `size`, reducing by area first where the picture is shrunk by two or more."""
    shrink = 1.0 / float(np.hypot(transform[0, 0], transform[1, 0]))
    if shrink >= 2:  # noqa: PLR2004 - a whole number to reduce by
        picture, transform = reduced(picture, transform, size, int(shrink))
    if not picture.size:
        return np.zeros((size, size, 3), np.uint8)
    crop = cv2.warpAffine(picture, transform, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(crop, np.uint8)


def taken_back(points: NDArray[np.floating], transform: Transform) -> NDArray[np.float64]:
    """Return points (n, 2) of a crop as points of the picture from which `transform` leads to it."""
    back = np.linalg.inv(np.vstack([transform, (0, 0, 1)]))
    return np.asarray(points @ back[:2, :2].T + back[:2, 2], np.float64)


def align_all(picture: Pixels, faces: Sequence[Landmarks], alignment: Alignment = ALIGNMENT) -> Crops:
    """Cut one crop for each set of landmarks; uint8, shape (n, size, size, 3)."""
    crops = np.empty((len(faces), alignment.size, alignment.size, 3), np.uint8)
    for crop, landmarks in zip(crops, faces, strict=True):
        crop[:] = align(picture, landmarks, alignment)
    return crops


def reduced(picture: Pixels, transform: Transform, size: int, by: int) -> tuple[Pixels, Transform]:
    """Reduce the part of the picture that the crop shows by area, `by` pixels to one, and fit the transform to it.

    The region starts and ends at multiples of `by`, so that a pixel of the reduced picture is always the same
    `by` x `by` pixels, whatever the crop shows of it.
    """
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    reach = taken_back(corners, transform)
    height, width = picture.shape[:2]
    low = np.floor(reach.min(axis=0) / by - 1) * by
    high = np.ceil(reach.max(axis=0) / by + 1) * by
    left, top = (int(np.clip(v, 0, limit)) for v, limit in zip(low, (width, height), strict=True))
    right, bottom = (int(np.clip(v, 0, limit - limit % by)) for v, limit in zip(high, (width, height), strict=True))
    if right <= left or bottom <= top:
        return picture[:0], transform
    small = cv2.resize(
        picture[top:bottom, left:right], ((right - left) // by, (bottom - top) // by), interpolation=cv2.INTER_AREA
    )
    # A reduced pixel's centre lies in the middle of its `by` pixels: x = by * x' + (by - 1) / 2 + left.
    enlarge = np.array([[by, 0, left + (by - 1) / 2], [0, by, top + (by - 1) / 2], [0, 0, 1]], np.float64)
    return np.asarray(small, np.uint8), transform @ enlarge
