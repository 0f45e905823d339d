"""Make `models/verifier/open-1` again: the permissive start itself, under our own contract, calibrated on LFW.

    python -m models.verifier.recipe.open_1 --start face_reid_0095_f16.npz --data DIR --wrong lfw_known_errors.tsv \
        --work DIR --out models/verifier/open-1 --groups genders.tsv --region India=bollywood33_train ...

`--data` holds `lfw_train` and `lfw_val`, and the sources of the regions; the group that fares worst sets the curve, as
in `models.verifier.recipe.calibrate`. Nothing is trained: pictures are looked at to say what scores mean, and leave
no trace in the weights. Whoever is named in the list of wrong labels is left out, since one wrong label among millions
of comparisons decides the strictest thresholds.
"""

import argparse
from pathlib import Path
from typing import Any, Final

from facegate.siamese.export import write_onnx
from facegate.siamese.weights import load_start
from facegate.verifier.card import NETWORK, Card
from facegate.verifier.contract import InputContract
from facegate.verifier.evaluation.scoring import Tally, calibrated
from facegate.verifier.extractor import OnnxExtractor
from facegate.verifier.files import digest_of
from facegate.verifier.library import write_model
from facegate.verifier.selftest import PROOF, prove
from facegate.vision.detect import YuNetDetector
from models.verifier.recipe.people import Network, Place, add_options, kept, set_by_group, wrong_names

NAME: Final = "open-1"
CONTRACT: Final = InputContract(128, "reid-0095")
START: Final = "face-reidentification-retail-0095, Open Model Zoo, Apache-2.0, unchanged"
LICENCE: Final = "Apache-2.0"
SOURCES: Final = ("lfw_train", "lfw_val")
FIGURES: Final[dict[str, Any]] = {
    "lfw_val_pairs_accuracy": 0.9972,
    "lfw_val_pairs_fnmr_at_fmr_1e-3": 0.0037,
    "celeba_val_fnmr_at_fmr_1e-3": 0.0739,
    "milliseconds_per_face_one_core": 7.7,
}


def main() -> None:
    """Write the folder."""
    given = arguments()
    detector = YuNetDetector()
    given.work.mkdir(parents=True, exist_ok=True)
    network = given.work / "open-1.onnx"
    write_onnx(load_start(given.start), network, half=True)
    card = Card(NAME, CONTRACT, 256, START, LICENCE, FIGURES, {NETWORK: digest_of(network)})
    extractor = OnnxExtractor(network, model=card.id, contract=CONTRACT)
    place, wrong, opened = Place(given.data, given.work), wrong_names(given.wrong), Network(card, extractor)
    told = opened.told_of([kept(place.source(name), wrong) for name in SOURCES])
    tally = Tally()
    tally.add(told.templates, told.numbers)
    people = len(set(told.people))
    whole = calibrated(
        tally,
        model=card.id,
        people=people,
        source=f"Labeled Faces in the Wild, {people} people, {len(told.people)} photos, known wrong labels left out;"
        " nothing was trained on them",
    )
    calibration = set_by_group(whole, told, opened, place, given)
    proof = prove(detector, extractor, CONTRACT.alignment)
    write_model(given.out, card, network.read_bytes(), calibration, {PROOF: proof.document()})


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--start", "--data", "--wrong", "--work", "--out"):
        parser.add_argument(option, type=Path, required=True)
    add_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
