# ruff: noqa: PLR2004 - chances and strengths of a draw stand where it is drawn
"""Pictures without faces: drawn textures, crops of scenes, strips of photos beside the faces.

`drawn` needs nothing but a random generator and gives plain colours, gradients, cloud noise, stripes, tiles, blobs,
writing and bright spots. `load_scenes` reads photographic wallpapers, `strips` cuts what lies beside the faces
in photos.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

LONGEST_SCENE = 900
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def _colour(rng: Generator) -> NDArray[np.float32]:
    base = rng.integers(0, 256) + rng.uniform(-60, 60, 3) * (rng.random() < 0.7)
    return np.clip(base, 0, 255).astype(np.float32)


def gradient(size: int, rng: Generator) -> Picture:
    """Two colours, one running into the other."""
    angle, axis = rng.uniform(0, 2 * np.pi), np.linspace(-0.7, 0.7, size, dtype=np.float32)
    ramp = np.clip(axis[None, :] * np.cos(angle) + axis[:, None] * np.sin(angle) + 0.5, 0, 1)[:, :, None]
    return np.asarray(_colour(rng) * (1 - ramp) + _colour(rng) * ramp, np.uint8)


def clouds(size: int, rng: Generator) -> Picture:
    """Noise of several grain sizes laid over one another."""
    channels = 3 if rng.random() < 0.5 else 1
    total = np.zeros((size, size, channels), np.float32)
    weight = 1.0
    for grain in (4, 8, 16, 32, 64, size):
        noise = rng.standard_normal((grain, grain, channels), np.float32)
        total += weight * cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC).reshape(total.shape)
        weight *= rng.uniform(0.3, 1.2)
    total = (total - total.min()) / max(float(np.ptp(total)), 1e-6)
    return np.asarray(_colour(rng) * (1 - total) + _colour(rng) * total, np.uint8)


def stripes(size: int, rng: Generator) -> Picture:
    """Blinds, bricks, tiles, bars: periodic in one or two directions."""
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    angle, wave = rng.uniform(0, np.pi), rng.uniform(4, 60, 2)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    pattern = np.sin(2 * np.pi * u / wave[0])
    if rng.random() < 0.6:
        pattern = np.minimum(pattern, np.sin(2 * np.pi * v / wave[1]))
    edge = rng.uniform(0.5, 8)
    mix = (1 / (1 + np.exp(-np.clip(edge * (pattern - rng.uniform(-0.6, 0.6)), -30, 30))))[:, :, None].astype(
        np.float32
    )
    return np.asarray(_colour(rng) * (1 - mix) + _colour(rng) * mix, np.uint8)


def shapes(size: int, rng: Generator) -> Picture:
    """Ellipses, boxes, dark pairs of spots over a bar (faces of nobody), lines and lights on a gradient."""
    picture = gradient(size, rng)
    for _ in range(int(rng.integers(3, 25))):
        colour = tuple(int(c) for c in _colour(rng))
        x, y = (int(v) for v in rng.integers(0, size, 2))
        w, h = (int(v) for v in np.exp(rng.uniform(np.log(2), np.log(size / 3), 2)))
        kind = rng.random()
        if kind < 0.4:
            cv2.ellipse(picture, (x, y), (w, h), float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind < 0.7:
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour, -1)
        elif kind < 0.85:
            cv2.line(picture, (x, y), (x + w, y - h), colour, int(rng.integers(1, 9)), cv2.LINE_AA)
        else:
            cv2.circle(picture, (x, y), max(2, w // 6), colour, -1, cv2.LINE_AA)
            cv2.circle(picture, (x + w, y), max(2, w // 6), colour, -1, cv2.LINE_AA)
    return picture


def writing(size: int, rng: Generator) -> Picture:
    """Lines of letters and digits, as on signs, screens and number plates."""
    picture = gradient(size, rng)
    letters = np.array(list("ABCDEFGHIKLMNOPQRSTUVWXYZabdefghknopqrstuvxyz0123456789:-%&@8OQ"))
    y = 0
    while y < size:
        scale = float(rng.uniform(0.4, 3))
        y += int(30 * scale)
        text, colour = "".join(rng.choice(letters, 24)), tuple(int(c) for c in _colour(rng))
        font = int(rng.integers(0, 8))
        cv2.putText(
            picture, text, (int(rng.integers(-40, 20)), y), font, scale, colour, int(rng.integers(1, 5)), cv2.LINE_AA
        )
    return picture


def plain(size: int, rng: Generator) -> Picture:
    """One colour with a little grain."""
    return np.asarray(np.clip(_colour(rng) + rng.normal(0, rng.uniform(0, 4), (size, size, 3)), 0, 255), np.uint8)


DRAWN: tuple[Callable[[int, Generator], Picture], ...] = (plain, gradient, clouds, stripes, shapes, writing)


def drawn(size: int, rng: Generator) -> Picture:
    """One of the drawn textures, (size, size, 3)."""
    return DRAWN[int(rng.integers(len(DRAWN)))](size, rng)


def cropped(scenes: list[Picture], size: int, rng: Generator) -> Picture:
    """A random square of a random scene at a random scale, (size, size, 3)."""
    scene = scenes[int(rng.integers(len(scenes)))]
    shorter = min(scene.shape[:2])
    side = int(shorter * rng.uniform(0.25, 1.0)) or 1
    y, x = (int(rng.integers(0, extent - side + 1)) for extent in scene.shape[:2])
    cut = scene[y : y + side, x : x + side]
    cut = cut[:, ::-1] if rng.random() < 0.5 else cut
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cut, (size, size), interpolation=method), np.uint8)


def for_training(name: str) -> bool:
    """Whether a scene belongs to training (seven in ten) or to evaluation, by a hash of the name's first letters.

    Variants of one picture (day, night, wide) begin alike, so they stay on one side.
    """
    return hashlib.sha256(name[:5].lower().encode()).digest()[0] % 10 < 7


def load_scenes(folder: Path, *, training: bool) -> list[Picture]:
    """The wallpapers under `folder` that belong to training or to evaluation, one per distinct file name and size."""
    scenes: dict[str, Picture] = {}
    for path in sorted(folder.rglob("*")):
        key = path.parent.parent.name if path.parent.name == "images" else path.stem
        if path.suffix.lower() not in SUFFIXES or key in scenes or for_training(key) != training:
            continue
        picture = cv2.imread(str(path))
        if picture is None or min(picture.shape[:2]) < 200:
            continue
        scale = min(1.0, LONGEST_SCENE / max(picture.shape[:2]))
        scenes[key] = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return list(scenes.values())


def strips(photo: Picture, faces: Floats) -> list[Picture]:
    """What lies left, right, above and below of all faces (n, 14) of a photo, where it is 48 pixels wide or more."""
    height, width = photo.shape[:2]
    if not len(faces):
        return []
    margin = 0.25 * faces[:, 2:4]
    x0, y0 = np.floor((faces[:, :2] - margin).min(0)).astype(int)
    x1, y1 = np.ceil((faces[:, :2] + faces[:, 2:4] + margin).max(0)).astype(int)
    parts = [photo[:, : max(x0, 0)], photo[:, min(x1, width) :], photo[: max(y0, 0)], photo[min(y1, height) :]]
    return [part for part in parts if min(part.shape[:2]) >= 48 and part.std() > 8]
