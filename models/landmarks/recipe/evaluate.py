"""How far landmarks are off: as the detector has them, and placed anew from near; things worn, light, blur.

    python -m models.landmarks.recipe.evaluate --data DIR --labels val_labels.npz --network landmarks.onnx --out FILE

The truth is where the detector's teacher saw them on the free and clean photo, the mean of four looks
(`models.detector.recipe.labels`, on sets of people that nothing was trained on). A face counts where the detector finds
it (IoU of 0.5 and more); its error is the mean distance of the five points, in per cent of the distance of the eyes.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from facegate.core.frame import Face
from facegate.vision.detect import YuNetDetector
from facegate.vision.landmarks import LandmarkPlacer
from models.detector.recipe import occlude
from models.detector.recipe.canvases import placed
from models.detector.recipe.conditions import CONDITIONS, STILL
from models.detector.recipe.labels import overlap

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

LEAST_OVERLAP: Final = 0.5
LEAST_EYES: Final = 12.0
"""Pixels between the eyes; smaller faces have no exact landmarks."""

Wearing = Callable[[Picture, Floats, Generator], None]
WORN: Final[dict[str, Wearing]] = {
    "a mask": lambda picture, face, rng: occlude.mask(picture, occlude.Axes(face), rng),
    "dark glasses": lambda picture, face, rng: occlude.dark_glasses(picture, occlude.Axes(face), rng, face),
    "a cap": lambda picture, face, rng: occlude.cap(picture, occlude.Axes(face), rng),
    "a hand": lambda picture, face, rng: occlude.hand(picture, occlude.Axes(face), rng),
}


def shown(photo: Picture, face: Floats, condition: str, rng: Generator) -> tuple[Picture, Floats]:
    """Show a face (14,) under a condition; the picture, and the face as it lies there."""
    if condition in WORN:
        picture = photo.copy()
        WORN[condition](picture, face, rng)
        return picture, face
    picture, matrix = CONDITIONS[condition](photo, rng)
    return picture, face if matrix is STILL else placed(face[None], matrix)[0]


def the_one(faces: list[Face], face: Floats) -> Face | None:
    """The found face that is this one, if any is."""
    if not faces:
        return None
    boxes = np.array([(f.box.x, f.box.y, f.box.width, f.box.height) for f in faces], np.float32)
    common = overlap(face[None, :4], boxes)[0]
    best = int(np.argmax(common))
    return faces[best] if common[best] >= LEAST_OVERLAP else None


def error(found: Face, face: Floats) -> float:
    """Mean distance of the landmarks, in per cent of the distance of the eyes."""
    points = face[4:14].reshape(5, 2)
    return float(100 * np.hypot(*(found.landmarks - points).T).mean() / np.hypot(*(points[0] - points[1])))


def measured(data: Path, labels: Path, network: Path, most: int) -> dict[str, dict[str, float]]:
    """For each condition: faces, how many were found, and mean and 95th percentile of both errors."""
    with np.load(labels) as archive:
        paths, owner, faces, sure = archive["paths"], archive["photo"], archive["faces"], archive["sure"]
    detector, placer = YuNetDetector(), LandmarkPlacer(network)
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in (*CONDITIONS, *WORN)}
    asked, counts = 0, dict.fromkeys({str(path).split("/")[0] for path in paths}, 0)
    for number, path in enumerate(paths):
        rows, kind = np.flatnonzero((owner == number) & sure), str(path).split("/")[0]
        eyes = np.hypot(*(faces[rows, 4:6] - faces[rows, 6:8]).T)
        if not len(rows) or eyes.max() < LEAST_EYES or counts[kind] >= most:
            continue
        counts[kind] += 1
        asked += 1
        face, photo = faces[rows[int(eyes.argmax())]], np.asarray(cv2.imread(str(data / str(path))), np.uint8)
        for at, name in enumerate(errors):
            picture, there = shown(photo, face, name, np.random.default_rng((7, number, at)))
            found = the_one(detector.found(picture), there)
            if found is not None:
                (again,) = placer.placed(picture, [found])
                errors[name].append((error(found, there), error(again, there)))
    return {
        name: {
            "faces": asked,
            "found": len(rows_),
            "detector": round(float(np.mean([before for before, _ in rows_])), 2),
            "placed": round(float(np.mean([after for _, after in rows_])), 2),
            "detector_95": round(float(np.percentile([before for before, _ in rows_], 95)), 2),
            "placed_95": round(float(np.percentile([after for _, after in rows_], 95)), 2),
        }
        for name, rows_ in errors.items()
    }


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets of photos")
    parser.add_argument("--labels", type=Path, required=True, help="what models.detector.recipe.labels wrote of them")
    parser.add_argument("--network", type=Path, required=True, help="landmarks.onnx")
    parser.add_argument("--most", type=int, default=150, help="photos of a set")
    parser.add_argument("--out", type=Path, required=True, help="the .json to write")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    figures = measured(options.data, options.labels, options.network, options.most)
    digest = hashlib.sha256(options.network.read_bytes()).hexdigest()
    options.out.write_text(json.dumps({"sha256": digest, "conditions": figures}, indent=1) + "\n", encoding="utf-8")
    for name, row in figures.items():
        print(name, row)


if __name__ == "__main__":
    main()
