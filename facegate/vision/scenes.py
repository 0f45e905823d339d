"""Drawn scenes: people who do not exist on a drawn porch, as a door camera would see them.

`Scene` says what is to be seen, `render` draws it at 1280 x 720, `encode` makes the JPEG that a camera would send.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Pixels
from facegate.vision.composites import Composite
from facegate.vision.figure import Layer, Place, holding, standing
from facegate.vision.porch import HEIGHT, LAMP, WIDTH, clipped, porch

SIZE: Final = (WIDTH, HEIGHT)


class Light(StrEnum):
    """By which light the camera sees."""

    DAY = "day"
    DUSK = "dusk"
    INFRARED = "infrared"


#: Standard deviation of the sensor's noise by each light, grey levels.
NOISE: Final = {Light.DAY: 2.0, Light.DUSK: 5.0, Light.INFRARED: 5.0}


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody in a scene.

    Attributes:
        person: Whose face is seen.
        number: Which picture of them, 0 to 5.
        place: Where.
        printed: It is a photograph of them that somebody else holds up.
    """

    person: Composite
    number: int
    place: Place
    printed: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be seen.

    Attributes:
        light: Daylight, dusk or infrared.
        guests: Who is there, the hindmost first.
        motion: How far the guests move while the shutter is open, pixels.
        blur: Standard deviation of the blur of a camera out of focus, pixels.
    """

    light: Light = Light.DAY
    guests: tuple[Guest, ...] = ()
    motion: float = 0.0
    blur: float = 0.0


def render(scene: Scene, rng: np.random.Generator) -> Pixels:
    """Draw a scene; uint8, shape (720, 1280, 3). The same generator state draws the same picture."""
    picture = porch()
    for guest in scene.guests:
        draw = holding if guest.printed else standing
        layer = moved(draw(guest.person, guest.number, guest.place, SIZE), scene.motion)
        picture = layer.over(shadowed(picture, layer, guest.place.face))
    picture = lit(picture, scene.light)
    if scene.blur > 0:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), scene.blur), np.uint8)
    return noisy(picture, NOISE[scene.light], rng)


def encode(picture: Pixels, quality: int = 88) -> bytes:
    """Encode a picture as JPEG of a quality from 1 to 100."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError("pixels that no JPEG can hold")
    return bytes(data)


def moved(layer: Layer, pixels: float) -> Layer:
    """Smear a layer to the side, as far as it moves while the shutter is open."""
    reach = round(pixels)
    if reach < 2:  # noqa: PLR2004 - a kernel of one pixel is none
        return layer
    colour, cover = (cv2.blur(part, (reach, 1)) for part in (layer.colour, layer.cover))
    return Layer(np.asarray(colour, np.float32), np.asarray(cover, np.float32))


def shadowed(picture: Pixels, layer: Layer, face: float) -> Pixels:
    """Let a figure throw a soft shadow on the wall behind it."""
    shift = np.array([[1, 0, 0.35 * face], [0, 1, 0.12 * face]], np.float32)
    small = cv2.resize(layer.cover, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), 0.03 * face + 1), SIZE)
    dark = np.asarray(cv2.warpAffine(soft, shift, SIZE), np.float32)
    return clipped(picture * (1 - 0.34 * dark[..., None]))


def lit(picture: Pixels, light: Light) -> Pixels:
    """Put a scene into another light."""
    if light is Light.DUSK:
        return clipped(picture * dusk_light())
    if light is Light.INFRARED:
        # The lamps beside the lens light the middle; cloth and brick reflect infrared more alike than colours.
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.float32)
        seen = (40 + 0.8 * grey) * infrared_light()
        return np.repeat(clipped(seen)[..., None], 3, axis=2)
    return picture


@lru_cache(maxsize=1)
def dusk_light() -> NDArray[np.float32]:
    """Return the blue rest of the day with the lamp's warm circle in it, a factor for each channel."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    near = np.exp(-((x - LAMP[0]) ** 2 + (y - LAMP[1]) ** 2) / (2 * 300.0**2))
    flame = np.exp(-((x - LAMP[0]) ** 2 + (y - LAMP[1]) ** 2) / (2 * 42.0**2))
    rest, warm, bright = np.array((0.50, 0.42, 0.38)), np.array((0.10, 0.26, 0.40)), np.array((0.3, 0.55, 0.7))
    return np.asarray(rest + near[..., None] * warm + flame[..., None] * bright, np.float32)


@lru_cache(maxsize=1)
def infrared_light() -> NDArray[np.float32]:
    """Return how bright the camera's own lamps make each place, shape (HEIGHT, WIDTH)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    far = ((x - WIDTH / 2) / (0.62 * WIDTH)) ** 2 + ((y - HEIGHT / 2) / (0.8 * HEIGHT)) ** 2
    return np.asarray(0.3 + 0.72 * np.exp(-1.3 * far), np.float32)


def noisy(picture: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    """Add a sensor's noise, the same in every channel: JPEG halves the colours' resolution anyway."""
    noise = rng.standard_normal((HEIGHT, WIDTH), np.float32) * np.float32(sigma)
    return clipped(picture + noise[..., None])
