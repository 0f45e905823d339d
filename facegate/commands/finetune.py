"""`facegate finetune`: learn from the household, and put what was learnt in charge if it is better beyond doubt.

The work is done by a child, this very command with `--here`: of low priority, bounded in memory and time, and the only
process that meets torch. The daemon starts the same child.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from facegate.commands.output import print_json, print_table, say, warn
from facegate.errors import NotReadyError, RefusedError
from facegate.settings import Settings, load_settings

if TYPE_CHECKING:
    from facegate.core.comparison import Templates
    from facegate.siamese.finetuning import Scores, Tuned
    from facegate.storage.runs import Run
    from facegate.verifier.finetuning.gathering import Material
    from facegate.verifier.finetuning.promotion import Lesson, Report

SEED: Final = 20261124
NICE: Final = 10
PROGRESS: Final = "progress: "
EXIT_CODES: Final = {1: RefusedError, 3: NotReadyError}

Seed = Annotated[int, typer.Option("--seed", min=0, max=2**62, help="What the run's randomness begins with.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Listed = Annotated[bool, typer.Option("--list", help="List the newest runs instead.")]
Here = Annotated[bool, typer.Option("--here", hidden=True, help="Work in this process.")]
Trigger = Annotated[str, typer.Option("--trigger", hidden=True, help="What asked for it.")]


def finetune(
    seed: Seed = SEED, as_json: AsJson = False, listed: Listed = False, here: Here = False, trigger: Trigger = "command"
) -> None:
    """Learn from new enrollments and confirmed faces; a worse network is never put in charge."""
    settings = load_settings()
    if listed:
        list_runs(settings, as_json=as_json)
        return
    document = run_here(settings, seed, trigger) if here else run_in_child(settings, seed, trigger, quiet=as_json)
    if as_json:
        print_json(document)
    else:
        told(document)
    if document["verdict"] == "refused":
        raise typer.Exit(1)


def run_in_child(settings: Settings, seed: int, trigger: str, *, quiet: bool) -> dict[str, Any]:
    """Have the child make the run; return what it printed.

    Raises:
        FacegateError: As the child says, or it was ended by its limits.
    """
    from facegate.daemon.child import Killed, run_limited  # noqa: PLC0415

    limits = settings.finetune
    own = ["--here", "--json", "--seed", str(seed), "--trigger", trigger]
    ended = run_limited(
        [sys.executable, "-m", "facegate", "finetune", *own],
        seconds=limits.max_seconds,
        megabytes=limits.max_megabytes,
        nice=NICE,
        on_line=None if quiet else show_progress,
    )
    if ended.killed is Killed.TIME:
        raise NotReadyError(f"The run took more than {limits.max_seconds:g} s", "Raise finetune.max_seconds")
    if ended.killed is Killed.MEMORY:
        raise NotReadyError(f"The run took more than {limits.max_megabytes:g} MB", "Raise finetune.max_megabytes")
    try:
        return dict(json.loads(ended.stdout))
    except ValueError:
        lines = [line for line in ended.stderr.splitlines() if line and not line.startswith(PROGRESS)]
        what, _, mend = (lines[-1] if lines else "The run said nothing").removeprefix("facegate: ").partition(". ")
        kind = EXIT_CODES.get(ended.returncode, NotReadyError)
        raise kind(what, mend.removesuffix(".") or f"It ended with {ended.returncode}; try again") from None


def run_here(settings: Settings, seed: int, trigger: str) -> dict[str, Any]:
    """Make the run in this process, and say on stderr how far it is; return its JSON.

    Raises:
        FacegateError: It cannot be made; the champion leads on.
    """
    from facegate.storage import open_storage  # noqa: PLC0415
    from facegate.verifier.finetuning.promotion import Tuning  # noqa: PLC0415
    from facegate.verifier.library import library_of  # noqa: PLC0415

    with open_storage(settings) as storage:
        tuning = Tuning(
            storage=storage,
            library=library_of(settings, storage.champions),
            settings=settings,
            strangers=strangers_under,
            learn=lambda material, folder, report: learn(material, folder, report, settings, seed),
            report=say_progress,
        )
        run = tuning.run(seed=seed, trigger=trigger)
    return document_of(run, settings)


def learn(material: "Material", folder: Path, report: "Report", settings: Settings, seed: int) -> "Lesson":
    """Let the twins learn from the material on the champion in a folder."""
    from facegate.siamese.finetuning import Household, Recipe, finetune, per_comparison  # noqa: PLC0415
    from facegate.verifier.finetuning.learned import read_learned  # noqa: PLC0415

    learned = read_learned(folder)
    household = Household(
        users=material.users,
        photos=material.photos,
        photo_owners=material.photo_owners,
        frames=material.frames,
        frame_owners=material.frame_owners,
        frame_refused=material.frame_refused,
        frame_cameras=material.frame_cameras,
        views=material.views,
        referenced=None if learned is None else material.frame_stored & learned.confirmed_frames,
    )
    target = per_comparison(settings.gate.target_fmr, len(material.users))
    recipe = Recipe(seed=seed, target_fmr=target, threads=settings.verifier.threads)
    report("learn", 0.0)
    tuned = finetune(household, folder, recipe, lambda _, share: report("learn", share))
    return replace(lesson_of(tuned), references=tuned.references, frames_used=tuned.frames_used)


def strangers_under(folder: Path) -> "Templates":
    """Return what the network in a folder makes of the strangers that ship with it."""
    from facegate.siamese.tuning.outsiders import templates_of_outsiders  # noqa: PLC0415

    return templates_of_outsiders(folder)


def lesson_of(tuned: "Tuned") -> "Lesson":
    """Return what the twins learnt as the run wants it."""
    from facegate.verifier.finetuning.promotion import Lesson  # noqa: PLC0415
    from facegate.vision.chart import Curve  # noqa: PLC0415

    def curve(name: str, scores: "Scores") -> Curve:
        return Curve(name, scores.mated, scores.non_mated, scores.threshold)

    curves = tuned.curves
    if curves is not None and not all(len(one.mated) and len(one.non_mated) for one in (curves.before, curves.after)):
        curves = None  # nothing to draw
    return Lesson(
        verdict=str(tuned.verdict),
        reason=tuned.reason,
        before=tuned.before.to_json(),
        after=tuned.after.to_json(),
        network=tuned.network,
        calibration=tuned.calibration,
        levelled=tuned.levelled,
        frames_as_references=tuned.frames_as_references,
        curves=() if curves is None else (curve("before", curves.before), curve("after", curves.after)),
    )


def document_of(run: "Run", settings: Settings) -> dict[str, Any]:
    """Return the JSON of a run, with the whole path of its picture."""
    from facegate.verifier.finetuning.shelf import PICTURES  # noqa: PLC0415

    picture = None if run.picture is None else str(settings.data_dir / PICTURES / run.picture)
    return run.to_json() | {"picture": picture}


def say_progress(step: str, share: float) -> None:
    """Write how far the run is as a line on stderr."""
    sys.stderr.write(f"{PROGRESS}{step} {share:.2f}\n")
    sys.stderr.flush()


def show_progress(line: str) -> None:
    """Show a person what the child says of its progress, on one line; what else it says, as it is."""
    if not line.startswith(PROGRESS):
        sys.stderr.write(f"{line}\n" if line and not line.startswith("facegate: ") else "")
    elif sys.stderr.isatty():
        step, _, share = line.removeprefix(PROGRESS).partition(" ")
        sys.stderr.write(f"\r{step:<8} {float(share):4.0%}  ")
        sys.stderr.flush()


def told(document: dict[str, Any]) -> None:
    """Say what came of a run."""
    if sys.stderr.isatty():
        sys.stderr.write("\r" + " " * 20 + "\r")
    verdict = document["verdict"] or document["state"]
    say(f"Run {document['run']}: {verdict}. {document['reason']}")
    if document["verdict"] == "promoted":
        say(f"{document['challenger']} is in charge; back: facegate models rollback")
    elif document["state"] == "shadow":
        say(f"{document['challenger']} scores live visits beside {document['champion']} before it is judged again")
    elif document["challenger"]:
        say(f"{document['champion']} leads on; {document['challenger']} is on the shelf")
    else:
        say(f"{document['champion']} leads on")
    say(f"{document['seconds']:.1f} s" + (f"; picture: {document['picture']}" if document["picture"] else ""))


def list_runs(settings: Settings, *, as_json: bool) -> None:
    """List the newest runs."""
    from facegate.storage import open_storage  # noqa: PLC0415

    with open_storage(settings) as storage:
        runs = storage.runs.newest()
    if as_json:
        print_json([document_of(run, settings) for run in runs])
        return
    if any(run.state == "due" for run in runs):
        warn("a run is due")
    rows = [
        (
            run.number,
            f"{run.started_at:%Y-%m-%d %H:%M}",
            run.trigger,
            run.verdict or run.state,
            run.challenger,
            run.reason,
        )
        for run in runs
    ]
    print_table("Runs of fine-tuning", ("run", "started", "cause", "verdict", "challenger", "reason"), rows)
