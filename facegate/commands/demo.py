"""`facegate demo`: the whole job on people who do not exist, as real processes over real MQTT; it checks itself."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegate.commands.options import LARGEST_SEED
from facegate.commands.output import console, print_json, say
from facegate.errors import UnusableInputError

if TYPE_CHECKING:
    from facegate.daemon.demo import Report, Row
    from facegate.daemon.lesson import Lesson
    from facegate.vision.composites import Composite

COLUMNS = ("camera", "event", "who", "score", "threshold", "one stranger in", "outcome", "reason", "ms")
WIDTHS = (7, 44, 8, 6, 9, 15, 7, 13, 5)


class Aloud:
    """Tells people each step as it happens."""

    def __init__(self) -> None:
        self._screen = console()
        self._names: list[str] = []

    def enrolled(self, person: "Composite") -> None:
        """Collect the names, for one line."""
        self._names.append(person.name)

    def started(self, status: dict[str, Any], seconds: float) -> None:
        """Say who is enrolled and that the daemon serves."""
        say(f"Enrolled from one photo each: {', '.join(self._names)}. They do not exist.")
        say(f"The daemon is online after {seconds:.1f} s, with {status['model']}. Events go in over MQTT:\n")
        say("  ".join(name.ljust(width) for name, width in zip(COLUMNS, WIDTHS, strict=True)))

    def answered(self, row: "Row") -> None:
        """Print a line of the table."""
        from rich.text import Text  # noqa: PLC0415

        decision = row.decision or {}
        fmr = decision.get("fmr")
        cells = (
            row.event.camera,
            row.event.title,
            decision.get("user") or "-",
            number(decision.get("score")),
            number(decision.get("threshold")),
            f"{1 / fmr:,.0f}" if fmr else "-",
            decision.get("outcome", "none"),
            decision.get("reason", "no answer"),
            f"{row.seconds * 1000:.0f}",
        )
        padded = [str(cell)[:width].ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)]
        line = Text("  ".join(padded), style="bold red" if row.wrong else "green" if row.granted else "default")
        self._screen.print(line.append(f"  <- {row.wrong}" if row.wrong else ""), soft_wrap=True)

    def learning(self, confirmed: int) -> None:
        """Say what an operator does at the end of the day."""
        say(f"\nAn operator confirms {confirmed} decisions, and a fine-tune is ordered over MQTT ...")

    def learned(self, lesson: "Lesson") -> None:
        """Say what the judge says."""
        event = lesson.verdict or {}
        say(f"{event.get('verdict', 'no verdict')} after {lesson.seconds:.0f} s: {event.get('reason', lesson.fault)}")


class Quiet:
    """Says nothing."""

    def enrolled(self, person: "Composite") -> None:
        """Say nothing."""

    def started(self, status: dict[str, Any], seconds: float) -> None:
        """Say nothing."""

    def answered(self, row: "Row") -> None:
        """Say nothing."""

    def learning(self, confirmed: int) -> None:
        """Say nothing."""

    def learned(self, lesson: "Lesson") -> None:
        """Say nothing."""


def number(value: float | None) -> str:
    """Write a score."""
    return "-" if value is None else f"{value:.3f}"


def demo(
    keep: Annotated[
        Path | None, typer.Option(help="Keep the database, the annotated frames and a contact sheet in this folder.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Draws other scenes.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the whole job on people who do not exist, and check it; leaves with 1 if anything is not as it must be."""
    from facegate.daemon.demo import play  # noqa: PLC0415 - OpenCV and the rest, only when it is wanted

    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UnusableInputError(f"{keep} is not an empty folder", "Name a new one")
    folder = keep or Path(tempfile.mkdtemp(prefix="facegate-demo-"))
    try:
        report = play(folder, seed=seed, keep=keep is not None, narrator=Quiet() if as_json else Aloud())
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print_json(report.to_json())
    else:
        summarise(report, keep)
    if not report.passed:
        raise typer.Exit(1)


def summarise(report: "Report", keep: Path | None) -> None:
    """Say what the demo showed."""
    events = report.events
    counted = sum(events.get("counted", {}).values())
    denied = len(report.rows) - report.granted
    say(
        f"\n{len(report.rows)} events: {report.granted} granted, {denied} denied, each for its own reason. "
        f"Books: {events.get('in')} in = {events.get('decided')} decided + {counted} counted."
    )
    say("A held-up photograph of somebody enrolled was granted: there is no attack detection yet.")
    for fault in report.faults:
        say(f"NOT as it must be: {fault}")
    if keep is not None:
        picture = report.lesson.picture if report.lesson else None
        say(f"Kept in {keep}: contact_sheet.jpg, frames/, facegate.db" + (f", {picture}" if picture else ""))
    say(f"{'Everything was as it must be' if report.passed else 'Something is wrong'} ({report.seconds:.0f} s).")
