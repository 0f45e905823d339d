"""A person for a scene: a composite's head, cut out softly, on a drawn body; or somebody who holds up a photograph.

All fourteen composites share one geometry, so lengths here are in pixels of a composite of 480 x 480 (`U`); a scene
scales them. The body is drawn and covers the white shirt that all of them wear.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Pixels
from facegate.vision.composites import Composite
from facegate.vision.porch import Colour, clipped

Plane = NDArray[np.float32]
"""float32, values in [0, 1], shape (height, width)."""

#: Composites' face: its box is this wide, and centred here.
FACE_WIDTH: Final = 156.0
FACE_CENTRE: Final = (241.0, 234.0)
JACKETS: Final[tuple[Colour, ...]] = (
    (96, 66, 40),
    (52, 60, 128),
    (70, 92, 60),
    (62, 62, 66),
    (120, 98, 60),
    (64, 96, 140),
    (88, 52, 84),
    (110, 112, 116),
)
TROUSERS: Final[Colour] = (66, 54, 48)
SKIN: Final[Colour] = (140, 168, 214)
#: Right half of a jacket's outline from the collar down, (x from the middle, y).
JACKET: Final = (
    (58, 374),
    (74, 366),
    (118, 396),
    (176, 424),
    (206, 478),
    (224, 660),
    (236, 900),
    (222, 1000),
    (0, 1000),
)
LEG: Final = ((150, 990), (156, 1400), (150, 1800), (62, 1800), (46, 1400), (8, 1040), (8, 990))
SHOE: Final = ((160, 1786), (172, 1850), (48, 1850), (60, 1786))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a figure's face goes: its middle and width in pixels of the scene, and the lean of the whole in degrees."""

    x: float
    y: float
    face: float
    lean: float = 0.0

    @property
    def matrix(self) -> NDArray[np.float64]:
        """float64, shape (2, 3): from a composite's pixels to the scene's."""
        matrix = np.asarray(cv2.getRotationMatrix2D(FACE_CENTRE, self.lean, self.face / FACE_WIDTH), np.float64)
        matrix[:, 2] += np.array((self.x, self.y)) - FACE_CENTRE
        return matrix

    def points(self, outline: tuple[tuple[float, float], ...], side: int = 1) -> NDArray[np.int32]:
        """Bring an outline (x from the figure's middle, y) into the scene, in sixteenths of a pixel."""
        half = np.array([(FACE_CENTRE[0] + side * x, y, 1) for x, y in outline])
        return np.asarray(np.rint(half @ self.matrix.T * 16), np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Something to lay over a scene: colour times cover (float32, 0 to 255), and cover in [0, 1]."""

    colour: NDArray[np.float32]
    cover: Plane

    def over(self, picture: Pixels) -> Pixels:
        """Lay it over a picture."""
        return clipped(picture * (1 - self.cover[..., None]) + self.colour)


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """A head: colour times cover, and cover, each of the composite's size."""

    colour: NDArray[np.float32]
    cover: Plane


@lru_cache(maxsize=16)
def head(person: Composite, number: int) -> Cutout:
    """Cut head and neck out of picture `number`, softly, and take the backdrop's light out of the hair."""
    picture = person.picture(number).astype(np.float32)
    backdrop = fitted_backdrop(picture)
    away = cv2.GaussianBlur(np.abs(picture - backdrop).max(axis=2), (0, 0), 1.2)
    cover = smooth_step(np.asarray(away, np.float32), 12, 40)
    cover = np.asarray(cv2.morphologyEx(cover, cv2.MORPH_CLOSE, np.ones((9, 9))), np.float32)
    # The rim holds the backdrop's light: leave it out, and soften what is left.
    cover = np.asarray(cv2.GaussianBlur(cv2.erode(cover, np.ones((5, 5))), (0, 0), 1.3), np.float32)
    cover = np.maximum(cover, certain()) * possible()
    # Where the cover is partial, the pixel holds that much of the backdrop: take it out, as far as it goes.
    clean = np.clip(picture - (1 - cover[..., None]) * backdrop, 0, None)
    return Cutout(np.minimum(clean, picture * cover[..., None]).astype(np.float32), cover)


def fitted_backdrop(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fit a surface of second degree to the sides and the top of a composite: its nearly even background."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height - 0.5
    sides = (y < 0.2) & (np.abs(x) > 0.32) | (y < -0.42)  # noqa: PLR2004 - beside the head, and above it
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    weights = np.linalg.lstsq(terms[sides], picture[sides], rcond=None)[0]
    return np.asarray(np.clip(terms @ weights, 0, 255), np.float32)


def smooth_step(values: Plane, low: float, high: float) -> Plane:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


@lru_cache(maxsize=1)
def certain() -> Plane:
    """Where every composite has face or neck."""
    mask = np.zeros((480, 480), np.float32)
    cv2.ellipse(mask, (241, 238), (62, 98), 0, 0, 360, 1.0, -1)
    cv2.rectangle(mask, (205, 310), (277, 420), 1.0, -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 4), np.float32)


@lru_cache(maxsize=1)
def possible() -> Plane:
    """Where a composite may have head or neck; what is elsewhere is shirt."""
    mask = np.zeros((480, 480), np.float32)
    cv2.ellipse(mask, (241, 212), (128, 172), 0, 0, 360, 1.0, -1)
    cv2.rectangle(mask, (178, 330), (304, 420), 1.0, -1)
    cv2.rectangle(mask, (0, 402), (480, 480), 0.0, -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 5), np.float32)


def standing(person: Composite, number: int, place: Place, size: tuple[int, int]) -> Layer:
    """Return a person who stands at a place of a scene of `size` (width, height)."""
    cutout = head(person, number)
    body = Layer(np.zeros((size[1], size[0], 3), np.float32), np.zeros((size[1], size[0]), np.float32))
    clothe(body, place, JACKETS[int(person.key[-2:]) % len(JACKETS)])
    # The head lies under the collar, so only what the body leaves of it shows.
    shrink = place.face < FACE_WIDTH / 2
    blurred = [
        cv2.GaussianBlur(part, (0, 0), 0.4 * FACE_WIDTH / place.face) if shrink else part
        for part in (cutout.colour, cutout.cover)
    ]
    colour, cover = (cv2.warpAffine(part, place.matrix, size, flags=cv2.INTER_LINEAR) for part in blurred)
    seen = 1 - body.cover
    return Layer(
        np.asarray(body.colour + colour * seen[..., None], np.float32),
        np.asarray(body.cover + cover * seen, np.float32),
    )


def clothe(layer: Layer, place: Place, jacket: Colour) -> None:
    """Draw trousers, shoes and a jacket with collar, zip and sleeves, shaded to look round."""
    scale = place.face / FACE_WIDTH
    for side in (-1, 1):
        fill(layer, place.points(LEG, side), TROUSERS)
        fill(layer, place.points(SHOE, side), (40, 38, 38))
    collar = tuple((58 * np.sin(t), 374 + 20 * np.cos(t)) for t in np.linspace(-1.5, 1.5, 13))
    left = tuple((-x, y) for x, y in reversed(JACKET[:-1]))
    fill(layer, place.points((*collar, *JACKET, *left)), jacket)
    lines: list[tuple[tuple[tuple[float, float], ...], float, float]] = [
        (collar, 13, 0.62),
        (((-150, 440), (-60, 404), (0, 408), (60, 404), (150, 440)), 22, 0.86),
        (((0, 394), (2, 700), (0, 1000)), 4, 0.6),
        (((150, 560), (164, 760), (168, 1000)), 7, 0.66),
        (((-150, 560), (-164, 760), (-168, 1000)), 7, 0.66),
        (((70, 640), (110, 690), (150, 700)), 6, 0.86),
        (((-60, 760), (-100, 800), (-150, 806)), 6, 0.86),
    ]
    shade = np.ones(layer.cover.shape, np.float32)
    for points, width, tone in lines:
        cv2.polylines(shade, [place.points(points)], False, tone, max(1, round(width * scale)), cv2.LINE_AA, 4)  # noqa: FBT003 - open
    shade = np.asarray(cv2.GaussianBlur(shade, (0, 0), max(0.5, 2.5 * scale)), np.float32)
    across = (np.arange(layer.cover.shape[1], dtype=np.float32) - place.x) / (230 * scale)
    layer.colour[:] *= (shade * (0.6 + 0.52 * np.cos(np.clip(1.15 * across - 0.3, -1.4, 1.4))))[..., None]
    np.clip(layer.colour, 0, 255 * layer.cover[..., None], out=layer.colour)


def fill(layer: Layer, outline: NDArray[np.int32], colour: Colour) -> None:
    """Fill an outline (sixteenths of a pixel) with a colour, its edge softened."""
    height, width = layer.cover.shape
    low, high = outline.min(axis=0) // 16 - 4, outline.max(axis=0) // 16 + 5
    left, top, right, bottom = (int(v) for v in (*np.clip(low, 0, (width, height)), *np.clip(high, 0, (width, height))))
    if left >= right or top >= bottom:
        return
    part = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(part, [outline - np.array((left * 16, top * 16), np.int32)], 255, cv2.LINE_AA, 4)
    soft = np.asarray(cv2.GaussianBlur(part, (0, 0), 0.8), np.float32)[..., None] / 255
    where = (slice(top, bottom), slice(left, right))
    layer.colour[where] = layer.colour[where] * (1 - soft) + soft * np.array(colour, np.float32)
    layer.cover[where] = layer.cover[where] * (1 - soft[..., 0]) + soft[..., 0]


def holding(person: Composite, number: int, place: Place, size: tuple[int, int]) -> Layer:
    """Return somebody in a hood who holds a printed photograph of a person before the face."""
    layer = Layer(np.zeros((size[1], size[0], 3), np.float32), np.zeros((size[1], size[0]), np.float32))
    behind = Place(place.x + 6, place.y - 0.1 * place.face, place.face * 0.95)
    clothe(layer, behind, JACKETS[3])
    hood = tuple((132 * np.sin(t), 226 + 190 * np.cos(t)) for t in np.linspace(0, 2 * np.pi, 40))
    fill(layer, behind.points(hood), (54, 54, 58))
    paper = ((-176, 20), (176, 20), (176, 452), (-176, 452))
    for side in (-1, 1):
        arm = ((150, 560), (210, 600), (236, 452), (214, 372), (168, 380), (160, 470))
        fill(layer, place.points(arm, side), (58, 58, 62))
    fill(layer, place.points(paper), (232, 236, 238))
    whole = person.picture(number)
    print_ = np.full(whole.shape, 0, np.float32)
    print_[38:436, 84:398] = 1
    window = np.asarray(cv2.warpAffine(print_, place.matrix, size, flags=cv2.INTER_LINEAR), np.float32)
    # Ink on paper has less contrast than a face.
    shown = np.asarray(cv2.warpAffine(whole, place.matrix, size, flags=cv2.INTER_LINEAR), np.float32) * 0.82 + 22
    layer.colour[:] = layer.colour * (1 - window) + shown * window
    for side in (-1, 1):
        for finger in range(4):
            y = 330 + 22 * finger
            tip = ((182, y - 9), (150, y - 8), (143, y), (150, y + 8), (182, y + 9))
            fill(layer, place.points(tip, side), SKIN)
    return layer
