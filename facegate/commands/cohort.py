"""`facegate models cohort`: the strangers that ship with a network, made of folders of people."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from facegate.commands.options import LARGEST_SEED
from facegate.commands.output import print_json, say
from facegate.errors import UnusableInputError
from facegate.settings import load_settings


def cohort(  # noqa: PLR0917 - typer passes options by name
    people: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Sources that the network was trained on.")],
    model: Annotated[Path, typer.Option("--model", help="The network's folder; the file is written there.")],
    crops: Annotated[Path, typer.Option("--crops", help="Folder of aligned crops, kept.")],
    replay: Annotated[int | None, typer.Option("--replay", min=2, help="People to learn on.")] = None,
    outsiders: Annotated[int | None, typer.Option("--outsiders", min=2, help="People to check on.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of people and cameras.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write features of strangers beside a network: for fine-tuning, and for thresholds. No picture is written."""
    from facegate.commands.finetunebench import aligned  # noqa: PLC0415
    from facegate.siamese.export import read_onnx  # noqa: PLC0415
    from facegate.siamese.tuning import cohort as strangers  # noqa: PLC0415
    from facegate.siamese.tuning.material import FeatureNetwork  # noqa: PLC0415
    from facegate.verifier.card import CARD, NETWORK, read_card  # noqa: PLC0415
    from facegate.verifier.files import replace_file  # noqa: PLC0415

    if not (model / CARD).is_file():
        raise UnusableInputError(f"{model} is no folder of a model", "Name the folder that holds its model.json")
    card, trunk = read_card(model), read_onnx(model / NETWORK)
    network = FeatureNetwork(trunk, load_settings().verifier.threads)
    given = {"replay": replay, "outsiders": outsiders, "seed": seed}
    plan = replace(strangers.Plan(), **{name: value for name, value in given.items() if value is not None})
    made = strangers.gather(aligned(people, crops), strangers.digest_of_trunk(trunk), network.extract, plan)
    data = strangers.document(made)
    replace_file(model / strangers.COHORT, data)
    files = {**card.files, strangers.COHORT: hashlib.sha256(data).hexdigest()}
    replace_file(model / CARD, (json.dumps(replace(card, files=files).to_json(), indent=1) + "\n").encode())
    counts = {
        "bytes": len(data),
        "replay": len(set(made.replay.people.tolist())),
        "outsiders": len(set(made.outsiders.people.tolist())),
    }
    if as_json:
        print_json(counts)
    else:
        say(f"{model / strangers.COHORT}: {counts['replay']} people to learn on, {counts['outsiders']} to check on")
