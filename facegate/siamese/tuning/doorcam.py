"""Cameras at doors, made up from a seed: what the bench looks at probes with.

Nothing here is shared with `vision.view`, which measures a camera and imitates it: what is learnt from the imitation
has to hold for pictures that came about otherwise. The face is brought to the sensor's size first, and light, noise,
denoising and JPEG happen there; then it is enlarged to the crop, as aligning does.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Pixels
from facegate.siamese.augment import MARGIN
from facegate.vision.align import WIDE
from facegate.vision.view import Light

KINDS: Final = (Light.DAY, Light.DUSK, Light.INFRARED)
NATIVE: Final = 110.0
"""Shorter side of a face's box in a crop, pixels, as it is aligned."""


@dataclass(frozen=True, slots=True)
class DoorCamera:
    """A camera in one light; each picture is a little different.

    Attributes:
        light: By what it sees.
        size: Shorter side of a face, pixels.
        defocus: Blur of the lens, in pixels of the sensor.
        motion: Longest smear, in pixels of the sensor.
        exposure: What the light is multiplied by.
        gamma: Of the camera's curve.
        tint: Of blue, green and red.
        lamp: Where the light stands, (x, y) in [-1, 1], and how much it falls off.
        read: Noise of the dark, grey levels.
        shot: Noise that grows with the root of the light.
        smooth: How much the camera smooths its noise away, grey levels.
        quality: Of its JPEG.
    """

    light: Light
    size: float
    defocus: float
    motion: float
    exposure: float
    gamma: float
    tint: tuple[float, float, float]
    lamp: tuple[float, float, float]
    read: float
    shot: float
    smooth: float
    quality: int

    def picture(self, wide: Pixels, draw: np.random.Generator) -> Pixels:
        """Return the crop (144, 144, 3) of a face as this camera sees it, from a good crop with its border."""
        size = self.size * float(np.exp(draw.normal(0, 0.12)))
        values = _landed(wide, draw)
        side = max(20, round(size * values.shape[0] / NATIVE))
        if side < values.shape[0]:
            values = np.asarray(cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA), np.float32)
        values = self._through_the_lens(values, draw)
        values = self._lit(values, draw)
        picture = _jpeg(self._sensed(values, draw), self.quality)
        crop = cv2.resize(picture, (WIDE.size, WIDE.size), interpolation=cv2.INTER_LINEAR)
        return np.asarray(crop, np.uint8)

    def _through_the_lens(self, values: NDArray[np.float32], draw: np.random.Generator) -> NDArray[np.float32]:
        blur = self.defocus * float(draw.uniform(0.8, 1.25))
        if blur > 0.15:  # noqa: PLR2004 - less is nothing
            values = np.asarray(cv2.GaussianBlur(values, (0, 0), blur), np.float32)
        length = float(draw.uniform(0, self.motion))
        steps = max(1, round(length * 2))
        angle = float(draw.uniform(0, np.pi))
        moved = [
            cv2.warpAffine(
                values,
                np.array([[1, 0, at * np.cos(angle)], [0, 1, at * np.sin(angle)]], np.float64),
                values.shape[1::-1],
                borderMode=cv2.BORDER_REFLECT,
            )
            for at in np.linspace(-length / 2, length / 2, steps)
        ]
        return np.asarray(np.mean(moved, axis=0), np.float32)

    def _lit(self, values: NDArray[np.float32], draw: np.random.Generator) -> NDArray[np.float32]:
        linear = (np.clip(values, 0, 255) / 255.0) ** 2.2
        if self.light is Light.INFRARED:
            # Skin and lips give back much of it, whatever their colour; so does most cloth and dark hair.
            lit = linear @ np.array([0.05, 0.2, 0.75], np.float32)
            linear = np.repeat((0.12 + 0.88 * lit**0.8)[..., None], 3, axis=2)
        else:
            linear *= np.array(self.tint, np.float32)
        across = np.linspace(-1, 1, linear.shape[0])
        x, y, fall = self.lamp
        away = (across[None, :] - x) ** 2 + (across[:, None] - y) ** 2
        exposed = linear * (1.0 / (1.0 + fall * away))[..., None] * self.exposure * float(np.exp(draw.normal(0, 0.15)))
        return np.asarray(exposed, np.float32)

    def _sensed(self, linear: NDArray[np.float32], draw: np.random.Generator) -> Pixels:
        channels = 1 if self.light is Light.INFRARED else 3
        shape = (*linear.shape[:2], channels)
        noise = draw.normal(0, 1, shape) * (self.read / 255.0 + self.shot / 255.0 * np.sqrt(np.clip(linear, 0, 1)))
        values = 255.0 * np.clip(linear + noise, 0, 1) ** (1.0 / self.gamma)
        picture = np.asarray(values, np.uint8)
        if self.smooth > 1:
            picture = np.asarray(cv2.bilateralFilter(picture, 5, self.smooth, 1.5), np.uint8)
        return picture


def door_camera(light: Light, draw: np.random.Generator) -> DoorCamera:
    """Return a camera of a kind, as the draw makes it."""

    def between(low: float, high: float) -> float:
        return float(draw.uniform(low, high))

    dark = light is not Light.DAY
    lamp = (between(-0.3, 0.3), between(-0.4, 0.2), between(0.2, 0.9)) if light is Light.INFRARED else (
        between(-1, 1), between(-1.2, 0), between(0.0, 0.5) if dark else between(0.0, 0.3)
    )  # fmt: skip
    return DoorCamera(
        light=light,
        size=between(32, 54) if dark else between(28, 48),
        defocus=between(0.3, 0.9),
        motion=between(1.0, 3.0) if dark else between(0.5, 2.0),
        exposure=between(0.3, 0.8) if light is Light.DUSK else between(0.6, 1.4),
        gamma=2.2 * between(0.85, 1.15),
        tint=(between(0.5, 0.9), between(0.8, 1.0), between(0.95, 1.15)) if dark else (between(0.85, 1.15),) * 3,
        lamp=lamp,
        read=between(1.0, 3.0) if dark else between(0.3, 1.0),
        shot=between(4.0, 9.0) if dark else between(1.0, 4.0),
        smooth=between(8, 30) if dark else between(0, 10),
        quality=int(draw.integers(30, 70)),
    )


def _landed(wide: Pixels, draw: np.random.Generator) -> NDArray[np.float32]:
    """Cut the crop out of its border as landmarks found in a poor picture would: turned and shifted a little."""
    side = wide.shape[0] - 2 * MARGIN
    centre = (wide.shape[1] / 2, wide.shape[0] / 2)
    turn = cv2.getRotationMatrix2D(centre, float(draw.normal(0, 2.0)), float(draw.uniform(0.95, 1.05)))
    turn = np.asarray(turn, np.float64) + np.column_stack((np.zeros((2, 2)), draw.normal(0, 1.2, 2) - MARGIN))
    crop = cv2.warpAffine(wide, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(crop, np.float32)


def _jpeg(picture: Pixels, quality: int) -> Pixels:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
