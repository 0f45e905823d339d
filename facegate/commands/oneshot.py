"""`facegate models train-oneshot` and `facegate evaluate oneshot`: handwritten characters, the first test of twins."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from facegate.commands.options import LARGEST_SEED
from facegate.commands.output import console, print_json, print_table, say
from facegate.errors import NotReadyError

if TYPE_CHECKING:
    from facegate.siamese.oneshot.training import Progress as At

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Threads = Annotated[int, typer.Option("--threads", min=1, max=256, help="Threads of torch.")]


def train_oneshot(  # noqa: PLR0917 - typer passes options by name
    data: Annotated[
        Path, typer.Option("--data", help="Omniglot's background alphabets: <alphabet>/<character>/*.png.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints and the network.")],
    network: Annotated[
        Literal["paper", "embedding"], typer.Option("--network", help="Koch's of 2015, or one that gives templates.")
    ] = "embedding",
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Batches of each stage, if not the recipe's.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of the split, batches and distortions.")
    ] = 20151103,
    threads: Threads = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a one-shot network on drawings of characters, and choose it on held-out alphabets."""
    device = ready(threads)
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from facegate.siamese.oneshot.drawings import read_drawings  # noqa: PLC0415
    from facegate.siamese.oneshot.recipe import stages, train  # noqa: PLC0415

    plan = stages(network, seed=seed, steps=steps)
    drawings = read_drawings(data)
    shown = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*shown, console=console(stderr=True)) as bar:
        tasks = {stage.name: bar.add_task(stage.name, total=stage.recipe.steps) for stage in plan}

        def report(stage: str, at: "At") -> None:
            bar.console.print(
                f"{stage} {at.step}: loss {at.loss:.3f}, held-out {at.held_out:.1%},"
                f" {at.pictures_per_second:.0f} pictures/s"
            )

        def moved(stage: str, step: int, loss: float) -> None:
            bar.update(tasks[stage], completed=step, description=f"{stage} loss {loss:.3f}")

        trained = train(drawings, plan, out, resume=resume, device=device, report=report, moved=moved)
    if as_json:
        print_json({"network": str(trained.path), "held_out": trained.held_out})
    else:
        say(f"{trained.path}: {trained.held_out:.1%} right on held-out alphabets")


def evaluate_oneshot(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="Folder of one-shot runs: <run>/class_labels.txt.")],
    model: Annotated[Path, typer.Option("--model", help="A network that `models train-oneshot` wrote.")],
    copies: Annotated[int, typer.Option("--copies", min=1, max=32, help="Copies of each drawing; 1: only itself.")] = 1,
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Ask a one-shot network which of the known drawings shows the same character as another person's."""
    device = ready(threads)
    from rich.progress import Progress  # noqa: PLC0415

    from facegate.siamese.oneshot.drawings import read_runs  # noqa: PLC0415
    from facegate.siamese.oneshot.networks import load_twins  # noqa: PLC0415
    from facegate.siamese.oneshot.trials import Judge, evaluate  # noqa: PLC0415

    twins = load_twins(model)
    tasks = read_runs(runs)
    screen = console(stderr=True)
    with Progress(console=screen, disable=not screen.is_terminal) as bar:
        shown = bar.add_task("runs", total=len(tasks))
        document = evaluate(tasks, Judge(twins, copies=copies, device=device), lambda _: bar.advance(shown))
    document |= {"network": twins.kind, "copies": copies}
    if as_json:
        print_json(document)
    else:
        show(document)


def show(document: dict[str, Any]) -> None:
    """Print the report for people."""
    rows = [(name, f"{run['right']} of {run['trials']}") for name, run in document["runs"].items()]
    print_table("One-shot runs", ("run", "right"), rows)
    say(
        f"accuracy {document['accuracy']:.2%} ({document['right']} of {document['trials']};"
        f" {document['lower']:.2%} to {document['upper']:.2%}); by chance {document['chance']:.2%}"
    )


def ready(threads: int) -> str:
    """Return where torch computes: on a GPU where there is one.

    Raises:
        NotReadyError: torch is not installed.
    """
    try:
        from facegate.siamese.networks import use_threads  # noqa: PLC0415
        from facegate.siamese.oneshot.recipe import device  # noqa: PLC0415
    except ImportError as error:
        raise NotReadyError(f"{error.name} is not installed", "Install facegate again: pip install facegate") from error
    use_threads(threads)
    return device()
