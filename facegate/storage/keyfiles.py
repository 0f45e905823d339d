"""Files that hold a secret: created whole or not at all, mode 0600, in a folder of mode 0700; refused when others read.

A new file is written under another name and then linked to its own: the link fails if the file is there, so two
processes that start together agree on one key, and a crash leaves no half key behind.
"""

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from facegate.errors import NotReadyError


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return the secret in `path`, made by `make` if there is no such file.

    Raises:
        NotReadyError: The file cannot be read or written, or others may read it.
    """
    if (secret := read(path)) is not None:
        return secret
    try:
        write_new(path, make())
    except FileExistsError:
        pass  # another process was faster, and its key is the one
    except OSError as error:
        raise NotReadyError(
            f"The key file {path} cannot be made: {error.strerror}", "Make its folder writable for facegate"
        ) from error
    secret = read(path)
    if secret is None:
        raise NotReadyError(f"The key file {path} vanished", "Look who deletes files there")
    return secret


def read(path: Path) -> bytes | None:
    """Return the secret in `path`, or None if there is no such file.

    Raises:
        NotReadyError: The file cannot be read, or others may read it.
    """
    try:
        with path.open("rb") as file:
            _check_mode(path, os.fstat(file.fileno()).st_mode)
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotReadyError(
            f"The key file {path} cannot be read: {error.strerror}", "Give it to the user who runs facegate"
        ) from error


def write_new(path: Path, secret: bytes) -> None:
    """Write a secret into a file that must not be there yet.

    Raises:
        FileExistsError: It is there.
        OSError: It cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _draft(path, secret)
    try:
        os.link(draft, path)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def replace(path: Path, secret: bytes) -> None:
    """Write a secret into a file, whole or not at all, whatever was there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _draft(path, secret).replace(path)
    _sync_folder(path.parent)


def _draft(path: Path, secret: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_mode(path: Path, mode: int) -> None:
    """Refuse a secret that others may read. systemd's credentials show the mask of their ACL as group bits."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    others = 0o007 if credentials and path.parent == Path(credentials) else 0o077
    if stat.S_IMODE(mode) & others:
        raise NotReadyError(
            f"The key file {path} is open to others (mode {stat.S_IMODE(mode):04o})", f"Run: chmod 600 {path}"
        )
