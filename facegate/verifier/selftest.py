"""Judges pictures of people who do not exist before anybody real is judged.

A network that is fed in the wrong order of colours, whose weights were damaged or squeezed, or whose crops are cut
otherwise than its calibration assumed, still answers with unit vectors. So at start a few composites are judged, in two
ways. From landmarks that were written down when the model was made, the templates must be those of then (the proof):
that tells every change in cutting, feeding and computing, such as swapped colours, which composites alone are too easy
to show. And with the detector in use, two pictures of one person must reach the threshold and those of two must not.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.calibration import Calibration
from facegate.core.comparison import Templates, scores
from facegate.core.frame import Landmarks, Pixels
from facegate.core.ports import FaceDetector, TemplateExtractor
from facegate.errors import NotReadyError
from facegate.vision.align import Alignment, align_all
from facegate.vision.composites import people

PROOF: Final = "proof.json"
PEOPLE: Final = 4
PICTURES: Final = (0, 3)
TARGET_FMR: Final = 1e-4
LEAST_LIKENESS: Final = 0.995
"""Lowest score of a template with its proof. Rounding gives 0.9999, swapped colours 0.9, weights in int8 0.8."""

MEND: Final = "Install facegate again, or activate another model: facegate models activate NAME"


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """What the network said of the composites when the model was made.

    Attributes:
        landmarks: float32 (n, 5, 2), pixels of each picture.
        templates: float32 (n, d).
    """

    landmarks: NDArray[np.float32]
    templates: Templates

    def document(self) -> bytes:
        """Return the proof as it is written; `read_proof` reads it."""
        places, values = np.round(self.landmarks.astype(float), 2), np.round(self.templates.astype(float), 4)
        return json.dumps({"landmarks": places.tolist(), "templates": values.tolist()}).encode()


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What was seen of the composites.

    Attributes:
        lowest_mated: Lowest score of two pictures of one person.
        highest_non_mated: Highest score of pictures of two.
        threshold: What the one must reach and the other must not.
        likeness: Lowest score of a template with its proof.
    """

    lowest_mated: float
    highest_non_mated: float
    threshold: float
    likeness: float

    @property
    def passed(self) -> bool:
        """Everything is as it was when the model was made; NaN anywhere is not."""
        apart = self.lowest_mated >= self.threshold > self.highest_non_mated
        return apart and self.likeness >= LEAST_LIKENESS

    def __str__(self) -> str:
        return (
            f"lowest mated score {self.lowest_mated:.3f}, highest non-mated {self.highest_non_mated:.3f},"
            f" threshold {self.threshold:.3f}, likeness to the proof {self.likeness:.4f} (at least {LEAST_LIKENESS})"
        )


def judge(
    detector: FaceDetector,
    extractor: TemplateExtractor,
    calibration: Calibration,
    proof: Proof,
    alignment: Alignment,
) -> SelfTest:
    """Judge the composites; well under a second.

    Args:
        detector: The one in use.
        extractor: The network to be tested.
        calibration: Its calibration.
        proof: What it said when the model was made.
        alignment: How the network wants its crops.

    Raises:
        NotReadyError: The network or the pipeline is not what it was; the message has the figures.
    """
    pictures = composites()
    then = _templates(pictures, list(proof.landmarks), extractor, alignment)
    alike, same = compared(_templates(pictures, found(pictures, detector), extractor, alignment))
    # Without a calibration there is no threshold, and no door is armed; that composites are told apart is asked anyway.
    threshold = calibration.threshold(max(TARGET_FMR, calibration.floor)) if calibration.measured else None
    threshold = float(alike[same].min()) if threshold is None else threshold
    likeness = float((then * proof.templates).sum(axis=1).min()) if then.shape == proof.templates.shape else -1.0
    test = SelfTest(float(alike[same].min()), float(alike[~same].max()), threshold, likeness)
    if not test.passed:
        raise NotReadyError(f"The verifier fails its self-test: {test}", MEND)
    return test


def prove(detector: FaceDetector, extractor: TemplateExtractor, alignment: Alignment) -> Proof:
    """Write down what a network says of the composites, when its model is made.

    Raises:
        NotReadyError: No face was found on one of them, or the network answers with no template.
    """
    pictures = composites()
    # Rounded as they will be written, so that the crops of the self-test are these to the last pixel.
    landmarks = np.round(np.stack(found(pictures, detector)).astype(float), 2).astype(np.float32)
    return Proof(landmarks, _templates(pictures, list(landmarks), extractor, alignment))


def read_proof(folder: Path) -> Proof:
    """Return the proof in a model's folder.

    Raises:
        NotReadyError: There is none.
    """
    try:
        document = json.loads((folder / PROOF).read_text("utf-8"))
        return Proof(np.asarray(document["landmarks"], np.float32), np.asarray(document["templates"], np.float32))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotReadyError(f"{folder / PROOF} is no proof ({error})", MEND) from error


def composites() -> list[Pixels]:
    """Return the pictures that are judged, a person's together."""
    return [composite.picture(number) for composite in people()[:PEOPLE] for number in PICTURES]


def found(pictures: list[Pixels], detector: FaceDetector) -> list[Landmarks]:
    """Return the landmarks of the largest face of each picture.

    Raises:
        NotReadyError: A picture shows no face to this detector.
    """
    faces = [detector.detect(picture) for picture in pictures]
    if not all(faces):
        raise NotReadyError("The self-test finds no face on a composite", "Unset vision.detector or mend its file")
    return [largest.landmarks for largest, *_ in faces]


def _templates(
    pictures: list[Pixels], landmarks: list[Landmarks], extractor: TemplateExtractor, alignment: Alignment
) -> Templates:
    """Return a template for each picture, float32 (n, d)."""
    crops = [align_all(picture, [places], alignment) for picture, places in zip(pictures, landmarks, strict=True)]
    try:
        # One by one, as the door does it: ONNX Runtime keeps the memory of the largest batch it ever saw.
        return np.concatenate([extractor.extract(crop) for crop in crops])
    except ValueError as error:
        raise NotReadyError(f"The verifier fails its self-test: {error}", MEND) from error


def compared(templates: Templates) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return all scores of the composites' templates, in their order, and which are mated, (n, n) each."""
    owners = np.repeat(np.arange(PEOPLE), len(PICTURES))
    return scores(templates, templates), owners[:, None] == owners[None, :]
