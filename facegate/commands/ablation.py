"""`facegate models ablate`: what the start, each loss, teacher and source bring; rows that anyone can repeat."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegate.commands.options import LARGEST_SEED
from facegate.commands.output import console, print_json, print_table
from facegate.commands.training import NOTHING, Together, begun, default_workers, teachers
from facegate.errors import UnusableInputError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facegate.siamese.ablation import Figures
    from facegate.siamese.training import Progress


def ablate(  # noqa: PLR0917 - typer passes options by name
    data: Annotated[Path, typer.Option("--data", help="Folder of sources: <source>/<person>/<photo>.")],
    start: Annotated[str, typer.Option("--start", help="Weights to begin with (.npz, our ONNX).")],
    companion: Annotated[Path, typer.Option("--companion", help="SFace's ONNX, which learns beside the start.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for a folder of each row.")],
    crops: Annotated[Path | None, typer.Option("--crops", help="Folder of aligned crops, shared by runs.")] = None,
    sources: Annotated[str, typer.Option("--sources", help="Only these sources, with commas between.")] = "",
    row: Annotated[list[str] | None, typer.Option("--row", help="Only this row; may be repeated.")] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Batches of each row.")] = 500,
    people: Annotated[int, typer.Option("--people", min=2, help="People in a batch.")] = 64,
    together: Together = True,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of batches and augmentation.")
    ] = 20261126,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of torch, a process.")] = 2,
    workers: Annotated[int | None, typer.Option("--workers", min=0, help="Augmenting processes, each.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train the same short run with one thing changed in each row; a second call goes on where the first was cut."""
    from facegate.siamese import ablation, recipe  # noqa: PLC0415
    from facegate.siamese import plan as plans  # noqa: PLC0415
    from facegate.siamese.networks import use_threads  # noqa: PLC0415
    from facegate.siamese.processes import bf16_pays, team  # noqa: PLC0415
    from facegate.siamese.sface import read_sface  # noqa: PLC0415
    from facegate.vision.detect import YuNetDetector  # noqa: PLC0415

    use_threads(threads)
    trunk = begun(start, seed)
    if start == NOTHING:
        raise UnusableInputError("Rows begin with a start", "Give face-reidentification-retail-0095")
    chain = read_sface(companion)
    out.mkdir(parents=True, exist_ok=True)
    place = recipe.Place(data, out, crops, tuple(filter(None, sources.split(","))))
    recipe.check(place, resume=True)
    screen = console(stderr=True)
    with team() as mates:
        plan = plans.Recipe(
            seed=seed,
            steps=steps,
            people=people,
            together=together,
            bf16=bf16_pays(mates.device),
            workers=default_workers(mates.size) if workers is None else workers,
        )

        def tell(line: str) -> None:
            if mates.leads:
                screen.print(line)

        def report(name: str, at: "Progress") -> None:
            tell(f"{name}: step {at.step} of {steps}, {at.pictures_per_second:.0f} pictures/s")

        figures = list(
            ablation.ablate(
                place,
                row or (),
                start=trunk,
                teachers=teachers(trunk, [companion], out, mates, threads),
                detector=YuNetDetector(load_settings().vision.detector),
                plan=plan,
                chain=chain,
                say=tell,
                report=report,
                team=mates,
            )
        )
    if mates.leads:
        show(figures, steps, as_json=as_json)


def show(figures: "Sequence[Figures]", steps: int, *, as_json: bool) -> None:
    """Print the rows."""
    if as_json:
        print_json({"steps": steps, "rows": [one.to_json() for one in figures]})
        return
    names = list(figures[0].plain)
    print_table(
        f"FNMR at FMR 1e-3 on held-out people after {steps} batches: as they are / masked / as at a door",
        ("row", "mean", *names),
        [
            (
                one.row,
                " / ".join(f"{mean:.2%}" for mean in one.means),
                *(" / ".join(f"{view[name]:.2%}" for view in one.views) for name in names),
            )
            for one in figures
        ],
    )
