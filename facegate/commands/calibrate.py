"""`facegate calibrate`: the thresholds in force and the error rates behind them, or new ones from people's photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from facegate.commands.output import print_json, print_table, say
from facegate.settings import load_settings

if TYPE_CHECKING:
    from facegate.core.calibration import Calibration

TARGETS: Final = (1e-2, 1e-3, 1e-4, 1e-5)
REFERENCES: Final = (1, 10, 100, 1000)


def calibrate(
    people: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="A folder that holds a folder of photos a person.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="Name of a model; empty: the one in charge.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print the thresholds in force; with DIR, measure them anew on its people first and keep them."""
    from facegate.verifier.library import library_of  # noqa: PLC0415

    if people is not None:
        renew(people, model)
    in_force = library_of(load_settings()).load(model).calibration
    document = summary(in_force)
    if as_json:
        print_json(document)
        return
    say(
        f"{in_force.model}: {in_force.mated.comparisons} mated and {in_force.non_mated} non-mated comparisons of"
        f" {in_force.people} people ({in_force.source})\nlowest FMR that these support: {in_force.floor:.1e}"
    )
    print_table(
        "Threshold by the share of strangers who may be taken for anybody enrolled, and the references enrolled",
        ("share of strangers", *(f"{count} references" for count in REFERENCES), "FNMR at 1 reference"),
        [
            (row["target_fmr"], *map(shown, row["thresholds"].values()), shown(row["fnmr"]))
            for row in document["thresholds"]
        ],
    )


def renew(people: Path, name: str) -> None:
    """Calibrate a model on photos; it gets a folder of its own beside the shipped one, with the same network."""
    from facegate.commands.evaluate import read_with_progress  # noqa: PLC0415
    from facegate.verifier.importing import add_to, calibrate_on  # noqa: PLC0415
    from facegate.verifier.library import NETWORK, library_of  # noqa: PLC0415
    from facegate.verifier.photos import open_reader, people_in  # noqa: PLC0415

    settings = load_settings()
    found = people_in(people)
    model, reader = open_reader(settings, name)
    photos = iter(read_with_progress(reader, [path for own in found.values() for path in own]))
    read = {person: [next(photos) for _ in own] for person, own in found.items()}
    source = f"{people.name}: {len(found)} people, {sum(map(len, found.values()))} photos of this installation"
    calibration = calibrate_on(model.card, read, source)
    add_to(library_of(settings), model.card, model.folder / NETWORK, calibration, reader.detector, replace=True)


def summary(calibration: "Calibration") -> dict[str, Any]:
    """Return the calibration without its curve, and thresholds for usual targets; null where unsupported."""
    document = {key: value for key, value in calibration.to_json().items() if key != "curve"}
    rows = []
    for target in TARGETS:
        single = calibration.threshold(target)
        thresholds = {str(count): calibration.gallery_threshold(target, count) for count in REFERENCES}
        missed = None if single is None else calibration.fnmr(single)
        rows.append({"target_fmr": target, "thresholds": thresholds, "fnmr": missed})
    return {**document, "lowest_fmr": calibration.floor, "thresholds": rows}


def shown(value: float | None) -> str:
    """Return a figure for a table, or a dash where the counts support none."""
    return "-" if value is None else f"{value:.3f}"
