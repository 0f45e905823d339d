# ruff: noqa: PLR2004 - chances and strengths of a draw stand where it is drawn
"""Training crops: a labelled face, something worn or held before it, spoiled as a door camera would, cut out askew.

The label is where the detector's teacher saw the landmarks of the free and clean face, the mean of four looks
(`models.detector.recipe.labels`). Whatever is painted over them, they stay where they are: so the network learns to
place hidden points by those that are seen. The crop is cut as by landmarks that are wrong by as much as a detector's
are in such pictures: that is what the network has to take back.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from facegate.siamese.augment import painted
from facegate.vision.align import ALIGNMENT, Alignment, sampled, similarity
from facegate.vision.landmarks import NEAR
from models.detector.recipe.canvases import placed
from models.detector.recipe.degrade import filmed
from models.detector.recipe.labels import mirrored
from models.detector.recipe.occlude import Axes, occlude

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

BORDER: Final = 64
"""What a patch shows around an aligned crop, in the crop's pixels."""
SCALE: Final = 0.75
PATCH: Final = Alignment(192, tuple(((x + BORDER) * SCALE, (y + BORDER) * SCALE) for x, y in ALIGNMENT.points))
"""A labelled face as it is kept for training: 256 pixels of the aligned crop's, at three quarters."""
ANY_MASK: Final = 0.25
OCCLUDED: Final = 0.4
"""Shares of the crops with a mask of any shape, and with one of the things that the detector learnt with."""


@dataclass(frozen=True)
class Patches:
    """Labelled faces, each in the middle of its surroundings."""

    pixels: Picture
    """(n, 192, 192, 3), blue, green, red."""
    faces: Floats
    """(n, 14): box x, y, w, h and five points, in pixels of the patch."""
    paths: list[str]
    """Whose photo each is."""


def load_patches(data: Path, labels: Path) -> Patches:
    """Cut a patch for each sure face among the labels.

    Beyond the photo's end the photo is mirrored: some sets are cut by their landmarks, and an edge would tell of them.
    """
    with np.load(labels) as archive:
        paths, owner, faces, sure = archive["paths"], archive["photo"], archive["faces"], archive["sure"]
    rows = np.flatnonzero(sure)
    pixels, moved = np.empty((len(rows), PATCH.size, PATCH.size, 3), np.uint8), np.empty((len(rows), 14), np.float32)
    last, photo = -1, np.empty((0, 0, 3), np.uint8)
    for at, row in enumerate(rows):
        if owner[row] != last:
            last, photo = int(owner[row]), np.asarray(cv2.imread(str(data / str(paths[owner[row]]))), np.uint8)
        matrix = similarity(faces[row, 4:14].reshape(5, 2), PATCH.template)
        pixels[at] = sampled(photo, matrix, PATCH.size, cv2.BORDER_REFLECT_101)
        moved[at] = placed(faces[row : row + 1], matrix.astype(np.float32))[0]
    return Patches(pixels, moved, [str(paths[owner[row]]) for row in rows])


def askew(points: Floats, rng: Generator) -> Floats:
    """Draw the similarity (2, 3), patch to crop, of landmarks that were found at about `points` (5, 2).

    Mostly off by some hundredths of the face; one in five by as much as in the dark or behind a mask.
    """
    far = 2.4 if rng.random() < 0.2 else 1.0
    straight = similarity(points, NEAR.template)
    angle, size = np.radians(rng.normal(0, 4.5 * far)), np.exp(rng.normal(0, 0.06 * far))
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = NEAR.template.mean(0)
    shift = middle + rng.normal(0, 1.8 * far, 2) - turn @ middle
    return np.column_stack([turn @ straight[:, :2], turn @ straight[:, 2] + shift]).astype(np.float32)


def ended(patch: Picture, rng: Generator) -> None:
    """Let the picture end somewhere beside the face, black from there, on some sides."""
    left, top, right, bottom = (int(rng.integers(8, 64)) if rng.random() < 0.2 else 0 for _ in range(4))
    patch[:top], patch[:, :left] = 0, 0
    patch[len(patch) - bottom :], patch[:, len(patch) - right :] = 0, 0


def cut_out(patch: Picture, points: Floats, rng: Generator) -> tuple[Picture, Floats]:
    """Draw how a face with landmarks at `points` (5, 2) is cut out; the crop (96, 96, 3), and where they are in it."""
    matrix = askew(points, rng)
    return sampled(patch, matrix.astype(np.float64), NEAR.size), points @ matrix[:, :2].T + matrix[:, 2]


def wear_any_mask(patch: Picture, face: Floats, rng: Generator) -> Picture:
    """Paint a mask of any width and height, worn anyhow: what is behind it is not to be told from its outline."""
    axes = Axes(face)
    top = axes.eyes + (axes.nose - axes.eyes) * rng.uniform(0.15, 1.1)
    half, reach, cheek = rng.uniform(0.36, 0.62), rng.uniform(0.2, 0.46), rng.uniform(-0.08, 0.08)
    right_side = [
        axes.at(top, half * 0.5, rng.uniform(0.0, 0.06)),
        axes.at(axes.nose, half, cheek),
        axes.at(axes.mouth, half * rng.uniform(0.85, 1.0), 0.03),
        axes.at(axes.mouth, half * rng.uniform(0.3, 0.7), reach),
    ]
    across = [axes.right * 2 * ((corner - top) @ axes.right) for corner in right_side]
    left_side = [corner - twice for corner, twice in zip(right_side, across, strict=True)]
    outline = np.array([top, *right_side, *left_side[::-1]])
    outline += (rng.normal(0, 0.05, outline.shape) + rng.normal(0, 0.05, 2)) * axes.width
    return painted(patch, outline, rng)


def put_on(patch: Picture, face: Floats, rng: Generator) -> Picture:
    """Put something before a face, or nothing."""
    kind = rng.random()
    if kind < ANY_MASK:
        return wear_any_mask(patch, face, rng)
    if kind < ANY_MASK + OCCLUDED:
        occlude(patch, face, rng)
    return patch


def crop(patch: Picture, face: Floats, rng: Generator) -> tuple[Picture, Floats]:
    """Draw one training crop (96, 96, 3) of a patch, and where its landmarks are (5, 2), in its pixels."""
    patch = patch.copy()
    if rng.random() < 0.5:
        patch = np.ascontiguousarray(patch[:, ::-1])
        # A pixel's centre has a whole coordinate, so that the mirror lies between the middle ones.
        face = mirrored(face[None], PATCH.size - 1)[0]
    patch, _ = filmed(put_on(patch, face, rng), rng)
    ended(patch, rng)
    return cut_out(patch, face[4:14].reshape(5, 2), rng)
