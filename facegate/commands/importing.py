"""`facegate models import` and `facegate models fetch`: networks of others come into the library."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from facegate.commands.output import console, print_json, say, warn
from facegate.errors import RefusedError, UnusableInputError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from facegate.core.calibration import Calibration
    from facegate.verifier.contract import InputContract
    from facegate.verifier.foreign.importing import Candidate
    from facegate.verifier.foreign.publishers import Published
    from facegate.verifier.photos import PhotoReader

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="What the model is to be called.")]
Size = Annotated[int, typer.Option("--size", min=32, max=512, help="Side of the square crop, pixels.")]
Mean = Annotated[
    float, typer.Option("--mean", min=-1e6, max=1e6, help="Taken from each value; 0 if the graph does it.")
]
Std = Annotated[float, typer.Option("--std", min=1e-6, max=1e6, help="What each value is divided by.")]
Rgb = Annotated[bool, typer.Option("--rgb/--bgr", help="Order of the channels.")]
Template = Annotated[
    Literal["arcface", "reid-0095", "reid-0095-wide"], typer.Option("--template", help="Alignment of the crop.")
]
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
    from facegate.verifier.contract import InputContract  # noqa: PLC0415

    taken_in(name, network, people, InputContract(size, template, rgb, mean, std), licence, as_json=as_json)


def fetch(  # noqa: PLR0917 - typer passes options by name
    name: Annotated[str, typer.Argument(metavar="NAME", help="sface, yunet, reid-0095; with URL: a name of yours.")],
    url: Annotated[str, typer.Argument(metavar="[URL]", help="HTTPS address; of a known network: a mirror.")] = "",
    sha256: Annotated[str, typer.Option("--sha256", help="Its SHA-256, 64 hexadecimal digits.")] = "",
    people: People = None,
    size: Size = 112,
    mean: Mean = 0.0,
    std: Std = 1.0,
    rgb: Rgb = False,
    template: Template = "arcface",
    licence: Licence = "unknown",
    as_json: AsJson = False,
) -> None:
    """Fetch a network over HTTPS, or what is missing of it; refuse any other digest than the pinned; import it."""
    from facegate.verifier.contract import InputContract  # noqa: PLC0415
    from facegate.verifier.foreign.publishers import PUBLISHED  # noqa: PLC0415

    known = PUBLISHED.get(name)
    if known is not None and not sha256:
        fetch_known(name, known, url or known.url, people, as_json=as_json)
        return
    if known is not None and not url:
        raise UnusableInputError(
            f"The SHA-256 of {name} is pinned already", "Leave --sha256 away, or give URL and a name of yours"
        )
    if not url:
        raise UnusableInputError(
            f"No network is known as {name}", f"Name {', '.join(PUBLISHED)}, or give URL and --sha256"
        )
    check_free(name)
    network = downloaded(url, sha256)
    taken_in(name, network, people, InputContract(size, template, rgb, mean, std), licence, as_json=as_json)
    network.unlink()


def fetch_known(name: str, known: "Published", url: str, people: Path | None, *, as_json: bool) -> None:
    """Fetch a network whose digest is pinned, and put it where it belongs."""
    from facegate.verifier.files import replace_file  # noqa: PLC0415
    from facegate.verifier.foreign.publishers import Kind  # noqa: PLC0415

    if known.kind is not Kind.DETECTOR:
        check_free(name)
    file = downloaded(url, known.sha256)
    if known.contract is None:
        place = load_settings().data_dir / "detectors" / f"{name}.onnx"
        replace_file(place, file.read_bytes())
        if as_json:
            print_json({"detector": str(place), "sha256": known.sha256, "licence": known.licence})
        else:
            say(f"{known.origin} is in {place}. Look with it: FACEGATE_VISION__DETECTOR={place}")
    elif known.kind is Kind.WEIGHTS:
        with tempfile.TemporaryDirectory(prefix="facegate-") as folder:
            network = written(file, Path(folder) / f"{known.origin.partition(',')[0]}.onnx")
            taken_in(name, network, people, known.contract, known.licence, as_json=as_json)
    else:
        taken_in(name, file, people, known.contract, known.licence, as_json=as_json)
    file.unlink()


def written(weights: Path, network: Path) -> Path:
    """Write a published trunk's weights as a network; needs torch for a moment."""
    from facegate.siamese.export import trunk_of_bytes, write_onnx  # noqa: PLC0415

    write_onnx(trunk_of_bytes(weights.read_bytes()), network, half=True)
    return network


def downloaded(url: str, sha256: str) -> Path:
    """Fetch a file into the data folder, with a bar on stderr where somebody looks at it."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

    from facegate.verifier.foreign.fetching import fetch_file  # noqa: PLC0415

    screen = console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        task = bar.add_task("fetching", total=None)
        return fetch_file(
            url,
            sha256,
            load_settings().data_dir / "downloads",
            report=lambda done, of: bar.update(task, completed=done, total=of),
        )


def check_free(name: str) -> None:
    """Refuse a name before there is work done for it.

    Raises:
        UnusableInputError: It is none.
        RefusedError: There is a model of this name already.
    """
    from facegate.verifier.foreign.importing import check_name  # noqa: PLC0415
    from facegate.verifier.library import library_of  # noqa: PLC0415

    check_name(name)
    if library_of(load_settings()).has(name):
        raise RefusedError(f"There is a model {name} already", "Choose another name")


def taken_in(
    name: str, network: Path, people: Path | None, contract: "InputContract", licence: str, *, as_json: bool
) -> None:
    """Probe a network of others, evaluate and calibrate it where there are people's photos, and write its folder.

    Raises:
        RefusedError: There is a model of this name already.
    """
    from facegate.core.calibration import unmeasured  # noqa: PLC0415
    from facegate.verifier.card import read_card  # noqa: PLC0415
    from facegate.verifier.foreign.importing import add_to, new_candidate, staged  # noqa: PLC0415
    from facegate.verifier.library import library_of  # noqa: PLC0415
    from facegate.vision.detect import YuNetDetector  # noqa: PLC0415

    check_free(name)
    settings = load_settings()
    library = library_of(settings)
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
    from facegate.verifier.foreign.importing import calibrate_on, with_figures  # noqa: PLC0415
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
    from facegate.commands.calibrate import too_few  # noqa: PLC0415

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
        if figure != "probe":
            say(f"{figure}: {value}")
    target = load_settings().gate.target_fmr
    if calibration.measured and calibration.visit_threshold(target, references=1) is None:
        warn(f"no door is armed by it: {too_few(calibration, target)}. More people: {mend}")
    if not calibration.measured:
        say(f"Nothing says yet what its scores mean: no door is armed by it (not_armed) until you run: {mend}")
    say(f"Put it in charge: facegate models activate {name}")
