# ruff: noqa: PLR2004 - chances and strengths of a draw stand where it is drawn
"""Compare detectors with the teacher, clean and spoiled, and count faces that are not there.

    python -m models.detector.recipe.evaluate --data DIR --sets lfw_val ... --scenes DIR --detectors a.onnx b.onnx
        --teacher yunet_n.onnx --out figures.json

Every detector is run by `cv2.FaceDetectorYN`. The faces to find are those that the teacher sees in the clean picture
with a score of 0.7 or more, 40 pixels wide or more; found is what overlaps by IoU 0.5 or more with a score at the
detector's threshold. Landmark error: mean distance of the five points over the teacher's eye distance.
Photos and face-free pictures are halved by a hash: the *choice* half is for choosing thresholds and checkpoints,
the *report* half for figures. Every second photo is shown as it is, the others in a scene of 640x360.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from models.detector.recipe import backdrops
from models.detector.recipe.canvases import placed
from models.detector.recipe.conditions import CONDITIONS
from models.detector.recipe.degrade import spoil
from models.detector.recipe.labels import overlap

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

LOWEST = 0.05
NMS = 0.3
TEACHER_SCORE = 0.7
SMALLEST = 40.0
SAME = 0.5
SCENE = (360, 640)
EMPTY_SIDE = 320

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Setting:
    """What a worker needs."""

    data: Path
    scenes: Path
    detectors: tuple[Path, ...]
    teacher: Path


class Detector:
    """`cv2.FaceDetectorYN` at a very low threshold, for pictures of any size."""

    def __init__(self, path: Path) -> None:
        self.detector = cv2.FaceDetectorYN.create(str(path), "", (320, 320), LOWEST, NMS, 5000)

    def __call__(self, picture: Picture) -> Floats:
        """Rows of 15: box, five points, score."""
        self.detector.setInputSize((picture.shape[1], picture.shape[0]))
        rows = self.detector.detect(picture)[1]
        return np.zeros((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)


def seeded(name: str) -> np.random.Generator:
    """A generator that depends on nothing but the name."""
    return np.random.default_rng(list(hashlib.sha256(name.encode()).digest()[:8]))


def to_report(name: str) -> bool:
    """Which half a photo belongs to: all photos of one person (folder) fall on one side."""
    return hashlib.sha256(str(Path(name).parent).encode()).digest()[1] % 2 == 0


def presented(photo: Picture, name: str, scenes: list[Picture]) -> Picture:
    """A photo as it is, or in a scene of 640x360 at a random size (half of the photos each, by hash)."""
    rng = seeded(name)
    if rng.random() < 0.5:
        return photo
    height, width = SCENE
    scene = backdrops.cropped(scenes, width, rng) if rng.random() < 0.7 else backdrops.drawn(width, rng)
    canvas = np.ascontiguousarray(scene[:height])
    scale = height * rng.uniform(0.35, 1.0) / max(photo.shape[:2])
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    y, x = (int(rng.integers(0, room - side + 1)) for room, side in zip(SCENE, small.shape[:2], strict=True))
    canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
    return canvas


def answers(found: Floats, wanted: Floats) -> Floats:
    """For each wanted face (n, 14) the best score that overlaps, and its landmark error: (n, 2), 0 and NaN for none."""
    result = np.tile(np.array([0, np.nan], np.float32), (len(wanted), 1))
    if not len(found):
        return result
    ious = overlap(wanted[:, :4], found[:, :4])
    for i, face in enumerate(wanted):
        rows = found[ious[i] >= SAME]
        if len(rows):
            best = rows[rows[:, 14].argmax()]
            points, truth = best[4:14].reshape(5, 2), face[4:14].reshape(5, 2)
            eyes = max(float(np.linalg.norm(truth[0] - truth[1])), 1e-3)
            result[i] = best[14], np.linalg.norm(points - truth, axis=1).mean() / eyes
    return result


def judge_photos(setting: Setting, names: list[str]) -> tuple[Floats, Floats]:
    """Answers (faces, conditions, detectors, 2), NaN where a face left the picture; and the faces' widths (faces,)."""
    cv2.setNumThreads(1)
    teacher, detectors = Detector(setting.teacher), [Detector(path) for path in setting.detectors]
    scenes = backdrops.load_scenes(setting.scenes, training=False)
    parts, widths = [], []
    for name in names:
        picture = presented(np.asarray(cv2.imread(str(setting.data / name)), np.uint8), name, scenes)
        faces = teacher(picture)
        faces = faces[(faces[:, 14] >= TEACHER_SCORE) & (faces[:, 2] >= SMALLEST)][:, :14]
        if not len(faces):
            continue
        part = np.full((len(faces), len(CONDITIONS), len(detectors), 2), np.nan, np.float32)
        for c, (label, condition) in enumerate(CONDITIONS.items()):
            spoiled, matrix = condition(picture, seeded(name + label))
            moved = placed(faces, matrix)
            centre = moved[:, :2] + moved[:, 2:4] / 2
            inside = ((centre > 0) & (centre < picture.shape[1::-1])).all(1)
            for d, detector in enumerate(detectors):
                part[inside, c, d] = answers(detector(spoiled), moved[inside])
        parts.append(part)
        widths.append(faces[:, 2])
    if not parts:
        return np.zeros((0, len(CONDITIONS), len(detectors), 2), np.float32), np.zeros(0, np.float32)
    return np.concatenate(parts), np.concatenate(widths)


def empty_pictures(setting: Setting, names: list[str]) -> list[tuple[str, Picture]]:
    """Face-free pictures never trained on: drawn ones (other seeds), crops of other scenes, strips of other photos."""
    scenes = backdrops.load_scenes(setting.scenes, training=False)
    teacher, pictures = Detector(setting.teacher), []
    for number in range(700):
        rng = np.random.default_rng((99, number))
        pictures.append((f"drawn/{number}/", backdrops.drawn(EMPTY_SIDE, rng)))
        pictures.append((f"scene/{number}/", backdrops.cropped(scenes, EMPTY_SIDE, rng)))
    for name in names:
        photo = np.asarray(cv2.imread(str(setting.data / name)), np.uint8)
        for number, part in enumerate(backdrops.strips(photo, teacher(photo)[:, :14])):
            scale = EMPTY_SIDE / max(part.shape[:2])
            pictures.append(
                (f"strip/{name}/{number}", np.asarray(cv2.resize(part, None, fx=scale, fy=scale), np.uint8))
            )
    return pictures


def judge_empty(setting: Setting, pictures: list[tuple[str, Picture]]) -> Floats:
    """Highest score in each picture, as it is and spoiled: (pictures, 2, detectors)."""
    cv2.setNumThreads(1)
    detectors = [Detector(path) for path in setting.detectors]
    best = np.zeros((len(pictures), 2, len(detectors)), np.float32)
    for i, (name, picture) in enumerate(pictures):
        for k, shown in enumerate((picture, spoil(picture, seeded(name))[0])):
            for d, detector in enumerate(detectors):
                best[i, k, d] = max(detector(shown)[:, 14], default=0.0)
    return best


def in_parts(work: Callable[[list[Item]], Result], items: list[Item], workers: int) -> list[Result]:
    """Do the work on parts of 50 in several processes, in order."""
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(work, [items[i : i + 50] for i in range(0, len(items), 50)]))


def figures(judged: Floats, empty: Floats, names: list[str], thresholds: list[float]) -> dict[str, object]:
    """The table for each detector at its threshold."""
    table: dict[str, object] = {}
    for d, (name, threshold) in enumerate(zip(names, thresholds, strict=True)):
        rows = {}
        for c, label in enumerate(CONDITIONS):
            score, error = judged[:, c, d, 0], judged[:, c, d, 1]
            there = np.isfinite(score)
            found = there & (score >= threshold)
            rows[label] = {
                "faces": int(there.sum()),
                "missed": int((there & ~found).sum()),
                "recall": round(float(found.sum() / max(there.sum(), 1)), 4),
                "landmark_error_mean": round(float(error[found].mean()), 4) if found.any() else None,
                "landmark_error_median": round(float(np.median(error[found])), 4) if found.any() else None,
            }
        false = (empty[:, :, d] >= threshold).sum(0)
        table[name] = {
            "threshold": threshold,
            "conditions": rows,
            "face_free_pictures": len(empty),
            "with_false_faces": {"as they are": int(false[0]), "spoiled": int(false[1])},
        }
    return table


def main() -> None:
    """Compare the detectors that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets of photos")
    parser.add_argument("--sets", nargs="+", required=True, help="names of folders in it; none of those trained on")
    parser.add_argument("--scenes", type=Path, required=True, help="folder with pictures without faces")
    parser.add_argument("--teacher", type=Path, required=True, help="whose faces on clean pictures are to be found")
    parser.add_argument("--detectors", type=Path, nargs="+", required=True, help="YuNet-like .onnx files")
    parser.add_argument("--thresholds", type=float, nargs="+", required=True, help="score threshold of each")
    parser.add_argument("--half", choices=("choice", "report"), required=True)
    parser.add_argument("--most", type=int, default=500, help="photos of a set and half, at most")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--out", type=Path, required=True, help="the .json to write; the raw scores go beside it (.npz)"
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)  # threads of OpenCV in this process would hang the workers that are forked from it
    setting = Setting(options.data, options.scenes, tuple(options.detectors), options.teacher)
    names = photos_of(options.data, options.sets, report=options.half == "report", most=options.most)
    parts = in_parts(partial(judge_photos, setting), names, options.workers)
    judged, widths = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    pictures = empty_pictures(setting, [name for name in names if name.startswith("lfw")])
    pictures = [
        (n, p) for n, p in pictures if n.startswith("strip") or to_report(n + "x") == (options.half == "report")
    ]
    empty = np.concatenate(in_parts(partial(judge_empty, setting), pictures, options.workers))
    np.savez_compressed(
        options.out.with_suffix(".npz"), judged=judged, widths=widths, empty=empty, empty_names=[n for n, _ in pictures]
    )
    table = figures(judged, empty, [path.stem for path in options.detectors], options.thresholds)
    whole = {"half": options.half, "photos": len(names), "teacher": options.teacher.stem, "detectors": table}
    options.out.write_text(json.dumps(whole, indent=1) + "\n")


def photos_of(data: Path, sets: list[str], *, report: bool, most: int) -> list[str]:
    """Photos of one half of the sets, at most so many of each, in the order of a hash."""
    names: list[str] = []
    for folder in sets:
        files = (f for f in (data / folder).rglob("*") if f.suffix.lower() in (".jpg", ".webp", ".png"))
        own = [str(f.relative_to(data)) for f in files]
        own = sorted((n for n in own if to_report(n) == report), key=lambda n: hashlib.sha256(n.encode()).digest())
        names += own[:most]
    return names


if __name__ == "__main__":
    main()
