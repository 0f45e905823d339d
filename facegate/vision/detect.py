"""Faces in a picture of any size, by a network in YuNet's format on `cv2.FaceDetectorYN`.

The network finds faces of some 10 to 300 pixels, and its landmarks go wrong on larger ones, so no picture is shown to
it as it is. Every picture gets the *wide* look, its long side reduced to 640 pixels. Three more follow only where they
can help:

    near   the whole picture small, with a margin of black: faces that fill it, tight crops
    far    the picture at twice the wide look's scale or more: nothing found, and the picture has more to show
    close  the region of the largest face, reduced or not so that the face has the size where landmarks are best

One that looks at a 1280x720 frame with one person therefore costs the wide look and perhaps a small close one. What the
shipped network found is looked at from near once more, for its landmarks (`vision.landmarks`).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Box, Face, Pixels
from facegate.errors import NotReadyError
from facegate.resources import shipped
from facegate.vision.landmarks import LandmarkPlacer
from facegate.vision.silence import silence_decoders

MEND: Final = "Set vision.detector to an ONNX file in YuNet's format, or unset it to use the shipped one"
WIDE_SIDE: Final = 640
NEAR_SIDE: Final = 224
FAR_SIDE: Final = 1280
#: The far look is made of tiles of at most this side. They overlap by more than the faces that need it are large.
TILE_SIDE: Final = 704
TILE_OVERLAP: Final = 128
#: Faces larger than this in the wide look are looked at again from near.
LARGE: Final = 200.0
#: Faces smaller than this in the wide look get a close one, if the picture has more pixels of them.
SMALL: Final = 56.0
#: Side of the close look, and of the face in it.
CLOSE_SIDE: Final = 224
CLOSE_FACE: Final = 80.0
#: Large faces are often found in parts as well: what lies in another face by more than this is no face of its own.
INSIDE: Final = 0.6
MOST_FACES: Final = 200
#: Least detection score of the shipped network (its card says how it was chosen), and of YuNet's own files.
OWN_SCORE: Final = 0.45
YUNET_SCORE: Final = 0.6

Rows = NDArray[np.float64]
"""float64, shape (n, 15), as `cv2.FaceDetectorYN` gives them: box 4, landmarks 10, score; pixels of the picture."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the network is shown: a part of the picture, scaled onto a canvas.

    A point of the canvas is `scale * (point of the picture - start)`, x and y each for itself: a canvas has whole
    pixels.
    """

    canvas: Pixels
    scale: tuple[float, float] = (1.0, 1.0)
    start: tuple[float, float] = (0.0, 0.0)


class YuNetDetector:
    """Finds faces; implements `core.ports.FaceDetector`.

    OpenCV's object keeps state between calls, so as many are made as threads look at the same time (some 20 MB, 10 ms
    to make); the objects keep the memory of the largest canvas that they saw, which is why no canvas is large.
    """

    def __init__(self, model: Path | None = None, score: float | None = None, overlap: float = 0.3) -> None:
        """Load and try the network.

        Args:
            model: ONNX file in YuNet's format, whose landmarks are taken as they are; None: the shipped one, whose
                landmarks are placed anew.
            score: Least detection score, in (0, 1); None: the network's own.
            overlap: Faces that overlap by more (intersection over union) are one.

        Raises:
            NotReadyError: There is no such file, or it is no such network.
        """
        self._model = model or shipped("models") / "detector" / "face_detector.onnx"
        self._score = score or (OWN_SCORE if model is None else YUNET_SCORE)
        self._overlap = overlap
        self._placer = LandmarkPlacer() if model is None else None
        self._idle: SimpleQueue[cv2.FaceDetectorYN] = SimpleQueue()
        if not self._model.is_file():
            raise NotReadyError(f"There is no face detector at {self._model}", MEND)
        silence_decoders()
        self._look(Look(np.zeros((64, 64, 3), np.uint8)))

    def detect(self, picture: Pixels) -> list[Face]:
        """Return the faces of an upright picture, the largest first; safe to call from several threads."""
        found = self.found(picture)
        return found if self._placer is None else self._placer.placed(picture, found)

    def found(self, picture: Pixels) -> list[Face]:
        """Return the faces of an upright picture, the largest first, with landmarks as the detector has them."""
        height, width = picture.shape[:2]
        if not (height and width):
            return []
        wide = min(1.0, WIDE_SIDE / max(height, width))
        rows = self._look(whole(picture, wide))
        if not len(rows) or size_of(rows).max() * wide > LARGE:
            near = min(1.0, NEAR_SIDE / max(height, width))
            rows = merged(self._look(whole(picture, near, margin=NEAR_SIDE // 4)), rows, self._overlap)
        far = min(1.0, max(0.5, wide), FAR_SIDE / max(height, width))
        if not len(rows) and far > 1.25 * wide:
            rows = self._tiled(picture, far)
        if len(rows):
            rows = self._closer(picture, rows, wide)
        return [face_of(row) for row in rows[np.argsort(-size_of(rows), kind="stable")]]

    def _look(self, look: Look) -> Rows:
        """Show the network one canvas; rows in pixels of the picture."""
        height, width = look.canvas.shape[:2]
        try:
            net = self._network()
            net.setInputSize((width, height))
            answer: Any = net.detect(look.canvas)
            self._idle.put(net)
        except cv2.error as error:
            raise NotReadyError(f"{self._model} is no face detector that OpenCV can run", MEND) from error
        if answer[1] is None:  # OpenCV's types do not know it
            return np.empty((0, 15))
        rows = np.asarray(answer[1], np.float64)
        rows[:, :14] /= np.tile(look.scale, 7)
        rows[:, :14] += np.tile(look.start, 7)
        rows[:, 2:4] -= look.start
        return rows[np.isfinite(rows).all(axis=1) & (rows[:, 2] > 0) & (rows[:, 3] > 0)]

    def _network(self) -> cv2.FaceDetectorYN:
        """Return a network that nobody else is using."""
        try:
            return self._idle.get_nowait()
        except Empty:
            return cv2.FaceDetectorYN.create(
                str(self._model), "", (64, 64), self._score, self._overlap, MOST_FACES, cv2.dnn.DNN_BACKEND_OPENCV
            )

    def _tiled(self, picture: Pixels, scale: float) -> Rows:
        """Look at the whole picture at a scale, tile by tile: one large canvas would keep its memory for ever."""
        whole_look = resized(picture, scale)
        rows = np.empty((0, 15))
        for left, right in spans(whole_look.canvas.shape[1]):
            for top, bottom in spans(whole_look.canvas.shape[0]):
                tile = np.ascontiguousarray(whole_look.canvas[top:bottom, left:right])
                start = (left / whole_look.scale[0], top / whole_look.scale[1])
                found = self._look(Look(tile, whole_look.scale, start))
                rows = merged(rows, found[~cut(found, whole_look, (left, top, right, bottom))], self._overlap)
        return rows

    def _closer(self, picture: Pixels, rows: Rows, wide: float) -> Rows:
        """Replace the largest face by what a close look sees of it, if the picture has more to show than it gave."""
        largest = int(np.argmax(size_of(rows)))
        size = float(size_of(rows)[largest])
        if size * wide >= SMALL or wide > 0.8:  # noqa: PLR2004 - less than a fourth more pixels help nobody
            return rows
        found = self._look(region(picture, rows[largest], min(1.0, CLOSE_FACE / size)))
        if len(found):
            overlap = overlaps(rows[largest], found)
            best = int(np.argmax(overlap))
            if overlap[best] > self._overlap:
                rows = rows.copy()
                rows[largest] = found[best]
        return rows


def whole(picture: Pixels, scale: float, margin: int = 0) -> Look:
    """Show the whole picture at a scale, with a margin of black around it in pixels of the canvas."""
    look = resized(picture, scale)
    if not margin:
        return look
    canvas = cv2.copyMakeBorder(look.canvas, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    return Look(np.asarray(canvas, np.uint8), look.scale, (-margin / look.scale[0], -margin / look.scale[1]))


def region(picture: Pixels, row: NDArray[np.float64], scale: float) -> Look:
    """Show the surroundings of a face at a scale, on a canvas of at most `CLOSE_SIDE`."""
    height, width = picture.shape[:2]
    side = CLOSE_SIDE / scale
    left, top = (
        int(np.clip(middle - side / 2, 0, max(0, limit - side)))
        for middle, limit in ((row[0] + row[2] / 2, width), (row[1] + row[3] / 2, height))
    )
    look = resized(picture[top : math.ceil(top + side), left : math.ceil(left + side)], scale)
    return Look(look.canvas, look.scale, (left, top))


def spans(length: int) -> list[tuple[int, int]]:
    """Divide a length into the fewest parts of at most `TILE_SIDE` that overlap by `TILE_OVERLAP` or more."""
    count = max(1, math.ceil((length - TILE_OVERLAP) / (TILE_SIDE - TILE_OVERLAP)))
    size = math.ceil((length + (count - 1) * TILE_OVERLAP) / count)
    starts = [round(at * (length - size) / max(1, count - 1)) for at in range(count)]
    return [(start, min(length, start + size)) for start in starts]


def cut(rows: Rows, look: Look, tile: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Tell which boxes are cut by an edge of their tile that is none of the picture's, shape (n,)."""
    height, width = look.canvas.shape[:2]
    edges = np.array([left or -np.inf for left in tile[:2]])
    ends = np.array([end if end < limit else np.inf for end, limit in zip(tile[2:], (width, height), strict=True)])
    scale = np.array(look.scale)
    low, high = rows[:, :2] * scale, (rows[:, :2] + rows[:, 2:4]) * scale
    return np.asarray(((low <= edges + 1) | (high >= ends - 1)).any(axis=1), np.bool_)


def resized(picture: Pixels, scale: float) -> Look:
    """Show a picture at a scale of at most 1; at least one pixel is left."""
    height, width = picture.shape[:2]
    by = min(int(1 / scale), width, height)
    if by >= 2:  # noqa: PLR2004 - whole numbers are several times faster, and most of the way
        width, height = width - width % by, height - height % by
        picture = reduced_to(picture[:height, :width], (width // by, height // by))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Look(reduced_to(picture, size), (size[0] / width, size[1] / height))


def reduced_to(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """Reduce a picture to a size (width, height) by area."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def size_of(rows: Rows) -> NDArray[np.float64]:
    """Return the shorter side of each box, shape (n,)."""
    return np.asarray(np.minimum(rows[:, 2], rows[:, 3]), np.float64)


def merged(first: Rows, second: Rows, overlap: float) -> Rows:
    """Add to `first` those of `second` that are no face of `first`, nor most of them a part of one."""
    if not len(first) or not len(second):
        return first if len(first) else second
    new = [row for row in second if overlaps(row, first).max() <= overlap and inside(row, first).max() <= INSIDE]
    return np.vstack([first, *new])


def inside(row: NDArray[np.float64], rows: Rows) -> NDArray[np.float64]:
    """Return the share of one box that lies in each of several, shape (n,)."""
    return np.asarray(common_area(row, rows) / (row[2] * row[3]), np.float64)


def common_area(row: NDArray[np.float64], rows: Rows) -> NDArray[np.float64]:
    """Return the area that one box has in common with each of several, shape (n,)."""
    low = np.maximum(row[:2], rows[:, :2])
    high = np.minimum(row[:2] + row[2:4], rows[:, :2] + rows[:, 2:4])
    return np.asarray(np.prod(np.clip(high - low, 0, None), axis=1), np.float64)


def overlaps(row: NDArray[np.float64], rows: Rows) -> NDArray[np.float64]:
    """Return the intersection over union of one box with each of several, shape (n,)."""
    common = common_area(row, rows)
    union = row[2] * row[3] + rows[:, 2] * rows[:, 3] - common
    return np.asarray(common / union, np.float64)


def face_of(row: NDArray[np.float64]) -> Face:
    """Turn a row into a face."""
    x, y, width, height = (float(value) for value in row[:4])
    return Face(Box(x, y, width, height), row[4:14].reshape(5, 2).astype(np.float32), float(np.clip(row[14], 0, 1)))


def use_one_thread_in_opencv() -> None:
    """Let OpenCV work in the calling thread only, in the whole process: for workers that judge frames side by side."""
    cv2.setNumThreads(1)
