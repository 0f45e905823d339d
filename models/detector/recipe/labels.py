"""Boxes and landmarks for the photos, from the teacher's agreement with itself.

Each photo is put on a grey canvas in four ways (three sizes and a mirror image) and shown to the teacher, clean. What
it finds at one place in several of them is one face; its box and points are the mean of the findings. A face is
`sure` when the teacher saw it twice with one score of 0.7 or more; anything else is unclear, and training leaves that
place out of the loss.

The result is one .npz without pickle: `paths` (relative to the data folder), `photo` (index of the path for each
face), `faces` float32 (n, 14): box x, y, w, h and five points in the photo's pixels, `score`, `sure`.
"""

import argparse
import hashlib
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CANVAS = 320
LONGER_SIDES = (320, 216, 136)
"""The photo's longer side on the canvas, in pixels; the middle one is shown mirrored as well."""
LOWEST_SCORE = 0.3
SURE_SCORE = 0.7
SURE_VIEWS = 2
SAME_PLACE = 0.45
MOST_PHOTOS = {"celeba_train": 8000}
"""CelebA's photos are alike (aligned by the eyes), so a part of them is enough."""
LANDMARK_RANGE = (30.0, 150.0)
"""Face width on the canvas, in pixels, in which the teacher's points count in full."""

Floats = NDArray[np.float32]


def overlap(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes (n, 4) and (m, 4), each x, y, w, h: (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:4], b[None, :, :2] + b[None, :, 2:4])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = np.prod(a[:, 2:4], axis=1)[:, None] + np.prod(b[:, 2:4], axis=1)[None, :]
    return np.asarray(common / np.maximum(areas - common, 1e-9), np.float32)


def mirrored(rows: Floats, width: float) -> Floats:
    """Faces (n, 14 or more) of a picture as they lie in its mirror image: right and left change names."""
    rows = rows.copy()
    rows[:, 0] = width - rows[:, 0] - rows[:, 2]
    points = rows[:, 4:14].reshape(-1, 5, 2)[:, [1, 0, 2, 4, 3]]
    points[:, :, 0] = width - points[:, :, 0]
    rows[:, 4:14] = points.reshape(-1, 10)
    return rows


class Teacher:
    """Shows a photo to the teacher in four ways and joins what it sees."""

    def __init__(self, model: Path) -> None:
        self.detector = cv2.FaceDetectorYN.create(str(model), "", (CANVAS, CANVAS), LOWEST_SCORE, 0.4, 500)

    def views(self, photo: NDArray[np.uint8]) -> list[Floats]:
        """Findings of each view in the photo's pixels: rows of 14, the score, and the width on the canvas."""
        height, width = photo.shape[:2]
        found = []
        for side, flip in [(side, False) for side in LONGER_SIDES] + [(LONGER_SIDES[1], True)]:
            scale = side / max(height, width)
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            small = cv2.resize(photo[:, ::-1] if flip else photo, None, fx=scale, fy=scale, interpolation=method)
            left, top = (CANVAS - small.shape[1]) // 2, (CANVAS - small.shape[0]) // 2
            canvas = np.full((CANVAS, CANVAS, 3), 96, np.uint8)
            canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
            answer: Any = self.detector.detect(canvas)[1]
            rows = np.zeros((0, 15), np.float32) if answer is None else np.asarray(answer, np.float32)
            seen = rows[:, 2:3].copy()
            rows[:, [0, 4, 6, 8, 10, 12]] -= left
            rows[:, [1, 5, 7, 9, 11, 13]] -= top
            rows[:, :14] *= np.float32(1 / scale)
            rows = mirrored(rows, width) if flip else rows
            found.append(np.hstack([rows, seen]).astype(np.float32))
        return found

    def faces(self, photo: NDArray[np.uint8]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Faces (n, 14), best scores (n,) and whether each is sure (n,)."""
        rows = np.vstack([np.hstack([view, np.full((len(view), 1), i)]) for i, view in enumerate(self.views(photo))])
        rows = rows[np.argsort(-rows[:, 14])].astype(np.float32)
        faces, scores, sure = [], [], []
        while len(rows):
            same = overlap(rows[:1, :4], rows[:, :4])[0] > SAME_PLACE
            group, rows = rows[same], rows[~same]
            faces.append(joined(group))
            scores.append(group[0, 14])
            sure.append(group[0, 14] >= SURE_SCORE and len(np.unique(group[:, 16])) >= SURE_VIEWS)
        return np.array(faces, np.float32).reshape(-1, 14), np.array(scores, np.float32), np.array(sure, bool)


def joined(group: Floats) -> Floats:
    """Mean of findings of one face; those outside the range of good landmarks count for little."""
    seen = group[:, 15]
    good = (seen >= LANDMARK_RANGE[0]) & (seen <= LANDMARK_RANGE[1])
    weight = group[:, 14] * np.where(good, 1.0, 0.1)
    return np.asarray((group[:, :14] * weight[:, None]).sum(0) / weight.sum(), np.float32)


def chosen(data: Path, sets: Iterable[str]) -> list[str]:
    """Paths of the photos of the sets, in a fixed order; large sets are thinned by a hash of the path."""
    paths: list[str] = []
    for name in sets:
        files = (f for f in (data / name).rglob("*") if f.suffix.lower() in (".jpg", ".webp", ".png"))
        own = sorted(str(f.relative_to(data)) for f in files)
        own.sort(key=lambda path: hashlib.sha256(path.encode()).digest())
        paths += own[: MOST_PHOTOS.get(name, len(own))]
    return paths


def _label(job: tuple[Path, Path, list[str]]) -> list[tuple[Floats, Floats, NDArray[np.bool_]]]:
    data, model, paths = job
    cv2.setNumThreads(1)
    teacher = Teacher(model)
    return [teacher.faces(np.asarray(cv2.imread(str(data / path)), np.uint8)) for path in paths]


def main() -> None:
    """Label the photos of the sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets")
    parser.add_argument("--sets", nargs="+", required=True, help="names of folders in it, such as lfw_train")
    parser.add_argument("--teacher", type=Path, required=True, help="YuNet as .onnx, any height and width")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    paths = chosen(options.data, options.sets)
    jobs = [(options.data, options.teacher, paths[i : i + 100]) for i in range(0, len(paths), 100)]
    results = []
    with ProcessPoolExecutor(options.workers) as pool:
        for number, part in enumerate(pool.map(_label, jobs)):
            results += part
            if number % 20 == 0:
                print(f"{len(results)} of {len(paths)} photos", flush=True)
    counts = [len(faces) for faces, _, _ in results]
    sure = np.concatenate([sure for _, _, sure in results])
    np.savez_compressed(
        options.out,
        paths=np.array(paths),
        photo=np.repeat(np.arange(len(paths)), counts),
        faces=np.vstack([faces for faces, _, _ in results]),
        score=np.concatenate([score for _, score, _ in results]),
        sure=sure,
    )
    print(f"{len(paths)} photos, {len(sure)} faces, {int(sure.sum())} sure, {counts.count(0)} photos without")


if __name__ == "__main__":
    main()
