"""What a mask or a door camera costs, with detector and landmarks in the loop: one photo of each pair is spoiled.

    python -m models.verifier.recipe.doors --images DIR --model twin-6 --model open-1 --model sface \
        --together open-1,sface

`--images` holds a folder a person. Each photo is looked at three times: as it is, with a mask painted on the
photograph, and spoiled as by a door camera in the dark (grey, a fifth of the light, a little blur, noise). The detector
finds the face of each anew, so that landmarks err as they would at the door. Each photo as it is is compared with every
other photo spoiled. A line of JSON for each network and kind: mated comparisons, misses at an FMR of 1e-3 with faces
that were not found among them, and photos without a face that was found.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.core.frame import Face, Pixels
from facegate.core.ports import FaceDetector
from facegate.core.rates import threshold_at
from facegate.settings import load_settings
from facegate.siamese.augment import mask_outline, painted
from facegate.verifier.contract import InputContract
from facegate.verifier.evaluation.contestants import Contestant, open_side_by_side
from facegate.vision.align import ALIGNMENT, align, similarity, taken_back
from facegate.vision.choose import central_face
from facegate.vision.decode import decode
from models.detector.recipe import degrade

KINDS: Final = ("as it is", "masked", "dark")
TARGET_FMR: Final = 1e-3
PHOTOS: Final = (".jpg", ".jpeg", ".png", ".webp")
SEED: Final = 5

Told = dict[str, list[NDArray[np.float32] | None]]
"""Of each kind, a template of each photo, or None where no face was found."""


def masked(picture: Pixels, face: Face, draw: np.random.Generator) -> Pixels:
    """Paint a mask on a face in a photograph, down to below its chin."""
    there = similarity(face.landmarks, ALIGNMENT.template)
    return painted(picture, taken_back(mask_outline(draw, chin=1.14) * ALIGNMENT.size, there), draw)


def dark(picture: Pixels, _: Face, draw: np.random.Generator) -> Pixels:
    """Show a photograph as a door camera would in the dark."""
    dim = degrade.darkened(degrade.grey(picture), 0.2, 1.0)
    return degrade.noisy(np.asarray(cv2.GaussianBlur(dim, (0, 0), 1.2), np.uint8), 5.0, draw)


SPOILED: Final = {"masked": masked, "dark": dark}


def told_of(paths: Sequence[Path], contestants: Sequence[Contestant], detector: FaceDetector) -> list[Told]:
    """Ask all networks about all photos, of each kind; a told for each network.

    A photo as it is on which no face is found has nothing to be spoiled for: it has no template of any kind.
    """
    told: list[Told] = [{kind: [] for kind in KINDS} for _ in contestants]
    for number, path in enumerate(paths):
        picture = decode(path.read_bytes())
        face = central_face(detector.detect(picture), picture)
        looks = {"as it is": (picture, face)}
        for at, (kind, spoil) in enumerate(SPOILED.items()):
            if face is not None:
                seen = spoil(picture, face, np.random.default_rng((SEED, number, at)))
                looks[kind] = seen, central_face(detector.detect(seen), seen)
        for kind in KINDS:
            seen, found = looks.get(kind, (picture, None))
            for one, said in zip(contestants, told, strict=True):
                said[kind].append(_template(one, seen, found))
    return told


def _template(one: Contestant, picture: Pixels, face: Face | None) -> NDArray[np.float32] | None:
    if face is None:
        return None
    crop = align(picture, face.landmarks, one.alignment)
    return np.asarray(one.extractor.extract(crop[None])[0], np.float32)


def together(one: Told, other: Told) -> Told:
    """Join the templates of two networks, so that a score is the mean of both scores."""

    def joined(a: NDArray[np.float32] | None, b: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        return None if a is None or b is None else np.asarray(np.concatenate([a, b]) / np.sqrt(2), np.float32)

    return {kind: list(map(joined, one[kind], other[kind])) for kind in KINDS}


def misses(said: Told, kind: str, people: NDArray[np.int64]) -> dict[str, float]:
    """Compare each photo as it is with every other one of a kind; what is missed at `TARGET_FMR`."""
    width = next(len(each) for each in said["as it is"] if each is not None)
    nothing = np.full(width, np.nan, np.float32)  # a score with it is NaN
    plain, spoiled = (np.stack([nothing if each is None else each for each in said[of]]) for of in ("as it is", kind))
    scores = plain @ spoiled.T
    other = ~np.eye(len(people), dtype=bool) if kind != "as it is" else np.triu(np.ones_like(scores, bool), 1)
    same = people[:, None] == people
    strangers = scores[other & ~same]
    threshold = threshold_at(TARGET_FMR, strangers[np.isfinite(strangers)]).threshold
    mated = scores[other & same]
    missed = int((~(mated >= threshold)).sum())  # NaN is no match
    return {
        "mated": len(mated),
        "missed": missed,
        "fnmr_at_fmr_1e-3": round(missed / len(mated), 5),
        "failures_to_acquire": sum(each is None for each in said[kind]),
    }


def main() -> None:
    """Print a line of JSON for each network and kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="a folder a person")
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--together", action="append", default=[], metavar="ONE,OTHER", help="two models, scores added")
    parser.add_argument("--most", type=int, default=10**9, help="photos, the first ones")
    given = parser.parse_args()
    side = open_side_by_side(load_settings(), given.model, InputContract(128, "reid-0095"))
    paths = sorted(path for path in given.images.rglob("*") if path.suffix.lower() in PHOTOS)[: given.most]
    people = np.unique([path.parent.name for path in paths], return_inverse=True)[1]
    told = told_of(paths, side.contestants, side.detector)
    rows = {one.id: said for one, said in zip(side.contestants, told, strict=True)}
    named = {one.id.partition("@")[0]: said for one, said in zip(side.contestants, told, strict=True)}
    for pair in given.together:
        one, other = pair.split(",")
        rows[pair] = together(named[one], named[other])
    for model, said in rows.items():
        for kind in KINDS:
            print(json.dumps({"model": model, "kind": kind} | misses(said, kind, people)), flush=True)


if __name__ == "__main__":
    main()
