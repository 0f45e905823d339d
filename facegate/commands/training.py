"""`facegate models train`: the recipe of the shipped verifier, for anyone to repeat; the only command with torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from facegate.commands.output import console, print_json, say, warn
from facegate.errors import UnusableInputError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from facegate.core.ports import FaceDetector
    from facegate.siamese.networks import Trunk
    from facegate.siamese.recipe import Teacher, Trained


def train(  # noqa: PLR0917 - typer passes options by name
    data: Annotated[Path, typer.Option("--data", help="Folder of sources: <source>/<person>/<photo>.")],
    start: Annotated[Path, typer.Option("--start", help="Weights to begin with (.npz of reid-0095's trunk).")],
    out: Annotated[Path, typer.Option("--out", help="Folder for crops, checkpoints and the model.")],
    teacher: Annotated[Path | None, typer.Option("--teacher", help="Second teacher: SFace's ONNX file.")] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the new model.")] = "twin",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Batches.")] = 3000,
    frozen: Annotated[int, typer.Option("--frozen", min=0, max=15, help="So many first blocks stay as they are.")] = 6,
    seed: Annotated[int, typer.Option("--seed", help="Of batches and augmentation.")] = 20261123,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of torch.")] = 2,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train twins from a start, choose on held-out people, calibrate, and write the model's folder."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from facegate.siamese import recipe, training  # noqa: PLC0415
    from facegate.siamese.networks import load_start, use_threads  # noqa: PLC0415
    from facegate.vision.detect import YuNetDetector  # noqa: PLC0415

    use_threads(threads)
    trunk = load_start(start)
    plan = training.Recipe(seed=seed, steps=steps, frozen=frozen)
    detector = YuNetDetector(load_settings().vision.detector)
    out.mkdir(parents=True, exist_ok=True)
    shown = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*shown, console=console(stderr=True)) as bar:
        task = bar.add_task("training", total=steps)

        def report(at: training.Progress) -> None:
            losses = f"contrastive {at.contrastive:.3f} anchor {at.anchor:.3f} relations {at.relations:.4f}"
            bar.update(task, completed=at.step, description=f"{losses} {at.pictures_per_second:.0f} pictures/s")

        trained = recipe.train(
            data,
            out,
            start=trunk,
            teachers=teachers(trunk, teacher, out, threads),
            detector=detector,
            recipe=plan,
            resume=resume,
            say=bar.console.print,
            report=report,
        )
    written = write(trained, name, start, out, detector)
    chosen = [{"share": each.share, "cost": each.cost, "plain": each.plain, "door": each.door}
              for each in trained.candidates]  # fmt: skip
    if as_json:
        print_json({"folder": str(written), "missed": trained.missed, "candidates": chosen})
    else:
        say(f"{written}: the best lies {trained.candidates[0].share:.0%} of the way from the start to the trained")
    if trained.candidates[0].share == 0:
        warn("nothing that was learnt is better than the start on held-out people")


def teachers(trunk: "Trunk", second: Path | None, out: Path, threads: int) -> "list[Teacher]":
    """Return the start as the first teacher and SFace, if given, as the second.

    Raises:
        UnusableInputError: The second teacher's file is missing.
    """
    from facegate.siamese.export import write_onnx  # noqa: PLC0415
    from facegate.siamese.recipe import Teacher  # noqa: PLC0415
    from facegate.verifier.extractor import InputContract, OnnxExtractor  # noqa: PLC0415

    if second is not None and not second.is_file():
        raise UnusableInputError(f"There is no {second}", "Name SFace's ONNX file")
    write_onnx(trunk, out / "start.onnx")
    networks = [(out / "start.onnx", InputContract(trunk.shape.size, "reid-0095"))]
    if second is not None:
        networks.append((second, InputContract(112, "arcface", rgb=True)))
    return [
        Teacher(OnnxExtractor(path, model=path.stem, contract=contract, threads=threads).extract, contract.alignment)
        for path, contract in networks
    ]


def write(trained: "Trained", name: str, start: Path, out: Path, detector: "FaceDetector") -> Path:
    """Export the trunk, calibrate it on untouched held-out people, and write the model's folder.

    People are compared within a source only: two sources may show one person under two names.
    """
    from facegate.siamese.corpus import Source  # noqa: PLC0415
    from facegate.siamese.export import write_onnx  # noqa: PLC0415
    from facegate.siamese.networks import save_weights  # noqa: PLC0415
    from facegate.siamese.recipe import blocks  # noqa: PLC0415
    from facegate.siamese.selection import untouched_rows  # noqa: PLC0415
    from facegate.verifier.extractor import InputContract, OnnxExtractor  # noqa: PLC0415
    from facegate.verifier.library import NETWORK, Card, digest_of, write_model  # noqa: PLC0415
    from facegate.verifier.scoring import Tally, calibrated  # noqa: PLC0415
    from facegate.verifier.selftest import PROOF, prove  # noqa: PLC0415

    network, contract = out / "trained.onnx", InputContract(trained.trunk.shape.size, "reid-0095")
    write_onnx(trained.trunk, network)
    save_weights(trained.trunk, out / "trained.npz")
    origin, files = f"{start.name} (trained on)", {NETWORK: digest_of(network)}
    card = Card(name, contract, trained.trunk.shape.dimension, origin, "see the data's terms", {}, files)
    extractor = OnnxExtractor(network, model=card.id, contract=contract)
    tally, count = Tally(), 0
    for source in trained.sources:
        rows = untouched_rows(source)
        if not len(rows):
            continue
        kept = Source(source.name, source.crops[rows], tuple(source.paths[row] for row in rows))
        numbers = np.unique(kept.people, return_inverse=True)[1]
        tally.add(np.concatenate([extractor.extract(seen) for seen in blocks(kept, contract.alignment)]), numbers)
        count += int(numbers.max()) + 1
    calibration = calibrated(
        tally,
        model=card.id,
        people=count,
        source=f"{count} people on whom nothing was trained or chosen, compared within their sources",
    )
    folder = out / name
    proof = prove(detector, extractor, contract.alignment)
    write_model(folder, card, network.read_bytes(), calibration, {PROOF: proof.document()})
    return folder
