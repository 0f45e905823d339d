# ruff: noqa: ARG005, PLR2004 - a condition that needs no randomness is given it all the same; chances and strengths of a draw stand where it is drawn
"""The conditions that detectors are compared under: one clean, the others spoiled in a fixed and stated way.

A condition takes a clean picture and gives the spoiled one and the similarity (2, 3) that it moved the picture by.
Strengths are fixed; noise is drawn from a generator that the caller seeds for each picture.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.detector.recipe import degrade

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
Condition = Callable[[Picture, Generator], tuple[Picture, Floats]]

STILL = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


def turned(picture: Picture, degrees: float) -> tuple[Picture, Floats]:
    """Turn about the middle; the corners that come in are black."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0).astype(np.float32)
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height)), np.uint8), matrix


def _still(change: Callable[[Picture, Generator], Picture]) -> Condition:
    return lambda picture, rng: (change(picture, rng), STILL)


def _smoothed(picture: Picture, sigma: float) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def _worst(picture: Picture, rng: Generator) -> tuple[Picture, Floats]:
    """Grey, dark, blurred, noisy and turned at once."""
    picture, matrix = turned(picture, -20 if rng.random() < 0.5 else 20)
    picture = degrade.darkened(degrade.grey(_smoothed(picture, 2.0)), 0.25, 1.0)
    return degrade.noisy(picture, 4.0, rng), matrix


CONDITIONS: dict[str, Condition] = {
    "clean": _still(lambda picture, rng: picture),
    "dark (light x 0.2)": _still(lambda picture, rng: degrade.darkened(picture, 0.2, 1.0)),
    "very dark (x 0.07, noise 2)": _still(lambda p, rng: degrade.noisy(degrade.darkened(p, 0.07, 1.0), 2.0, rng)),
    "blurred (sigma 3)": _still(lambda picture, rng: _smoothed(picture, 3.0)),
    "blurred (sigma 5)": _still(lambda picture, rng: _smoothed(picture, 5.0)),
    "moved (11 pixels)": _still(lambda picture, rng: degrade.moved(picture, 11, rng.uniform(0, np.pi))),
    "grey": _still(lambda picture, rng: degrade.grey(picture)),
    "infrared": _still(degrade.infrared),
    "noise (deviation 25)": _still(lambda picture, rng: degrade.noisy(picture, 25.0, rng)),
    "JPEG (quality 10)": _still(lambda picture, rng: degrade.jpeg(picture, 10)),
    "turned by 20 degrees": lambda picture, rng: turned(picture, 20 if rng.random() < 0.5 else -20),
    "grey, dark, blurred, noisy, turned": _worst,
}
