"""One daemon at a time in a data folder: two would take each other's client id and count each other's events.

The lock is the kernel's (`flock`): it ends with the process however that ends, so there is nothing to clean up.
"""

import fcntl
from pathlib import Path
from typing import IO, Final

from facegate.errors import NotReadyError

NAME: Final = "daemon.lock"


def lock(folder: Path) -> IO[bytes]:
    """Take the folder for this process until the returned file is closed.

    Raises:
        NotReadyError: Another daemon has it, or the folder cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / NAME).open("ab")
    except OSError as error:
        raise NotReadyError(
            f"The data folder {folder} cannot be used: {error.strerror}", "Make it writable for facegate"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise NotReadyError(
            f"Another facegate runs in {folder}", "Stop it first, or give this one its own FACEGATE_DATA_DIR"
        ) from error
    return file
