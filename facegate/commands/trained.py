"""What comes out of `facegate models train`: a model's folder, calibrated, and a word about it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facegate.commands.output import print_json, say, warn

if TYPE_CHECKING:
    from facegate.core.ports import FaceDetector
    from facegate.siamese.recipe import Trained


def origin_of(start: str | None, companion: Path | None) -> str:
    """Return what a model's card says of where its weights come from; of random ones if there is no start."""
    if start is None:
        return "random weights"
    if companion is None:
        return f"{Path(start).name} (trained on)"
    return f"{Path(start).name}, and beside it a companion made of {companion.name} (trained on)"


def write(trained: "Trained", name: str, origin: str, out: Path, detector: "FaceDetector") -> Path:
    """Export the trunk, calibrate it on untouched held-out people, and write the model's folder.

    People are compared within a source only: two sources may show one person under two names.
    """
    from facegate.siamese.corpus import Source  # noqa: PLC0415
    from facegate.siamese.export import write_onnx  # noqa: PLC0415
    from facegate.siamese.selection import untouched_rows  # noqa: PLC0415
    from facegate.siamese.teaching import blocks  # noqa: PLC0415
    from facegate.siamese.weights import checkpoint_of  # noqa: PLC0415
    from facegate.verifier.card import CHECKPOINT, NETWORK, Card  # noqa: PLC0415
    from facegate.verifier.contract import own_contract  # noqa: PLC0415
    from facegate.verifier.evaluation.scoring import Tally, calibrated  # noqa: PLC0415
    from facegate.verifier.extractor import OnnxExtractor  # noqa: PLC0415
    from facegate.verifier.files import digest_of  # noqa: PLC0415
    from facegate.verifier.library import write_model  # noqa: PLC0415
    from facegate.verifier.selftest import PROOF, prove  # noqa: PLC0415

    network, contract = out / "trained.onnx", own_contract(trained.trunk.shape.crop)
    write_onnx(trained.trunk, network, half=True)
    files = {NETWORK: digest_of(network)}
    card = Card(name, contract, trained.trunk.shape.dimension, origin, "see the data's terms", {}, files)
    extractor = OnnxExtractor(network, model=card.id, contract=contract)
    tally, count = Tally(), 0
    for source in trained.sources:
        rows = untouched_rows(source)
        if not len(rows):
            continue
        kept = Source(source.name, source.crops[rows], tuple(source.paths[row] for row in rows))
        numbers = np.unique(kept.people, return_inverse=True)[1]
        tally.add(np.concatenate([extractor.extract(seen) for seen in blocks(kept, contract.alignment)]), numbers)
        count += int(numbers.max()) + 1
    calibration = calibrated(
        tally,
        model=card.id,
        people=count,
        source=f"{count} people on whom nothing was trained or chosen, compared within their sources",
    )
    folder = out / name
    proof = prove(detector, extractor, contract.alignment)
    write_model(
        folder,
        card,
        network.read_bytes(),
        calibration,
        {PROOF: proof.document(), CHECKPOINT: checkpoint_of(trained.trunk)},
    )
    return folder


def tell_of(trained: "Trained", written: Path, run: dict[str, Any], *, as_json: bool) -> None:
    """Say what came out of a run, and on what machine."""
    best = trained.candidates[0]
    if as_json:
        first = next(each for each in trained.candidates if each.is_start)
        chosen = [
            {
                "share": each.share,
                "way": each.way,
                "cost": each.cost(first),
                "plain": each.plain,
                "masked": each.masked,
                "door": each.door,
            }
            for each in trained.candidates
        ]
        print_json({"folder": str(written), "missed": trained.missed, "candidates": chosen, **run})
    else:
        if trained.trunk.companion is None:
            say(f"{written}: the best lies {best.share:.0%} of the way from the start to the trained")
        else:
            say(f"{written}: the best start lies {best.way:.0%} of the way, and the companion weighs {best.share:g}")
        say(f"{run['seconds'] / 3600:.1f} hours on {run['machine']}, {run['device']} x {run['processes']}")
    if best.is_start:
        warn("nothing that was learnt is better than the start on held-out people")
