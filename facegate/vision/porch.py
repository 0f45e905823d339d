"""A porch that is drawn: brick wall, door, lamp, plant, paving. The stage of the demo's scenes."""

from functools import lru_cache
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Pixels

WIDTH: Final = 1280
HEIGHT: Final = 720
#: Where the wall ends and the paving begins.
GROUND: Final = 612
#: The lamp's flame, (x, y).
LAMP: Final = (770, 188)

Colour = tuple[int, int, int]
"""Blue, green, red, 0 to 255."""

DOOR: Final[Colour] = (86, 70, 38)
FRAME: Final[Colour] = (222, 228, 230)
BRASS: Final[Colour] = (92, 168, 200)
IRON: Final[Colour] = (46, 44, 44)


@lru_cache(maxsize=1)
def porch() -> Pixels:
    """Draw the empty porch by plain daylight; always the same, and not to be written to."""
    rng = np.random.default_rng(7)
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    draw_bricks(picture, rng)
    draw_paving(picture, rng)
    draw_door(picture)
    draw_lamp(picture)
    draw_plant(picture, rng)
    picture = shaded(picture, rng)
    picture.setflags(write=False)
    return picture


def jittered(colour: Colour, rng: np.random.Generator, by: float) -> Colour:
    """Return a colour a little lighter or darker, and a little off."""
    moved = np.clip(np.array(colour) + rng.normal(0, by) + rng.normal(0, by / 3, 3), 0, 255).astype(int)
    return int(moved[0]), int(moved[1]), int(moved[2])


def draw_bricks(picture: Pixels, rng: np.random.Generator) -> None:
    """Lay bricks in running bond down to the ground."""
    picture[:] = (168, 176, 182)
    for row, top in enumerate(range(-4, GROUND, 27)):
        for left in range(-37 * (row % 2), WIDTH, 75):
            tone = jittered((104, 122, 168), rng, 9)
            cv2.rectangle(picture, (left + 2, top + 2), (left + 72, top + 24), tone, -1, cv2.LINE_AA)
            cv2.line(picture, (left + 2, top + 24), (left + 72, top + 24), jittered((80, 94, 130), rng, 5), 1)
    cv2.rectangle(picture, (0, GROUND - 34), (WIDTH, GROUND), (140, 146, 148), -1)
    cv2.line(picture, (0, GROUND - 34), (WIDTH, GROUND - 34), (196, 200, 202), 2)


def draw_paving(picture: Pixels, rng: np.random.Generator) -> None:
    """Lay slabs that run to a point behind the wall."""
    edges = np.array([0, 22, 52, HEIGHT - GROUND + 1]) + GROUND
    columns = np.arange(-14, 15)
    for near, (top, bottom) in enumerate(pairwise(edges)):
        for column in columns:
            x = [
                [640 + (c + 0.5 * (near % 2)) * (104 + 0.9 * (y - GROUND)) for c in (column, column + 1)]
                for y in (top, bottom)
            ]
            slab = np.array([(x[0][0], top), (x[0][1], top), (x[1][1], bottom), (x[1][0], bottom)])
            cv2.fillPoly(picture, [slab.round().astype(np.int32)], jittered((146, 152, 156), rng, 6), cv2.LINE_AA)
            cv2.polylines(picture, [slab.round().astype(np.int32)], True, (112, 118, 122), 1, cv2.LINE_AA)  # noqa: FBT003


def draw_door(picture: Pixels) -> None:
    """Hang a door of boards with a pane, a handle and a letter slot."""
    left, right, top = 868, 1122, 92
    cv2.rectangle(picture, (left - 26, top - 26), (right + 26, GROUND + 4), FRAME, -1)
    cv2.rectangle(picture, (left - 26, top - 26), (right + 26, GROUND + 4), (176, 182, 184), 2)
    cv2.rectangle(picture, (left, top), (right, GROUND + 2), DOOR, -1)
    for groove in range(left + 32, right - 10, 38):
        cv2.line(picture, (groove, top + 4), (groove, GROUND), (58, 46, 24), 2, cv2.LINE_AA)
        cv2.line(picture, (groove + 2, top + 4), (groove + 2, GROUND), (112, 94, 56), 1, cv2.LINE_AA)
    cv2.rectangle(picture, (left, GROUND - 60), (right, GROUND + 2), (78, 62, 32), -1)
    cv2.line(picture, (left, GROUND - 60), (right, GROUND - 60), (118, 100, 60), 2, cv2.LINE_AA)
    pane = picture[top + 30 : top + 200, left + 34 : right - 34]
    pane[:] = np.linspace((150, 128, 104), (86, 74, 62), pane.shape[0])[:, None]
    cv2.fillPoly(pane, [np.array([(20, 0), (70, 0), (10, 170), (0, 170), (0, 60)])], (172, 152, 130), cv2.LINE_AA)
    cv2.rectangle(picture, (left + 33, top + 29), (right - 34, top + 200), (60, 48, 26), 3)
    middle = (left + right) // 2
    cv2.rectangle(picture, (middle - 42, top + 218), (middle + 42, top + 234), BRASS, -1)
    cv2.rectangle(picture, (middle - 34, top + 223), (middle + 34, top + 229), (60, 110, 134), -1)
    cv2.circle(picture, (left + 20, top + 300), 11, BRASS, -1, cv2.LINE_AA)
    cv2.circle(picture, (left + 17, top + 297), 4, (170, 222, 240), -1, cv2.LINE_AA)


def draw_lamp(picture: Pixels) -> None:
    """Hang a lantern on the wall beside the door."""
    x, y = LAMP
    cv2.rectangle(picture, (x - 7, y - 84), (x + 7, y - 40), IRON, -1)
    cv2.fillPoly(
        picture, [np.array([(x - 30, y - 34), (x + 30, y - 34), (x + 9, y - 56), (x - 9, y - 56)])], IRON, cv2.LINE_AA
    )
    glass = np.array([(x - 26, y - 34), (x + 26, y - 34), (x + 18, y + 34), (x - 18, y + 34)])
    cv2.fillPoly(picture, [glass], (196, 226, 240), cv2.LINE_AA)
    cv2.ellipse(picture, (x, y + 4), (9, 20), 0, 0, 360, (232, 248, 254), -1, cv2.LINE_AA)
    cv2.polylines(picture, [glass], True, IRON, 3, cv2.LINE_AA)  # noqa: FBT003 - closed
    cv2.line(picture, (x, y - 34), (x, y + 34), IRON, 2, cv2.LINE_AA)
    cv2.rectangle(picture, (x - 21, y + 34), (x + 21, y + 42), IRON, -1)


def draw_plant(picture: Pixels, rng: np.random.Generator) -> None:
    """Put a shrub in a pot at the left."""
    pot = np.array([(64, 500), (206, 500), (190, 652), (80, 652)])
    cv2.fillPoly(picture, [pot], (82, 104, 150), cv2.LINE_AA)
    cv2.rectangle(picture, (56, 486), (214, 512), (92, 116, 166), -1, cv2.LINE_AA)
    for _ in range(420):
        angle, far = rng.uniform(0, np.pi * 2), np.sqrt(rng.uniform(0, 1))
        x, y = int(135 + 112 * far * np.cos(angle)), int(372 + 128 * far * np.sin(angle))
        tone = jittered((58, 104, 66), rng, 17)
        cv2.ellipse(picture, (x, y), (15, 5), float(rng.uniform(0, 180)), 0, 360, tone, -1, cv2.LINE_AA)


def shaded(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Lay uneven light and grain over the drawing, so that nothing is quite even."""
    grain = rng.normal(0, 5, (HEIGHT, WIDTH, 1)).astype(np.float32)
    patches = smooth_noise(rng, 90) * 9 + smooth_noise(rng, 12) * 4
    fall = np.linspace(1.06, 0.92, HEIGHT, dtype=np.float32)[:, None, None]
    return clipped(cv2.GaussianBlur(picture, (0, 0), 0.8) * fall + patches[..., None] + grain)


def smooth_noise(rng: np.random.Generator, cell: int) -> NDArray[np.float32]:
    """Return noise of unit variance or less whose patches are `cell` pixels large, shape (HEIGHT, WIDTH)."""
    small = rng.normal(0, 1, (HEIGHT // cell + 2, WIDTH // cell + 2)).astype(np.float32)
    return np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.float32)


def clipped(values: NDArray[np.floating]) -> Pixels:
    """Return pixels from real numbers."""
    return np.asarray(cv2.convertScaleAbs(np.maximum(values, 0)), np.uint8)
