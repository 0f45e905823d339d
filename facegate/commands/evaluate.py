"""`facegate evaluate pairs`, `folder` and `oneshot`: error rates that anyone can run, of one network or of several."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from facegate.commands.oneshot import evaluate_oneshot
from facegate.commands.output import console, print_json, print_table, say, warn
from facegate.errors import UnusableInputError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from facegate.verifier.evaluation.contestants import Contestant, SideBySide
    from facegate.verifier.evaluation.figures import Scored
    from facegate.verifier.photos import Photo, PhotoReader

T = TypeVar("T")

app = typer.Typer(help="Error rates of a network on pictures.", no_args_is_help=True, add_completion=False)
app.command("oneshot")(evaluate_oneshot)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="Name of a model or an ONNX file; may be repeated: all on the same faces."),
]
Fmr = Annotated[
    float, typer.Option("--max-fmr", help="FMR per comparison of the shipped threshold that is tried.", min=0, max=1)
]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw score histograms and DET curves.")]
Size = Annotated[int, typer.Option("--size", min=32, max=512, help="An ONNX file's crop: its side, pixels.")]
Mean = Annotated[
    float,
    typer.Option("--mean", min=-1e6, max=1e6, help="An ONNX file's: taken from each value; 0 if the graph does it."),
]
Std = Annotated[float, typer.Option("--std", min=1e-6, max=1e6, help="An ONNX file's: what each value is divided by.")]
Rgb = Annotated[bool, typer.Option("--rgb/--bgr", help="An ONNX file's order of channels.")]
Template = Annotated[
    Literal["arcface", "reid-0095", "reid-0095-wide"], typer.Option("--template", help="An ONNX file's alignment.")
]


@app.command("pairs")
def pairs(  # noqa: PLR0917 - typer passes options by name
    listing: Annotated[
        Path | None, typer.Argument(metavar="[LIST]", help="A pair a line: path, tab, path, tab, 1 or 0.")
    ] = None,
    root: Annotated[Path, typer.Option("--images", "--root", help="What the paths are relative to.")] = Path(),
    named: Annotated[Path | None, typer.Option("--pairs", metavar="FILE.tsv", help="The list, by option.")] = None,
    model: Models = None,
    size: Size = 112,
    mean: Mean = 0.0,
    std: Std = 1.0,
    rgb: Rgb = False,
    template: Template = "arcface",
    max_fmr: Fmr = 1e-3,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Compare listed pairs of photos."""
    from facegate.verifier.evaluation.pairing import read_pairs, score_pairs  # noqa: PLC0415

    given = [path for path in (listing, named) if path is not None]
    if len(given) != 1:
        raise UnusableInputError(f"{len(given)} lists of pairs are named", "Name one: --pairs FILE.tsv")
    check_plot(plot)
    listed = read_pairs(given[0], root, warn)
    reader = opened(model, size, mean, std, rgb=rgb, template=template)
    thresholds = [one.threshold(max_fmr) for one in reader.contestants]
    paths = list(dict.fromkeys(path for pair in listed for path in (pair.left, pair.right)))
    read = told_of_failures(list(tracked(reader.read_all(paths), len(paths), "photos")))
    scored = [score_pairs(listed, {row[at].path: row[at] for row in read}) for at in range(len(thresholds))]
    documents = reported(reader, scored, thresholds, max_fmr)
    show(documents, reader, scored, plot, given[0].name, as_json=as_json)


@app.command("folder")
def folder(  # noqa: PLR0917 - typer passes options by name
    people: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that holds a folder of photos a person.")],
    groups: Annotated[
        Path | None,
        typer.Option("--groups", metavar="FILE.tsv", help="Rates by group: person, tab, group, a line."),
    ] = None,
    model: Models = None,
    size: Size = 112,
    mean: Mean = 0.0,
    std: Std = 1.0,
    rgb: Rgb = False,
    template: Template = "arcface",
    max_fmr: Fmr = 1e-3,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Compare all photos of a folder of people with one another."""
    from facegate.verifier.evaluation.allpairs import score_people  # noqa: PLC0415
    from facegate.verifier.evaluation.groups import read_groups  # noqa: PLC0415
    from facegate.verifier.photos import people_in  # noqa: PLC0415

    check_plot(plot)
    member_of = None if groups is None else read_groups(groups)
    found = people_in(people)
    reader = opened(model, size, mean, std, rgb=rgb, template=template)
    thresholds = [one.threshold(max_fmr) for one in reader.contestants]
    if member_of is not None and None in thresholds:
        raise UnusableInputError(
            "An uncalibrated network has no threshold to tell groups at", "Calibrate it: facegate calibrate DIR"
        )
    paths = [path for own in found.values() for path in own]
    read = told_of_failures(list(tracked(reader.read_all(paths), len(paths), "photos")))
    scored, by_groups = [], []
    for at, one in enumerate(reader.contestants):
        photos = iter(read)
        own = {name: [next(photos)[at] for _ in mine] for name, mine in found.items()}
        with bar(f"comparisons of {one.id}") as progress:
            scored.append(score_people(own, progress=progress))
        by_groups.append({} if member_of is None else groups_of(one, own, scored[-1], member_of, max_fmr))
    documents = reported(reader, scored, thresholds, max_fmr)
    for document, rows in zip(documents, by_groups, strict=True):
        document.update(rows)
    show(documents, reader, scored, plot, people.resolve().name, as_json=as_json)


def groups_of(
    one: "Contestant",
    people: "Mapping[str, Sequence[Photo]]",
    scored: "Scored",
    member_of: "Mapping[str, str]",
    max_fmr: float,
) -> dict[str, Any]:
    """Return the rates by group at the shipped threshold; of levelled scores at that of doors, too, if there is one."""
    from facegate.verifier.evaluation.allpairs import score_people  # noqa: PLC0415
    from facegate.verifier.evaluation.contestants import supported  # noqa: PLC0415
    from facegate.verifier.evaluation.groups import by_group  # noqa: PLC0415

    rows = {"groups": by_group(scored, list(people), member_of, float(one.threshold(max_fmr) or 0.0))}
    if one.levelled is not None:
        levelled = score_people(people, levelling=one.levelled.levelling)
        at = supported(one.levelled, max_fmr)
        rows["groups_at_doors"] = by_group(levelled, list(people), member_of, at)
    return rows


def opened(
    names: Sequence[str] | None, size: int, mean: float, std: float, *, rgb: bool, template: str
) -> "SideBySide":
    """Open the networks that are named, or the one in charge."""
    from facegate.verifier.contract import InputContract  # noqa: PLC0415
    from facegate.verifier.evaluation.contestants import open_side_by_side  # noqa: PLC0415

    reader = open_side_by_side(load_settings(), names or [], InputContract(size, template, rgb, mean, std))
    for one in reader.contestants:
        if one.note:
            warn(one.note)
    return reader


def read_with_progress(reader: "PhotoReader", paths: list[Path]) -> Iterator["Photo"]:
    """Read photos, with a bar on stderr where somebody looks at it."""
    yield from tracked(reader.read_all(paths), len(paths), "photos")


def told_of_failures(read: list[list["Photo"]]) -> list[list["Photo"]]:
    """Pass on what networks made of photos, and tell of those that none can compare: the first of them, and why."""
    lost = [row[0] for row in read if all(photo.template is None for photo in row)]
    if lost:
        warn(f"{len(lost)} of {len(read)} photos cannot be compared; the first: {lost[0].path}: {lost[0].failure}")
    return read


def tracked(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Pass items through, with a bar on stderr where somebody looks at it."""
    from rich.progress import Progress  # noqa: PLC0415

    screen = console(stderr=True)
    with Progress(console=screen, disable=not screen.is_terminal) as progress:
        yield from progress.track(items, total=total, description=what)


@contextmanager
def bar(what: str) -> "Iterator[Callable[[int, int], None]]":
    """Give what is told how much is done, and of how much; a bar on stderr where somebody looks at it."""
    from rich.progress import Progress  # noqa: PLC0415

    screen = console(stderr=True)
    with Progress(console=screen, disable=not screen.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def reported(
    reader: "SideBySide", scored: Sequence["Scored"], thresholds: Sequence[float | None], max_fmr: float
) -> list[dict[str, Any]]:
    """Return the report of each network."""
    from facegate.verifier.evaluation.figures import report  # noqa: PLC0415

    documents = []
    for at, (one, result, threshold) in enumerate(zip(reader.contestants, scored, thresholds, strict=True)):
        document = report(result, threshold=threshold, model=one.id, max_fmr=max_fmr)
        document["seconds_per_face"] = reader.seconds(at) / max(1, result.photos)
        documents.append(document)
    return documents


def check_plot(plot: Path | None) -> None:
    """Refuse a place for a picture before hours are spent.

    Raises:
        UnusableInputError: It is no PNG, or no file can be written there.
    """
    if plot is None:
        return
    if plot.suffix.lower() != ".png":
        raise UnusableInputError(f"{plot} is no name for a picture", "Name a file that ends in .png")
    if not plot.parent.is_dir() or plot.is_dir() or not os.access(plot.parent, os.W_OK):
        raise UnusableInputError(f"{plot} cannot be written", "Name a file in a folder that is there")


def show(
    documents: list[dict[str, Any]],
    reader: "SideBySide",
    scored: Sequence["Scored"],
    plot: Path | None,
    source: str,
    *,
    as_json: bool,
) -> None:
    """Print the reports and draw them."""
    if plot is not None:
        draw(documents, reader, scored, plot, source)
    if as_json:
        print_json(documents[0] if len(documents) == 1 else {"models": documents})
        return
    for document in documents:
        show_table(document)
    if len(documents) > 1:
        side_by_side(documents)


def draw(
    documents: Sequence[dict[str, Any]],
    reader: "SideBySide",
    scored: Sequence["Scored"],
    plot: Path,
    source: str,
) -> None:
    """Draw histograms and DET curves into a file."""
    from facegate.verifier.files import replace_file  # noqa: PLC0415
    from facegate.vision.chart import Curve, chart, png  # noqa: PLC0415

    curves = []
    for one, document, result in zip(reader.contestants, documents, scored, strict=True):
        shipped = document["at_shipped_threshold"]
        threshold = None if shipped is None else shipped["threshold"]
        curves.append(Curve(one.id, result.tries.scores, result.non_mated, threshold))
    first = documents[0]
    told = f"{first['photos']} photos of {first['people']} people; photos without a face count as never matching"
    replace_file(plot, png(chart(curves, f"Error rates on {source}", told)))


def show_table(document: dict[str, Any]) -> None:
    """Print a report for people."""
    say(
        f"{document['model']}: {document['photos']} photos of {document['people']} people"
        f" ({document['failures_to_acquire']} without a face),"
        f" {document['mated']} mated and {document['non_mated']} non-mated pairs,"
        f" {document['seconds_per_face'] * 1000:.0f} ms a photo\n"
        f"accuracy {document['accuracy']:.4f} ({document['accuracy_means']})"
    )
    if (shipped := document["at_shipped_threshold"]) is not None:
        say(
            f"accuracy {shipped['accuracy']:.4f} at the shipped threshold {shipped['threshold']:.3f}"
            f" for an FMR of {shipped['target_fmr']:g}: FMR {bounded(shipped['fmr'])}, FNMR {bounded(shipped['fnmr'])}"
        )
    people = document["eer_bounds"]
    say(f"EER {document['eer']:.4f}" + (f" ({people['lower']:.4f} to {people['upper']:.4f})" if people else ""))
    print_table(
        "FNMR at the threshold that these scores choose for an FMR (95 % bounds; the second draw people, not pairs)",
        ("FMR", "threshold", "FNMR", "enough pairs"),
        [
            (target, "-", row["refused"], "refused")
            if row["refused"]
            else (target, f"{row['threshold']:.3f}", bounded(row), "yes" if row["supported"] else "few")
            for target, row in document["fnmr_at_fmr"].items()
        ],
    )
    for which, where in (("groups", "the threshold"), ("groups_at_doors", "doors, scores levelled, the threshold")):
        if which in document:
            show_groups(document[which], where)


def show_groups(groups: dict[str, Any], where: str) -> None:
    """Print the rates by group."""
    print_table(
        f"By group at {where} {groups['threshold']:.3f}; FMR of the whole {bounded(groups['whole_fmr'])}",
        ("group", "people", "photos", "FMR within the group", "of the whole's", "FNMR"),
        [
            (
                name,
                row["people"],
                row["photos"],
                bounded(row["fmr"]) if row["fmr"] else "-",
                f"{row['fmr_ratio']:.2f} x" if row["fmr_ratio"] is not None else "-",
                bounded(row["fnmr"]) if row["fnmr"] else "-",
            )
            for name, row in groups["by_group"].items()
        ],
    )


def side_by_side(documents: Sequence[dict[str, Any]]) -> None:
    """Print what matters of several networks in one table."""
    targets = list(documents[0]["fnmr_at_fmr"])
    print_table(
        "Side by side, on the same faces",
        ("model", "EER", *(f"FNMR at {target}" for target in targets), "accuracy", "ms a photo"),
        [
            (
                document["model"].partition("@")[0],
                f"{document['eer']:.3%}",
                *(share_of(document["fnmr_at_fmr"][target]) for target in targets),
                f"{document['accuracy']:.4f}",
                f"{document['seconds_per_face'] * 1000:.0f}",
            )
            for document in documents
        ],
    )


def share_of(row: dict[str, Any]) -> str:
    """Return a rate, or a dash where it was refused."""
    return "-" if row["rate"] is None else f"{row['rate']:.2%}"


def bounded(row: dict[str, Any]) -> str:
    """Return a rate with its counts and bounds."""
    told = f"{row['rate']:.3%} ({row['count']} of {row['of']}; {row['lower']:.3%} to {row['upper']:.3%}"
    people = row.get("people_lower")
    return f"{told})" if people is None else f"{told}; {people:.3%} to {row['people_upper']:.3%})"
