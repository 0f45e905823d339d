"""Backups of an SQLite database: made while facegate runs, checked before they are put back.

A backup holds templates and crops sealed as they are: without the key file nobody reads them, and without the key file
nobody can put them to use. Keep a copy of the key files elsewhere. PostgreSQL has `pg_dump`.

Restoring replaces the database file. Stop the daemon first: a restore is refused while anybody holds the database.
"""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from facegate.errors import NotReadyError, RefusedError, UnusableInputError
from facegate.storage import schema
from facegate.storage.engine import open_engine, sqlite_file

SIDE_FILES: Final = ("-wal", "-shm")


def back_up(engine: Engine, target: Path) -> int:
    """Copy the database into a new file of mode 0600, as of one moment; return its size in bytes.

    Raises:
        UnusableInputError: The file is there already or cannot be written.
        RefusedError: The database is PostgreSQL's.
    """
    source = _file(engine)
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise UnusableInputError(f"{target} is there already", "Name a new file") from error
    except OSError as error:
        raise UnusableInputError(f"{target} cannot be written: {error.strerror}", "Name another file") from error
    try:
        _copy(source, target)
    except (sqlite3.Error, NotReadyError):
        target.unlink(missing_ok=True)
        raise
    return target.stat().st_size


def restore(url: str, backup: Path) -> schema.SchemaStatus:
    """Put a backup in the place of the database, after it was checked; return its schema.

    Raises:
        UnusableInputError: The backup cannot be read, is damaged or is no database of facegate.
        NotReadyError: Its schema is newer than this facegate.
        RefusedError: The database is in use, or it is PostgreSQL's.
    """
    engine = open_engine(url)
    try:
        target = _file(engine)
    finally:
        engine.dispose()
    draft = target.with_name(f"{target.name}.restored")
    draft.unlink(missing_ok=True)
    _check_readable(backup)
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _copy(backup, draft)
        found = _checked(draft, backup)
        _take_alone(target)
        for side in SIDE_FILES:
            target.with_name(target.name + side).unlink(missing_ok=True)
        draft.replace(target)
    except sqlite3.DatabaseError as error:
        raise UnusableInputError(
            f"{backup} is no whole database", "Name a file that `facegate db backup` made"
        ) from error
    finally:
        for side in ("", *SIDE_FILES):
            draft.with_name(draft.name + side).unlink(missing_ok=True)
    return found


def _file(engine: Engine) -> Path:
    path = sqlite_file(engine)
    if path is None:
        raise RefusedError("The database is PostgreSQL's", "Use pg_dump and pg_restore")
    return path


def _copy(source: Path, target: Path) -> None:
    """Copy one moment of a database, while others write."""
    reader = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)
    with contextlib.closing(reader), contextlib.closing(sqlite3.connect(target)) as copy:
        try:
            reader.backup(copy, pages=1024)
        except sqlite3.OperationalError as error:
            raise NotReadyError(f"The backup cannot be written: {error}", "Free some space") from error
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it


def _check_readable(backup: Path) -> None:
    try:
        with backup.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise UnusableInputError(f"{backup} cannot be read: {error.strerror}", "Name a backup") from error
    if head != b"SQLite format 3\x00":
        raise UnusableInputError(f"{backup} is no database", "Name a file that `facegate db backup` made")


def _checked(draft: Path, backup: Path) -> schema.SchemaStatus:
    """Check the copy's pages, foreign keys and schema."""
    with contextlib.closing(sqlite3.connect(draft)) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
    if not sound or orphan is not None:
        raise UnusableInputError(f"{backup} is damaged", "Name another backup")
    engine = open_engine(f"sqlite:///{draft}")
    try:
        found = schema.status(engine)
    finally:
        engine.dispose()
    if not found.current:
        raise UnusableInputError(f"{backup} is no database of facegate", "Name a file that `facegate db backup` made")
    if found.current > found.needed:
        raise NotReadyError(
            f"{backup} has schema {found.current}, this facegate knows {found.needed}", "Update facegate"
        )
    return found


def _take_alone(target: Path) -> None:
    """Refuse while anybody else has the database open: they would go on writing into a file that is gone."""
    connection = sqlite3.connect(target, timeout=0.5, isolation_level=None)
    with contextlib.closing(connection):
        try:
            # Leaving the write-ahead log needs every other connection closed.
            mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            mode = "wal"
    if mode != "delete":
        raise RefusedError("The database is in use", "Stop facegate run, then restore")
