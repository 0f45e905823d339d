"""`facegate models train`: the recipe of the shipped verifier, for anyone to repeat; with torch.

Several processes: `torchrun --nproc-per-node 2 -m -- facegate models train ...`; the first one speaks, the others are
still. (The two dashes keep torchrun from reading our `--start` as one of its own.)
"""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from facegate.commands import trained
from facegate.commands.options import LARGEST_SEED
from facegate.commands.output import console, warn
from facegate.errors import NotReadyError, UnusableInputError
from facegate.settings import load_settings

if TYPE_CHECKING:
    from facegate.core.comparison import Templates
    from facegate.core.ports import Crops, FaceDetector
    from facegate.siamese.networks import Trunk
    from facegate.siamese.plan import Recipe
    from facegate.siamese.processes import Team
    from facegate.siamese.recipe import Place, Trained
    from facegate.siamese.sface import Chain
    from facegate.siamese.teaching import Teacher
    from facegate.siamese.training import Progress
    from facegate.verifier.extractor import OnnxExtractor

LOSSES = {"contrastive": "contrastive", "teacher": "anchor", "relations": "relations"}
"""What `--without` calls the losses, and their names in the recipe."""
HeadName = Literal["none", "arcface", "multi-similarity"]
NOTHING = "none"
BLOCKS = 15
"""Of a start."""
Together = Annotated[
    bool, typer.Option("--together/--start-stays", help="Beside a companion the start learns, too, or stays.")
]


def train(  # noqa: PLR0917 - typer passes options by name
    data: Annotated[Path, typer.Option("--data", help="Folder of sources: <source>/<person>/<photo>.")],
    start: Annotated[
        str, typer.Option("--start", help="Weights to begin with (.npz, our .onnx or .pt), or none: random.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints and the model.")],
    crops: Annotated[Path | None, typer.Option("--crops", help="Folder of aligned crops, shared by runs.")] = None,
    sources: Annotated[str, typer.Option("--sources", help="Only these sources, with commas between.")] = "",
    companion: Annotated[
        Path | None, typer.Option("--companion", help="SFace's ONNX: made quick, it learns beside the start.")
    ] = None,
    anew: Annotated[bool, typer.Option("--companion-anew", help="Beside a start that has one: make it anew.")] = False,
    together: Together = True,
    teacher: Annotated[
        list[Path] | None, typer.Option("--teacher", help="Of a start that learns alone: SFace's ONNX.")
    ] = None,
    teacher_weight: Annotated[
        float, typer.Option("--teacher-weight", min=0.0, help="What --teacher counts beside the start.")
    ] = 1.0,
    start_teaches: Annotated[
        bool, typer.Option("--start-teaches/--start-does-not-teach", help="Hold on to it.")
    ] = True,
    without: Annotated[list[str] | None, typer.Option("--without", help="A loss to leave out; repeatable.")] = None,
    head: Annotated[HeadName, typer.Option("--head", help="A further loss on who is who.")] = "none",
    name: Annotated[str, typer.Option("--name", help="Name of the new model.")] = "twin",
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Batches; 4200, of a start alone 7000.")] = None,
    people: Annotated[
        int | None, typer.Option("--people", min=2, help="People in a batch; 128, of a start alone 64.")
    ] = None,
    pictures: Annotated[int, typer.Option("--pictures", min=2, help="Pictures of each.")] = 2,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0.0, max=1.0, help="Highest learning rate; 5e-4, of a start alone 1e-3."),
    ] = None,
    frozen: Annotated[
        int | None, typer.Option("--frozen", min=0, max=26, help="First layers that stay; 3, of a start's blocks 2.")
    ] = None,
    rounded: Annotated[
        float, typer.Option("--rounded", min=0.0, max=1.0, help="Share of steps until a companion computes in bytes.")
    ] = 0.5,
    fused: Annotated[
        bool, typer.Option("--compile", help="Compile a companion's PReLUs: faster, needs a C++ compiler.")
    ] = False,
    doors: Annotated[float, typer.Option("--doors", min=0.0, max=1.0, help="Share of pictures as at a door.")] = 0.45,
    masked: Annotated[
        float, typer.Option("--masked", min=0.0, max=1.0, help="Of the others: share with a mask.")
    ] = 0.36,
    person: Annotated[
        float, typer.Option("--person", min=0.0, max=1.0, help="Targets: share of the person's mean.")
    ] = 0.0,
    mixtures: Annotated[float, typer.Option("--mixtures", min=0.0, help="Mixtures of two faces, a photo.")] = 0.0,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of batches and augmentation.")
    ] = 20261126,
    threads: Annotated[int, typer.Option("--threads", min=1, max=256, help="Threads of torch, a process.")] = 2,
    workers: Annotated[int | None, typer.Option("--workers", min=0, help="Augmenting processes, each.")] = None,
    bf16: Annotated[bool | None, typer.Option("--bf16/--float32", help="Default: bf16 where hardware has it.")] = None,
    look_every: Annotated[int, typer.Option("--look-every", min=0, help="Steps between looks at held-out.")] = 1000,
    share: Annotated[
        float | None, typer.Option("--share", min=0.0, max=2.0, help="From start to trained; else chosen on held-out.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train twins from a start, choose on held-out people, calibrate, and write the model's folder."""
    from facegate.daemon.bench import machine  # noqa: PLC0415
    from facegate.siamese import recipe  # noqa: PLC0415
    from facegate.siamese.losses import Head  # noqa: PLC0415
    from facegate.siamese.networks import use_threads  # noqa: PLC0415
    from facegate.siamese.processes import bf16_pays, require_compiler, team  # noqa: PLC0415
    from facegate.siamese.sface import read_sface  # noqa: PLC0415
    from facegate.siamese.weights import alone  # noqa: PLC0415
    from facegate.verifier.foreign.importing import check_name  # noqa: PLC0415
    from facegate.vision.detect import YuNetDetector  # noqa: PLC0415

    use_threads(threads)
    check_name(name)
    began, left_out = time.monotonic(), losses_left_out(without or ())
    as_usual = start_teaches and teacher_weight == 1
    require_one_way(start, companion, teacher or (), frozen, share, anew=anew, default_teaching=as_usual)
    if fused:
        require_compiler()
    trunk, chain = begun(start, seed, goes_on=companion is not None), read_sface(companion) if companion else None
    trunk = alone(trunk) if anew else trunk
    detector = YuNetDetector(load_settings().vision.detector)
    out.mkdir(parents=True, exist_ok=True)
    place = recipe.Place(data, out, crops, tuple(filter(None, sources.split(","))))
    recipe.check(place, resume=resume)
    with team() as mates:
        taught_by = alone(trunk) if start_teaches and start != NOTHING else None
        others = [companion] if companion else teacher or ()
        known = teachers(taught_by, others, out, mates, threads, weight=teacher_weight)
        if not known:
            left_out |= {"anchor", "relations"}
            if mates.leads:
                warn("there is no teacher: the twins learn from who is who alone")
        given = {
            "seed": seed, "steps": steps, "people": people, "pictures": pictures, "rate": rate, "together": together,
            "frozen": 0 if frozen is None and start == NOTHING else frozen,
            "rounded": rounded, "fused": fused, "doors": doors, "masked": masked,
            "person": person, "mixtures": mixtures if known else 0.0, "head": Head(head), "look_every": look_every,
            "bf16": bf16_pays(mates.device) if bf16 is None else bf16,
            "workers": default_workers(mates.size) if workers is None else workers,
        }  # fmt: skip
        plan = planned(given, left_out, beside=companion is not None)
        came = trained_by(mates, place, trunk, known, plan, detector, chain=chain, resume=resume, share=share)
    if came is None:
        return
    origin = trained.origin_of(None if start == NOTHING else start, companion if came.trunk.companion else None)
    written = trained.write(came, name, origin, out, detector)
    run = {"machine": machine(), "device": str(mates.device), "processes": mates.size, "steps": plan.steps}
    trained.tell_of(came, written, {**run, "seconds": round(time.monotonic() - began)}, as_json=as_json)


def require_one_way(
    start: str,
    companion: Path | None,
    teachers: Sequence[Path],
    frozen: int | None,
    share: float | None,
    *,
    anew: bool,
    default_teaching: bool,
) -> None:
    """Refuse options that contradict one another.

    Raises:
        UnusableInputError: They do.
    """
    if anew and companion is None:
        raise UnusableInputError("--companion-anew makes one of SFace", "Give its ONNX file too (--companion)")
    if companion and start == NOTHING:
        raise UnusableInputError("A companion learns beside a start, and --start none is none", "Leave out --companion")
    if companion and teachers:
        raise UnusableInputError("A companion's teacher is the network it is made of", "Leave out --teacher")
    if companion and not default_teaching:
        mend = "Leave out --teacher-weight and --start-does-not-teach"
        raise UnusableInputError("Start and SFace teach a part each, and count in full", mend)
    if companion is None and (frozen or 0) > BLOCKS:
        raise UnusableInputError(f"--frozen {frozen} is more than the start's {BLOCKS} blocks", "Give fewer")
    if companion is None and (share or 0) > 1:
        raise UnusableInputError(f"--share {share} lies beyond what was trained", "Give 1 at most")


def losses_left_out(without: Sequence[str]) -> set[str]:
    """Return the recipe's names of losses that are left out.

    Raises:
        UnusableInputError: There is no such loss.
    """
    if unknown := set(without) - set(LOSSES):
        raise UnusableInputError(f"--without {', '.join(unknown)} names no loss", f"Leave out {', '.join(LOSSES)}")
    return {LOSSES[loss] for loss in without}


def planned(given: Mapping[str, Any], left_out: Collection[str], *, beside: bool) -> "Recipe":
    """Return the recipe that options make.

    Args:
        given: What was asked for, by the names of the recipe's fields; None: nothing was.
        left_out: Losses that have no weight.
        beside: A companion learns; or a start learns alone.
    """
    from facegate.siamese import plan  # noqa: PLC0415

    asked: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    return replace(plan.Recipe() if beside else plan.ITSELF, **asked | dict.fromkeys(left_out, 0.0))


def trained_by(  # noqa: PLR0917 - everything that a run is made of, once
    mates: "Team",
    place: "Place",
    trunk: "Trunk",
    known: "Sequence[Teacher]",
    plan: "Recipe",
    detector: "FaceDetector",
    *,
    chain: "Chain | None",
    resume: bool,
    share: float | None,
) -> "Trained | None":
    """Train, with a bar on stderr that says how it stands; the leader alone speaks."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    from facegate.siamese import recipe  # noqa: PLC0415

    screen, held_out = console(stderr=True), [""]
    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*shown, console=screen, disable=not (mates.leads and screen.is_terminal)) as bar:
        task = bar.add_task("training", total=plan.steps)

        def tell(line: str) -> None:
            if mates.leads:
                screen.print(line)

        def report(at: "Progress") -> None:
            if (seen := at.held_out) is not None:
                held_out[0] = f"held out {seen.plain:.1%} plain {seen.masked:.1%} masked {seen.door:.1%} door "
            losses = f"contrastive {at.contrastive:.3f} anchor {at.anchor:.3f} relations {at.relations:.4f} "
            losses += f"head {at.heading:.2f} " if at.heading else ""
            line = f"{losses}{held_out[0]}{at.pictures_per_second:.0f} pictures/s"
            bar.update(task, completed=at.step, description=line)
            if not screen.is_terminal:  # a log gets lines
                tell(f"step {at.step} of {plan.steps}: {line}")

        return recipe.train(
            place,
            start=trunk,
            teachers=known,
            detector=detector,
            recipe=plan,
            chain=chain,
            resume=resume,
            say=tell,
            report=report,
            team=mates,
            share=share,
        )


def begun(start: str, seed: int, *, goes_on: bool = False) -> "Trunk":
    """Return the trunk to begin with: random, of an `.npz` file, of one of our ONNX files or of a checkpoint.

    Args:
        start: The file, or none.
        seed: Of random weights.
        goes_on: One with a companion will do: that goes on learning.

    Raises:
        UnusableInputError: The file holds none, none that are numbers, or one with a companion where none is to learn.
    """
    from facegate.siamese.export import read_onnx  # noqa: PLC0415
    from facegate.siamese.weights import fresh_trunk, load_checkpoint, load_start  # noqa: PLC0415

    if start == NOTHING:
        return fresh_trunk(seed=seed)
    readers = {".onnx": read_onnx, ".pt": load_checkpoint}
    trunk = readers.get(Path(start).suffix, load_start)(Path(start))
    if not all(bool(value.isfinite().all()) for value in trunk.state_dict().values()):
        raise UnusableInputError(f"{start} holds weights that are no numbers", "Give another start")
    if trunk.companion is not None and not goes_on:
        raise UnusableInputError(f"{start} has a companion already", "Give --companion, too, or a start without one")
    return trunk


def default_workers(processes: int) -> int:
    """Return how many processes augment for each that learns: one core learns, the others augment."""
    return max(1, len(os.sched_getaffinity(0)) // processes - 1)


def teachers(
    start: "Trunk | None", others: Sequence[Path], out: Path, mates: "Team", threads: int, *, weight: float = 1.0
) -> "list[Teacher]":
    """Return the start as the first teacher, if it is to teach, and the networks that are given, which weigh so much.

    A network that takes crops of 112 pixels is fed as SFace is; one of 128 as the start.

    Raises:
        UnusableInputError: A teacher's file is missing or is no network.
    """
    from facegate.siamese.export import write_onnx  # noqa: PLC0415
    from facegate.siamese.teaching import Teacher  # noqa: PLC0415
    from facegate.verifier.contract import InputContract  # noqa: PLC0415
    from facegate.verifier.extractor import OnnxExtractor  # noqa: PLC0415
    from facegate.verifier.files import digest_of  # noqa: PLC0415

    networks = [out / "start.onnx"] if start is not None else []
    if start is not None and mates.leads:
        write_onnx(start, networks[0])
    mates.wait()
    known = []
    for path in (*networks, *others):
        if not path.is_file():
            raise UnusableInputError(f"There is no {path}", "Name SFace's ONNX file")
        small, large = InputContract(112, "arcface", rgb=True), InputContract(128, "reid-0095")
        try:
            extractor = OnnxExtractor(path, model=path.stem, contract=large, threads=threads)
            contract = small if small.size in extractor.input_shape else large
            extractor = OnnxExtractor(path, model=path.stem, contract=contract, threads=threads)
        except NotReadyError as error:  # so it is of a model that was installed; this file somebody named
            raise UnusableInputError(f"{path} cannot teach: {error.what}", "Name SFace's ONNX file") from error
        name, counts = f"{path.stem}@{digest_of(path)[:12]}", weight if path in others else 1.0
        known.append(Teacher(asked(extractor, path), contract.alignment, name, counts))
    return known


def asked(extractor: "OnnxExtractor", path: Path) -> "Callable[[Crops], Templates]":
    """Return how a teacher is asked: one that says nothing of a face is told as the file that somebody named."""
    from facegate.verifier.extractor import NoDirectionError  # noqa: PLC0415

    def extract(crops: "Crops") -> "Templates":
        try:
            return extractor.extract(crops)
        except NoDirectionError as error:
            raise UnusableInputError(f"{path} cannot teach: {error}", "Give another network") from error

    return extract
