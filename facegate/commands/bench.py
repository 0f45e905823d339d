"""`facegate bench`: speed and memory on this machine."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from facegate.commands.output import print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Speed and memory on this machine.")


@app.callback()
def family() -> None:
    """Speed and memory on this machine."""


@app.command("gate")
def gate(
    users: Annotated[int, typer.Option(min=8, max=100_000, help="People in the gallery.")] = 1000,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long each load lasts.")] = 20.0,
    frames: Annotated[int, typer.Option(min=10, max=10_000, help="Frames of the latency run.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the whole gate: start, memory, latency, frames a second, overload, 100,000 references."""
    from facegate.daemon.bench import machine, measure  # noqa: PLC0415 - OpenCV and the rest, only when wanted
    from facegate.daemon.clock import SystemClock  # noqa: PLC0415

    where = machine()
    with tempfile.TemporaryDirectory(prefix="facegate-bench-") as folder:
        figures = list(measure(Path(folder), users=users, seconds=seconds, frames=frames, clock=SystemClock()))
    if as_json:
        print_json({"machine": where, "figures": [figure.to_json() for figure in figures]})
        return
    marks = {True: "kept", False: "MISSED", None: ""}
    print_table(
        f"facegate bench gate on {where}",
        ("figure", "value", "bar", "", "how"),
        [
            (
                figure.name,
                f"{figure.value:.1f} {figure.unit}",
                "" if figure.bar is None else f"{'>=' if figure.at_least else '<='} {figure.bar:g}",
                marks[figure.kept],
                figure.detail,
            )
            for figure in figures
        ],
    )
