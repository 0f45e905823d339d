"""A lock on a folder, the kernel's (`flock`): it ends with the process, however that ends."""

import fcntl
from pathlib import Path
from typing import IO

from facegate.errors import NotReadyError


def lock_in(folder: Path, name: str) -> IO[bytes] | None:
    """Take a lock in a data folder, which is made if need be, until the returned file is closed.

    Args:
        folder: The data folder.
        name: Of the lock's file in it.

    Returns:
        The lock, or None if another process has it.

    Raises:
        NotReadyError: The folder cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / name).open("ab")
    except OSError as error:
        raise NotReadyError(
            f"The data folder {folder} cannot be used: {error.strerror}", "Make it writable for facegate"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
