"""`facegate verify A B` and `facegate identify PHOTO...`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegate.commands.output import print_json, print_table, say, warn
from facegate.errors import UnusableInputError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from facegate.verifier.identifying import Identified
    from facegate.verifier.photos import Photo

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Annotate = Annotated[
    Path | None, typer.Option("--annotate", metavar="OUT.png", help="Draw the faces and the answer into a picture.")
]
ModelName = Annotated[str, typer.Option("--model", help="Name of a model; empty: the one in charge.")]
SHOWN = ("photo", "user", "score", "threshold", "fmr", "outcome", "reason")


def verify(  # noqa: PLR0917 - typer passes options by name
    left: Annotated[Path, typer.Argument(metavar="A", help="A photo of somebody.")],
    right: Annotated[Path, typer.Argument(metavar="B", help="A photo of the same person, or not.")],
    fmr: Annotated[float | None, typer.Option("--fmr", help="Share of strangers that may pass.")] = None,
    model_name: ModelName = "",
    annotate: Annotate = None,
    as_json: AsJson = False,
) -> int:
    """Compare two photos: exit 0 if they show the same person, 1 if not."""
    from facegate.commands.drawing import checked_target_file, draw  # noqa: PLC0415
    from facegate.core.comparison import score  # noqa: PLC0415
    from facegate.verifier.identifying import supported_threshold  # noqa: PLC0415
    from facegate.verifier.photos import open_reader  # noqa: PLC0415

    settings = load_settings()
    target = settings.gate.target_fmr if fmr is None else checked_target(fmr)
    checked_target_file(annotate, (left, right))
    model, reader = open_reader(settings, model_name)
    threshold = supported_threshold(model.calibration, target, 1, mend="Ask for a higher one: --fmr or gate.target_fmr")
    one, other = (with_face(reader.read(path)) for path in (left, right))
    if one.template is None or other.template is None:
        raise UnusableInputError("a photo without a template", "Take another photo")  # pragma: no cover - with_face
    for photo in (one, other):
        if photo.faces > 1:
            warn(f"{photo.path} shows {photo.faces} faces; the large one near the middle is compared")
    alike = score(one.template, other.template)
    rate = model.calibration.fmr(alike)
    same = alike >= threshold
    verdict = f"{'same person' if same else 'not the same person'}: score {alike:.3f}, threshold {threshold:.3f}"
    if annotate is not None:
        draw(annotate, [(photo, verdict, same) for photo in (one, other)], settings.vision.max_pixels)
    if as_json:
        print_json(
            {
                "same": same,
                "score": alike,
                "threshold": threshold,
                "target_fmr": target,
                "fmr": rate,
                "model": model.id,
                "faces": [one.faces, other.faces],
            }
        )
    else:
        say(f"{verdict} (FMR at most {target:g}); {strangers(rate)}")
    return 0 if same else 1


def identify(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos or folders of photos.")],
    model_name: ModelName = "",
    annotate: Annotate = None,
    as_json: AsJson = False,
) -> int:
    """Compare photos with everybody enrolled: exit 0 if each was named, 1 if one was not."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from facegate.commands.drawing import MOST_TILES, checked_target_file, draw  # noqa: PLC0415
    from facegate.commands.evaluate import read_with_progress  # noqa: PLC0415
    from facegate.core.arming import measured  # noqa: PLC0415
    from facegate.storage import open_storage  # noqa: PLC0415
    from facegate.verifier.identifying import Rule, photos_under, supported_threshold  # noqa: PLC0415
    from facegate.verifier.identifying import identify as identified  # noqa: PLC0415
    from facegate.verifier.photos import open_reader  # noqa: PLC0415
    from facegate.verifier.strangers import strangers_of  # noqa: PLC0415

    settings = load_settings()
    paths = [photo for path in photos for photo in photos_under(path)]
    checked_target_file(annotate, paths)
    model, reader = open_reader(settings, model_name)
    with open_storage(settings) as storage:
        roster, coverage = storage.gallery.roster(model.id), storage.gallery.coverage(model.id)
    coverage.require(model.id)
    arming = measured(roster.references, model.at_doors, strangers_of(settings, model))
    threshold = supported_threshold(model.at_doors, settings.gate.target_fmr, len(roster.references), arming.strictness)
    rule, now = Rule(model.at_doors, threshold, settings.gate.margin, arming), datetime.now(UTC)
    rows: list[Identified] = []
    drawn: list[tuple[Photo, str, bool]] = []
    for photo in read_with_progress(reader, paths):
        rows.append(identified(photo, roster, rule, now))
        if annotate is not None and len(drawn) < MOST_TILES:
            drawn.append((photo, caption(rows[-1]), rows[-1].granted))
    if annotate is not None:
        draw(annotate, drawn, settings.vision.max_pixels, left_out=len(rows) - len(drawn))
    if as_json:
        print_json([row.to_json() for row in rows])
    else:
        cells = [[figure(row.to_json()[key]) for key in SHOWN] for row in rows]
        print_table(f"Identified by {model.id}", SHOWN, cells)
    return 0 if all(row.granted for row in rows) else 1


def caption(row: "Identified") -> str:
    """Say in a few words who is on a photo."""
    who = row.user if row.granted else f"{row.reason}{'' if row.user is None else f': {row.user}'}"
    return f"{who}" if row.score is None else f"{who} ({row.score:.3f}; from {row.threshold:.3f} on)"


def with_face(photo: "Photo") -> "Photo":
    """Return the photo if it has a template.

    Raises:
        UnusableInputError: It has none.
    """
    if photo.template is None:
        raise UnusableInputError(f"{photo.path}: {photo.failure}", photo.mend)
    return photo


def checked_target(target: float) -> float:
    """Return a target FMR if it is one.

    Raises:
        UnusableInputError: It is not in (0, 1).
    """
    if not 0 < target < 1:
        raise UnusableInputError(f"--fmr {target:g} is no share of strangers", "Give a number between 0 and 1")
    return target


def strangers(rate: float) -> str:
    """Say a rate as people do."""
    return (
        "as far as is known any stranger may score this high"
        if rate >= 1
        else f"one stranger in {1 / rate:,.0f} would score this high"
    )


def figure(value: object) -> object:
    """Return numbers with the digits that matter."""
    return f"{value:.4g}" if isinstance(value, float) else value
