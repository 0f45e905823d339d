"""The folders of models that were fine-tuned here: written whole, kept in bounded number, cleaned up after a crash.

A learned folder is made under a name with a dot and renamed when everything in it is on the disk; it is taken away by
a rename, too. The database says which of them are to be kept (`finetune_runs.on_shelf`): whatever else is found is left
over from a run that died, and goes. Models that shipped or were imported have no `learned.json` and are never touched.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, func, select

from facegate.errors import NotReadyError, RefusedError
from facegate.storage.locking import lock_in
from facegate.storage.opening import Storage
from facegate.verifier.finetuning.learned import LEARNED
from facegate.verifier.library import Library
from facegate.verifier.strangers import FOLDER as STRANGERS

LOCK: Final = "finetune.lock"
SERVER_LOCK: Final = 0x66617475
DRAFT: Final = ".draft-"
GONE: Final = ".gone-"
PICTURES: Final = "runs"
MOST_PICTURES: Final = 50
LONGEST_ROOT: Final = 44


@contextmanager
def alone(data_dir: Path, engine: Engine) -> Iterator[None]:
    """Be the only fine-tune in a data folder and, on a server, in its database.

    The locks are the kernel's and the server's: they end with the process, however that ends.

    Raises:
        RefusedError: Another one is running.
        NotReadyError: The folder cannot be written.
    """
    file = lock_in(data_dir, LOCK)
    if file is None:
        raise _busy()
    with file, _alone_on_server(engine):
        yield


@contextmanager
def _alone_on_server(engine: Engine) -> Iterator[None]:
    """Hold the lock of the database's server, which other data folders may share; SQLite's file has one folder."""
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(select(func.pg_try_advisory_lock(SERVER_LOCK))):
            raise _busy()
        try:
            yield
        finally:
            connection.scalar(select(func.pg_advisory_unlock(SERVER_LOCK)))


def _busy() -> RefusedError:
    return RefusedError("A fine-tune is running already", "Wait for its verdict")


def learned_name(champion: str, run: int) -> str:
    """Return the name of the model that a run makes from a champion of some name.

    >>> learned_name("twin-1", 3), learned_name("twin-1-home3", 12)
    ('twin-1-home3', 'twin-1-home12')
    """
    root = re.sub(r"-home\d+$", "", champion)[:LONGEST_ROOT]
    return f"{root}-home{run}"


def place(draft: Path, folder: Path) -> None:
    """Give a draft its name, once everything in it is on the disk.

    Raises:
        OSError: It cannot be done; the draft stays a draft.
    """
    _sync(draft)
    draft.rename(folder)
    _sync(folder.parent)


def bury(folder: Path) -> None:
    """Take a folder away: at once under its name, then from the disk."""
    gone = folder.with_name(f"{GONE}{folder.name}")
    with contextlib.suppress(OSError):
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def bury_models(library: Library, models: Iterable[str]) -> None:
    """Take the folders of learned models away, by id."""
    for model in models:
        folder = library.local_dir / model.partition("@")[0]
        if (folder / LEARNED).is_file():
            bury(folder)


def tidy(storage: Storage, library: Library, data_dir: Path, now: datetime) -> None:
    """Clean up after runs that died; only for whoever is `alone`.

    Raises:
        NotReadyError: The database fails.
    """
    sweep(storage, library)
    storage.runs.fail_interrupted(now)
    storage.shelf.forget_leftovers()
    trim_pictures(data_dir)
    with contextlib.suppress(NotReadyError):  # a model that cannot be read is no reason not to start
        known = {card.id.rpartition("@")[2] for card in library.cards()}
        for path in (data_dir / STRANGERS).glob("*.npz"):
            if path.stem not in known:
                path.unlink(missing_ok=True)


def sweep(storage: Storage, library: Library) -> None:
    """Take away drafts, and learned folders that are not on the shelf; nothing is written to the database for it.

    Raises:
        NotReadyError: The database fails; drafts are gone by then.
    """
    folders = _folders(library.local_dir)
    for folder in folders:
        if folder.name.startswith((DRAFT, GONE)):
            shutil.rmtree(folder, ignore_errors=True)
    kept = {model.partition("@")[0] for model in storage.shelf.models()}
    for folder in folders:
        if (folder / LEARNED).is_file() and folder.name not in kept:
            bury(folder)


def trim_pictures(data_dir: Path) -> None:
    """Keep the pictures of the newest runs."""
    pictures = [path for path in (data_dir / PICTURES).glob("*.png") if path.stem.isdigit()]
    for path in sorted(pictures, key=lambda path: int(path.stem))[:-MOST_PICTURES]:
        path.unlink(missing_ok=True)


def tidy_unless_busy(storage: Storage, library: Library, data_dir: Path, now: datetime) -> bool:
    """Clean up after runs that died, as the daemon does at its start; False if a run is going on right now."""
    try:
        with alone(data_dir, storage.engine):
            tidy(storage, library, data_dir, now)
    except RefusedError:
        return False
    return True


def _folders(at: Path) -> list[Path]:
    return [path for path in at.iterdir() if path.is_dir()] if at.is_dir() else []


def _sync(folder: Path) -> None:
    """Have a folder's entries on the disk, where the system can do so."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
