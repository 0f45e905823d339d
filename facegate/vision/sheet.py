"""Pictures for people: a frame with its decision drawn in, and a sheet of many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from facegate.core.frame import Box, Pixels

GRANTED: Final = (82, 158, 46)
DENIED: Final = (54, 54, 204)
PAPER: Final = (250, 250, 250)
INK: Final = (40, 40, 40)
FONT: Final = cv2.FONT_HERSHEY_DUPLEX
TILE_WIDTH: Final = 400
STRIP: Final = 46
GAP: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One picture of a contact sheet.

    Attributes:
        picture: What the camera saw; None if that was no picture.
        title: What is to be seen, first line below it.
        verdict: Who was let in, or why not; second line.
        granted: Green frame or red.
        box: Where the judged face is, if there is one.
    """

    picture: Pixels | None
    title: str
    verdict: str
    granted: bool
    box: Box | None = None


def annotate(picture: Pixels, box: Box | None, caption: str, granted: bool) -> Pixels:
    """Return a copy with the face framed and a caption below, green for a grant and red for a deny."""
    colour = GRANTED if granted else DENIED
    framed = picture.copy()
    draw_box(framed, box, colour, max(2, picture.shape[1] // 420))
    strip = np.full((max(24, picture.shape[1] // 26), picture.shape[1], 3), colour, np.uint8)
    write(strip, caption, (10, strip.shape[0] * 3 // 4), strip.shape[0] / 44, PAPER)
    return np.vstack([framed, strip])


def contact_sheet(tiles: Sequence[Tile], columns: int = 5) -> Pixels:
    """Lay tiles out in rows: picture, then a strip that says who was let in and why."""
    columns = max(1, min(columns, len(tiles)))
    height = TILE_WIDTH * 9 // 16 + STRIP
    rows = math.ceil(len(tiles) / columns)
    sheet = np.full((rows * (height + GAP) + GAP, columns * (TILE_WIDTH + GAP) + GAP, 3), PAPER, np.uint8)
    for at, tile in enumerate(tiles):
        top, left = GAP + at // columns * (height + GAP), GAP + at % columns * (TILE_WIDTH + GAP)
        sheet[top : top + height, left : left + TILE_WIDTH] = drawn(tile, height)
    return sheet


def drawn(tile: Tile, height: int) -> Pixels:
    """Draw one tile, `TILE_WIDTH` x `height`."""
    colour = GRANTED if tile.granted else DENIED
    panel = np.full((height, TILE_WIDTH, 3), PAPER, np.uint8)
    shown = panel[: height - STRIP]
    if tile.picture is None:
        shown[:] = (206, 206, 206)
        write(shown, "no picture", (TILE_WIDTH // 2 - 56, shown.shape[0] // 2), 0.6, INK)
    else:
        framed = tile.picture.copy()
        draw_box(framed, tile.box, colour, max(2, framed.shape[1] // 300))
        fitted(framed, shown)
    write(panel, tile.title, (8, height - STRIP + 18), 0.44, INK)
    write(panel, tile.verdict, (8, height - STRIP + 37), 0.44, colour)
    cv2.rectangle(panel, (0, 0), (TILE_WIDTH - 1, height - 1), colour, 3)
    return panel


def fitted(picture: Pixels, onto: Pixels) -> None:
    """Scale a picture into a field, whole and in the middle."""
    scale = min(onto.shape[0] / picture.shape[0], onto.shape[1] / picture.shape[1])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (onto.shape[0] - size[1]) // 2, (onto.shape[1] - size[0]) // 2
    onto[top : top + size[1], left : left + size[0]] = small


def draw_box(picture: Pixels, box: Box | None, colour: tuple[int, int, int], width: int) -> None:
    """Frame a face."""
    if box is None:
        return
    start = round(box.x), round(box.y)
    end = round(box.x + box.width), round(box.y + box.height)
    cv2.rectangle(picture, start, end, colour, width, cv2.LINE_AA)


def write(picture: Pixels, text: str, at: tuple[int, int], scale: float, colour: tuple[int, int, int]) -> None:
    """Write a line, smaller if it would not fit; OpenCV's fonts have ASCII only."""
    plain = text.encode("ascii", "replace").decode()
    (width, _), _ = cv2.getTextSize(plain, FONT, scale, 1)
    room = picture.shape[1] - 2 * at[0]
    cv2.putText(picture, plain, at, FONT, min(scale, scale * room / max(1, width)), colour, 1, cv2.LINE_AA)
