"""`facegate doors`: the doors and their policy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegate.commands import hours as hours_of
from facegate.commands.output import answer, print_json, print_table, say, warn
from facegate.commands.users import AsJson, opened
from facegate.core.policy import EVERYONE, Door, Hours, Limits, Mode, Permission, User, closed, refusal
from facegate.errors import UnusableInputError

if TYPE_CHECKING:
    from facegate.storage.opening import Storage

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The doors and their policy.")

Slug = Annotated[str, typer.Argument(help="Slug of the door, such as front.")]
Cameras = Annotated[list[str] | None, typer.Option("--camera", help="Slug of a camera; may be repeated.")]
Name = Annotated[str | None, typer.Option("--name", help="Name that is shown.")]
Groups = Annotated[list[str] | None, typer.Option("--group", help="Group that may pass; may be repeated.")]
When = Annotated[
    list[str] | None, typer.Option("--hours", help='When the groups may pass: "mon-fri 07:00-19:00"; may be repeated.')
]
Zone = Annotated[str | None, typer.Option("--zone", help="IANA time zone of the hours; default: this machine's.")]
TargetFmr = Annotated[float | None, typer.Option("--target-fmr", help="Share of strangers' visits that may be let in.")]
AgreeingFrames = Annotated[int | None, typer.Option("--agreeing-frames", help="Frames that must name one user.")]
Alone = Annotated[bool | None, typer.Option("--alone/--not-alone", help="Deny when more than one face is seen.")]
Lockout = Annotated[
    str | None, typer.Option("--lockout", help="Denials of strangers/window/lock in seconds, such as 5/60/300; 0: off.")
]
Cooldown = Annotated[
    float | None, typer.Option("--cooldown", help="Seconds until a user is granted again; 0: at once.")
]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator asks of a door; None leaves it as it is."""

    cameras: Sequence[str] | None
    name: str | None
    groups: Sequence[str] | None
    hours: Sequence[str] | None
    zone: str | None
    target_fmr: float | None
    agreeing_frames: int | None
    alone: bool | None
    lockout: str | None
    cooldown: float | None


@app.command("list")
def list_doors(as_json: AsJson = False) -> None:
    """List the doors."""
    with opened() as storage:
        doors = storage.doors.listed()
    if as_json:
        print_json({"doors": [to_json(door) for door in doors]})
        return
    print_table(
        f"Doors: {len(doors)}",
        ("door", "name", "cameras", "mode", "who may pass"),
        [(d.slug, d.name, ", ".join(d.cameras), d.mode, "; ".join(permitted(d))) for d in doors],
    )


@app.command()
def add(  # noqa: PLR0917 - options of a command
    door: Slug,
    camera: Cameras = None,
    name: Name = None,
    group: Groups = None,
    hours: When = None,
    zone: Zone = None,
    target_fmr: TargetFmr = None,
    agreeing_frames: AgreeingFrames = None,
    alone: Alone = None,
    lockout: Lockout = None,
    cooldown: Cooldown = None,
    as_json: AsJson = False,
) -> None:
    """Add a door. Without --group every user may pass, without --hours at any time."""
    if not camera:
        raise UnusableInputError(f"Door {door} has no camera", f"Name one: facegate doors add {door} --camera porch")
    plain = Door(
        door, name or door, (), permissions=(Permission(EVERYONE),), zone=machine_zone() if zone is None else zone
    )
    wishes = Wishes(camera, name, group, hours, zone, target_fmr, agreeing_frames, alone, lockout, cooldown)
    made = changed(plain, wishes)
    with opened(upgrade_empty=True) as storage:
        storage.doors.add(made)
        warn_of_nobody(storage, group)
    told(made, "added", as_json=as_json)


@app.command("set")
def set_door(  # noqa: PLR0917 - options of a command
    door: Slug,
    camera: Cameras = None,
    name: Name = None,
    group: Groups = None,
    hours: When = None,
    zone: Zone = None,
    target_fmr: TargetFmr = None,
    agreeing_frames: AgreeingFrames = None,
    alone: Alone = None,
    lockout: Lockout = None,
    cooldown: Cooldown = None,
    mode: Annotated[Mode | None, typer.Option("--mode", help="armed, disarmed or lockdown.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a door; what is not named stays. --camera, --group and --hours replace what there was."""
    wishes = Wishes(camera, name, group, hours, zone, target_fmr, agreeing_frames, alone, lockout, cooldown)
    with opened() as storage:
        before = storage.doors.find(door)
        made = changed(before, wishes)
        made = replace(made, mode=mode) if mode is not None else made
        storage.doors.change(made)
        warn_of_nobody(storage, group)
    told(made, "changed", as_json=as_json)


def warn_of_nobody(storage: "Storage", groups: Sequence[str] | None) -> None:
    """Warn of groups that nobody is in: a slip of the pen shuts everybody out."""
    known = {EVERYONE, *(group.slug for group in storage.users.groups() if group.users)}
    for group in groups or ():
        if group not in known:
            warn(f"nobody is in group {group} yet: facegate groups add {group} USER")


@app.command()
def remove(door: Slug, as_json: AsJson = False) -> None:
    """Remove a door; its decisions stay."""
    with opened() as storage:
        storage.doors.remove(door)
    answer({"removed": door}, f"{door} is removed", as_json=as_json)


@app.command("test")
def explain_door(
    door: Slug,
    user: Annotated[str | None, typer.Option("--user", help="Only this user.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="At this moment (RFC 3339) instead of now.")] = None,
    as_json: AsJson = False,
) -> int:
    """Explain who may pass a door now, and why not the others. Exit 1 if the user of --user may not."""
    from facegate.storage.doors import check  # noqa: PLC0415

    moment = datetime.now(UTC) if at is None else moment_of(at)
    with opened() as storage:
        tried = storage.doors.find(door)
        check(tried)  # its row may have been edited by hand, or come from a machine that knows more time zones
        people = [storage.users.find(user).user] if user else [person.user for person in storage.users.listed()]
        history = storage.decisions.history(door, moment - span(tried.limits))
    shut = closed(tried, history, moment)
    answers = [(person, refusal(tried, person, history, moment)) for person in people]
    if as_json:
        print_json(
            {
                "door": door,
                "closed": shut,
                "users": [{"user": one.slug, "may_pass": why is None, "reason": why} for one, why in answers],
            }
        )
    else:
        explain(tried, answers, moment)
    return 1 if user and answers[0][1] is not None else 0


def explain(door: Door, answers: Sequence[tuple[User, Any]], moment: datetime) -> None:
    """Print who may pass."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    local = moment.astimezone(ZoneInfo(door.zone))
    print_table(
        f"{door.name} ({door.mode}), {local:%a %Y-%m-%d %H:%M} {door.zone}: {'; '.join(permitted(door)) or 'nobody'}",
        ("user", "name", "may pass", "reason"),
        [(one.slug, one.name, "no" if why else "yes", why or "") for one, why in answers],
    )


def changed(door: Door, wishes: Wishes) -> Door:
    """Return the door as the operator wishes it."""
    permissions = door.permissions
    if wishes.groups is not None or wishes.hours is not None:
        groups = wishes.groups or list(dict.fromkeys(permission.group for permission in permissions))
        windows = [hours_of.parse(text) for text in wishes.hours] if wishes.hours else windows_of(permissions)
        permissions = tuple(Permission(group, window) for group in groups for window in windows)
    return replace(
        door,
        name=wishes.name if wishes.name is not None else door.name,
        cameras=tuple(wishes.cameras) if wishes.cameras else door.cameras,
        permissions=permissions,
        zone=door.zone if wishes.zone is None else wishes.zone,
        target_fmr=wishes.target_fmr if wishes.target_fmr is not None else door.target_fmr,
        agreeing_frames=wishes.agreeing_frames if wishes.agreeing_frames is not None else door.agreeing_frames,
        alone=wishes.alone if wishes.alone is not None else door.alone,
        limits=limits_of(door.limits, wishes),
    )


def windows_of(permissions: Sequence[Permission]) -> list[Hours]:
    """Return each window of a door once."""
    return list(dict.fromkeys(permission.hours for permission in permissions)) or [Hours()]


def limits_of(limits: Limits, wishes: Wishes) -> Limits:
    """Read the limits on tries.

    Raises:
        UnusableInputError: They cannot be read.
    """
    if wishes.cooldown is not None:
        limits = replace(limits, cooldown_seconds=wishes.cooldown)
    if wishes.lockout is None:
        return limits
    if wishes.lockout in ("0", "off"):
        return replace(limits, denials=0)
    try:
        denials, window, lockout = wishes.lockout.split("/")
        return replace(limits, denials=int(denials), window_seconds=float(window), lockout_seconds=float(lockout))
    except ValueError as error:
        raise UnusableInputError(
            f"{wishes.lockout!r} is no lockout", "Write 5/60/300: 5 denials within 60 seconds lock for 300"
        ) from error


def permitted(door: Door) -> list[str]:
    """Write who may pass when, a group each."""
    return [f"{permission.group} {hours_of.written(permission.hours)}" for permission in door.permissions]


def to_json(door: Door) -> dict[str, Any]:
    """Return a door's JSON form."""
    limits = door.limits
    return {
        "door": door.slug,
        "name": door.name,
        "cameras": list(door.cameras),
        "mode": str(door.mode),
        "permissions": [
            {"group": permission.group, "hours": hours_of.written(permission.hours)} for permission in door.permissions
        ],
        "zone": door.zone,
        "target_fmr": door.target_fmr,
        "agreeing_frames": door.agreeing_frames,
        "alone": door.alone,
        "limits": {
            "denials": limits.denials,
            "window_seconds": limits.window_seconds,
            "lockout_seconds": limits.lockout_seconds,
            "cooldown_seconds": limits.cooldown_seconds,
        },
    }


def told(door: Door, done: str, *, as_json: bool) -> None:
    """Say what was done to a door."""
    if as_json:
        print_json(to_json(door))
    else:
        say(f"door {door.slug} {done}: {', '.join(door.cameras)}; {'; '.join(permitted(door)) or 'nobody may pass'}")


def span(limits: Limits) -> Any:
    """Return how far back the limits look."""
    from datetime import timedelta  # noqa: PLC0415

    return timedelta(seconds=max(limits.window_seconds + limits.lockout_seconds, limits.cooldown_seconds))


def moment_of(text: str) -> datetime:
    """Read a moment; without a time zone it is the machine's."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnusableInputError(f"{text!r} is no moment", "Write it like 2027-01-31T18:00") from error


def machine_zone() -> str:
    """Return the machine's time zone by its IANA name, UTC if it has none."""
    import os  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    named = (
        os.environ.get("TZ", "").removeprefix(":") or str(Path("/etc/localtime").resolve()).rpartition("zoneinfo/")[2]
    )
    try:
        return ZoneInfo(named).key
    except (OSError, ValueError, KeyError):
        return "UTC"
