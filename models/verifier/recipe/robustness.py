"""Say what small changes of a picture cost: one photo of each pair is mirrored, shifted, halved, or packed hard.

    python -m models.verifier.recipe.robustness --images DIR --pairs lfw_val_pairs.tsv --model twin-6

Our own detector looks at the changed picture, as it would at the door. A line for each change: accuracy with the
threshold chosen on the other nine of ten folds, FNMR at an FMR of 1e-3, and photos without a face that was found.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from facegate.core.frame import Pixels
from facegate.settings import load_settings
from facegate.verifier.evaluation.figures import report
from facegate.verifier.evaluation.pairing import Pair, read_pairs, score_pairs
from facegate.verifier.photos import Photo, PhotoReader, open_reader

SHIFT: Final = (3, -2)
QUALITY: Final = 40


def halved(picture: Pixels) -> Pixels:
    """Return a picture with half as many pixels each way."""
    return np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def packed(picture: Pixels) -> Pixels:
    """Return what is left of a picture after JPEG of quality 40."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


CHANGES: Final[dict[str, Callable[[Pixels], Pixels]]] = {
    "as it is": lambda picture: picture,
    "mirrored": lambda picture: np.ascontiguousarray(picture[:, ::-1]),
    "shifted by 3 and -2 pixels": lambda picture: np.roll(picture, SHIFT, (0, 1)),
    "at half the resolution": halved,
    "JPEG of quality 40": packed,
}


def main() -> None:
    """Print a line of JSON for each change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--model", default="")
    given = parser.parse_args()
    pairs = read_pairs(given.pairs, given.images)
    model, reader = open_reader(load_settings(), given.model)
    kept = {path: reader.read(path) for path in sorted({pair.left for pair in pairs})}
    for name, change in CHANGES.items():
        with tempfile.TemporaryDirectory() as folder:
            changed = {pair.right: Path(folder, *pair.right.relative_to(given.images).parts) for pair in pairs}
            photos = kept | {place: read(path, place, change, reader) for path, place in changed.items()}
            mixed = [Pair(pair.left, changed[pair.right], pair.mated) for pair in pairs]
            told = report(score_pairs(mixed, photos), threshold=None, model=model.id, max_fmr=1e-3)
        line = {
            "change": name,
            "accuracy": told["accuracy"],
            "fnmr_at_fmr_1e-3": told["fnmr_at_fmr"]["0.001"]["rate"],
            "failures_to_acquire": told["failures_to_acquire"],
        }
        print(json.dumps(line), flush=True)


def read(path: Path, place: Path, change: Callable[[Pixels], Pixels], reader: PhotoReader) -> Photo:
    """Read a photo that is changed first, and written without further loss."""
    picture = np.asarray(cv2.imread(str(path)), np.uint8)
    place = place.with_suffix(".png")
    place.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(place), change(picture))
    return reader.read(place)


if __name__ == "__main__":
    main()
