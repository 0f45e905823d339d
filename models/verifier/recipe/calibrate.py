"""Calibrate a trained twin, on people on whom nothing was trained and nothing was chosen.

    python -m models.verifier.recipe.calibrate --data DIR --wrong lfw_known_errors.tsv --work DIR \
        --folder models/verifier/twin-4

`--data` holds `lfw_train`, `lfw_val`, `celeba_train` and `celeba_val`. People are compared within LFW and within
CelebA only: a stranger at a door comes with the door's own light and camera, so two pictures of two sources, which
differ in both, are easier to tell apart than two of one, and counting them would make the thresholds too lax.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from facegate.siamese.corpus import Source, align_source, read_source
from facegate.siamese.selection import untouched_rows
from facegate.siamese.teaching import blocks
from facegate.verifier.extractor import OnnxExtractor
from facegate.verifier.files import digest_of, replace_file
from facegate.verifier.library import CALIBRATION, CARD, NETWORK, calibration_document, read_card
from facegate.verifier.scoring import Tally, calibrated
from facegate.vision.detect import YuNetDetector
from models.verifier.recipe.open_1 import kept, wrong_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

SETS: Final = {"LFW": ("lfw_val", "lfw_train"), "CelebA": ("celeba_val", "celeba_train")}


def main() -> None:
    """Write calibration and card anew."""
    given = arguments()
    card = read_card(given.folder)
    extractor = OnnxExtractor(given.folder / NETWORK, model=card.id, contract=card.contract)
    tally, people, photos = Tally(), 0, {}
    for called, names in SETS.items():
        sources = [untrained(name, given) for name in names]
        alignment = card.contract.alignment
        templates = [extractor.extract(seen) for source in sources for seen in blocks(source, alignment)]
        keys = [f"{source.name}/{person}" for source in sources for person in source.people]
        numbers = np.unique(keys, return_inverse=True)[1].astype(np.int64)
        tally.add(np.concatenate(templates), numbers)
        people, photos[called] = people + int(numbers.max()) + 1, len(numbers)
    told = " and ".join(f"{count} photos of {called}" for called, count in photos.items())
    source = (
        f"{people} people on whom nothing was trained, {told}, all against all within each of the two sets; LFW's known"
        " wrong labels left out"
    )
    document = calibration_document(calibrated(tally, model=card.id, people=people, source=source))
    replace_file(given.folder / CALIBRATION, document)
    described = card.to_json()
    described["files"][CALIBRATION] = digest_of(given.folder / CALIBRATION)
    replace_file(given.folder / CARD, (json.dumps(described, indent=1) + "\n").encode())


def untrained(name: str, given: argparse.Namespace) -> Source:
    """Return the crops of a source's people on whom nothing was trained or chosen, without wrong labels."""
    crops = given.work / "crops"
    align_source(given.data, name, YuNetDetector(), crops)
    source = read_source(crops, name)
    rows: NDArray[np.int64] = np.arange(len(source.paths)) if name.endswith("_val") else untouched_rows(source)
    untouched = Source(name, source.crops[rows], tuple(source.paths[row] for row in rows))
    return kept(untouched, wrong_names(given.wrong))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--data", "--wrong", "--work", "--folder"):
        parser.add_argument(option, type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
