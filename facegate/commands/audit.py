"""`facegate audit`: the chain of decisions."""

from datetime import UTC, datetime

import typer

from facegate.commands.output import print_json, say
from facegate.commands.users import AsJson, opened

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The chain of decisions.")


@app.callback()
def family() -> None:
    """The chain of decisions."""


@app.command()
def verify(as_json: AsJson = False) -> int:
    """Walk the chain; exit 1 and say where if a decision was edited, deleted or inserted."""
    from facegate.storage import audit  # noqa: PLC0415 - `--help` needs no database

    with opened() as storage:
        found = audit.verify(storage.engine, storage.signer, datetime.now(UTC))
    if as_json:
        print_json(found.to_json())
    elif found.broken is None:
        say(f"whole: {found.checked} decisions, {found.first} to {found.last}, head {found.head}")
    else:
        named = f", decision {found.broken.decision}" if found.broken.decision else ""
        say(f"broken at {found.broken.position}{named}: {found.broken.what}")
    return 0 if found.is_whole else 1
