# ruff: noqa: PLR2004 - chances and strengths of a draw stand where it is drawn
"""Things in front of faces, painted with the known landmarks: masks, dark glasses, caps, hands, bars.

The landmarks stay where the teacher saw them on the free face, so the network learns to place hidden points too.
A face is (14,): box x, y, w, h and five points. Pictures (h, w, 3) uint8 are painted in place.
"""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Axes:
    """The face's own axes: `right` from eye to eye as seen, `down` from the eyes to the mouth, as long as the face."""

    def __init__(self, face: Floats) -> None:
        points = face[4:14].reshape(5, 2)
        self.eyes = points[:2].mean(0)
        self.mouth = points[3:].mean(0)
        self.nose = points[2]
        down = self.mouth - self.eyes
        self.down = down / max(float(np.linalg.norm(down)), 1e-3)
        self.right = np.array([self.down[1], -self.down[0]], np.float32)
        self.width, self.height = float(face[2]), float(face[3])
        self.centre = face[:2] + face[2:4] / 2

    def at(self, origin: Floats, right: float, down: float) -> Floats:
        """The point `right` widths and `down` heights of the face away from `origin`."""
        return np.asarray(origin + self.right * right * self.width + self.down * down * self.height, np.float32)


def _colour(rng: Generator) -> tuple[int, int, int]:
    cloth = [(235, 235, 235), (200, 160, 110), (30, 30, 30), (60, 60, 150)][int(rng.integers(4))]
    values = np.clip(np.array(cloth) * rng.uniform(0.6, 1.1) + rng.uniform(-20, 20, 3), 0, 255)
    if rng.random() < 0.3:
        values = rng.uniform(0, 255, 3)
    return int(values[0]), int(values[1]), int(values[2])


def _skin(rng: Generator) -> tuple[int, int, int]:
    light = rng.uniform(0.25, 1.0)
    return int(150 * light), int(180 * light), int(235 * light)


def _polygon(picture: Picture, points: list[Floats], colour: tuple[int, int, int]) -> None:
    cv2.fillPoly(picture, [np.round(np.array(points) * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)


def mask(picture: Picture, axes: Axes, rng: Generator) -> None:
    """A face mask from the bridge of the nose to below the chin, with folds and straps."""
    a, colour = axes, _colour(rng)
    top = a.eyes + (a.nose - a.eyes) * rng.uniform(0.35, 0.8)
    half, reach = rng.uniform(0.42, 0.52), rng.uniform(0.28, 0.36)
    outline = [
        a.at(top, 0, 0), a.at(top, half * 0.5, 0.03), a.at(a.nose, half, 0.0), a.at(a.mouth, half * 0.95, 0.03),
        a.at(a.mouth, half * 0.55, reach), a.at(a.mouth, -half * 0.55, reach), a.at(a.mouth, -half * 0.95, 0.03),
        a.at(a.nose, -half, 0.0), a.at(top, -half * 0.5, 0.03),
    ]  # fmt: skip
    _polygon(picture, outline, colour)
    darker = tuple(int(c * 0.8) for c in colour)
    for fold in (0.02, 0.1, 0.18)[: int(rng.integers(4))]:
        ends = [tuple(int(v) for v in a.at(a.nose, side * half * 0.9, fold)) for side in (-1, 1)]
        cv2.line(picture, ends[0], ends[1], darker, max(1, int(a.width / 60)), cv2.LINE_AA)


def dark_glasses(picture: Picture, axes: Axes, rng: Generator, face: Floats) -> None:
    """Two dark lenses and a bridge."""
    eyes = face[4:8].reshape(2, 2)
    shade = int(rng.integers(5, 60))
    size = (int(axes.width * rng.uniform(0.14, 0.2)), int(axes.width * rng.uniform(0.1, 0.16)))
    angle = float(np.degrees(np.arctan2(axes.right[1], axes.right[0])))
    for x, y in eyes:
        cv2.ellipse(picture, (int(x), int(y)), size, angle, 0, 360, (shade, shade, shade), -1, cv2.LINE_AA)
    ends = [tuple(int(v) for v in eye) for eye in eyes]
    cv2.line(picture, ends[0], ends[1], (shade, shade, shade), max(1, int(axes.width / 25)), cv2.LINE_AA)


def cap(picture: Picture, axes: Axes, rng: Generator) -> None:
    """A cap, hood or fringe: all above a line over the eyes."""
    a, half = axes, rng.uniform(0.5, 0.62)
    brim, crown = -rng.uniform(0.1, 0.22), -rng.uniform(0.45, 0.65)
    outline = [a.at(a.eyes, -half, brim), a.at(a.eyes, -half * 0.8, crown), a.at(a.eyes, half * 0.8, crown),
               a.at(a.eyes, half, brim), a.at(a.eyes, 0, brim + rng.uniform(-0.03, 0.06))]  # fmt: skip
    _polygon(picture, outline, _colour(rng))


def hand(picture: Picture, axes: Axes, rng: Generator) -> None:
    """A palm and some fingers over a part of the lower or side of the face."""
    colour, angle = _skin(rng), rng.uniform(0, 360)
    side = rng.choice([-1.0, 1.0])
    x, y = axes.at(axes.mouth, side * rng.uniform(0.0, 0.45), rng.uniform(-0.1, 0.25))
    palm = (max(2, int(axes.width * rng.uniform(0.15, 0.24))), max(2, int(axes.width * rng.uniform(0.12, 0.2))))
    cv2.ellipse(picture, (int(x), int(y)), palm, angle, 0, 360, colour, -1, cv2.LINE_AA)
    thick, up = max(2, int(axes.width * 0.08)), np.radians(angle)
    for finger in range(4):
        spread = up + (finger - 1.5) * 0.22
        reach = axes.width * rng.uniform(0.3, 0.45)
        tip = (int(x + np.cos(spread) * reach), int(y + np.sin(spread) * reach))
        shade = tuple(int(c * rng.uniform(0.85, 1.0)) for c in colour)
        cv2.line(picture, (int(x), int(y)), tip, shade, thick, cv2.LINE_AA)


def bar(picture: Picture, axes: Axes, rng: Generator) -> None:
    """A post, a phone or another thing over up to a third of the face."""
    centre = axes.at(np.asarray(axes.centre, np.float32), rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6))
    size = axes.width * rng.uniform(0.2, 0.5), axes.height * rng.uniform(0.2, 0.5)
    box = cv2.boxPoints(((float(centre[0]), float(centre[1])), size, float(rng.uniform(0, 180))))
    _polygon(picture, list(box), _colour(rng))


def occlude(picture: Picture, face: Floats, rng: Generator) -> None:
    """Put one of these before the face."""
    axes, kind = Axes(face), rng.random()
    if kind < 0.4:
        mask(picture, axes, rng)
        if rng.random() < 0.2:
            cap(picture, axes, rng)
    elif kind < 0.58:
        dark_glasses(picture, axes, rng, face)
    elif kind < 0.74:
        cap(picture, axes, rng)
    elif kind < 0.88:
        hand(picture, axes, rng)
    else:
        bar(picture, axes, rng)
