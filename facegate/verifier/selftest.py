"""Judges pictures of people who do not exist before anybody real is judged.

A network that is fed in the wrong order of colours, whose weights were damaged or squeezed, or whose crops are aligned
otherwise than its calibration assumed, still answers with unit vectors. So at start a few composites go the whole way
from pixels to scores. Two pictures of one person must reach the threshold, pictures of two must stay below, and the
templates must be near those that were written down when the model was made (its proof): that alone tells swapped
colours, since composites are so easy that a mis-fed network still tells them apart.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.calibration import Calibration
from facegate.core.comparison import Templates, scores
from facegate.core.ports import FaceDetector, TemplateExtractor
from facegate.errors import NotReadyError
from facegate.vision.align import ALIGNMENT, Alignment, align
from facegate.vision.composites import people

PROOF: Final = "proof.json"
PEOPLE: Final = 4
PICTURES: Final = (0, 3)
TARGET_FMR: Final = 1e-4
LEAST_LIKENESS: Final = 0.96
"""Mean score of the proof with today's templates. Another detector of YuNet's kind gives 0.99, swapped colours 0.94."""

MEND: Final = "Install facegate again, or activate another model: facegate models activate NAME"


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What was seen of the composites.

    Attributes:
        lowest_mated: Lowest score of two pictures of one person.
        highest_non_mated: Highest score of pictures of two.
        threshold: What the one must reach and the other must not.
        likeness: Mean score of the templates with those of the proof, or None where the model has no proof.
    """

    lowest_mated: float
    highest_non_mated: float
    threshold: float
    likeness: float | None

    @property
    def passed(self) -> bool:
        """Everything is as it was when the model was made; NaN anywhere is not."""
        apart = self.lowest_mated >= self.threshold > self.highest_non_mated
        return apart and (self.likeness is None or self.likeness >= LEAST_LIKENESS)


def judge(
    detector: FaceDetector,
    extractor: TemplateExtractor,
    calibration: Calibration,
    proof: Templates | None,
    /,
    alignment: Alignment = ALIGNMENT,
) -> SelfTest:
    """Take the composites all the way.

    Args:
        detector: The one in use.
        extractor: The network to be tested.
        calibration: Its calibration.
        proof: The templates as they were when the model was made, or None.
        alignment: How the network wants its crops.

    Raises:
        NotReadyError: The network or the pipeline is not what it was; the message has the figures.
    """
    templates = composite_templates(detector, extractor, alignment)
    alike, owners = scores(templates, templates), np.repeat(np.arange(PEOPLE), len(PICTURES))
    same = owners[:, None] == owners[None, :]
    threshold = calibration.threshold(TARGET_FMR)
    if threshold is None:
        raise NotReadyError(f"The calibration of {extractor.model} supports no FMR of {TARGET_FMR:g}", MEND)
    likeness = None if proof is None else likeness_of(templates, proof)
    test = SelfTest(float(alike[same].min()), float(alike[~same].max()), threshold, likeness)
    if not test.passed:
        raise NotReadyError(f"The verifier fails its self-test: {figures(test)}", MEND)
    return test


def figures(test: SelfTest) -> str:
    """Return the test's figures in one line."""
    proof = "" if test.likeness is None else f", likeness to the proof {test.likeness:.3f} (at least {LEAST_LIKENESS})"
    return (
        f"lowest mated score {test.lowest_mated:.3f}, highest non-mated {test.highest_non_mated:.3f},"
        f" threshold {test.threshold:.3f}{proof}"
    )


def composite_templates(
    detector: FaceDetector, extractor: TemplateExtractor, alignment: Alignment = ALIGNMENT
) -> Templates:
    """Return the templates of some composites, float32 (PEOPLE * len(PICTURES), d), a person's together.

    Raises:
        NotReadyError: No face was found on one of them, or the network answered with no template.
    """
    crops = [
        _crop(detector, composite.picture(number), alignment) for composite in people()[:PEOPLE] for number in PICTURES
    ]
    try:
        return extractor.extract(np.stack(crops))
    except ValueError as error:
        raise NotReadyError(f"The verifier fails its self-test: {error}", MEND) from error


def _crop(detector: FaceDetector, picture: NDArray[np.uint8], alignment: Alignment) -> NDArray[np.uint8]:
    faces = detector.detect(picture)
    if not faces:
        raise NotReadyError("The self-test found no face on a composite", "Unset vision.detector or mend its file")
    return align(picture, faces[0].landmarks, alignment)


def likeness_of(templates: Templates, proof: Templates) -> float:
    """Return the mean score of templates with those of a proof; -1 where it is of other pictures or dimensions."""
    return float((templates * proof).sum(axis=1).mean()) if proof.shape == templates.shape else -1.0


def proof_document(templates: Templates) -> bytes:
    """Return the proof as it is written beside the network."""
    document: dict[str, Any] = {"pictures": list(PICTURES), "templates": np.round(templates.astype(float), 4).tolist()}
    return json.dumps(document).encode()


def read_proof(folder: Path) -> Templates | None:
    """Return the proof in a model's folder, or None if it has none.

    Raises:
        NotReadyError: The file is none.
    """
    path = folder / PROOF
    if not path.is_file():
        return None
    try:
        return np.asarray(json.loads(path.read_text("utf-8"))["templates"], np.float32)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotReadyError(f"{path} is no proof ({error})", MEND) from error
