"""The database: how it is opened, how transactions run in it, and what its errors mean to an operator.

SQLite runs with a write-ahead log, so that readers and one writer do not wait for one another, and with foreign keys.
`synchronous=NORMAL` writes the log at each commit and syncs it at checkpoints: what was committed survives the death of
the process at any moment; a power cut may take the last moments, and leaves the database whole. A transaction that will
write takes the write lock at its start (`BEGIN IMMEDIATE`): one that turns into a writer half way cannot wait for the
lock, it fails.
"""

import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from facegate.errors import NotReadyError, UnusableInputError

log = logging.getLogger(__name__)

BUSY_TIMEOUT_SECONDS: Final = 5.0
CONNECT_TIMEOUT_SECONDS: Final = 5
_WRITES: Final = "facegate_writes"

#: What a driver says, in small letters -> what happened and how to mend it.
FAULTS: Final[tuple[tuple[str, str, str], ...]] = (
    ("disk is full", "The disk of the database is full", "Free some space"),
    ("no space left", "The disk of the database is full", "Free some space"),
    ("readonly database", "The database may only be read", "Make its file and folder writable for facegate"),
    ("read-only", "The database may only be read", "Make it writable for facegate"),
    ("unable to open database", "The database cannot be opened", "Make its folder exist and writable for facegate"),
    ("database is locked", "The database is locked by another program", "Look who holds it, then try again"),
    ("not a database", "The database file holds something else", "Name another file, or restore a backup"),
    ("malformed", "The database file is damaged", "Run: facegate db restore FILE"),
    ("disk i/o error", "The disk of the database fails", "Look into the system's log"),
    ("no such table", "The database has no facegate schema", "Run: facegate db upgrade"),
    ("no such column", "The database has an old schema", "Run: facegate db upgrade"),
    ("undefinedtable", "The database has no facegate schema", "Run: facegate db upgrade"),
    ("undefinedcolumn", "The database has an old schema", "Run: facegate db upgrade"),
    ("password authentication failed", "The database server refuses the user or the password", "Mend database.url"),
    ("no password supplied", "The database server wants a password", "Put it into database.url or a pgpass file"),
    ("no pg_hba.conf entry", "The database server refuses this user from here", "Allow it in pg_hba.conf"),
    ("role", "The database server does not know the user", "Create the role, or mend database.url"),
    ("does not exist", "The database server has no such database", "Create it, or mend database.url"),
    ("connection refused", "The database server cannot be reached", "Start it, or mend database.url"),
    ("could not translate host name", "The database server's name is not known", "Mend database.url"),
    ("failed to resolve host", "The database server's name is not known", "Mend database.url"),
    ("timeout", "The database server does not answer", "Look whether it runs and can be reached"),
)


def parsed_url(text: str) -> URL:
    """Return a database URL with the driver that we ship for.

    Raises:
        UnusableInputError: It is no URL of SQLite or PostgreSQL.
    """
    mend = "Use sqlite:///path/to/file.db or postgresql://user@host/database"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise UnusableInputError("Setting database.url is no database URL", mend) from error
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise UnusableInputError(f"Setting database.url names {url.drivername}, which facegate does not speak", mend)
    if url.drivername == "sqlite" and url.database in (None, "", ":memory:"):
        raise UnusableInputError("Setting database.url names a database in memory, which would forget everything", mend)
    return url


def sqlite_file(engine: Engine) -> Path | None:
    """Return the file of an SQLite database, None for a server's."""
    return Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None


def open_engine(text: str) -> Engine:
    """Open a database; SQLite's file is made with mode 0600 in a folder of mode 0700.

    Raises:
        UnusableInputError: The URL cannot be used.
        NotReadyError: The folder or file cannot be made, or the driver is not installed.
    """
    url = parsed_url(text)
    if url.drivername == "sqlite":
        return _open_sqlite(url)
    try:
        return create_engine(
            url,
            pool_pre_ping=True,
            pool_size=10,
            hide_parameters=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise NotReadyError(
            "The PostgreSQL driver is not installed", "Run: pip install 'facegate[postgresql]'"
        ) from error


def _open_sqlite(url: URL) -> Engine:
    path = Path(url.database or "")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    except OSError as error:
        raise NotReadyError(
            f"The database {path} cannot be opened: {error.strerror}", "Make its folder writable for facegate"
        ) from error
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    opened: list[os.stat_result] = []

    def connect(connection: sqlite3.Connection, _record: Any) -> None:
        _prepare_sqlite(connection)
        if not opened:  # only now: a file of an image's lower layer is another one once it was opened to write
            opened.append(path.stat())

    def begin(connection: Connection) -> None:
        _require_same(path, opened[0])
        _begin_sqlite(connection)

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", begin)
    return engine


def _require_same(path: Path, opened: os.stat_result) -> None:
    """Refuse to go on in a file that is no longer the database: what is written there is lost, what is read is old.

    Raises:
        NotReadyError: It was removed, or another one is in its place.
    """
    try:
        found = path.stat()
    except OSError:
        found = None
    if found is None or (found.st_dev, found.st_ino) != (opened.st_dev, opened.st_ino):
        raise NotReadyError(f"The database {path} was removed or replaced while it was open", "Start facegate anew")


def _make(path: Path) -> None:
    """Make the file if it is not there. One that is there is not touched.

    To open and close it would take away every lock that this process holds on it (fcntl(2)): another process could
    then take itself for the last user, and delete the write-ahead log from under us (sqlite.org/howtocorrupt.html).
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _prepare_sqlite(connection: sqlite3.Connection) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, below
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Run a transaction that only reads: it sees one state of the database.

    Raises:
        NotReadyError: The database fails.
    """
    with _translated(engine):
        isolation: dict[str, Any] = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with engine.connect().execution_options(**isolation) as connection, connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Run a transaction that writes; committed at the end, rolled back by any error.

    Raises:
        NotReadyError: The database fails; nothing of the transaction was done.
    """
    with _translated(engine), engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        yield connection


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise  # who writes knows what it means
    except DBAPIError as error:
        raise fault(error, engine) from error
    except SQLAlchemyError as error:  # the pool's own: no connection came free in time
        where = engine.url.render_as_string(hide_password=True)
        raise NotReadyError(f"The database fails: {type(error).__name__} ({where})", "Run: facegate doctor") from error


def fault(error: DBAPIError, engine: Engine) -> NotReadyError:
    """Say what a driver's error means to an operator. The driver's own words may hold values; they are not shown."""
    told = f"{type(error.orig).__name__} {error.orig}".lower()
    where = engine.url.render_as_string(hide_password=True)
    for sign, what, mend in FAULTS:
        if sign in told:
            return NotReadyError(f"{what} ({where})", mend)
    log.debug("unknown database error", exc_info=error)
    return NotReadyError(f"The database fails: {type(error.orig).__name__} ({where})", "Run: facegate doctor")
