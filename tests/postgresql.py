"""PostgreSQL for tests: a cluster of the session's own on a free port, a database of each test's own."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mosquitto import free_port, require

USER = "postgres"


def program(name: str) -> Path | None:
    """Find a program of PostgreSQL; Debian keeps them out of the path."""
    found = shutil.which(name)
    if found:
        return Path(found)
    return next(iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None)


def as_owner(command: list[str]) -> list[str]:
    """Run as `postgres` when we are root, which PostgreSQL refuses to be."""
    return ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups", *command] if os.geteuid() == 0 else command


@contextmanager
def cluster() -> Iterator[str]:
    """Run a cluster in a folder of its own; yields its URL without a database.

    Not in pytest's folders: every start of pytest closes those to all but their maker.
    """
    with tempfile.TemporaryDirectory(prefix="facegate-postgresql-") as folder:
        yield from cluster_in(Path(folder))


def cluster_in(folder: Path) -> Iterator[str]:
    """Run a cluster in a folder."""
    initdb, ctl = program("initdb"), program("pg_ctl")
    require(initdb and ctl, "PostgreSQL", "postgresql")
    if os.geteuid() == 0:
        shutil.chown(folder, USER, USER)
    data, port = folder / "data", free_port()
    create = [str(initdb), "-D", str(data), "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    subprocess.run(as_owner(create), check=True, capture_output=True, cwd=folder)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    start = [str(ctl), "-D", str(data), "-l", str(folder / "log"), "-w", "-t", "30", "-o", options, "start"]
    subprocess.run(as_owner(start), check=True, capture_output=True, cwd=folder)
    try:
        yield f"postgresql://{USER}@127.0.0.1:{port}"
    finally:
        stop = [str(ctl), "-D", str(data), "-m", "immediate", "stop"]
        subprocess.run(as_owner(stop), check=False, capture_output=True, cwd=folder)


@contextmanager
def database_of(server: str) -> Iterator[str]:
    """Make an empty database on a server; yields its URL."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{server}/{name}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
