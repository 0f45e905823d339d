# ruff: noqa: PLR2004 - chances and strengths of a draw stand where it is drawn
"""What a door camera does to a picture: little light, noise, infrared, blur, few pixels, JPEG.

Every function takes and gives uint8 pictures (h, w, 3), BGR, of the same size; geometry is never touched, so labels
stay true. `spoil` draws a chain of them; the blur that it used is given back, because a face that is blurred away
must not be asked for.
"""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]


def _bytes(values: NDArray[np.floating]) -> Picture:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def darkened(picture: Picture, gain: float, gamma: float) -> Picture:
    """Scale the light by `gain` (0..1) after a power curve; values are rounded, so shades are lost as in a camera."""
    table = _bytes(255 * gain * (np.arange(256) / 255) ** gamma + 0.5)
    return np.asarray(cv2.LUT(picture, table), np.uint8)


def stretched(picture: Picture, low: float, high: float) -> Picture:
    """Contrast: `low` becomes black and `high` white."""
    table = _bytes((np.arange(256) - low) * 255 / max(high - low, 1.0))
    return np.asarray(cv2.LUT(picture, table), np.uint8)


def grey(picture: Picture) -> Picture:
    """No colour, three equal channels."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


def infrared(picture: Picture, rng: Generator) -> Picture:
    """Night view: mostly the red channel (skin is bright), a lamp in the middle that falls off to the corners."""
    height, width = picture.shape[:2]
    weights = np.array([[rng.uniform(0, 0.3), rng.uniform(0, 0.4), rng.uniform(0.5, 1.0)]], np.float32)
    plane = cv2.transform(picture, weights / weights.sum()).astype(np.float32)
    x0, y0 = rng.uniform(0.25, 0.75, 2)
    x, y = np.linspace(0, 1, width) - x0, np.linspace(0, 1, height) - y0
    lamp = np.exp(-(x[None, :] ** 2 + y[:, None] ** 2) / rng.uniform(0.1, 0.6))
    plane = 255 * (plane / 255) ** rng.uniform(0.5, 1.3) * (rng.uniform(0.15, 0.6) + rng.uniform(0.5, 1.1) * lamp)
    return np.repeat(_bytes(plane)[:, :, None], 3, axis=2)


def tinted(picture: Picture, rng: Generator) -> Picture:
    """Another white balance, exposure and contrast."""
    gains = rng.uniform(0.55, 1.5) * rng.uniform(0.75, 1.25, 3)
    offset = rng.uniform(-40, 40)
    table = _bytes(np.arange(256)[:, None] * gains[None, :] + offset)
    return np.asarray(cv2.LUT(picture, table.reshape(256, 1, 3)), np.uint8)


def lit_from_a_side(picture: Picture, rng: Generator) -> Picture:
    """A slant of light: brightness runs across the picture, one side near black or near white."""
    height, width = picture.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.linspace(-1, 1, width) * np.cos(angle), np.linspace(-1, 1, height) * np.sin(angle)
    ramp = np.clip((x[None, :] + y[:, None]) * rng.uniform(0.4, 1.2) + 0.5, 0, 1)[:, :, None]
    if rng.random() < 0.5:
        return _bytes(picture * (rng.uniform(0.05, 0.4) + ramp))
    return _bytes(picture * (1 - 0.5 * ramp) + ramp * rng.uniform(60, 170))


def noisy(picture: Picture, deviation: float, rng: Generator) -> Picture:
    """Sensor noise, coloured or grey; some of it in grains of more than a pixel."""
    height, width = picture.shape[:2]
    channels = 3 if rng.random() < 0.6 else 1
    coarse = rng.random() < 0.35
    shape = (height // 2, width // 2, channels) if coarse else (height, width, channels)
    grains: NDArray[np.floating] = rng.standard_normal(shape, np.float32) * deviation
    if coarse:
        grains = np.asarray(cv2.resize(grains, (width, height)), np.float32).reshape(height, width, channels)
    return _bytes(picture + grains)


def moved(picture: Picture, length: int, angle: float) -> Picture:
    """Motion blur along a line of `length` pixels at `angle` (radians)."""
    kernel = np.zeros((length, length), np.float32)
    middle, reach = (length - 1) / 2, (length - 1) / 2
    dx, dy = np.cos(angle) * reach, np.sin(angle) * reach
    start, end = (round(middle - dx), round(middle - dy)), (round(middle + dx), round(middle + dy))
    cv2.line(kernel, start, end, 1.0, 1)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.uint8)


def coarsened(picture: Picture, factor: float, rng: Generator) -> Picture:
    """Shrunk by `factor` and enlarged again: a far or cheap camera."""
    height, width = picture.shape[:2]
    size = (max(8, round(width / factor)), max(8, round(height / factor)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    back = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)[int(rng.integers(3))]
    return np.asarray(cv2.resize(small, (width, height), interpolation=back), np.uint8)


def jpeg(picture: Picture, quality: int) -> Picture:
    """Through JPEG and back."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def blurred(picture: Picture, rng: Generator) -> tuple[Picture, float]:
    """One kind of blur, and about how many pixels it smears."""
    kind = rng.random()
    if kind < 0.45:
        sigma = float(np.exp(rng.uniform(np.log(0.6), np.log(5))))
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8), 2 * sigma
    if kind < 0.7:
        length = int(rng.integers(3, 16))
        return moved(picture, length, rng.uniform(0, np.pi)), length / 2
    factor = float(rng.uniform(1.3, 5))
    return coarsened(picture, factor, rng), factor


def dimmed(picture: Picture, rng: Generator) -> Picture:
    """Little light, down to about four of a hundred parts, with the noise that comes with it; sometimes amplified."""
    gain = float(np.exp(rng.uniform(np.log(0.04), np.log(0.7))))
    picture = darkened(picture, gain, rng.uniform(0.9, 2.0))
    picture = noisy(picture, rng.uniform(0, 6), rng)
    if rng.random() < 0.3:
        picture = stretched(picture, 0, max(20.0, 255 * gain * rng.uniform(0.8, 2.0)))
    return picture


def lightly_spoiled(picture: Picture, rng: Generator) -> tuple[Picture, float]:
    """One thing only, as the bar names them: blur, motion, little light, no colour, JPEG; and the blur's width."""
    kind = rng.random()
    if kind < 0.45:
        sigma = float(rng.uniform(1.5, 5.5))
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8), 2 * sigma
    if kind < 0.65:
        length = int(rng.integers(5, 16))
        return moved(picture, length, rng.uniform(0, np.pi)), length / 2
    if kind < 0.8:
        return darkened(picture, float(rng.uniform(0.1, 0.5)), 1.0), 0.0
    if kind < 0.92:
        return grey(picture), 0.0
    return jpeg(picture, int(rng.integers(8, 40))), 0.0


def spoil(picture: Picture, rng: Generator) -> tuple[Picture, float]:
    """Draw what happens to a picture; give it back with the width of its blur in pixels (0 for none)."""
    return (picture, 0.0) if rng.random() < 0.15 else _heavily_spoiled(picture, rng)


def filmed(picture: Picture, rng: Generator) -> tuple[Picture, float]:
    """What training shows: a third as it is, a quarter with one thing wrong, the others as `spoil` does."""
    kind = rng.random()
    if kind < 0.34:
        return picture, 0.0
    return lightly_spoiled(picture, rng) if kind < 0.6 else _heavily_spoiled(picture, rng)


def _heavily_spoiled(picture: Picture, rng: Generator) -> tuple[Picture, float]:
    """Draw a chain of several things."""
    smear = 0.0
    if rng.random() < 0.3:
        picture = tinted(picture, rng)
    if rng.random() < 0.12:
        picture = lit_from_a_side(picture, rng)
    if rng.random() < 0.38:
        picture, smear = blurred(picture, rng)
    colours = rng.random()
    if colours < 0.12:
        picture = infrared(picture, rng)
    elif colours < 0.32:
        picture = grey(picture)
    if rng.random() < 0.33:
        picture = dimmed(picture, rng)
    if rng.random() < 0.25:
        picture = noisy(picture, float(np.exp(rng.uniform(np.log(2), np.log(28)))), rng)
    if rng.random() < 0.45:
        picture = jpeg(picture, int(rng.integers(15, 92)))
    return picture, smear
