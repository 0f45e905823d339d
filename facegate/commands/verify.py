"""`facegate verify A B` and `facegate identify PHOTO...`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegate.commands.output import print_json, print_table, say
from facegate.errors import NotReadyError, UnusableInputError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from facegate.core.calibration import Calibration
    from facegate.core.ports import Roster
    from facegate.verifier.photos import Photo

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def verify(
    left: Annotated[Path, typer.Argument(metavar="A", help="A photo of somebody.")],
    right: Annotated[Path, typer.Argument(metavar="B", help="A photo of the same person, or not.")],
    fmr: Annotated[float | None, typer.Option("--fmr", help="Share of strangers that may pass.")] = None,
    as_json: AsJson = False,
) -> int:
    """Compare two photos: exit 0 if they show the same person, 1 if not."""
    from facegate.core.comparison import score  # noqa: PLC0415
    from facegate.verifier.photos import open_reader  # noqa: PLC0415

    settings = load_settings()
    target = settings.gate.target_fmr if fmr is None else checked_target(fmr)
    model, reader = open_reader(settings)
    one, other = (with_face(reader.read(path)) for path in (left, right))
    if one.template is None or other.template is None:
        raise UnusableInputError("a photo without a template", "Take another photo")  # pragma: no cover - with_face
    alike = score(one.template, other.template)
    threshold = supported(model.calibration, target, 1)
    rate = model.calibration.fmr(alike)
    same = alike >= threshold
    if as_json:
        print_json(
            {"same": same, "score": alike, "threshold": threshold, "target_fmr": target, "fmr": rate, "model": model.id}
        )
    else:
        say(
            f"{'same person' if same else 'not the same person'}: score {alike:.3f}, threshold {threshold:.3f}"
            f" (FMR at most {target:g}); {strangers(rate)}"
        )
    return 0 if same else 1


def identify(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos or folders of photos.")],
    as_json: AsJson = False,
) -> int:
    """Compare photos with everybody enrolled: exit 0 if each was named, 1 if one was not."""
    from facegate.storage import open_storage  # noqa: PLC0415
    from facegate.verifier.photos import expanded, open_reader  # noqa: PLC0415

    settings = load_settings()
    paths = expanded(photos)
    model, reader = open_reader(settings)
    storage = open_storage(settings)
    try:
        roster = storage.gallery.roster(model.id)
    finally:
        storage.close()
    threshold = supported(model.calibration, settings.gate.target_fmr, len(roster.references))
    margin = settings.gate.margin
    rows = [identified(photo, roster, model.calibration, threshold, margin) for photo in reader.read_all(paths)]
    if as_json:
        print_json(rows)
    else:
        shown = ("photo", "user", "score", "threshold", "fmr", "outcome", "reason")
        print_table(f"Identified by {model.id}", shown, [[figure(row[key]) for key in shown] for row in rows])
    return 0 if all(row["outcome"] == "grant" for row in rows) else 1


def identified(
    photo: "Photo", roster: "Roster", calibration: "Calibration", threshold: float, margin: float
) -> dict[str, Any]:
    """Return what one photo shows, by the rules of the gate but for doors, hours and visits."""
    from facegate.core.comparison import best_match  # noqa: PLC0415

    row: dict[str, Any] = {"photo": str(photo.path), "user": None, "score": None, "threshold": threshold, "fmr": None}
    if photo.template is None:
        reason = "no_face" if photo.failure == "no face was found" else "bad_image"
        return {**row, "outcome": "deny", "reason": reason, "detail": photo.failure}
    match = best_match(photo.template, roster.references)
    if match is None:
        return {**row, "outcome": "deny", "reason": "no_match", "detail": "nobody is enrolled"}
    row |= {"score": match.score, "fmr": calibration.gallery_fmr(match.score, len(roster.references))}
    if not match.score >= threshold:  # not "<": NaN must deny
        return {**row, "outcome": "deny", "reason": "no_match", "detail": ""}
    if match.runner_up is not None and not match.score - match.runner_up >= margin:
        return {**row, "outcome": "deny", "reason": "ambiguous", "detail": ""}
    return {**row, "user": match.user, "outcome": "grant", "reason": "match", "detail": ""}


def with_face(photo: "Photo") -> "Photo":
    """Return the photo if it has a template.

    Raises:
        UnusableInputError: It has none.
    """
    if photo.template is None:
        raise UnusableInputError(f"{photo.path}: {photo.failure}", "Take a photo with one clear face")
    return photo


def checked_target(target: float) -> float:
    """Return a target FMR if it is one.

    Raises:
        UnusableInputError: It is not in (0, 1).
    """
    if not 0 < target < 1:
        raise UnusableInputError(f"--fmr {target:g} is no share of strangers", "Give a number between 0 and 1")
    return target


def supported(calibration: "Calibration", target: float, references: int) -> float:
    """Return the threshold for a target and so many references.

    Raises:
        NotReadyError: The model was never calibrated.
        UnusableInputError: The calibration's counts do not support it.
    """
    if not calibration.measured:
        name = calibration.model.partition("@")[0]
        raise NotReadyError(f"{calibration.model} is not calibrated", f"Run: facegate calibrate DIR --model {name}")
    threshold = calibration.gallery_threshold(target, references)
    if threshold is None:
        raise UnusableInputError(
            f"{calibration.non_mated} comparisons of strangers do not support an FMR of {target:g}"
            f" with {references} references",
            "Ask for a higher one: --fmr or gate.target_fmr",
        )
    return threshold


def strangers(rate: float) -> str:
    """Say a rate as people do."""
    return (
        "any stranger would score this high" if rate >= 1 else f"one stranger in {1 / rate:,.0f} would score this high"
    )


def figure(value: object) -> object:
    """Return numbers with the digits that matter."""
    return f"{value:.4g}" if isinstance(value, float) else value
