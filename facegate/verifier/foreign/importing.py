"""Networks of others: probe an ONNX file, evaluate and calibrate it on people, put it into the library.

Without people's photos a network is taken in uncalibrated. What its scores mean is then unknown, so no door is armed by
it: composites are easy and few, and a threshold from them would be a guess that looks like a measurement.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from facegate.core.calibration import Calibration
from facegate.core.levelling import Levelling
from facegate.core.ports import FaceDetector
from facegate.core.rates import NotEnoughScoresError
from facegate.errors import RefusedError, UnusableInputError
from facegate.verifier.card import CARD, NETWORK, Card
from facegate.verifier.contract import InputContract
from facegate.verifier.evaluation.allpairs import score_people
from facegate.verifier.evaluation.groups import set_by_worst
from facegate.verifier.evaluation.scoring import Tally, calibrated
from facegate.verifier.extractor import OnnxExtractor
from facegate.verifier.files import digest_of, replace_file
from facegate.verifier.foreign.probing import Probe, probe
from facegate.verifier.library import NAME, Library, write_model
from facegate.verifier.photos import Photo, PhotoReader
from facegate.verifier.selftest import PROOF, prove

MOST_BYTES: Final = 300_000_000
TARGETS: Final = (1e-2, 1e-3, 1e-4)
LEAST_PEOPLE: Final = 10
"""Many photos of few people are many comparisons and hardly any strangers: of two people, one."""
ROUNDS: Final = 9
"""So many single faces are timed; the median is told."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network that was probed, before it has a folder.

    Attributes:
        card: What will stand in its `model.json`.
        network: The ONNX file.
        probe: What it answered.
    """

    card: Card
    network: Path
    probe: Probe

    def reader(self, detector: FaceDetector, max_pixels: int, threads: int) -> PhotoReader:
        """Return what reads photos for it."""
        contract = self.card.contract
        extractor = OnnxExtractor(self.network, model=self.card.id, contract=contract, threads=threads)
        return PhotoReader(detector, extractor, contract.alignment, max_pixels)


@contextmanager
def staged(network: Path) -> Iterator[Path]:
    """Give a copy of a network's file, alone in a folder: what is probed is what is kept, and nothing beside it.

    Raises:
        UnusableInputError: There is no such file, or it is larger than a network may be.
    """
    try:
        with network.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UnusableInputError(f"{network} cannot be read ({error.strerror})", "Name an ONNX file") from error
    if len(data) > MOST_BYTES:
        raise UnusableInputError(f"{network} has more than {MOST_BYTES / 1e6:.0f} MB", "Name an ONNX file")
    with tempfile.TemporaryDirectory(prefix="facegate-") as folder:
        copy = Path(folder) / network.name
        replace_file(copy, data)
        yield copy


def new_candidate(name: str, network: Path, contract: InputContract, licence: str, detector: FaceDetector) -> Candidate:
    """Probe a network from outside and return it with its card.

    Raises:
        UnusableInputError: The name or the network cannot be used.
    """
    check_name(name)
    seen = probe(network, contract, detector)
    figures = {"probe": seen.probe.to_json(), "milliseconds_per_face": milliseconds(network, seen.contract)}
    files = {NETWORK: digest_of(network)}
    origin = f"imported from {network.name}"
    card = Card(name, seen.contract, seen.probe.dimension, origin, licence, figures, files)
    return Candidate(card, network, seen.probe)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a model.

    Raises:
        UnusableInputError: It cannot.
    """
    if not NAME.fullmatch(name) or name.endswith(".onnx"):  # that would be read as a file's
        raise UnusableInputError(f"{name!r} is no name for a model", "Use small letters, digits, dot, dash, underscore")


def milliseconds(network: Path, contract: InputContract) -> float:
    """Return how long one face takes on one thread, the median of a few."""
    extractor = OnnxExtractor(network, model="timed", contract=contract)
    crop = np.random.default_rng(0).integers(0, 256, (1, contract.size, contract.size, 3), np.uint8)
    extractor.raw(crop)  # the first one allocates
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        extractor.raw(crop)
        taken.append(time.perf_counter() - start)
    return round(1000 * float(np.median(taken)), 2)


def calibrate_on(
    card: Card,
    people: Mapping[str, Sequence[Photo]],
    source: str,
    groups: Mapping[str, str] | None = None,
    levelling: Levelling | None = None,
) -> Calibration:
    """Return the calibration of a model by photos of people.

    Args:
        card: Of the model.
        people: Their photos.
        source: Which people and photos, for a person to read.
        groups: Group of each person, if the one that fares worst is to set the curve.
        levelling: What is taken off the scores with each photo as a reference; None: nothing.

    Raises:
        UnusableInputError: The photos show too few people, give no mated or no non-mated comparisons, or are too few
            to tell groups by.
    """
    usable = [(number, photo.template) for number, own in enumerate(people.values()) for photo in own
              if photo.template is not None]  # fmt: skip
    seen = len({number for number, _ in usable})
    if seen < LEAST_PEOPLE:
        raise UnusableInputError(
            f"The photos show {seen} people; what strangers score takes {LEAST_PEOPLE} or more to tell",
            "Give photos of more people, some with two",
        )
    tally = Tally()
    templates = np.stack([template for _, template in usable])
    rises = None if levelling is None else levelling.rises(templates)
    tally.add(templates, np.array([number for number, _ in usable]), rises)
    try:
        whole = calibrated(tally, model=card.id, source=source, people=seen, levelling=levelling)
    except NotEnoughScoresError as error:
        raise UnusableInputError(
            "The photos give no comparisons of one of the two kinds", "Give several people, some with two photos"
        ) from error
    if groups is None:
        return whole
    return set_by_worst(whole, score_people(people, levelling=levelling), list(people), groups)


def with_figures(candidate: Candidate, calibration: Calibration, people: Mapping[str, Sequence[Photo]]) -> Candidate:
    """Return the candidate with what its calibration says in its card; rates are upper bounds, counts beside them."""
    photos = [photo for own in people.values() for photo in own]
    figures: dict[str, Any] = {
        **candidate.card.figures,
        "people": len(people),
        "photos": len(photos),
        "failures_to_acquire": sum(photo.template is None for photo in photos),
        "mated": calibration.mated.comparisons,
        "non_mated": calibration.non_mated,
    }
    for target in TARGETS:
        threshold = calibration.threshold(target)
        figures[f"fnmr_at_fmr_{target:g}"] = None if threshold is None else calibration.fnmr(threshold)
    return replace(candidate, card=replace(candidate.card, figures=figures))


def add_to(
    library: Library,
    card: Card,
    network: Path,
    calibration: Calibration,
    detector: FaceDetector,
    *,
    replace: bool,
    more: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a model's folder into the library's local part, with its proof and what else belongs to it.

    Raises:
        RefusedError: There is a model of this name, and it is not to be replaced.
    """
    folder = library.local_dir / card.name
    if (folder / CARD).exists() and not replace:  # without one it is what an interrupted call left
        raise RefusedError(f"There is a model {card.name} already", "Choose another name")
    extractor = OnnxExtractor(network, model=card.id, contract=card.contract)
    proof = prove(detector, extractor, card.contract.alignment)
    write_model(folder, card, network.read_bytes(), calibration, {PROOF: proof.document(), **(more or {})})
    return folder
