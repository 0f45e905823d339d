"""What commands print: one JSON document, or a table for people; whoever reads it may leave at any time."""

import errno
import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console


KEPT: Final = "\n\t\u00a0\u200c\u200d"
"""Lines, and what stands within names: a space that does not break, and what parts or joins letters."""


class _Leavable(io.RawIOBase):
    """A stream whose reader may leave: what is written then goes nowhere, and the command's own answer stays."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.left = False

    def write(self, data: Any, /) -> int:
        """Write some bytes and return how many."""
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            self.left = True
            return memoryview(data).nbytes

    def writable(self) -> bool:
        """Tell that it is."""
        return True

    def fileno(self) -> int:
        """Return the descriptor, which says whether somebody looks at it."""
        return self._descriptor

    def isatty(self) -> bool:
        """Tell whether somebody does."""
        return os.isatty(self._descriptor)


def ready_streams() -> None:
    """Make stdout and stderr such that nothing about who reads them, or about their alphabet, is an error."""
    sys.stdout, sys.stderr = _ready(sys.stdout), _ready(sys.stderr)


def _ready(stream: TextIO | None) -> io.TextIOWrapper:
    if stream is None:  # it was closed before we began
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - for as long as the process lives
    stream.flush()
    at_once = bool(stream.line_buffering)  # stderr always, stdout where somebody looks at it
    raw = io.BufferedWriter(_Leavable(stream.fileno()))
    return io.TextIOWrapper(raw, stream.encoding, "backslashreplace", newline="\n", line_buffering=at_once)


def has_left() -> bool:
    """Tell whether the reader of stdout has left; what was written must have been flushed."""
    return getattr(getattr(sys.stdout.buffer, "raw", None), "left", False)


def legible(text: str) -> str:
    """Return text with what a terminal would obey, or nobody can print, written out."""
    return "".join(sign if sign.isprintable() or sign in KEPT else _written_out(sign) for sign in text)


def _written_out(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def print_json(document: Any) -> None:
    """Print one JSON document on stdout, and nothing else there."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a terminal without these letters, or the name of a file that is no text
        text = json.dumps(document, indent=2, allow_nan=False)
    sys.stdout.write(f"{text}\n")


def answer(document: Any, sentence: str, *, as_json: bool) -> None:
    """Say what was done: as one JSON document, or in a sentence."""
    if as_json:
        print_json(document)
    else:
        say(sentence)


def console(*, stderr: bool = False) -> "Console":
    """Return the console for people. Its width follows the terminal; a pipe gets plain text of 120 columns."""
    from rich.console import Console  # noqa: PLC0415 - slow to import, and `--json` needs none of it

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 120, highlight=False, soft_wrap=False)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; cells are shown as text and never read as markup."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(Text("" if cell is None else legible(str(cell))) for cell in row))
    console().print(table)


def warn(text: str) -> None:
    """Tell the operator something on stderr, as one line."""
    sys.stderr.write(f"warning: {legible(text)}\n")


def say(text: str) -> None:
    """Tell the operator something on stdout, as it is."""
    sys.stdout.write(f"{legible(text)}\n")
