"""What home projects use today, timed beside us: `face_recognition`, which is dlib's HOG detector and ResNet.

It is no dependency. Where it is installed it is called as its users call it; where only dlib and the weights are
(`pip install dlib-bin face_recognition_models`), dlib is called as `face_recognition` 1.3 calls it: one upsampling,
five landmarks, one crop. dlib uses one thread.
"""

import importlib
import importlib.metadata
import importlib.util
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from facegate.verifier.evaluation.speed import Spent, summary, timed
from facegate.vision.decode import decode

STAGES: Final = ("decode", "detect", "extract", "compare")
PREDICTOR: Final = "shape_predictor_5_face_landmarks.dat"
RESNET: Final = "dlib_face_recognition_resnet_model_v1.dat"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The four calls.

    Attributes:
        name: What is called, with its version.
        decode: A photo's bytes to RGB pixels.
        detect: Pixels to locations.
        extract: Pixels and locations to encodings; aligning is part of it.
        compare: References (n, 128) and an encoding to distances.
    """

    name: str
    decode: Callable[[bytes], Any]
    detect: Callable[[Any], Any]
    extract: Callable[[Any, Any], Any]
    compare: Callable[[NDArray[np.float64], Any], Any]


def installed() -> Baseline | None:
    """Return what is installed of it, or None."""
    if importlib.util.find_spec("dlib") is None:
        return None
    try:
        whole = importlib.import_module("face_recognition")
    except (ImportError, SystemExit):  # without its weights it leaves the program
        return of_dlib()
    return Baseline(
        f"face_recognition {importlib.metadata.version('face_recognition')}, dlib {dlib_version()}",
        lambda data: whole.load_image_file(io.BytesIO(data)),
        whole.face_locations,
        whole.face_encodings,
        whole.face_distance,
    )


def of_dlib() -> Baseline | None:
    """Return dlib with the weights of `face_recognition_models`, or None where those are not installed."""
    weights = weights_folder()
    if weights is None:
        return None
    dlib = importlib.import_module("dlib")
    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(weights / PREDICTOR))
    resnet = dlib.face_recognition_model_v1(str(weights / RESNET))
    return Baseline(
        f"dlib {dlib_version()} as face_recognition calls it",
        lambda data: np.ascontiguousarray(decode(data)[..., ::-1]),
        lambda picture: detector(picture, 1),
        lambda picture, places: [
            np.array(resnet.compute_face_descriptor(picture, predictor(picture, place), 1)) for place in places
        ],
        lambda enrolled, encoding: np.linalg.norm(enrolled - encoding, axis=1),
    )


def weights_folder() -> Path | None:
    """Return where `face_recognition_models` keeps its files, found without running it."""
    found = importlib.util.find_spec("face_recognition_models")
    places = found.submodule_search_locations if found else None
    folder = Path(next(iter(places))) / "models" if places else None
    return folder if folder is not None and (folder / RESNET).is_file() and (folder / PREDICTOR).is_file() else None


def dlib_version() -> str:
    """Return dlib's version as it says it itself."""
    return str(getattr(importlib.import_module("dlib"), "__version__", "of unknown version"))


@dataclass(frozen=True, slots=True)
class BaselineTiming:
    """What the baseline takes.

    Attributes:
        name: What was called.
        stages: Each of `STAGES`, and `total`.
        missed: Photos on which it found no face; they count in `decode` and `detect` alone.
    """

    name: str
    stages: dict[str, Spent]
    missed: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        stages = {name: spent.to_json() for name, spent in self.stages.items()}
        return {"name": self.name, "missed": self.missed, "milliseconds": stages}


def time_baseline(baseline: Baseline, given: Sequence[bytes], *, rounds: int, references: int) -> BaselineTiming:
    """Time the baseline on photos.

    Args:
        baseline: What to call.
        given: Photos as they lie on disk.
        rounds: How often each is timed.
        references: How many are enrolled for the comparison.
    """
    decoded, pictures = timed(baseline.decode, given, rounds)
    detected, places = timed(baseline.detect, pictures, rounds)
    seen = np.array([len(found) > 0 for found in places])
    faces = [(picture, [found[0]]) for picture, found in zip(pictures, places, strict=True) if len(found)]
    extracted, encodings = timed(lambda face: baseline.extract(*face)[0], faces, rounds)
    enrolled = np.random.default_rng(0).normal(size=(references, 128)) / 8
    compared, _ = timed(lambda encoding: baseline.compare(enrolled, encoding), encodings, rounds)
    taken = dict(zip(STAGES, (decoded, detected, extracted, compared), strict=True))
    total = summary(decoded[:, seen] + detected[:, seen] + extracted + compared)
    stages = {**{name: summary(taken[name]) for name in STAGES}, "total": total}
    return BaselineTiming(baseline.name, stages, int((~seen).sum()))
