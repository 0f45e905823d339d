# ruff: noqa: PLR2004 - chances and strengths of a draw stand where it is drawn
"""Training pictures: labelled photos laid on backdrops at any size, then spoiled as a door camera would.

The teacher saw each photo clean; the geometry that places the photo places its labels, so they stay exact however
dark, blurred or turned the canvas is. A canvas holds one photo that fills it, a mosaic, some scattered photos, or
no face.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.detector.recipe import backdrops
from models.detector.recipe.degrade import filmed
from models.detector.recipe.labels import mirrored
from models.detector.recipe.occlude import occlude

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

SMALLEST_FACE = 10.0
"""Narrower faces on the canvas are neither asked for nor forbidden."""
GREATEST_SMEAR = 0.22
"""Likewise faces whose blur is wider than this share of the face."""
VISIBLE = (0.45, 0.8)
"""A face of which less than the first is seen is ignored; more than the second has labelled points."""


@dataclass(frozen=True)
class Photo:
    """A labelled photo: encoded bytes would be slow to open, so pixels (h, w, 3)."""

    pixels: Picture
    faces: Floats
    """(n, 14): box and points in pixels."""
    sure: NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """A canvas and what the network should say about it."""

    picture: Picture
    clean: Picture
    """The same canvas before occlusion and spoiling."""
    faces: Floats
    """(n, 14): faces to find."""
    pointed: NDArray[np.bool_]
    """(n,): whether the face's points are taught."""
    ignored: Floats
    """(m, 4): boxes about which nothing is asked."""


def load_photos(data: Path, labels: Path) -> dict[str, list[Photo]]:
    """All labelled photos by the name of their set."""
    photos: dict[str, list[Photo]] = {}
    with np.load(labels) as archive:
        paths, owner = archive["paths"], archive["photo"]
        faces, sure = archive["faces"], archive["sure"]
    bounds = np.searchsorted(owner, np.arange(len(paths) + 1))
    for number, path in enumerate(paths):
        pixels = cv2.imread(str(data / str(path)))
        rows = slice(bounds[number], bounds[number + 1])
        photo = Photo(np.asarray(pixels, np.uint8), faces[rows], sure[rows])
        photos.setdefault(str(path).split("/")[0], []).append(photo)
    return photos


def placed(faces: Floats, matrix: Floats) -> Floats:
    """Faces (n, 14) moved by a similarity (2, 3); a turned box becomes the box of the ellipse that it held."""
    moved = faces.copy()
    centres = faces[:, :2] + faces[:, 2:4] / 2
    centres = centres @ matrix[:, :2].T + matrix[:, 2]
    turn = np.square(matrix[:, :2])
    sides = np.sqrt(np.square(faces[:, 2:4]) @ turn.T)
    moved[:, :2], moved[:, 2:4] = centres - sides / 2, sides
    points = faces[:, 4:14].reshape(-1, 5, 2) @ matrix[:, :2].T + matrix[:, 2]
    moved[:, 4:14] = points.reshape(-1, 10)
    return moved


def similarity(scale: float, angle: float, source: Floats, target: Floats) -> Floats:
    """The matrix (2, 3) that scales and turns (radians) about `source` and takes it to `target`."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.hstack([turn, (target - turn @ source)[:, None]]).astype(np.float32)


class Canvas:
    """A canvas in the making: photos are laid on it one after another and may hide what was there."""

    def __init__(self, backdrop: Picture) -> None:
        self.picture = backdrop
        self.size = len(backdrop)
        self.owner = np.zeros((self.size, self.size), np.uint8)
        self.laid = 0
        self.rows: list[Floats] = []
        self.sure: list[NDArray[np.bool_]] = []
        self.owners: list[int] = []

    def lay(self, pixels: Picture, matrix: Floats, faces: Floats, sure: NDArray[np.bool_]) -> None:
        """Lay a photo by a similarity, its faces with it."""
        scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
        if scale < 0.6:
            ratio = scale * 1.2
            pixels = np.asarray(cv2.resize(pixels, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA), np.uint8)
            matrix = matrix.copy()
            matrix_of_small = matrix[:, :2] / ratio
        else:
            matrix_of_small = matrix[:, :2]
        whole = np.hstack([matrix_of_small, matrix[:, 2:]])
        size = (self.size, self.size)
        self.laid += 1
        cv2.warpAffine(pixels, whole, size, dst=self.picture, borderMode=cv2.BORDER_TRANSPARENT)
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (pixels.shape[1], pixels.shape[0])
        outline = np.round(corners @ whole[:, :2].T + whole[:, 2]).astype(np.int32)
        cv2.fillConvexPoly(self.owner, outline, self.laid)
        if len(faces):
            self.rows.append(placed(faces, matrix))
            self.sure.append(sure)
            self.owners += [self.laid] * len(faces)

    def visible(self, face: Floats, owner: int) -> float:
        """Share of a face's box that lies on the canvas and on its own photo or on none."""
        x0, y0 = np.floor(face[:2]).astype(int)
        x1, y1 = np.ceil(face[:2] + face[2:4]).astype(int)
        seen = self.owner[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        free = np.count_nonzero((seen == owner) | (seen == 0))
        return float(free / max((x1 - x0) * (y1 - y0), 1))

    def sample(self, rng: Generator) -> Sample:
        """Occlude, spoil, and settle which faces are asked for."""
        if not self.rows:
            return Sample(
                filmed(self.picture, rng)[0],
                self.picture,
                np.zeros((0, 14), np.float32),
                np.zeros(0, bool),
                np.zeros((0, 4), np.float32),
            )
        faces, sure = np.vstack(self.rows), np.concatenate(self.sure)
        seen = np.array([self.visible(face, owner) for face, owner in zip(faces, self.owners, strict=True)])
        clean = self.picture.copy()
        for face, clear, share in zip(faces, sure, seen, strict=True):
            if clear and share > 0.7 and face[2] > 20 and rng.random() < 0.22:
                occlude(self.picture, face, rng)
        picture, smear = filmed(self.picture, rng)
        asked = sure & (seen >= VISIBLE[0]) & (faces[:, 2] >= SMALLEST_FACE) & (smear <= GREATEST_SMEAR * faces[:, 2])
        ignored = ~asked & (seen > 0.05)
        return Sample(picture, clean, faces[asked], seen[asked] >= VISIBLE[1], faces[ignored][:, :4])


class Painter:
    """Draws canvases from photos and scenes."""

    def __init__(self, photos: dict[str, list[Photo]], scenes: list[Picture]) -> None:
        self.photos, self.scenes = photos, scenes
        self.names = sorted(photos)
        weights = np.array([len(photos[name]) ** 0.6 for name in self.names])
        self.weights = weights / weights.sum()
        whole = [photo for name in self.names if name.startswith("lfw") for photo in photos[name]]
        self.strips = [part for photo in whole[:3000] for part in backdrops.strips(photo.pixels, photo.faces)]

    def photo(self, rng: Generator) -> Photo:
        """A photo of a random set (large sets more often, but less so than their size), mirrored half the time."""
        own = self.photos[self.names[int(rng.choice(len(self.names), p=self.weights))]]
        photo = own[int(rng.integers(len(own)))]
        if rng.random() < 0.5:
            return photo
        flipped = np.ascontiguousarray(photo.pixels[:, ::-1])
        return Photo(flipped, mirrored(photo.faces, flipped.shape[1]), photo.sure)

    def backdrop(self, size: int, rng: Generator) -> Picture:
        """Something without a face, (size, size, 3)."""
        kind = rng.random()
        if kind < 0.4 and self.scenes:
            return backdrops.cropped(self.scenes, size, rng)
        if kind < 0.55 and self.strips:
            return backdrops.cropped(self.strips, size, rng)
        return backdrops.drawn(size, rng)

    def canvas(self, size: int, rng: Generator) -> Sample:
        """One canvas of one of the four layouts."""
        canvas = Canvas(np.ascontiguousarray(self.backdrop(size, rng)))
        kind = rng.random()
        if kind < 0.42:
            self._one(canvas, rng)
        elif kind < 0.66:
            self._mosaic(canvas, rng)
        elif kind < 0.88:
            for _ in range(int(rng.integers(1, 6))):
                self._one(canvas, rng, largest=0.45)
        self._distract(canvas, rng)
        return canvas.sample(rng)

    def _one(self, canvas: Canvas, rng: Generator, largest: float = 0.95) -> None:
        """A photo whose first face gets a size drawn evenly on a log scale, anywhere on the canvas."""
        photo, size = self.photo(rng), canvas.size
        if not len(photo.faces):
            return
        face = photo.faces[int(rng.integers(len(photo.faces)))]
        wanted = np.exp(rng.uniform(np.log(14), np.log(largest * size)))
        scale = min(float(wanted / max(face[2:4].mean(), 4.0)), 8.0)
        angle = np.radians(rng.normal(0, 18)) if rng.random() < 0.65 else 0.0
        room = np.clip(wanted / size, 0.1, 0.55)
        target = (rng.uniform(room * 0.75, 1 - room * 0.75, 2) * size).astype(np.float32)
        canvas.lay(photo.pixels, similarity(scale, angle, face[:2] + face[2:4] / 2, target), photo.faces, photo.sure)

    def _mosaic(self, canvas: Canvas, rng: Generator) -> None:
        """Two to five photos in a row and column, each filling its tile or a little less."""
        count = int(rng.integers(2, 6))
        side, turned = canvas.size / count, rng.random() < 0.5
        for row in range(count):
            for column in range(count):
                if rng.random() < 0.12:
                    continue
                photo = self.photo(rng)
                height, width = photo.pixels.shape[:2]
                scale = side / max(height, width) * rng.uniform(0.85, 1.3)
                angle = np.radians(rng.normal(0, 14)) if turned else 0.0
                middle = np.array([width / 2, height / 2], np.float32)
                target = np.array([column + 0.5, row + 0.5], np.float32) * side
                canvas.lay(photo.pixels, similarity(scale, angle, middle, target), photo.faces, photo.sure)

    def _distract(self, canvas: Canvas, rng: Generator) -> None:
        """Now and then a rectangle without a face, so that being a rectangle says nothing."""
        nothing = np.zeros((0, 14), np.float32), np.zeros(0, bool)
        while rng.random() < 0.3:
            side = int(canvas.size * rng.uniform(0.1, 0.4))
            patch, angle = self.backdrop(side, rng), np.radians(rng.normal(0, 14))
            middle = np.array([side / 2, side / 2], np.float32)
            target = (rng.random(2) * canvas.size).astype(np.float32)
            canvas.lay(patch, similarity(1.0, float(angle), middle, target), *nothing)
