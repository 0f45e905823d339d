"""What a door does to a face: dusk, infrared, blur, a few pixels, JPEG, sun from behind, masks, caps, sunglasses.

Works on aligned crops with a border (`MARGIN` pixels on each side), so that small turns and shifts bring in picture and
not black. Because crops are aligned, the places of eyes, nose and mouth are those of the template, and a mask can be
painted without looking for them. A crop may show more than the aligned face, which then lies in its middle. Every
function takes uint8 (h, w, 3), blue, green, red, and gives the same.
"""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.vision.align import ALIGNMENT, STORED, WIDE

Crop = NDArray[np.uint8]
Effect = Callable[[Crop, np.random.Generator], Crop]

MARGIN: Final = (STORED.size - WIDE.size) // 2
"""Border of a stored crop, pixels, on each side of what a network sees."""
UNIT: Final = ALIGNMENT.size
"""Pixels of the aligned face: 1 in outlines of what is worn."""


def _as_crop(values: NDArray[np.floating]) -> Crop:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


# --- place ----------------------------------------------------------------------------------------------------------


def place(wide: Crop, draw: np.random.Generator) -> Crop:
    """Cut the crop out of its border, turned, scaled, shifted a little, mirrored in half of the cases."""
    side = wide.shape[0] - 2 * MARGIN
    centre = (wide.shape[1] / 2, wide.shape[0] / 2)
    turn = cv2.getRotationMatrix2D(centre, float(draw.normal(0, 2.5)), float(draw.uniform(0.95, 1.07)))
    turn = np.asarray(turn, np.float64) + np.column_stack((np.zeros((2, 2)), draw.normal(0, 1.2, 2) - MARGIN))
    crop = cv2.warpAffine(wide, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(crop[:, ::-1] if draw.random() < 0.5 else crop, np.uint8)  # noqa: PLR2004


def plain(wide: Crop) -> Crop:
    """Cut the crop out of its border as it is."""
    return wide[MARGIN:-MARGIN, MARGIN:-MARGIN]


# --- optics and sensor ----------------------------------------------------------------------------------------------


def motion_blur(crop: Crop, draw: np.random.Generator) -> Crop:
    """Smear along a random direction over 3 to 13 pixels."""
    length = int(draw.integers(3, 14))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1.0 / length
    turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), float(draw.uniform(0, 180)), 1.0)
    kernel = np.asarray(cv2.warpAffine(kernel, turn, (length, length)), np.float32)
    return np.asarray(cv2.filter2D(crop, -1, kernel / kernel.sum()), np.uint8)


def soft_focus(crop: Crop, draw: np.random.Generator) -> Crop:
    """Blur by a Gaussian of 0.6 to 3 pixels."""
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), float(draw.uniform(0.6, 3.0))), np.uint8)


def few_pixels(crop: Crop, draw: np.random.Generator) -> Crop:
    """Shrink the face to 18 to 64 pixels and enlarge it again, as a far face is."""
    side = round(float(np.exp(draw.uniform(np.log(18), np.log(64)))) * crop.shape[0] / UNIT)
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    way = cv2.INTER_LINEAR if draw.random() < 0.7 else cv2.INTER_CUBIC  # noqa: PLR2004
    return np.asarray(cv2.resize(small, crop.shape[1::-1], interpolation=way), np.uint8)


def jpeg(crop: Crop, draw: np.random.Generator) -> Crop:
    """Encode as JPEG of quality 12 to 60 and decode."""
    _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(draw.integers(12, 61))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def noise(crop: Crop, draw: np.random.Generator) -> Crop:
    """Add noise of a standard deviation of 3 to 20 grey levels."""
    return _as_crop(crop + draw.normal(0, draw.uniform(3, 20), crop.shape))


# --- light ----------------------------------------------------------------------------------------------------------


def dusk(crop: Crop, draw: np.random.Generator) -> Crop:
    """Darken by gamma and gain, with the noise that comes with it."""
    dark = 255.0 * (crop / 255.0) ** draw.uniform(1.2, 2.6) * draw.uniform(0.35, 1.0)
    return _as_crop(dark + draw.normal(0, draw.uniform(0, 8), crop.shape))


def glare(crop: Crop, draw: np.random.Generator) -> Crop:
    """Brighten by gamma and gain until parts are burnt out."""
    return _as_crop(255.0 * (crop / 255.0) ** draw.uniform(0.45, 0.9) * draw.uniform(1.0, 1.5))


def grey(crop: Crop, draw: np.random.Generator) -> Crop:  # noqa: ARG001 - an effect
    """Take the colours away."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


def infrared(crop: Crop, draw: np.random.Generator) -> Crop:
    """Grey as under an infrared lamp: skin and lips bright (red weighs most), a lit middle, noise."""
    weights = np.array([draw.uniform(0, 0.2), draw.uniform(0, 0.3), draw.uniform(0.6, 1.0)])
    lit = crop @ (weights / weights.sum())
    across = np.linspace(-1, 1, crop.shape[0])
    lamp = 1.15 - draw.uniform(0.1, 0.6) * (across[:, None] ** 2 + across[None, :] ** 2)
    values = 255.0 * (np.clip(lit * lamp, 0, 255) / 255.0) ** draw.uniform(0.6, 1.3)
    return _as_crop(np.repeat((values + draw.normal(0, draw.uniform(1, 10), lit.shape))[..., None], 3, axis=2))


def back_light(crop: Crop, draw: np.random.Generator) -> Crop:
    """Lay a bright veil over one side and darken the face."""
    angle = draw.uniform(0, 2 * np.pi)
    across = np.linspace(-1, 1, crop.shape[0])
    ramp = np.cos(angle) * across[None, :] + np.sin(angle) * across[:, None]
    veil = np.clip(ramp, 0, None)[..., None] * draw.uniform(40, 160)
    return _as_crop(crop * draw.uniform(0.4, 0.8) + veil)


def side_light(crop: Crop, draw: np.random.Generator) -> Crop:
    """Light one half of the face more than the other."""
    angle = draw.uniform(0, 2 * np.pi)
    across = np.linspace(-1, 1, crop.shape[0])
    ramp = np.cos(angle) * across[None, :] + np.sin(angle) * across[:, None]
    return _as_crop(crop * (1.0 + draw.uniform(0.2, 0.7) * ramp)[..., None])


def tint(crop: Crop, draw: np.random.Generator) -> Crop:
    """Shift the colour balance and the saturation."""
    mean = crop.mean(axis=2, keepdims=True)
    return _as_crop((mean + (crop - mean) * draw.uniform(0.3, 1.4)) * draw.uniform(0.8, 1.2, 3))


# --- things on the face ---------------------------------------------------------------------------------------------


def _colour(draw: np.random.Generator) -> tuple[int, int, int]:
    """Draw a colour of cloth: white, black, surgical blue, or any."""
    kind = draw.random()
    if kind < 0.6:  # noqa: PLR2004
        base = ((225, 225, 225), (30, 30, 30), (200, 170, 110))[int(draw.integers(3))]
    else:
        base = tuple(draw.integers(0, 256, 3))
    blue, green, red = (int(np.clip(value + draw.normal(0, 12), 0, 255)) for value in base)
    return blue, green, red


def _on(crop: Crop, outline: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return an outline (k, 2) of the aligned face in pixels of a crop in whose middle it lies."""
    return np.asarray(outline * UNIT + (crop.shape[0] - UNIT) / 2, np.float64)


def painted(crop: Crop, corners: NDArray[np.floating], draw: np.random.Generator) -> Crop:
    """Fill a polygon (k, 2), pixels, with cloth: a colour, a light from one side, soft edges."""
    cover = np.zeros(crop.shape[:2], np.float32)
    cv2.fillPoly(cover, [np.round(corners).astype(np.int32)], 1.0, cv2.LINE_AA)
    cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), 0.8), np.float32)[..., None]
    shade = np.linspace(draw.uniform(0.7, 1.1), draw.uniform(0.7, 1.1), crop.shape[1])[None, :, None]
    cloth = np.asarray(_colour(draw), np.float64)[None, None] * shade + draw.normal(0, 4, crop.shape)
    return _as_crop(crop * (1 - cover) + cloth * cover)


CHINS: Final = (1.0, 1.16)
"""How far down masks are worn, of the aligned crop."""


def mask_outline(draw: np.random.Generator, chin: float = 1.02) -> NDArray[np.float64]:
    """Draw the outline of a mask, (9, 2), from the nose to the chin, over the cheeks; an aligned crop's side is 1."""
    outline = np.array(
        [
            *((0.17, 0.60), (0.34, 0.55), (0.50, 0.53), (0.66, 0.55), (0.83, 0.60)),
            *((0.80, 0.85), (0.64, chin), (0.36, chin), (0.20, 0.85)),
        ]
    )
    outline[:5, 1] += draw.uniform(-0.05, 0.12)  # worn high on the nose or low
    return np.asarray(outline + draw.normal(0, 0.015, outline.shape), np.float64)


def mask(crop: Crop, draw: np.random.Generator) -> Crop:
    """Paint a mask from the nose down to the chin or below it, over the cheeks."""
    return painted(crop, _on(crop, mask_outline(draw, draw.uniform(*CHINS))), draw)


def masked(wide: Crop, draw: np.random.Generator) -> Crop:
    """Cut the crop out of its border, somewhere near its place, and paint a mask; else it stays as it is."""
    return mask(place(wide, draw), draw)


def cap(crop: Crop, draw: np.random.Generator) -> Crop:
    """Paint a cap or a hood down to above the brows."""
    brim = draw.uniform(0.18, 0.38)
    outline = np.array([(-0.15, -0.15), (1.15, -0.15), (1.15, brim + 0.08), (0.5, brim), (-0.15, brim + 0.08)])
    return painted(crop, _on(crop, outline + draw.normal(0, 0.015, outline.shape)), draw)


def sunglasses(crop: Crop, draw: np.random.Generator) -> Crop:
    """Paint dark glasses over both eyes."""
    wide, high = draw.uniform(0.12, 0.17) * UNIT, draw.uniform(0.08, 0.13) * UNIT
    cover = np.zeros(crop.shape[:2], np.float32)
    eyes = [(x, 0.4616 + draw.normal(0.01, 0.008)) for x in (0.3156, 0.6826)]
    right, left, *bridge = np.round(_on(crop, np.array([*eyes, (0.42, 0.43), (0.58, 0.43)]))).astype(int).tolist()
    for middle in (right, left):
        cv2.ellipse(cover, middle, (round(wide), round(high)), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    cv2.line(cover, bridge[0], bridge[1], 1.0, 3)
    density = draw.uniform(0.75, 1.0) * cover[..., None]
    return _as_crop(crop * (1 - density) + draw.uniform(5, 60) * density)


def something(crop: Crop, draw: np.random.Generator) -> Crop:
    """Paint a patch anywhere: a hand, a scarf, a post."""
    side = crop.shape[0]
    middle, reach = draw.uniform(0.05, 0.95, 2) * side, draw.uniform(0.1, 0.25, 2) * side
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    return painted(crop, middle + signs * reach + draw.normal(0, 4, (4, 2)), draw)


WORN: Final[tuple[tuple[Effect, float], ...]] = ((mask, 0.3), (sunglasses, 0.07), (cap, 0.1), (something, 0.06))
LIGHTS: Final[tuple[Effect, ...]] = (dusk, dusk, glare, grey, infrared, infrared, back_light, side_light, tint)
OPTICS: Final[tuple[Effect, ...]] = (motion_blur, soft_focus, few_pixels, few_pixels, noise)


def door(wide: Crop, draw: np.random.Generator) -> Crop:
    """Return the crop as a door camera might see it: something worn, light, optics, JPEG, each perhaps."""
    crop = place(wide, draw)
    for effect, chance in WORN:
        if draw.random() < chance:
            crop = effect(crop, draw)
    for effects, chance in ((LIGHTS, 0.5), (OPTICS, 0.45), ((jpeg,), 0.35)):
        if draw.random() < chance:
            crop = effects[int(draw.integers(len(effects)))](crop, draw)
    return crop
