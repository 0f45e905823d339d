"""Doors with their cameras and permissions. Every change is one transaction that counts in the revision."""

from datetime import time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from facegate.core.policy import Door, Hours, Limits, Mode, Permission
from facegate.errors import RefusedError, UnusableInputError
from facegate.storage.engine import reading, writing
from facegate.storage.revision import bump
from facegate.storage.tables import DoorCameraRow, DoorRow, PermissionRow
from facegate.storage.users import checked_name, checked_slug

DAYS = 7


def no_such_door(slug: str) -> UnusableInputError:
    """Make the error for a door that is not there."""
    return UnusableInputError(f"There is no door {slug}", "See: facegate doors list")


class Doors:
    """The doors. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def listed(self) -> list[Door]:
        """Return every door, by slug."""
        with reading(self._engine) as connection:
            return list(doors_by_slug(connection).values())

    def find(self, slug: str) -> Door:
        """Return one door.

        Raises:
            UnusableInputError: There is no such door, or that is no slug.
        """
        checked_slug(slug, "door")
        with reading(self._engine) as connection:
            found = doors_by_slug(connection).get(slug)
        if found is None:
            raise no_such_door(slug)
        return found

    def add(self, door: Door) -> None:
        """Add a door.

        Raises:
            RefusedError: There is one of that slug, or a camera belongs to another door.
            UnusableInputError: Something of it cannot be used.
        """
        check(door)
        with writing(self._engine) as connection:
            bump(connection)
            if connection.execute(select(DoorRow.id).where(DoorRow.slug == door.slug)).first():
                raise RefusedError(f"There is a door {door.slug} already", f"Change it: facegate doors set {door.slug}")
            door_id = connection.execute(insert(DoorRow).returning(DoorRow.id), _row(door)).scalar_one()
            _write_parts(connection, door_id, door)

    def change(self, door: Door) -> None:
        """Replace a door with this one of the same slug.

        Raises:
            UnusableInputError: There is no such door, or something of it cannot be used.
            RefusedError: A camera belongs to another door.
        """
        check(door)
        with writing(self._engine) as connection:
            bump(connection)
            door_id = connection.execute(select(DoorRow.id).where(DoorRow.slug == door.slug)).scalar_one_or_none()
            if door_id is None:
                raise no_such_door(door.slug)
            connection.execute(update(DoorRow).where(DoorRow.id == door_id).values(_row(door)))
            for part in (DoorCameraRow, PermissionRow):
                connection.execute(delete(part).where(part.door_id == door_id))
            _write_parts(connection, door_id, door)

    def set_mode(self, slug: str, mode: Mode) -> None:
        """Arm a door, disarm it, or lock it down.

        Raises:
            UnusableInputError: There is no such door.
        """
        with writing(self._engine) as connection:
            bump(connection)
            if not connection.execute(update(DoorRow).where(DoorRow.slug == slug).values(mode=str(mode))).rowcount:
                raise no_such_door(slug)

    def remove(self, slug: str) -> None:
        """Remove a door; its decisions stay.

        Raises:
            UnusableInputError: There is no such door.
        """
        checked_slug(slug, "door")
        with writing(self._engine) as connection:
            bump(connection)
            if not connection.execute(delete(DoorRow).where(DoorRow.slug == slug)).rowcount:
                raise no_such_door(slug)


def check(door: Door) -> None:
    """Refuse a door that could not work.

    Raises:
        UnusableInputError: The error names what is wrong.
    """
    checked_slug(door.slug, "door")
    checked_name(door.name)
    for camera in door.cameras:
        checked_slug(camera, "camera")
    for permission in door.permissions:
        checked_slug(permission.group, "group")
        _check_hours(permission.hours)
    if len(set(door.cameras)) != len(door.cameras):
        raise UnusableInputError("A camera is named twice", "Name each camera once")
    _check_zone(door.zone)
    _check_numbers(door)


def doors_by_slug(connection: Connection) -> dict[str, Door]:
    """Return every door, by slug."""
    cameras: dict[int, list[str]] = {}
    in_order = select(DoorCameraRow.door_id, DoorCameraRow.camera).order_by(DoorCameraRow.position)
    for door_id, camera in connection.execute(in_order):
        cameras.setdefault(door_id, []).append(camera)
    permissions: dict[int, list[Permission]] = {}
    for row in connection.execute(select(*PermissionRow.__table__.columns).order_by(PermissionRow.id)):
        hours = Hours(_days(row.days), row.opens, row.closes)
        permissions.setdefault(row.door_id, []).append(Permission(row.group_slug, hours))
    rows = connection.execute(select(*DoorRow.__table__.columns).order_by(DoorRow.slug)).all()
    return {
        row.slug: Door(
            slug=row.slug,
            name=row.name,
            cameras=tuple(cameras.get(row.id, ())),
            mode=Mode(row.mode),
            permissions=tuple(permissions.get(row.id, ())),
            zone=row.zone,
            limits=Limits(row.denials, row.window_seconds, row.lockout_seconds, row.cooldown_seconds),
            target_fmr=row.target_fmr,
            agreeing_frames=row.agreeing_frames,
            alone=row.alone,
        )
        for row in rows
    }


def _row(door: Door) -> dict[str, object]:
    limits = door.limits
    return {
        "slug": door.slug,
        "name": checked_name(door.name),
        "mode": str(door.mode),
        "zone": door.zone,
        "target_fmr": door.target_fmr,
        "agreeing_frames": door.agreeing_frames,
        "alone": door.alone,
        "denials": limits.denials,
        "window_seconds": limits.window_seconds,
        "lockout_seconds": limits.lockout_seconds,
        "cooldown_seconds": limits.cooldown_seconds,
    }


def _write_parts(connection: Connection, door_id: int, door: Door) -> None:
    for position, camera in enumerate(door.cameras):
        row = {"camera": camera, "door_id": door_id, "position": position}
        try:
            connection.execute(insert(DoorCameraRow), row)
        except IntegrityError as error:
            raise RefusedError(
                f"Camera {camera} belongs to another door", "A camera has one door: see facegate doors list"
            ) from error
    for permission in door.permissions:
        hours = permission.hours
        row = {
            "door_id": door_id,
            "group_slug": permission.group,
            "days": sum(1 << day for day in hours.days),
            "opens": hours.opens,
            "closes": hours.closes,
        }
        connection.execute(insert(PermissionRow), row)


def _days(bits: int) -> frozenset[int]:
    return frozenset(day for day in range(DAYS) if bits >> day & 1)


def _check_hours(hours: Hours) -> None:
    if not hours.days or not hours.days <= frozenset(range(DAYS)):
        raise UnusableInputError("Hours need a day of the week", 'Write them like "mon-fri 07:00-19:00"')
    if hours.closes != time(0) and hours.opens >= hours.closes:
        raise UnusableInputError(
            f"Hours from {hours.opens:%H:%M} to {hours.closes:%H:%M} are never open",
            "Write a window over midnight as two: 22:00-24:00 and 00:00-06:00",
        )


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnusableInputError(f"There is no time zone {zone!r}", "Name one like Europe/Berlin") from error


def _check_numbers(door: Door) -> None:
    limits = door.limits
    checks = (
        (door.target_fmr is None or 0 < door.target_fmr < 1, "The target FMR is a share between 0 and 1"),
        (door.agreeing_frames is None or 1 <= door.agreeing_frames <= 20, "Agreeing frames are 1 to 20"),  # noqa: PLR2004
        (0 <= limits.denials <= 1000, "The denials before a lockout are 0 to 1000"),  # noqa: PLR2004
        (0 < limits.window_seconds <= 86_400, "The lockout's window is up to a day"),  # noqa: PLR2004
        (0 <= limits.lockout_seconds <= 86_400, "A lockout lasts up to a day"),  # noqa: PLR2004
        (0 <= limits.cooldown_seconds <= 86_400, "A cool-down lasts up to a day"),  # noqa: PLR2004
    )
    for holds, what in checks:
        if not holds:
            raise UnusableInputError(what, "Mend the number")
