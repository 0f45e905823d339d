"""Networks of others: probe an ONNX file, calibrate it on people, put it into the library.

A file from outside is data, never code: ONNX Runtime loads it with the operators that it ships with, and what it
answers is looked at before it may judge anybody.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from facegate.core.calibration import Calibration
from facegate.core.ports import FaceDetector
from facegate.core.rates import NotEnoughScoresError
from facegate.errors import FacegateError, RefusedError, UnusableInputError
from facegate.verifier.extractor import InputContract, OnnxExtractor
from facegate.verifier.library import NAME, NETWORK, Card, Library, write_model
from facegate.verifier.photos import Photo
from facegate.verifier.scoring import Tally, calibrated
from facegate.verifier.selftest import PROOF, prove

MOST_BYTES: Final = 300_000_000
MEND: Final = "Check the file and --size, --mean, --std, --rgb, --template"


def probe(network: Path, contract: InputContract) -> int:
    """Try a network on pictures of noise: same in, same out; different in, different out.

    Returns:
        The dimension of its templates.

    Raises:
        UnusableInputError: It is no embedding network with this contract.
    """
    try:
        extractor = OnnxExtractor(network, model="probe", contract=contract)
        draw = np.random.default_rng(0)
        crops = draw.integers(0, 256, (2, contract.size, contract.size, 3), np.uint8)
        first, again = extractor.extract(crops), extractor.extract(crops)
    except FacegateError as error:
        raise UnusableInputError(error.what, MEND) from error
    except Exception as error:  # ONNX Runtime raises its own kinds, which share no public base
        raise UnusableInputError(f"{network.name} does not take such crops: {str(error)[:160]}", MEND) from error
    if first.ndim != 2 or not 16 <= first.shape[1] <= 4096 or not np.allclose(first, again, atol=1e-5):  # noqa: PLR2004
        raise UnusableInputError(f"{network.name} answers with no template of 16 to 4096 values", MEND)
    return int(first.shape[1])


def new_card(name: str, network: Path, contract: InputContract, licence: str) -> Card:
    """Return the card of a network from outside, probed.

    Raises:
        UnusableInputError: The name or the network cannot be used.
    """
    if not NAME.fullmatch(name):
        raise UnusableInputError(f"{name!r} is no name for a model", "Use small letters, digits, dot, dash, underscore")
    if not network.is_file() or network.stat().st_size > MOST_BYTES:
        raise UnusableInputError(f"{network} is no file of at most {MOST_BYTES / 1e6:.0f} MB", "Name an ONNX file")
    dimension = probe(network, contract)
    digest = hashlib.sha256(network.read_bytes()).hexdigest()
    return Card(name, contract, dimension, f"imported from {network.name}", licence, files={NETWORK: digest})


def calibrate_on(card: Card, people: Mapping[str, Sequence[Photo]], source: str) -> Calibration:
    """Return the calibration of a model by photos of people.

    Raises:
        UnusableInputError: The photos give no mated or no non-mated comparisons.
    """
    usable = [(number, photo.template) for number, own in enumerate(people.values()) for photo in own
              if photo.template is not None]  # fmt: skip
    tally = Tally()
    if usable:
        tally.add(np.stack([template for _, template in usable]), np.array([number for number, _ in usable]))
    try:
        return calibrated(tally, model=card.id, source=source, people=len(people))
    except NotEnoughScoresError as error:
        raise UnusableInputError(
            "The photos give no comparisons of one of the two kinds", "Give several people, some with two photos"
        ) from error


def add_to(
    library: Library, card: Card, network: Path, calibration: Calibration, detector: FaceDetector, *, replace: bool
) -> Path:
    """Write a model's folder into the library's local part, with its proof.

    Raises:
        RefusedError: There is a model of this name, and it is not to be replaced.
    """
    folder = library.local_dir / card.name
    if folder.exists() and not replace:
        raise RefusedError(f"There is a model {card.name} already", "Choose another name")
    extractor = OnnxExtractor(network, model=card.id, contract=card.contract)
    proof = prove(detector, extractor, card.contract.alignment)
    write_model(folder, card, network.read_bytes(), calibration, {PROOF: proof.document()})
    return folder
