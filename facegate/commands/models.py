"""`facegate models`: the networks that ship, that were imported and that were trained here."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from facegate.commands.output import print_json, print_table, say, warn
from facegate.commands.training import train
from facegate.errors import RefusedError
from facegate.settings import Settings, load_settings

if TYPE_CHECKING:
    from facegate.verifier.extractor import InputContract
    from facegate.verifier.library import Card, Model

app = typer.Typer(help="The networks.", no_args_is_help=True, add_completion=False)
app.command("train")(train)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a model.")]
Size = Annotated[int, typer.Option("--size", min=32, max=512, help="Side of the square crop, pixels.")]
Mean = Annotated[float, typer.Option("--mean", help="Taken from each value; 0 if the graph does it.")]
Std = Annotated[float, typer.Option("--std", min=1e-6, help="What each value is divided by.")]
Rgb = Annotated[bool, typer.Option("--rgb/--bgr", help="Order of the channels.")]
Template = Annotated[Literal["arcface", "reid-0095"], typer.Option("--template", help="Alignment of the crop.")]
People = Annotated[Path, typer.Option("--people", help="Folder of people's folders to calibrate on.")]
Licence = Annotated[str, typer.Option("--licence", help="Under what terms its weights may be used.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List all models."""
    from facegate.verifier.library import library_of  # noqa: PLC0415

    library = library_of(load_settings())
    cards = library.cards()
    active = library.active() if cards else ""
    if as_json:
        print_json([described(card, active) for card in cards])
    else:
        rows = [(card.id, "in charge" if card.name == active else "", card.dimension, card.licence) for card in cards]
        print_table("Models", ("model", "", "dimension", "licence"), rows)


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
    from facegate.verifier.library import library_of  # noqa: PLC0415

    settings = load_settings()
    library = library_of(settings)
    model = library.load(name)
    checked(model, settings)
    keep_everybody(model, settings)
    told(library.activate(name), settings, as_json=as_json)


@app.command("rollback")
def rollback(as_json: AsJson = False) -> None:
    """Put the model in charge that was before."""
    from facegate.verifier.library import library_of  # noqa: PLC0415

    settings = load_settings()
    model = library_of(settings).rollback()
    keep_everybody(model, settings)  # those who were enrolled since have no reference of its making
    told(model, settings, as_json=as_json)


@app.command("import")
def import_model(  # noqa: PLR0917 - typer passes options by name
    name: Name,
    network: Annotated[Path, typer.Argument(metavar="FILE", help="An ONNX file, crops in, embeddings out.")],
    people: People,
    size: Size = 112,
    mean: Mean = 0.0,
    std: Std = 1.0,
    rgb: Rgb = False,
    template: Template = "arcface",
    licence: Licence = "unknown",
    as_json: AsJson = False,
) -> None:
    """Take a network of others into the library: probe it, calibrate it, write its folder."""
    from facegate.verifier.extractor import InputContract  # noqa: PLC0415

    taken_in(name, network, people, InputContract(size, template, rgb, mean, std), licence, as_json=as_json)


@app.command("fetch")
def fetch(  # noqa: PLR0917 - typer passes options by name
    name: Name,
    url: Annotated[str, typer.Argument(metavar="URL", help="HTTPS address of an ONNX file.")],
    sha256: Annotated[str, typer.Option("--sha256", help="Its SHA-256, 64 hexadecimal digits.")],
    people: People,
    size: Size = 112,
    mean: Mean = 0.0,
    std: Std = 1.0,
    rgb: Rgb = False,
    template: Template = "arcface",
    licence: Licence = "unknown",
    as_json: AsJson = False,
) -> None:
    """Fetch a network over HTTPS, refuse any other digest than the given, and import it."""
    from facegate.verifier.extractor import InputContract  # noqa: PLC0415
    from facegate.verifier.fetching import fetch_file  # noqa: PLC0415

    contract = InputContract(size, template, rgb, mean, std)
    with tempfile.TemporaryDirectory(prefix="facegate-") as folder:
        network = fetch_file(url, sha256, Path(folder) / "network.onnx")
        taken_in(name, network, people, contract, licence, as_json=as_json)


def taken_in(name: str, network: Path, people: Path, contract: "InputContract", licence: str, *, as_json: bool) -> None:
    """Probe, calibrate and write a network of others.

    Raises:
        RefusedError: There is a model of this name already.
    """
    from facegate.commands.evaluate import read_with_progress  # noqa: PLC0415
    from facegate.verifier.extractor import OnnxExtractor  # noqa: PLC0415
    from facegate.verifier.importing import add_to, calibrate_on, new_card  # noqa: PLC0415
    from facegate.verifier.library import library_of, read_card  # noqa: PLC0415
    from facegate.verifier.photos import PhotoReader, people_in  # noqa: PLC0415
    from facegate.vision.detect import YuNetDetector  # noqa: PLC0415

    settings = load_settings()
    library = library_of(settings)
    if any(card.name == name for card in library.cards()):
        raise RefusedError(f"There is a model {name} already", "Choose another name")
    card = new_card(name, network, contract, licence)
    found = people_in(people)
    detector = YuNetDetector(settings.vision.detector)
    extractor = OnnxExtractor(network, model=card.id, contract=contract, threads=settings.verifier.threads)
    reader = PhotoReader(detector, extractor, contract.alignment, settings.vision.max_pixels)
    photos = iter(read_with_progress(reader, [path for own in found.values() for path in own]))
    read = {person: [next(photos) for _ in own] for person, own in found.items()}
    calibration = calibrate_on(card, read, f"{people.name}: {len(found)} people of this installation")
    folder = add_to(library, card, network, calibration, detector, replace=False)
    document = described(read_card(folder), library.active())
    if as_json:
        print_json(document)
    else:
        say(f"{card.id} is in {folder}. Put it in charge: facegate models activate {name}")


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


def keep_everybody(model: "Model", settings: Settings) -> None:
    """Make the model's references from the stored crops, so that all who are enrolled stay so."""
    from facegate.storage import open_storage  # noqa: PLC0415
    from facegate.verifier.enrollment import reextract  # noqa: PLC0415

    with open_storage(settings, upgrade_empty=True) as storage:
        made = reextract(storage, model, threads=settings.verifier.threads)
    if made:
        warn(f"{made} references were made anew by {model.id} from the stored crops")


def told(model: "Model", settings: Settings, *, as_json: bool) -> None:
    """Say which model is in charge now."""
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
        "dimension": card.dimension,
        "licence": card.licence,
    }
