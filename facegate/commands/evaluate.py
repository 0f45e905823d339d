"""`facegate evaluate pairs` and `facegate evaluate folder`: error rates that anyone can run."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegate.commands.output import console, print_json, print_table, say
from facegate.errors import UnusableInputError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from facegate.verifier.evaluation import Scored
    from facegate.verifier.library import Model
    from facegate.verifier.photos import Photo, PhotoReader

app = typer.Typer(help="Error rates of a network on pictures.", no_args_is_help=True, add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ModelName = Annotated[str, typer.Option("--model", help="Name of a model; empty: the one in charge.")]
Fmr = Annotated[float, typer.Option("--max-fmr", help="FMR per comparison of the shipped threshold that is tried.")]


@app.command("pairs")
def pairs(
    listing: Annotated[Path, typer.Argument(metavar="LIST", help="A pair a line: path, tab, path, tab, 1 or 0.")],
    root: Annotated[Path, typer.Option("--root", "--images", help="What the paths are relative to.")] = Path(),
    model: ModelName = "",
    max_fmr: Fmr = 1e-3,
    as_json: AsJson = False,
) -> None:
    """Compare listed pairs of photos."""
    from facegate.verifier.evaluation import read_pairs, score_pairs  # noqa: PLC0415
    from facegate.verifier.photos import open_reader  # noqa: PLC0415

    listed = read_pairs(listing, root)
    chosen, reader = open_reader(load_settings(), model)
    paths = list(dict.fromkeys(path for pair in listed for path in (pair.left, pair.right)))
    started = time.monotonic()
    photos = {photo.path: photo for photo in read_with_progress(reader, paths)}
    show(score_pairs(listed, photos), chosen, max_fmr, time.monotonic() - started, as_json=as_json)


@app.command("folder")
def folder(
    people: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that holds a folder of photos a person.")],
    model: ModelName = "",
    max_fmr: Fmr = 1e-3,
    as_json: AsJson = False,
) -> None:
    """Compare all photos of a folder of people with one another."""
    from facegate.verifier.evaluation import MOST_PHOTOS, score_people  # noqa: PLC0415
    from facegate.verifier.photos import open_reader, people_in  # noqa: PLC0415

    found = people_in(people)
    if (count := sum(map(len, found.values()))) > MOST_PHOTOS:
        raise UnusableInputError(f"{count} photos are more than {MOST_PHOTOS}", "Evaluate a part of the folder")
    chosen, reader = open_reader(load_settings(), model)
    started = time.monotonic()
    photos = iter(read_with_progress(reader, [path for own in found.values() for path in own]))
    scored = score_people({name: [next(photos) for _ in own] for name, own in found.items()})
    show(scored, chosen, max_fmr, time.monotonic() - started, as_json=as_json)


def read_with_progress(reader: "PhotoReader", paths: list[Path]) -> Iterator["Photo"]:
    """Read photos, with a bar on stderr where somebody looks at it."""
    yield from tracked(reader.read_all(paths), len(paths), "photos")


def tracked(items: Iterable["Photo"], total: int, what: str) -> Iterator["Photo"]:
    """Pass items through, with a bar on stderr where somebody looks at it."""
    from rich.progress import Progress  # noqa: PLC0415

    screen = console(stderr=True)
    with Progress(console=screen, disable=not screen.is_terminal) as progress:
        yield from progress.track(items, total=total, description=what)


def show(scored: "Scored", model: "Model", max_fmr: float, seconds: float, *, as_json: bool) -> None:
    """Print the report.

    Raises:
        UnusableInputError: The model's calibration does not support the FMR.
    """
    from facegate.verifier.evaluation import report  # noqa: PLC0415

    threshold = model.calibration.threshold(max_fmr)
    if threshold is None:
        raise UnusableInputError(f"The calibration of {model.id} supports no FMR of {max_fmr:g}", "Raise --max-fmr")
    document = report(scored, threshold=threshold, model=model.id, max_fmr=max_fmr)
    document["seconds_per_face"] = seconds / max(1, scored.photos)
    if as_json:
        print_json(document)
    else:
        show_table(document)


def show_table(document: dict[str, Any]) -> None:
    """Print the report for people."""
    shipped = document["at_shipped_threshold"]
    say(
        f"{document['model']}: {document['photos']} photos ({document['failures_to_acquire']} without a face),"
        f" {document['mated']} mated and {document['non_mated']} non-mated pairs\n"
        f"accuracy {document['accuracy']:.4f} ({document['accuracy_means']})\n"
        f"accuracy {shipped['accuracy']:.4f} at the shipped threshold {shipped['threshold']:.3f}"
        f" for an FMR of {shipped['target_fmr']:g}: FMR {bounded(shipped['fmr'])}, FNMR {bounded(shipped['fnmr'])}\n"
        f"EER {document['eer']:.4f}"
    )
    print_table(
        "FNMR at the threshold that these scores choose for an FMR (95 % bounds take pairs for independent)",
        ("FMR", "threshold", "FNMR", "enough pairs"),
        [
            (target, f"{row['threshold']:.3f}", bounded(row), "yes" if row["supported"] else "no")
            for target, row in document["fnmr_at_fmr"].items()
        ],
    )


def bounded(row: dict[str, Any]) -> str:
    """Return a rate with its counts and bounds."""
    return f"{row['rate']:.3%} ({row['count']} of {row['of']}; {row['lower']:.3%} to {row['upper']:.3%})"
