"""Calibrate a trained twin, on people on whom nothing was trained and nothing was chosen.

    python -m models.verifier.recipe.calibrate --data DIR --wrong lfw_known_errors.tsv --work DIR \
        --folder models/verifier/twin-6 --groups genders.tsv --region India=bollywood33_train ...

`--data` holds `lfw_train`, `lfw_val`, `celeba_train` and `celeba_val`, and the sources of the regions. People are
compared within LFW and within CelebA only: a stranger at a door comes with the door's own light and camera, so two
pictures of two sources, which differ in both, are easier to tell apart than two of one, and counting them would make
the thresholds too lax.

Twice: the scores as they are, and levelled by the crowd of the model's cohort (`core.levelling`), for doors.

The group that fares worst by more than chance sets the curve: `--groups` lists LFW's people with theirs (person, tab,
group), `--region` names a source whose people are one, or a folder of it. Of a region its training people count too,
since few were held out; having been learnt from they are told apart no worse than strangers would be.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from facegate.core.calibration import Calibration
from facegate.core.levelling import Levelling, levelled_by
from facegate.siamese.corpus import Source
from facegate.siamese.selection import untouched_rows
from facegate.siamese.tuning.outsiders import templates_of_crowd
from facegate.verifier.calibrations import as_kept, calibration_document, levelled_documents
from facegate.verifier.card import CALIBRATION, CARD, NETWORK, Card, read_card
from facegate.verifier.evaluation.scoring import Tally, calibrated
from facegate.verifier.extractor import OnnxExtractor
from facegate.verifier.files import digest_of, replace_file
from models.verifier.recipe.people import Network, Place, Told, add_options, kept, set_by_group, taken, wrong_names

SETS: Final = {"LFW": ("lfw_val", "lfw_train"), "CelebA": ("celeba_val", "celeba_train")}


def main() -> None:
    """Write calibrations and card anew."""
    given = arguments()
    card = read_card(given.folder)
    network = Network(card, OnnxExtractor(given.folder / NETWORK, model=card.id, contract=card.contract))
    place, wrong = Place(given.data, given.work), wrong_names(given.wrong)
    told = {
        called: network.told_of([kept(untrained(place, name), wrong) for name in names])
        for called, names in SETS.items()
    }
    levelling = levelled_by(
        as_kept(templates_of_crowd(given.folder)), np.concatenate([one.templates for one in told.values()])
    )
    print(f"scores as they are; ordinary is a commonness of {levelling.ordinary:.4f}")
    plain = set_by_group(of_everybody(told, card), told["LFW"], network, place, given)
    print("levelled")
    levelled = set_by_group(of_everybody(told, card, levelling), told["LFW"], network, place, given)
    described = card.to_json()
    for name, document in ({CALIBRATION: calibration_document(plain)} | levelled_documents(levelled)).items():
        replace_file(given.folder / name, document)
        described["files"][name] = digest_of(given.folder / name)
    replace_file(given.folder / CARD, (json.dumps(described, indent=1) + "\n").encode())


def of_everybody(told: Mapping[str, Told], card: Card, levelling: Levelling | None = None) -> Calibration:
    """Return the calibration of all sets, each compared within itself.

    Args:
        told: What the network says of each set.
        card: The network's.
        levelling: What is taken off the scores; None: nothing.
    """
    tally = Tally()
    for one in told.values():
        tally.add(one.templates, one.numbers, None if levelling is None else levelling.rises(one.templates))
    people = sum(len(set(one.people)) for one in told.values())
    photos = " and ".join(f"{len(one.people)} photos of {called}" for called, one in told.items())
    source = (
        f"{people} people on whom nothing was trained, {photos}, all against all within each of the two sets; LFW's"
        " known wrong labels left out"
    )
    return calibrated(tally, model=card.id, people=people, source=source, levelling=levelling)


def untrained(place: Place, name: str) -> Source:
    """Return the crops of a source's people on whom nothing was trained or chosen."""
    source = place.source(name)
    rows = np.arange(len(source.paths)) if name.endswith("_val") else untouched_rows(source)
    return taken(source, rows)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--data", "--wrong", "--work", "--folder"):
        parser.add_argument(option, type=Path, required=True)
    add_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
