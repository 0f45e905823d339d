"""One daemon at a time in a data folder: two would take each other's client id and count each other's events."""

from pathlib import Path
from typing import IO, Final

from facegate.errors import NotReadyError
from facegate.storage.locking import lock_in

NAME: Final = "daemon.lock"


def lock(folder: Path) -> IO[bytes]:
    """Take the folder for this process until the returned file is closed.

    Raises:
        NotReadyError: Another daemon has it, or the folder cannot be written.
    """
    file = lock_in(folder, NAME)
    if file is None:
        raise NotReadyError(
            f"Another facegate runs in {folder}",
            "Stop it first, or give this one its own FACEGATE_DATA_DIR and database",
        )
    return file
