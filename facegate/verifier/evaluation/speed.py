"""How long each stage takes, from a photo's bytes to the best match: `facegate bench models`.

Photos are composites, so anybody measures on the same ones. Each stage is timed for itself, one photo at a time, as at
a door; the first round warms caches and is thrown away. Wall time, so that threads count; on a machine that has other
work the processor's time, which is given beside it, is steadier.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from facegate.core.comparison import References, best_match
from facegate.core.frame import Landmarks, Pixels
from facegate.core.ports import FaceDetector
from facegate.errors import NotReadyError
from facegate.verifier.card import NETWORK
from facegate.verifier.library import Model
from facegate.vision.align import align
from facegate.vision.choose import central_face
from facegate.vision.composites import people
from facegate.vision.decode import decode

Given = TypeVar("Given")
Got = TypeVar("Got")

STAGES: Final = ("decode", "detect", "align", "extract", "compare")
PICTURES: Final = (0, 3)
"""Of each composite: straight on, and turned."""
MILLI: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Spent:
    """Milliseconds of one stage, a photo, over photos and rounds.

    Attributes:
        median: Wall time.
        p95: The 95th percentile of it.
        processor: Median of the processor's time, all threads together.
    """

    median: float
    p95: float
    processor: float

    def to_json(self) -> dict[str, float]:
        """Return the JSON form."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Timing:
    """What one model takes with so many threads.

    Attributes:
        model: Name and digest.
        threads: Of OpenCV and of ONNX Runtime.
        stages: Each of `STAGES`, and `total`.
        megabytes: Size of the network's file.
    """

    model: str
    threads: int
    stages: dict[str, Spent]
    megabytes: float

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        stages = {name: spent.to_json() for name, spent in self.stages.items()}
        return {"model": self.model, "megabytes": self.megabytes, "threads": self.threads, "milliseconds": stages}


def photos() -> list[bytes]:
    """Return the photos that are timed, as they lie on disk."""
    return [one.picture_path(number).read_bytes() for one in people() for number in PICTURES]


def time_models(
    models: Sequence[Model],
    detector: FaceDetector,
    *,
    threads: Sequence[int],
    rounds: int,
    references: int,
    report: Callable[[], None] = lambda: None,
) -> Iterator[Timing]:
    """Time models, one after the other for each number of threads.

    Args:
        models: Which.
        detector: Finds the faces, as at the door.
        threads: Numbers of threads to try.
        rounds: How often each photo is timed.
        references: How many are enrolled for the comparison.
        report: Is called when a model is done.

    Raises:
        NotReadyError: A composite shows no face, or a network cannot be run.
    """
    given = photos()
    for count in threads:
        with opencv_threads(count):
            decoded, pictures = timed(decode, given, rounds)
            detected, places = timed(lambda picture: landmarks(picture, detector), pictures, rounds)
            shared = {"decode": decoded, "detect": detected}
            for model in models:
                own = time_network(model, list(zip(pictures, places, strict=True)), count, rounds, references)
                stages = {**shared, **own}
                spent = {name: summary(stages[name]) for name in STAGES}
                total = summary(np.sum([stages[name] for name in STAGES], axis=0))  # photo by photo
                size = (model.folder / NETWORK).stat().st_size / 1e6
                yield Timing(model.id, count, {**spent, "total": total}, round(size, 2))
                report()


def time_network(
    model: Model, seen: Sequence[tuple[Pixels, Landmarks]], threads: int, rounds: int, references: int
) -> dict[str, NDArray[np.float64]]:
    """Time what depends on the network: align, extract and compare, as `timed` gives them."""
    extractor, alignment = model.extractor(threads), model.card.contract.alignment
    aligned, crops = timed(lambda one: align(*one, alignment)[None], seen, rounds)
    extracted, templates = timed(lambda crop: extractor.extract(crop)[0], crops, rounds)
    enrolled = strangers(model, references)
    compared, _ = timed(lambda template: best_match(template, enrolled), templates, rounds)
    return {"align": aligned, "extract": extracted, "compare": compared}


def timed(stage: Callable[[Given], Got], given: Sequence[Given], rounds: int) -> tuple[NDArray[np.float64], list[Got]]:
    """Take everything through a stage so many times, and once before.

    Returns:
        Seconds, float64 (rounds, photos, 2), by the wall and of the processor; and what came out.
    """
    got = [stage(one) for one in given]
    taken = np.empty((rounds, len(given), 2))
    for row in taken:
        for at, one in enumerate(given):
            before = time.perf_counter(), time.process_time()
            stage(one)
            row[at] = np.subtract((time.perf_counter(), time.process_time()), before)
    return taken, got


def summary(seconds: NDArray[np.float64]) -> Spent:
    """Return what (rounds, photos, 2) seconds come to, in milliseconds."""
    wall, processor = seconds[..., 0] * MILLI, seconds[..., 1] * MILLI
    return Spent(float(np.median(wall)), float(np.percentile(wall, 95)), float(np.median(processor)))


def landmarks(picture: Pixels, detector: FaceDetector) -> Landmarks:
    """Return the landmarks of the face that is meant.

    Raises:
        NotReadyError: There is none.
    """
    face = central_face(detector.detect(picture), picture)
    if face is None:
        raise NotReadyError("The detector finds no face on a composite", "Unset vision.detector or mend its file")
    return face.landmarks


def strangers(model: Model, count: int) -> References:
    """Return so many references, drawn at random: they cost as much to compare as anybody's."""
    drawn = np.random.default_rng(0).normal(size=(count, model.card.dimension)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return References(model.id, drawn, np.arange(count), tuple(f"u{number}" for number in range(count)))


@contextmanager
def opencv_threads(count: int) -> Iterator[None]:
    """Let OpenCV use so many threads for a while."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
