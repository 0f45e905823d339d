"""Files from a publisher's address: HTTPS only, a pinned SHA-256, a bounded size, and nothing kept of what is wrong."""

import hashlib
import re
from pathlib import Path
from typing import Final

import httpx

from facegate.errors import RefusedError, UnusableInputError
from facegate.verifier.importing import MOST_BYTES

TIMEOUT_SECONDS: Final = 30.0
DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def fetch_file(url: str, sha256: str, target: Path, client: httpx.Client | None = None) -> Path:
    """Fetch a file to `target`.

    Args:
        url: Its address; `https` only, also after redirects.
        sha256: What its bytes must give, hexadecimal.
        target: Where it goes.
        client: What fetches; none: one with the system's certificates.

    Raises:
        UnusableInputError: Address or digest are malformed, or the file cannot be had.
        RefusedError: The file is another one, or larger than a network may be.
    """
    if not url.startswith("https://"):
        raise UnusableInputError(f"{url} is no HTTPS address", "Give an address that begins with https://")
    if not DIGEST.fullmatch(sha256.lower()):
        raise UnusableInputError("--sha256 is no SHA-256", "Give 64 hexadecimal digits")
    try:
        with client or httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=True) as session:
            digest = _stream(session, url, target)
    except httpx.HTTPError as error:
        raise UnusableInputError(f"{url} cannot be fetched ({error})", "Check the address and the network") from error
    if digest != sha256.lower():
        target.unlink()
        raise RefusedError(f"{url} has the SHA-256 {digest}, not the given one", "Do not use that file")
    return target


def _stream(session: httpx.Client, url: str, target: Path) -> str:
    """Write the answer's body and return its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with session.stream("GET", url) as answer, target.open("wb") as file:
        answer.raise_for_status()
        if any(str(step.url.scheme) != "https" for step in (*answer.history, answer)):
            raise RefusedError(f"{url} leads away from HTTPS", "Do not use that address")
        for part in answer.iter_bytes():
            size += len(part)
            if size > MOST_BYTES:
                raise RefusedError(f"{url} has more than {MOST_BYTES / 1e6:.0f} MB", "Give the address of a network")
            digest.update(part)
            file.write(part)
    return digest.hexdigest()
