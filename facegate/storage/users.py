"""Users and their groups. Every change is one transaction that counts in the revision."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from facegate.core.policy import EVERYONE, User
from facegate.core.slugs import is_slug
from facegate.errors import NotReadyError, RefusedError, UnusableInputError
from facegate.storage.engine import reading, writing
from facegate.storage.frames import forget_frames_of
from facegate.storage.learned import models_learned_from
from facegate.storage.revision import bump, set_vault_key
from facegate.storage.shadow import forget_scores_of
from facegate.storage.tables import (
    DecisionFrameRow,
    DecisionRow,
    DoorRow,
    MembershipRow,
    PermissionRow,
    PhotoRow,
    ReferenceRow,
    UserRow,
)

log = logging.getLogger(__name__)

SLUG_RULE = "A slug is 1 to 64 of a-z, 0-9, _ and -, such as `alice`"


@dataclass(frozen=True, slots=True)
class Person:
    """A user with what is stored of them.

    Attributes:
        id: Their number in the database.
        user: As the core knows them.
        created_at: When they were first enrolled, UTC.
        photos: How many photos are enrolled.
        references: How many references there are, by model.
    """

    id: int
    user: User
    created_at: datetime
    photos: int = 0
    references: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """A group with the users in it and the doors that it may pass, by slug."""

    slug: str
    users: tuple[str, ...]
    doors: tuple[str, ...]


def checked_slug(text: str, kind: str = "user") -> str:
    """Return `text` if it is a slug.

    Raises:
        UnusableInputError: It is none.
    """
    if not is_slug(text):
        raise UnusableInputError(f"{text!r} cannot name a {kind}", SLUG_RULE)
    return text


def no_such_user(slug: str) -> UnusableInputError:
    """Make the error for a user who is not there."""
    return UnusableInputError(f"There is no user {slug}", "See: facegate users list")


class Users:
    """The people. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def listed(self) -> list[Person]:
        """Return everybody, by slug."""
        with reading(self._engine) as connection:
            return people(connection)

    def find(self, slug: str) -> Person:
        """Return one person.

        Raises:
            UnusableInputError: There is no such user, or that is no slug.
        """
        checked_slug(slug)
        with reading(self._engine) as connection:
            found = people(connection, slug)
        if not found:
            raise no_such_user(slug)
        return found[0]

    def suspend(self, slug: str) -> None:
        """Let the user pass no door until they are restored."""
        self._set(slug, suspended=True)

    def restore(self, slug: str) -> None:
        """Let a suspended user pass again."""
        self._set(slug, suspended=False)

    def expire(self, slug: str, moment: datetime | None) -> None:
        """Let the user pass no door from a moment on; None: no end."""
        self._set(slug, expires_at=moment)

    def rename(self, slug: str, name: str) -> None:
        """Change the name that is shown."""
        self._set(slug, name=checked_name(name))

    def remove(self, slug: str) -> Person:
        """Erase a user with photos and references, and return who that was.

        The bytes are overwritten (SQLite's secure_delete) and cleared out of the write-ahead log; PostgreSQL leaves
        them to its vacuum, which is asked to run here.

        Raises:
            UnusableInputError: There is no such user.
            RefusedError: A model was learned from them, which has to go as well: `verifier.removal` does both.
        """
        person = self.find(slug)
        with writing(self._engine) as connection:
            bump(connection)
            if models := models_learned_from(connection, person.id):
                raise RefusedError(f"{', '.join(sorted(models))} learned from {slug}", "Run: facegate users remove")
            remove(connection, slug)
        self.clear()
        return person

    def join(self, group: str, slugs: Sequence[str]) -> None:
        """Put users into a group.

        Raises:
            UnusableInputError: A user is not there, or the group cannot be joined.
        """
        checked_group(group)
        with writing(self._engine) as connection:
            bump(connection)
            for user_id in user_ids(connection, slugs):
                add_membership(connection, user_id, group)

    def leave(self, group: str, slugs: Sequence[str]) -> None:
        """Take users out of a group.

        Raises:
            UnusableInputError: A user is not there or not in the group.
        """
        checked_group(group)
        with writing(self._engine) as connection:
            bump(connection)
            for slug, user_id in zip(slugs, user_ids(connection, slugs), strict=True):
                theirs = (MembershipRow.user_id == user_id) & (MembershipRow.group_slug == group)
                if not connection.execute(delete(MembershipRow).where(theirs)).rowcount:
                    raise UnusableInputError(f"{slug} is not in group {group}", "See: facegate groups list")

    def groups(self) -> list[Group]:
        """Return every group that a user or a door names, by slug."""
        with reading(self._engine) as connection:
            return groups(connection)

    def _set(self, slug: str, **values: object) -> None:
        checked_slug(slug)
        with writing(self._engine) as connection:
            bump(connection)
            if not connection.execute(update(UserRow).where(UserRow.slug == slug).values(**values)).rowcount:
                raise no_such_user(slug)

    def clear(self) -> None:
        """Clear what was deleted out of the files. The rows are gone already, so a failure is told and not raised."""
        try:
            autocommit = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            with autocommit as connection:
                if self._engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
                else:
                    connection.exec_driver_sql("VACUUM users, photos, user_references, decision_frames")
        except NotReadyError:
            log.warning("what was deleted could not be cleared out of the files yet")


def remove(connection: Connection, slug: str) -> None:
    """Erase a user with all that shows or names them but the chain. The caller has bumped the revision.

    Raises:
        UnusableInputError: There is no such user.
    """
    user_id = connection.execute(select(UserRow.id).where(UserRow.slug == slug)).scalar_one_or_none()
    if user_id is None:
        raise no_such_user(slug)
    forget_frames_of(connection, user_id, slug)
    forget_scores_of(connection, slug)
    connection.execute(update(DecisionRow).where(DecisionRow.word_user == slug).values(word_user=None))
    connection.execute(delete(UserRow).where(UserRow.id == user_id))
    if not connection.execute(select(PhotoRow.id).limit(1)).first():
        connection.execute(delete(DecisionFrameRow))  # nobody is left to learn for, and the next key may be another
        set_vault_key(connection, "")


def checked_name(name: str) -> str:
    """Return a name for people.

    Raises:
        UnusableInputError: It is empty, long or holds control characters.
    """
    name = name.strip()
    if not 1 <= len(name) <= 200 or not name.isprintable():  # noqa: PLR2004 - the column's width
        raise UnusableInputError("A name has 1 to 200 printable characters", "Shorten it")
    return name


def checked_group(group: str) -> str:
    """Return a group that users join and leave.

    Raises:
        UnusableInputError: It is no slug, or it is `everyone`.
    """
    checked_slug(group, "group")
    if group == EVERYONE:
        raise UnusableInputError("Every user is in `everyone`", "Name another group")
    return group


def people(connection: Connection, slug: str | None = None) -> list[Person]:
    """Return everybody, or the one with a slug."""
    statement = select(
        UserRow.id, UserRow.slug, UserRow.name, UserRow.created_at, UserRow.suspended, UserRow.expires_at
    )
    if slug is not None:
        statement = statement.where(UserRow.slug == slug)
    rows = connection.execute(statement.order_by(UserRow.slug)).all()
    ids = {row.id for row in rows}
    groups = _groups(connection, ids if slug is not None else None)
    photos, references = _counts(connection)
    return [
        Person(
            row.id,
            User(row.slug, row.name, frozenset({EVERYONE, *groups.get(row.id, ())}), row.suspended, row.expires_at),
            row.created_at,
            photos.get(row.id, 0),
            references.get(row.id, {}),
        )
        for row in rows
    ]


def users_by_slug(connection: Connection) -> dict[str, User]:
    """Return everybody as the core knows them."""
    groups = _groups(connection, None)
    rows = connection.execute(
        select(UserRow.id, UserRow.slug, UserRow.name, UserRow.suspended, UserRow.expires_at)
    ).all()
    return {
        row.slug: User(
            row.slug, row.name, frozenset({EVERYONE, *groups.get(row.id, ())}), row.suspended, row.expires_at
        )
        for row in rows
    }


def groups(connection: Connection) -> list[Group]:
    """Return every group that a user or a door names, by slug."""
    joined = select(MembershipRow.group_slug, UserRow.slug).join(UserRow).order_by(UserRow.slug)
    permitted = select(PermissionRow.group_slug, DoorRow.slug).join(DoorRow).distinct().order_by(DoorRow.slug)
    users: dict[str, list[str]] = {
        EVERYONE: list(connection.execute(select(UserRow.slug).order_by(UserRow.slug)).scalars())
    }
    for group, slug in connection.execute(joined):
        users.setdefault(group, []).append(slug)
    doors: dict[str, list[str]] = {}
    for group, slug in connection.execute(permitted):
        doors.setdefault(group, []).append(slug)
    return [
        Group(group, tuple(users.get(group, ())), tuple(doors.get(group, ()))) for group in sorted(users.keys() | doors)
    ]


def user_ids(connection: Connection, slugs: Iterable[str]) -> list[int]:
    """Return the numbers of users in the order of their slugs.

    Raises:
        UnusableInputError: One is not there.
    """
    found: list[int] = []
    for slug in slugs:
        user_id = connection.execute(select(UserRow.id).where(UserRow.slug == checked_slug(slug))).scalar_one_or_none()
        if user_id is None:
            raise no_such_user(slug)
        found.append(user_id)
    return found


def who_is_gone(connection: Connection, ids: Collection[int]) -> set[int]:
    """Return those of some users' numbers whose users are no more."""
    return set(ids) - set(connection.execute(select(UserRow.id)).scalars())


def add_membership(connection: Connection, user_id: int, group: str) -> None:
    """Put a user into a group, once."""
    theirs = (MembershipRow.user_id == user_id) & (MembershipRow.group_slug == group)
    if connection.execute(select(MembershipRow.user_id).where(theirs)).first() is None:
        connection.execute(insert(MembershipRow), {"user_id": user_id, "group_slug": group})


def _groups(connection: Connection, ids: set[int] | None) -> dict[int, list[str]]:
    statement = select(MembershipRow.user_id, MembershipRow.group_slug)
    if ids is not None:
        statement = statement.where(MembershipRow.user_id.in_(ids))
    groups: dict[int, list[str]] = {}
    for user_id, group in connection.execute(statement):
        groups.setdefault(user_id, []).append(group)
    return groups


def _counts(connection: Connection) -> tuple[dict[int, int], dict[int, dict[str, int]]]:
    photos = connection.execute(select(PhotoRow.user_id, func.count()).group_by(PhotoRow.user_id)).all()
    statement = (
        select(PhotoRow.user_id, ReferenceRow.model, func.count())
        .join(ReferenceRow, ReferenceRow.photo_id == PhotoRow.id)
        .group_by(PhotoRow.user_id, ReferenceRow.model)
    )
    references: dict[int, dict[str, int]] = {}
    for user_id, model, count in connection.execute(statement):
        references.setdefault(user_id, {})[model] = count
    return dict(photos), references
