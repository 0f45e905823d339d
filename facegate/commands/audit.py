"""`facegate audit`: the chain of decisions."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from facegate.commands.output import print_json, say
from facegate.commands.users import AsJson, opened
from facegate.errors import UnusableInputError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The chain of decisions.")


@app.callback()
def family() -> None:
    """The chain of decisions."""


@app.command()
def checkpoint(as_json: AsJson = False) -> None:  # noqa: ARG001 - JSON either way
    """Print the chain's signed head, JSON: kept elsewhere, it finds whoever writes the chain anew."""
    from facegate.storage import audit  # noqa: PLC0415 - `--help` needs no database

    with opened() as storage:
        print_json(audit.checkpoint(storage.engine, storage.signer, datetime.now(UTC)))


@app.command()
def verify(
    kept: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="FILE.json", help="A head that was kept elsewhere.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Walk the chain; exit 1 and say where if a decision was edited, deleted or inserted."""
    from facegate.storage import audit  # noqa: PLC0415

    sent, now = None if kept is None else read_checkpoint(kept), datetime.now(UTC)
    with opened() as storage:
        found = audit.verify(storage.engine, storage.signer, now)
        if found.broken is None and sent is not None:
            found = replace(found, broken=audit.missed(storage.engine, storage.signer, sent, now))
    if as_json:
        print_json(found.to_json())
    elif found.broken is None:
        say(f"whole: {found.checked} decisions, {found.first} to {found.last}, head {found.head}")
    else:
        named = f", decision {found.broken.decision}" if found.broken.decision else ""
        say(f"broken at {found.broken.position}{named}: {found.broken.what}")
    return 0 if found.is_whole else 1


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a head of the chain that was kept.

    Raises:
        UnusableInputError: The file holds none.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UnusableInputError(
            f"{path} cannot be read", "Name a file with a message of P/audit/checkpoint"
        ) from error
    if not isinstance(document, dict):
        raise UnusableInputError(f"{path} holds no checkpoint", "Name a file with a message of P/audit/checkpoint")
    return document
