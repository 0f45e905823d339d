"""Files from a publisher's address: HTTPS only, a pinned SHA-256, bounded in size and time, resumed where it broke off.

What has come lies in a folder under the digest that it must have, so a second call goes on where the first was cut,
from whichever address. A server that knows no ranges begins anew. A whole file with another digest is deleted and
refused.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from facegate.errors import FacegateError, UnusableInputError
from facegate.verifier.foreign.importing import MOST_BYTES

DIGEST: Final = re.compile(r"[0-9a-f]{64}")
GIVE_UP_AFTER: Final = 3
"""So many tries in a row that bring not one byte."""

Report = Callable[[int, int | None], None]
"""Is told the bytes that are there, and of how many if that is known."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a download may take.

    Attributes:
        most_bytes: Largest file.
        seconds: Longest time in all, tries and waits together.
        silence_seconds: Longest time without a byte.
    """

    most_bytes: int = MOST_BYTES
    seconds: float = 3600.0
    silence_seconds: float = 30.0


class _BrokenOffError(Exception):
    """The connection ended before the file did."""


def fetch_file(
    url: str, sha256: str, folder: Path, *, limits: Limits | None = None, report: Report = lambda _done, _of: None
) -> Path:
    """Fetch a file, or what is missing of it.

    Args:
        url: Its address; `https` only, also after redirects.
        sha256: What its bytes must give, hexadecimal.
        folder: Where it goes, and where a part of it waits for the next call.
        limits: How much it may take.
        report: Is told how it stands.

    Returns:
        The whole file, `<digest>.onnx` in the folder.

    Raises:
        UnusableInputError: Address or digest are malformed, the file cannot be had (the mend says how to go on), it is
            another one, or larger than a network may be.
    """
    sha256, limits = checked(url, sha256), limits or Limits()
    whole, part = folder / f"{sha256}.onnx", folder / f"{sha256}.part"
    if whole.is_file() and digest_of(whole) == sha256:
        return whole
    folder.mkdir(parents=True, exist_ok=True)
    download = _Download(url, part, limits, time.monotonic() + limits.seconds, report)
    with httpx.Client(
        timeout=limits.silence_seconds, follow_redirects=True, event_hooks={"request": [only_https]}
    ) as session:
        idle = 0
        while idle < GIVE_UP_AFTER:
            before = size_of(part)
            try:
                _go_on(session, download)
                break
            except (_BrokenOffError, httpx.TransportError) as error:
                idle = 0 if size_of(part) > before else idle + 1
                reason = str(error) or type(error).__name__
        else:
            raise UnusableInputError(f"{url} cannot be fetched ({reason})", resumable(part))
    if (found := digest_of(part)) != sha256:
        part.unlink()
        raise UnusableInputError(f"{url} has the SHA-256 {found}, not the given one", "Do not use that file")
    return part.replace(whole)


@dataclass(frozen=True, slots=True)
class _Download:
    """One file on its way; `ends` is on the monotonic clock."""

    url: str
    part: Path
    limits: Limits
    ends: float
    report: Report


def _go_on(session: httpx.Client, download: _Download) -> None:
    """Ask for what is missing and write it to the part.

    Raises:
        _BrokenOffError: Not all of it came.
    """
    url, part = download.url, download.part
    have = size_of(part)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with answered(session, url, headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if have and total_of(answer) == have:
                return  # it is all there
            part.unlink(missing_ok=True)
            raise _BrokenOffError("the part was of another file")
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        if resumed and start_of(answer) != have:
            part.unlink(missing_ok=True)
            raise _BrokenOffError("the server sent another range")
        done, of = (have if resumed else 0), total_of(answer)
        with part.open("ab" if resumed else "wb") as file:
            for block in answer.iter_raw():
                done += len(block)
                _check_bounds(download, max(done, of or 0))
                file.write(block)
                download.report(done, of)
    if of is not None and done < of:
        raise _BrokenOffError(f"it ended after {done} of {of} bytes")


def _check_bounds(download: _Download, size: int) -> None:
    """Raise where the file is too large or takes too long."""
    limits = download.limits
    if size > limits.most_bytes:
        download.part.unlink()
        raise UnusableInputError(
            f"{download.url} has more than {limits.most_bytes / 1e6:.0f} MB", "Do not use that file"
        )
    if time.monotonic() > download.ends:
        what = f"{download.url} took more than {limits.seconds:.0f} seconds"
        raise UnusableInputError(what, resumable(download.part))


@contextmanager
def answered(session: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """Ask, and give the answer if it is one that brings the file or says that there is no more.

    Raises:
        UnusableInputError: The server refuses, or the address is none.
    """
    try:
        with session.stream("GET", url, headers=headers) as answer:
            if answer.status_code not in {200, 206, 416}:
                raise UnusableInputError(f"{url} cannot be fetched (status {answer.status_code})", "Check the address")
            yield answer
    except FacegateError:
        raise
    except (httpx.InvalidURL, httpx.TooManyRedirects, httpx.UnsupportedProtocol) as error:
        raise UnusableInputError(f"{url} cannot be fetched ({error})", "Check the address") from error


def only_https(request: httpx.Request) -> None:
    """Refuse to leave HTTPS, before anything is sent.

    Raises:
        UnusableInputError: A redirect leads away from it.
    """
    if request.url.scheme != "https":
        raise UnusableInputError(f"{request.url.host} is to be asked without HTTPS", "Do not use that address")


def checked(url: str, sha256: str) -> str:
    """Return the digest in small letters if both can be used.

    Raises:
        UnusableInputError: One cannot.
    """
    if not url.startswith("https://"):
        raise UnusableInputError(f"{url} is no HTTPS address", "Give an address that begins with https://")
    if not DIGEST.fullmatch(sha256.lower()):
        raise UnusableInputError("--sha256 is no SHA-256", "Give 64 hexadecimal digits")
    return sha256.lower()


def start_of(answer: httpx.Response) -> int | None:
    """Return where the bytes of a partial answer belong."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(?:\d+|\*)", answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def total_of(answer: httpx.Response) -> int | None:
    """Return how long the whole file is, as far as the answer says."""
    if found := re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", answer.headers.get("Content-Range", "")):
        return int(found[1])
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and answer.status_code == httpx.codes.OK else None


def size_of(path: Path) -> int:
    """Return how many bytes there are; none: 0."""
    return path.stat().st_size if path.is_file() else 0


def resumable(part: Path) -> str:
    """Say how to go on."""
    return f"Run it again: it goes on after {size_of(part) / 1e6:.1f} MB" if size_of(part) else "Check the network"


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
