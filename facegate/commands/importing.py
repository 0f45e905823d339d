"""`facegate models import` and `facegate models fetch`: networks of others come into the library."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from facegate.commands.output import print_json, say, warn
from facegate.errors import RefusedError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from facegate.core.calibration import Calibration
    from facegate.verifier.extractor import InputContract
    from facegate.verifier.importing import Candidate
    from facegate.verifier.photos import PhotoReader

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="What the model is to be called.")]
Size = Annotated[int, typer.Option("--size", min=32, max=512, help="Side of the square crop, pixels.")]
Mean = Annotated[float, typer.Option("--mean", help="Taken from each value; 0 if the graph does it.")]
Std = Annotated[float, typer.Option("--std", min=1e-6, help="What each value is divided by.")]
Rgb = Annotated[bool, typer.Option("--rgb/--bgr", help="Order of the channels.")]
Template = Annotated[Literal["arcface", "reid-0095"], typer.Option("--template", help="Alignment of the crop.")]
People = Annotated[
    Path | None, typer.Option("--people", help="Folder of people's folders to evaluate and calibrate on; can follow.")
]
Licence = Annotated[str, typer.Option("--licence", help="Under what terms its weights may be used.")]


def import_model(  # noqa: PLR0917 - typer passes options by name
    name: Name,
    network: Annotated[Path, typer.Argument(metavar="FILE", help="An ONNX file, crops in, embeddings out.")],
    people: People = None,
    size: Size = 112,
    mean: Mean = 0.0,
    std: Std = 1.0,
    rgb: Rgb = False,
    template: Template = "arcface",
    licence: Licence = "unknown",
    as_json: AsJson = False,
) -> None:
    """Take a network of others into the library: probe it, evaluate and calibrate it, write its folder."""
    from facegate.verifier.extractor import InputContract  # noqa: PLC0415

    taken_in(name, network, people, InputContract(size, template, rgb, mean, std), licence, as_json=as_json)


def fetch(  # noqa: PLR0917 - typer passes options by name
    name: Name,
    url: Annotated[str, typer.Argument(metavar="URL", help="HTTPS address of an ONNX file.")],
    sha256: Annotated[str, typer.Option("--sha256", help="Its SHA-256, 64 hexadecimal digits.")],
    people: People = None,
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


def taken_in(
    name: str, network: Path, people: Path | None, contract: "InputContract", licence: str, *, as_json: bool
) -> None:
    """Probe a network of others, evaluate and calibrate it where there are people's photos, and write its folder.

    Raises:
        RefusedError: There is a model of this name already.
    """
    from facegate.core.calibration import unmeasured  # noqa: PLC0415
    from facegate.verifier.importing import add_to, check_name, new_candidate, staged  # noqa: PLC0415
    from facegate.verifier.library import library_of, read_card  # noqa: PLC0415
    from facegate.vision.detect import YuNetDetector  # noqa: PLC0415

    settings = load_settings()
    check_name(name)
    library = library_of(settings)
    if any(card.name == name for card in library.cards()):
        raise RefusedError(f"There is a model {name} already", "Choose another name")
    detector = YuNetDetector(settings.vision.detector)
    with staged(network) as copy:
        candidate = new_candidate(name, copy, contract, licence, detector)
        calibration = unmeasured(candidate.card.id)
        if people is not None:
            reader = candidate.reader(detector, settings.vision.max_pixels, settings.verifier.threads)
            candidate, calibration = measured(candidate, people, reader)
        folder = add_to(library, candidate.card, copy, calibration, detector, replace=False)
    told(candidate, read_card(folder).to_json(), folder, calibration, as_json=as_json)
    if candidate.card.contract != contract:
        fits = candidate.card.contract
        warn(
            f"the graph does not want pixels scaled by --mean {contract.mean:g} --std {contract.std:g}: "
            f"taken with --mean {fits.mean:g} --std {fits.std:g}, by which it tells composites apart"
        )


def measured(candidate: "Candidate", people: Path, reader: "PhotoReader") -> "tuple[Candidate, Calibration]":
    """Evaluate and calibrate a network on people's photos; its card gets the figures."""
    from facegate.commands.evaluate import read_with_progress  # noqa: PLC0415
    from facegate.verifier.importing import calibrate_on, with_figures  # noqa: PLC0415
    from facegate.verifier.photos import people_in  # noqa: PLC0415

    found = people_in(people)
    photos = iter(read_with_progress(reader, [path for own in found.values() for path in own]))
    read = {person: [next(photos) for _ in own] for person, own in found.items()}
    calibration = calibrate_on(candidate.card, read, f"{people.name}: {len(found)} people of this installation")
    return with_figures(candidate, calibration, read), calibration


def told(
    candidate: "Candidate", card: dict[str, Any], folder: Path, calibration: "Calibration", *, as_json: bool
) -> None:
    """Say what was taken in and what is left to do."""
    name, mend = candidate.card.name, f"facegate calibrate DIR --model {candidate.card.name}"
    if as_json:
        print_json(
            {
                **card,
                "model": candidate.card.id,
                "folder": str(folder),
                "probe": candidate.probe.to_json(),
                "calibrated": calibration.measured,
                "next": f"facegate models activate {name}" if calibration.measured else mend,
            }
        )
        return
    probe = candidate.probe
    say(
        f"{candidate.card.id} is in {folder}: {probe.dimension} values; composites: one person at least "
        f"{probe.lowest_mated:.3f}, two at most {probe.highest_non_mated:.3f}, mirrored {probe.mirror:.3f}"
    )
    for figure, value in candidate.card.figures.items():
        say(f"{figure}: {value}")
    if not calibration.measured:
        say(f"Nothing says yet what its scores mean: no door is armed by it (not_armed) until you run: {mend}")
    say(f"Put it in charge: facegate models activate {name}")
