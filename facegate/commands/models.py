"""`facegate models`: the networks that ship, that were imported and that were trained here."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegate.commands.ablation import ablate
from facegate.commands.cohort import cohort
from facegate.commands.importing import fetch, import_model
from facegate.commands.oneshot import train_oneshot
from facegate.commands.output import print_json, print_table, say, warn
from facegate.commands.training import train
from facegate.settings import Settings, load_settings

if TYPE_CHECKING:
    from facegate.verifier.card import Card
    from facegate.verifier.library import Model

app = typer.Typer(help="The networks.", no_args_is_help=True, add_completion=False)
app.command("train")(train)
app.command("cohort")(cohort)
app.command("ablate")(ablate)
app.command("import")(import_model)
app.command("fetch")(fetch)
app.command("train-oneshot")(train_oneshot)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a model.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List all models."""
    from facegate.verifier.library import library_of  # noqa: PLC0415

    library = library_of(load_settings())
    cards = library.cards(passed_over=lambda error: warn(f"one model is left out: {error}"))
    active = library.active() if cards else ""
    if as_json:
        print_json([described(card, active) for card in cards])
    else:
        rows = [
            (card.id, "in charge" if card.name == active else "", card.start, card.dimension, card.licence)
            for card in cards
        ]
        print_table("Models", ("model", "", "from", "dimension", "licence"), rows)


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="Name of a model; empty: the one in charge.")] = "",
         as_json: AsJson = False) -> None:  # fmt: skip
    """Show a model's card and calibration; every file is checked against its digest."""
    from facegate.commands.calibrate import summary  # noqa: PLC0415
    from facegate.verifier.library import library_of  # noqa: PLC0415

    library = library_of(load_settings())
    model = library.load(name)
    document = {**described(model.card, library.active()), **model.card.to_json(), "folder": str(model.folder)}
    document["calibration"] = summary(model.calibration)
    if as_json:
        print_json(document)
        return
    say(f"{model.id}\nfolder {model.folder}\nstart {model.card.start}\nlicence {model.card.licence}")
    for figure, value in model.card.figures.items():
        say(f"{figure}: {value}")


@app.command("activate")
def activate(name: Name, as_json: AsJson = False) -> None:
    """Put a model in charge; its files and its self-test are checked first."""
    from facegate.storage import open_storage  # noqa: PLC0415
    from facegate.verifier.library import library_of  # noqa: PLC0415
    from facegate.verifier.succession import put_in_charge  # noqa: PLC0415

    settings = load_settings()
    model = library_of(settings).load(name)
    checked(model, settings)
    with open_storage(settings, upgrade_empty=True) as storage:
        library = library_of(settings, storage.champions)
        made = put_in_charge(storage, library, model, threads=settings.verifier.threads)
    told(model, made, settings, as_json=as_json)


@app.command("rollback")
def rollback(as_json: AsJson = False) -> None:
    """Put the model in charge that was before, with everybody who was enrolled since."""
    from facegate.storage import open_storage  # noqa: PLC0415
    from facegate.verifier.library import library_of  # noqa: PLC0415
    from facegate.verifier.succession import roll_back  # noqa: PLC0415

    settings = load_settings()
    with open_storage(settings, upgrade_empty=True) as storage:
        library = library_of(settings, storage.champions)
        model, made = roll_back(storage, library, threads=settings.verifier.threads)
    told(model, made, settings, as_json=as_json)


def checked(model: "Model", settings: Settings) -> None:
    """Run the self-test of a model with the detector in use.

    Raises:
        NotReadyError: It fails.
    """
    from facegate.verifier.selftest import judge, read_proof  # noqa: PLC0415
    from facegate.vision.detect import YuNetDetector  # noqa: PLC0415

    judge(
        YuNetDetector(settings.vision.detector),
        model.extractor(),
        model.calibration,
        read_proof(model.folder),
        model.card.contract.alignment,
    )


def told(model: "Model", made: int, settings: Settings, *, as_json: bool) -> None:
    """Say which model is in charge now, and how many references it had to make."""
    from facegate.commands.calibrate import too_few  # noqa: PLC0415

    if made:
        warn(f"{made} references were made anew by {model.id} from the stored crops")
    if not model.calibration.measured:
        warn(f"no door is armed by it (not_armed) until you run: facegate calibrate DIR --model {model.card.name}")
    elif model.at_doors.visit_threshold(settings.gate.target_fmr, references=1) is None:
        warn(f"no door is armed by it: {too_few(model.at_doors, settings.gate.target_fmr)}")
    if settings.verifier.model not in {"", model.card.name}:
        warn(f"the setting verifier.model keeps {settings.verifier.model} in charge")
    if as_json:
        print_json(described(model.card, model.card.name))
    else:
        say(f"{model.id} is in charge")


def described(card: "Card", active: str) -> dict[str, Any]:
    """Return what a list says of a model."""
    return {
        "name": card.name,
        "model": card.id,
        "active": card.name == active,
        "start": card.start,
        "dimension": card.dimension,
        "licence": card.licence,
    }
