"""Make `models/verifier/open-1` again: the permissive start itself, under our own contract, calibrated on LFW.

    python -m models.verifier.recipe.open_1 --start face_reid_0095_f16.npz --data DIR --wrong lfw_known_errors.tsv \
        --work DIR --out models/verifier/open-1

`--data` holds `lfw_train` and `lfw_val`. Nothing is trained: pictures are looked at to say what scores mean, and leave
no trace in the weights. Whoever is named in the list of wrong labels is left out, since one wrong label among millions
of comparisons decides the strictest thresholds.
"""

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np

from facegate.siamese.corpus import Source, align_source, read_source
from facegate.siamese.export import write_onnx
from facegate.siamese.teaching import blocks
from facegate.siamese.weights import load_start
from facegate.verifier.extractor import InputContract, OnnxExtractor
from facegate.verifier.files import digest_of
from facegate.verifier.library import NETWORK, Card, write_model
from facegate.verifier.scoring import Tally, calibrated
from facegate.verifier.selftest import PROOF, prove
from facegate.vision.detect import YuNetDetector

NAME: Final = "open-1"
CONTRACT: Final = InputContract(128, "reid-0095")
START: Final = "face-reidentification-retail-0095, Open Model Zoo, Apache-2.0, unchanged"
LICENCE: Final = "Apache-2.0"
SOURCES: Final = ("lfw_train", "lfw_val")
FIGURES: Final[dict[str, Any]] = {
    "lfw_val_pairs_accuracy": 0.9975,
    "lfw_val_pairs_fnmr_at_fmr_1e-3": 0.0047,
    "celeba_val_fnmr_at_fmr_1e-3": 0.0712,
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
    for name in SOURCES:
        align_source(given.data, name, detector, given.work / "crops")
    sources = [kept(read_source(given.work / "crops", name), wrong_names(given.wrong)) for name in SOURCES]
    templates = [np.concatenate([extractor.extract(seen) for seen in blocks(source, CONTRACT.alignment)])
                 for source in sources]  # fmt: skip
    names = [person for source in sources for person in source.people]
    people = np.unique(names, return_inverse=True)[1].astype(np.int64)
    tally = Tally()
    tally.add(np.concatenate(templates), people)
    calibration = calibrated(
        tally,
        model=card.id,
        people=int(people.max()) + 1,
        source=f"Labeled Faces in the Wild, {int(people.max()) + 1} people, {len(people)} photos, known wrong labels "
        "left out; nothing was trained on them",
    )
    proof = prove(detector, extractor, CONTRACT.alignment)
    write_model(given.out, card, network.read_bytes(), calibration, {PROOF: proof.document()})


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--start", "--data", "--wrong", "--work", "--out"):
        parser.add_argument(option, type=Path, required=True)
    return parser.parse_args()


def wrong_names(listing: Path) -> set[str]:
    """Return whom and which photos a list of wrong labels names: second and third column of a table with a head."""
    rows = [line.split("\t") for line in listing.read_text("utf-8").splitlines()[1:]]
    return {name for row in rows for name in row[1:3]}


def kept(source: Source, wrong: set[str]) -> Source:
    """Return a source without the people and photos that are named."""
    rows = [
        row
        for row, path in enumerate(source.paths)
        if Path(path).parent.name not in wrong and Path(path).stem not in wrong
    ]
    return Source(source.name, source.crops[rows], tuple(source.paths[row] for row in rows))


if __name__ == "__main__":
    main()
