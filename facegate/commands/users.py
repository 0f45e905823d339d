"""`facegate users`: the people."""

import base64
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegate.commands.output import answer, print_json, print_table, say, warn
from facegate.core.decision import rfc3339
from facegate.errors import RefusedError, UnusableInputError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from facegate.storage import Storage
    from facegate.storage.users import Person

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The people.")

Slug = Annotated[str, typer.Argument(help="Slug of the user, such as alice.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def opened(*, upgrade_empty: bool = False) -> "Storage":
    """Open the storage that the settings name; a command that fills an empty database may make its schema."""
    from facegate.storage import open_storage  # noqa: PLC0415 - `--help` needs no database

    return open_storage(load_settings(), upgrade_empty=upgrade_empty)


def counted(number: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def readable(value: Any) -> str:
    """Write a value of a JSON form for a person."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def to_json(person: "Person") -> dict[str, Any]:
    """Return a user's JSON form."""
    user = person.user
    return {
        "user": user.slug,
        "name": user.name,
        "groups": sorted(user.groups),
        "suspended": user.suspended,
        "expires_at": None if user.expires_at is None else rfc3339(user.expires_at),
        "created_at": rfc3339(person.created_at),
        "photos": person.photos,
        "references": dict(person.references),
    }


def state_of(person: "Person", now: datetime) -> str:
    """Say in a word whether the user may pass at all."""
    if person.user.suspended:
        return "suspended"
    if person.user.expires_at is not None and person.user.expires_at <= now:
        return "expired"
    return "active"


@app.command("list")
def list_users(as_json: AsJson = False) -> None:
    """List everybody."""
    with opened() as storage:
        people = storage.users.listed()
    if as_json:
        print_json({"users": [to_json(person) for person in people]})
        return
    now = datetime.now(UTC)
    print_table(
        f"Users: {len(people)}",
        ("user", "name", "groups", "photos", "state"),
        [
            (p.user.slug, p.user.name, ", ".join(sorted(p.user.groups)), p.photos, state_of(p, now))
            for p in people
        ],
    )  # fmt: skip


@app.command()
def show(user: Slug, as_json: AsJson = False) -> None:
    """Show one user with what was measured of the photos, and whom they are most like."""
    with opened() as storage:
        person = storage.users.find(user)
        photos = storage.photos.listed(user)
    document = to_json(person) | {
        "enrolled": [
            {"photo": photo.digest[:12], "enrolled_at": rfc3339(photo.enrolled_at), "quality": dict(photo.quality)}
            for photo in photos
        ]
    }
    if as_json:
        print_json(document)
        return
    shown = {name: value for name, value in document.items() if name != "enrolled"}
    print_table(user, ("", ""), [(name, readable(value)) for name, value in shown.items()])
    print_table(
        "Photos",
        ("photo", "enrolled", "face px", "sharpness", "brightness"),
        [
            (p.digest[:12], f"{p.enrolled_at:%Y-%m-%d %H:%M}", *(_rounded(p.quality, name) for name in SHOWN))
            for p in photos
        ],
    )


SHOWN = ("size", "sharpness", "brightness")


def _rounded(quality: Any, name: str) -> str:
    return f"{quality[name]:.0f}" if name in quality else ""


@app.command()
def suspend(user: Slug, as_json: AsJson = False) -> None:
    """Let a user pass no door until they are restored."""
    with opened() as storage:
        storage.users.suspend(user)
    answer({"user": user, "state": "suspended"}, f"{user} is suspended", as_json=as_json)


@app.command()
def restore(
    user: Slug,
    until: Annotated[str | None, typer.Option("--until", help="Only until this moment (RFC 3339).")] = None,
    as_json: AsJson = False,
) -> None:
    """Let a suspended or expired user pass again."""
    moment = parsed_moment(until) if until is not None else None
    with opened() as storage:
        person = storage.users.find(user)
        storage.users.restore(user)
        if moment is not None or state_of(person, datetime.now(UTC)) == "expired":
            storage.users.expire(user, moment)
        state = state_of(storage.users.find(user), datetime.now(UTC))
    answer({"user": user, "state": state}, f"{user} may pass again", as_json=as_json)


@app.command()
def remove(
    user: Slug,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a user: row, crops, templates, and the models that were learned from them."""
    import sys  # noqa: PLC0415

    from facegate.verifier.library import library_of  # noqa: PLC0415
    from facegate.verifier.removal import remove as erase  # noqa: PLC0415

    settings = load_settings()
    with opened() as storage:
        person = storage.users.find(user)
        if not yes and not as_json and sys.stdin.isatty():
            typer.confirm(f"Erase {user} with {person.photos} photos? This cannot be undone", abort=True)
        library = library_of(settings, storage.champions)
        erased = erase(storage, library, user, threads=settings.verifier.threads)
        named = storage.decisions.count_of(user)
    if settings.verifier.model in {model.partition("@")[0] for model in erased.unlearned}:
        warn(f"the setting verifier.model names {settings.verifier.model}, which is erased; unset it")
    receipt = {
        "removed": user,
        "photos": person.photos,
        "references": dict(person.references),
        "decisions_kept": named,
        "models_unlearned": list(erased.unlearned),
        "in_charge_instead": erased.heir,
    }
    if as_json:
        print_json(receipt)
        return
    references = sum(person.references.values())
    say(f"{user} is erased: {counted(person.photos, 'photo')}, {counted(references, 'reference')}")
    if erased.unlearned:
        say(f"Erased too, because they were learned from {user}: {', '.join(erased.unlearned)}; a new fine-tune is due")
    if erased.heir:
        say(f"{erased.heir} is in charge instead")
    if named:
        say(f"{counted(named, 'decision')} in the chain keep the slug {user} until their retention ends")
    say("Backups and exports that you made are yours to delete")


@app.command()
def drift(as_json: AsJson = False) -> None:
    """Say whose scores sink, at which cameras, and who are too alike, from the decisions of a year."""
    from facegate.commands.drift import show_drift  # noqa: PLC0415 - it needs the network

    with opened() as storage:
        show_drift(storage, as_json=as_json)


@app.command()
def export(
    user: Slug,
    file: Annotated[Path | None, typer.Argument(help="New file; default USER.json in this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write everything about a user into a JSON file of mode 0600, crops as PNG in base64, templates as numbers."""
    target = file or Path(f"{user}.json")
    with opened() as storage:
        document = everything_about(storage, user)
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UnusableInputError(f"{target} is there already", "Name a new file") from error
    except OSError as error:
        raise UnusableInputError(f"{target} cannot be written: {error.strerror}", "Name another file") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=2, ensure_ascii=False)
    told = {
        "user": user,
        "file": str(target),
        "photos": len(document["photos"]),
        "decisions": len(document["decisions"]),
    }
    if as_json:
        print_json(told)
    else:
        photos, decisions = len(document["photos"]), len(document["decisions"])
        say(f"{target}: {counted(photos, 'photo')}, {counted(decisions, 'decision')}; it shows a person, keep it safe")


def everything_about(storage: "Storage", user: str) -> dict[str, Any]:
    """Return everything that is stored of a user, opened."""
    photos = storage.photos.of_user(user)
    templates = storage.photos.templates_of(user)
    return to_json(storage.users.find(user)) | {
        "photos": [
            {
                "sha256": photo.digest,
                "origin": photo.origin,
                "enrolled_at": rfc3339(photo.enrolled_at),
                "quality": dict(photo.quality),
                "landmarks": [[round(float(v), 2) for v in point] for point in photo.crop.landmarks],
                "crop_png": base64.b64encode(photo.crop.picture).decode(),
                "templates": {
                    model: [round(float(value), 6) for value in template]
                    for model, template in templates.get(photo.id, {}).items()
                },
            }
            for photo in photos
        ],
        "frames": [
            {
                "decision": frame.decision,
                "scored_as": frame.user,
                "camera": frame.camera,
                "captured_at": rfc3339(frame.captured_at),
                "crop": base64.b64encode(frame.crop.picture).decode(),
            }
            for frame in storage.frames.of_user(user)
        ],
        "learned_by": sorted(storage.learned.models_of(user)),
        "decisions": [one.to_json() for one in storage.decisions.about(user)],
    }


def parsed_moment(text: str) -> datetime:
    """Read a moment; without a time zone it is the machine's.

    Raises:
        UnusableInputError: It is none.
        RefusedError: It is over.
    """
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnusableInputError(f"{text!r} is no moment", "Write it like 2027-01-31T18:00") from error
    if moment <= datetime.now(UTC):
        raise RefusedError(f"{text} is over", "Name a moment to come")
    return moment
