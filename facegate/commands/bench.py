"""`facegate bench`: speed and memory on this machine."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegate.commands.finetunebench import finetune
from facegate.commands.output import console, print_json, print_table, say, warn
from facegate.errors import FacegateError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facegate.verifier.evaluation.dlib_baseline import BaselineTiming
    from facegate.verifier.evaluation.speed import Timing
    from facegate.verifier.library import Model

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Speed and memory on this machine, and what fine-tuning is worth."
)
app.command("finetune")(finetune)


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


@app.command("models")
def models(
    model: Annotated[list[str] | None, typer.Option("--model", help="Only this one; may be repeated.")] = None,
    threads: Annotated[list[int] | None, typer.Option("--threads", min=1, max=256, help="May be repeated.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="How often each photo is timed.")] = 5,
    references: Annotated[int, typer.Option(min=1, max=1_000_000, help="Enrolled references.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time decode, detect, align, extract, compare of every installed model, beside face_recognition if it is there."""
    from rich.progress import Progress  # noqa: PLC0415

    from facegate.daemon.bench import machine  # noqa: PLC0415
    from facegate.verifier.evaluation import dlib_baseline, speed  # noqa: PLC0415
    from facegate.vision.detect import YuNetDetector  # noqa: PLC0415

    settings, counts = load_settings(), sorted(set(threads or default_threads()))
    chosen = loaded(model)
    detector, screen = YuNetDetector(settings.vision.detector), console(stderr=True)
    with Progress(console=screen, disable=not screen.is_terminal) as progress:
        task = progress.add_task("models", total=len(chosen) * len(counts))
        timings = list(
            speed.time_models(
                chosen,
                detector,
                threads=counts,
                rounds=rounds,
                references=references,
                report=lambda: progress.advance(task),
            )
        )
    baseline = dlib_baseline.installed()
    given = speed.photos()
    rival = dlib_baseline.time_baseline(baseline, given, rounds=rounds, references=references) if baseline else None
    where = f"{machine()}; {len(given)} composites, {rounds} rounds, {references} references"
    show_models(timings, rival, where, as_json=as_json)


def default_threads() -> list[int]:
    """Return one thread, and as many as there are cores for this process."""
    import os  # noqa: PLC0415

    return [1, len(os.sched_getaffinity(0))]


def loaded(names: "Sequence[str] | None") -> "list[Model]":
    """Load models: those that are named, or all; of all, one that cannot be loaded is passed over with a warning."""
    from facegate.verifier.library import library_of  # noqa: PLC0415

    library = library_of(load_settings())
    if names:
        return [library.load(name) for name in names]
    found = []
    for card in library.cards(passed_over=lambda error: warn(f"one is left out: {error.what}")):
        try:
            found.append(library.load(card.name))
        except FacegateError as error:
            warn(f"{card.name} is left out: {error.what}")
    return found


def show_models(timings: "Sequence[Timing]", rival: "BaselineTiming | None", where: str, *, as_json: bool) -> None:
    """Print the times, and how many times as long the baseline takes as each model on one thread."""
    ratios = {}
    if rival is not None:
        theirs = rival.stages["total"]
        ours = {timing.model: timing.stages["total"] for timing in timings if timing.threads == 1}
        ratios = {
            model: {
                "wall": round(theirs.median / spent.median, 2),
                "processor": round(theirs.processor / spent.processor, 2),
            }
            for model, spent in ours.items()
        }
    if as_json:
        told = None if rival is None else {**rival.to_json(), "times_as_long_as": ratios}
        print_json({"machine": where, "models": [one.to_json() for one in timings], "face_recognition": told})
        return
    columns = ("decode", "detect", "align", "extract", "compare", "total")
    rows: list[tuple[object, ...]] = [
        (
            one.model,
            one.threads,
            *(f"{one.stages[name].median:.2f}" for name in columns),
            f"{one.stages['total'].processor:.2f}",
        )
        for one in timings
    ]
    if rival is not None:
        taken = (f"{rival.stages[name].median:.2f}" if name in rival.stages else "" for name in columns)
        rows.append((rival.name, 1, *taken, f"{rival.stages['total'].processor:.2f}"))
    print_table(f"Milliseconds a photo, median, on {where}", ("model", "threads", *columns, "processor"), rows)
    if rival is None:
        say("face_recognition is not installed: pip install dlib-bin face_recognition_models compares with it")
    for name, ratio in ratios.items():
        how = f"{ratio['wall']:.1f} times as long as {name} on one thread, {ratio['processor']:.1f} times the processor"
        say(f"{rival.name if rival else ''} takes {how}")
