"""`facegate demo`: the whole job on people who do not exist, as real processes over real MQTT; it checks itself."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from facegate.commands.output import print_json
from facegate.errors import UnusableInputError


def demo(
    keep: Annotated[
        Path | None, typer.Option(help="Keep the database, annotated frames and a contact sheet here.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws other scenes.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the whole job on people who do not exist, and check it."""
    from facegate.daemon.demo import play  # noqa: PLC0415 - OpenCV and the rest, only when it is wanted

    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UnusableInputError(f"{keep} is not empty", "Name a new folder")
    folder = keep or Path(tempfile.mkdtemp(prefix="facegate-demo-"))
    try:
        report = play(folder, seed=seed, quiet=as_json, keep=keep is not None)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print_json(report.to_json())
    if not report.passed:
        raise typer.Exit(1)
