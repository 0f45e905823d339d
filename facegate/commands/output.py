"""What commands print: one JSON document, or a table for people."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def print_json(document: Any) -> None:
    """Print one JSON document on stdout, and nothing else there."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


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
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console().print(table)


def warn(text: str) -> None:
    """Tell the operator something on stderr, as one line."""
    sys.stderr.write(f"warning: {text}\n")


def say(text: str) -> None:
    """Tell the operator something on stdout, as it is."""
    sys.stdout.write(f"{text}\n")
