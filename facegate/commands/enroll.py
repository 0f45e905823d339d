"""`facegate enroll`: photos, folders or stdin -> references of a user."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegate.commands.output import console, print_json, say, warn
from facegate.commands.users import counted
from facegate.errors import UnusableInputError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from facegate.verifier.enrollment import EnrollmentResult
    from facegate.verifier.portrait import Picture

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
FEW = 3
"""So many photos need no progress bar."""


def enroll(  # noqa: PLR0917 - options of a command
    user: Annotated[str, typer.Argument(help="Slug of the user, such as alice.")],
    photos: Annotated[list[str], typer.Argument(help="Photos, folders of photos, or - for one photo on stdin.")],
    name: Annotated[str | None, typer.Option("--name", help="Name that is shown.")] = None,
    group: Annotated[list[str] | None, typer.Option("--group", help="Group to join; may be repeated.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the photos that the user had.")] = False,
    force_quality: Annotated[
        bool, typer.Option("--force-quality", help="Enroll what fails the limits or looks like another user.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Enroll a user from one photo or more. The photos are not kept, only sealed crops and templates."""
    from facegate.storage import open_storage  # noqa: PLC0415 - `--help` needs neither database nor network
    from facegate.storage.users import checked_slug  # noqa: PLC0415
    from facegate.verifier.enrollment import Enrollment  # noqa: PLC0415

    checked_slug(user)
    given = gathered(photos)
    settings = load_settings()
    with open_storage(settings, upgrade_empty=True) as storage:
        enrollment = Enrollment.of(settings, storage)
        with progress(len(given)) as watch:
            result = enrollment.enroll(
                user, name, given, groups=group or (), replace=replace, force_quality=force_quality, watch=watch
            )
    if as_json:
        print_json(result.to_json())
    else:
        tell(result)
    return 1 if result.refused else 0


def gathered(photos: Sequence[str]) -> "list[Path | Picture]":
    """Return the files that were named: those of folders by name, stdin as a picture.

    Raises:
        UnusableInputError: A name is nothing, or a folder holds no photo.
    """
    found: list[Path | Picture] = []
    for photo in photos:
        path = Path(photo)
        if photo == "-":
            found.append(from_stdin())
        elif path.is_dir():
            found += in_folder(path)
        elif path.exists():
            found.append(path)
        else:
            raise UnusableInputError(f"There is no file {photo}", "Name a photo, a folder of photos, or -")
    return found


def in_folder(folder: Path) -> list[Path]:
    """Return the photos of a folder and the folders in it, by name."""
    try:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not any(folder.iterdir()):
            raise UnusableInputError(f"The folder {folder} is empty", "Name a folder that holds photos")
    except OSError as error:
        raise UnusableInputError(f"The folder {folder} cannot be read: {error.strerror}", "Name another") from error
    if not files:
        raise UnusableInputError(f"The folder {folder} holds no JPEG, PNG or WebP file", "Name a folder with photos")
    return files


def from_stdin() -> "Picture":
    """Read one photo from stdin."""
    from facegate.verifier.portrait import Picture  # noqa: PLC0415
    from facegate.vision.decode import PHOTO_BYTES  # noqa: PLC0415

    data = sys.stdin.buffer.read(PHOTO_BYTES + 1)
    if not data:
        raise UnusableInputError("Nothing came on stdin", "Pipe a photo in: facegate enroll alice - < alice.jpg")
    return Picture("-", data)


@contextmanager
def progress(total: int) -> "Iterator[Callable[[], None]]":
    """Show how far it is, on stderr, if that is a terminal and there is much to do."""
    if total <= FEW or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console(stderr=True)) as bar:
        task = bar.add_task("photos", total=total)
        yield lambda: bar.advance(task)


def tell(result: "EnrollmentResult") -> None:
    """Say what was enrolled, passed over and refused."""
    for photo in result.refused:
        sys.stderr.write(f"refused: {photo.photo}: {photo.what}. {photo.mend}.\n")
    for line in result.warnings:
        warn(line)
    for photo_name in result.known:
        warn(f"{photo_name}: this very file is enrolled already")
    kind = "new user" if result.is_new else "user"
    if result.accepted or result.known:
        replaced = f", {result.replaced} replaced" if result.replaced else ""
        say(f"{kind} {result.slug}: {counted(len(result.accepted), 'photo')} enrolled{replaced} (model {result.model})")
    if result.refused:
        say(f"{counted(len(result.refused), 'photo')} refused")
