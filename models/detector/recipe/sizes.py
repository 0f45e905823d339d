"""At which face sizes boxes and landmarks are right: photos shown at many sizes.

    python -m models.detector.recipe.sizes --data DIR --sets pins_val spoof_val --teacher yunet_n.onnx
        --detectors a.onnx b.onnx --out sizes.json

The truth is the teacher's agreement with itself over three sizes and a mirror image (`labels`). Each photo is scaled
so that its largest face gets the wanted width; found is IoU 0.5 at a score of 0.5. Errors are in eye distances.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from models.detector.recipe.evaluate import Detector, Floats, Picture, answers, photos_of
from models.detector.recipe.labels import Teacher

WIDTHS = (10, 14, 20, 28, 40, 56, 80, 110, 150, 200, 260, 320)
"""Face widths in pixels."""
BORDER = 0.3
"""Of the photo's side, grey: tight crops have nothing around the face."""
SCORE = 0.5


def bordered(photo: Picture) -> Picture:
    """The photo with a grey border."""
    side = round(max(photo.shape[:2]) * BORDER)
    grey = (96, 96, 96)
    return np.asarray(cv2.copyMakeBorder(photo, side, side, side, side, cv2.BORDER_CONSTANT, value=grey), np.uint8)


def judged(photo: Picture, face: Floats, detectors: list[Detector]) -> Floats:
    """Score and landmark error of each detector at each width for the face (14,): (widths, detectors, 2)."""
    result = np.zeros((len(WIDTHS), len(detectors), 2), np.float32)
    for w, width in enumerate(WIDTHS):
        scale = width / float(face[2])
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        shown = np.asarray(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=method), np.uint8)
        for d, detector in enumerate(detectors):
            result[w, d] = answers(detector(shown), face[None] * np.float32(scale))[0]
    return result


def main() -> None:
    """Measure the detectors that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets of photos")
    parser.add_argument("--sets", nargs="+", required=True, help="names of folders in it; none of those trained on")
    parser.add_argument("--teacher", type=Path, required=True, help="YuNet as .onnx, any height and width")
    parser.add_argument("--detectors", type=Path, nargs="+", required=True, help="YuNet-like .onnx files")
    parser.add_argument("--most", type=int, default=25, help="photos of a set, at most")
    parser.add_argument("--out", type=Path, required=True, help="the .json to write")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    teacher, detectors = Teacher(options.teacher), [Detector(path) for path in options.detectors]
    results = []
    for name in photos_of(options.data, options.sets, report=True, most=options.most):
        photo = bordered(np.asarray(cv2.imread(str(options.data / name)), np.uint8))
        faces, _, sure = teacher.faces(photo)
        if sure.any():
            largest = faces[sure][faces[sure][:, 2].argmax()]
            results.append(judged(photo, largest, detectors))
    whole = np.array(results)
    found = whole[..., 0] >= SCORE
    errors = np.where(found, whole[..., 1], np.nan)
    table = {
        path.stem: {
            width: {
                "found": int(found[:, w, d].sum()),
                "landmark_error_mean": round(float(np.nanmean(errors[:, w, d])), 4),
            }
            for w, width in enumerate(WIDTHS)
            if found[:, w, d].any()
        }
        for d, path in enumerate(options.detectors)
    }
    options.out.write_text(json.dumps({"photos": len(whole), "detectors": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
