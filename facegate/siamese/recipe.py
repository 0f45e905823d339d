"""The recipe as a whole: photos of people and a start go in, a trained trunk comes out. One command, seeded, resumable.

align      photos -> crops, by the detector in use; once
teach      clean crops -> targets; once
train      resumes from the last checkpoint
choose     between the start and the trained, on held-out people
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.comparison import Templates
from facegate.core.ports import Crops, FaceDetector
from facegate.errors import UnusableInputError
from facegate.siamese.corpus import WIDE, Source, align_source, labels_of, missed_in, read_source, training_rows
from facegate.siamese.networks import Trunk
from facegate.siamese.processes import Team
from facegate.siamese.selection import Candidate, choose, look, require_judges
from facegate.siamese.teachers import one_target, turned
from facegate.siamese.training import CHECKPOINT, Collection, Progress, Recipe, Run, between
from facegate.vision.align import Alignment, align

BLOCK: Final = 32

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Teacher:
    """A network whose templates of clean faces are to be kept or reached.

    Attributes:
        extract: Turns crops into templates.
        alignment: How it wants them.
        name: What its templates are kept under between runs, `name@digest12`; empty: they are not kept.
    """

    extract: Callable[[Crops], Templates]
    alignment: Alignment
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What came out.

    Attributes:
        trunk: The best candidate.
        candidates: All of them, the best first.
        sources: What was learnt from, held-out people and all.
        missed: Photos without a face that was found, a source.
    """

    trunk: Trunk
    candidates: list[Candidate]
    sources: tuple[Source, ...]
    missed: dict[str, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run finds its pictures and leaves its work.

    Attributes:
        data: Folder of sources, `<source>/<person>/<photo>`; those whose name ends in `_train` if there are any.
        folder: Where checkpoints go.
        crops: Where crops and what the teachers say of them go, for further runs too; None: into the folder.
        only: Names of the sources to learn from; empty: all.
    """

    data: Path
    folder: Path
    crops: Path | None = None
    only: tuple[str, ...] = ()

    @property
    def crops_folder(self) -> Path:
        """Where crops are."""
        return self.crops or self.folder / "crops"


def train(
    place: Place,
    *,
    start: Trunk,
    teachers: Sequence[Teacher],
    detector: FaceDetector,
    recipe: Recipe,
    resume: bool,
    say: Say,
    report: Callable[[Progress], None],
    team: Team | None = None,
) -> Trained | None:
    """Train twins from a start.

    Args:
        place: Where pictures are and work goes.
        start: The trunk to begin with.
        teachers: Whose templates of clean faces are kept or reached, that of the start's own network first.
        detector: Finds the faces, as at the door.
        recipe: Everything else that decides the run.
        resume: Go on from the folder's checkpoint.
        say: Is told what is being done.
        report: Is told how training stands.
        team: This process among its peers; the leader alone aligns, asks the teachers, and chooses.

    Returns:
        What came out; None in the processes that do not lead.

    Raises:
        UnusableInputError: There is nothing to learn from, or a checkpoint that is not to be resumed.
    """
    team = team or Team()
    check(place, resume=resume)
    if team.leads:
        prepare(place, teachers, detector, say, threads=recipe.workers + 1)
    team.wait()
    sources, missed = opened(place)
    targets = taught(sources, teachers, place.crops_folder, start.shape.dimension, recipe)
    collection = Collection(sources, labels_of(sources), training_rows(sources), targets, shares_of(sources))
    start = start.to(team.device)
    run = Run(start, collection, recipe, place.folder, team=team, look=lambda trunk: look(trunk, sources, recipe.seed))
    if resume:
        say(f"going on at step {run.step}" if run.resume() else "starting anew: there is no checkpoint")
    trained = run.train(report)
    if not team.leads:
        return None
    say("choosing on held-out people")
    candidates = choose(start, trained, sources, recipe.seed)
    return Trained(between(start, trained, candidates[0].share).cpu(), candidates, sources, missed)


def check(place: Place, *, resume: bool) -> None:
    """Refuse what cannot be run, before hours are spent.

    Raises:
        UnusableInputError: There is nothing to learn from, or there is a run in the folder that is not to be resumed.
    """
    source_names(place.data, place.only)
    if not resume and (place.folder / CHECKPOINT).exists():
        mend = "Go on with it (--resume) or name another folder"
        raise UnusableInputError(f"{place.folder} holds a run already", mend)


def prepare(place: Place, teachers: Sequence[Teacher], detector: FaceDetector, say: Say, *, threads: int = 1) -> None:
    """Align what is not aligned yet, so many photos at a time, and ask the teachers what they were not asked yet.

    Raises:
        UnusableInputError: There is nothing to learn from.
    """

    def tell(done: int, of: int) -> None:
        say(f"  {done:,} of {of:,} photos")

    for name in source_names(place.data, place.only):
        say(f"aligning {name}")
        align_source(place.data, name, detector, place.crops_folder, threads=threads, tell=tell)
    sources, _ = opened(place)
    require_judges(sources)
    for teacher in teachers:
        for source in sources:
            say(f"asking {teacher.name or 'the teacher'} about {source.name}")
            said_of(source, teacher, place.crops_folder)


def opened(place: Place) -> tuple[tuple[Source, ...], dict[str, int]]:
    """Return the aligned sources, and how many photos of each had no face that was found."""
    crops, names = place.crops_folder, source_names(place.data, place.only)
    return tuple(read_source(crops, name) for name in names), {name: missed_in(crops, name) for name in names}


def source_names(data: Path, only: Sequence[str] = ()) -> list[str]:
    """Return the sources to learn from.

    Raises:
        UnusableInputError: There are none, or one that is asked for is not there.
    """
    folders = sorted(path.name for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    names = [name for name in folders if name.endswith("_train")] or folders
    if not names:
        raise UnusableInputError(f"{data} holds no folder of people", "Unpack the *_train archives there")
    if missing := sorted(set(only) - set(folders)):
        raise UnusableInputError(f"{data} holds no {', '.join(missing)}", f"Choose among {', '.join(folders)}")
    return [name for name in folders if name in only] if only else names


def shares_of(sources: Sequence[Source]) -> NDArray[np.float64]:
    """Return each source's share of a batch: by the root of its people with two pictures, so that small ones count."""
    pairs = [np.unique(source.people, return_counts=True)[1] > 1 for source in sources]
    roots = np.sqrt([max(1, int(several.sum())) for several in pairs])
    return np.asarray(roots / roots.sum(), np.float64)


def taught(
    sources: Sequence[Source],
    teachers: Sequence[Teacher],
    keep: Path,
    dimension: int,
    recipe: Recipe,
    *,
    space: Teacher | None = None,
) -> NDArray[np.float32]:
    """Return the target of each crop, counted through the sources, float32 (n, d); zeros if nothing is learnt of them.

    Args:
        sources: The crops.
        teachers: Who is asked.
        keep: Where what they say is kept.
        dimension: d.
        recipe: Says whether anything is learnt of them.
        space: Whose templates the targets are turned to, if that is none of the teachers: the start's.

    Raises:
        UnusableInputError: Something is to be learnt of teachers, and there are none that fit.
    """
    if not (recipe.anchor or recipe.relations):
        return np.zeros((sum(len(source.paths) for source in sources), dimension), np.float32)
    said = [np.concatenate([said_of(source, teacher, keep) for source in sources]) for teacher in teachers]
    targets = one_target(said, dimension)
    if space is None:
        return targets
    return turned(targets, np.concatenate([said_of(source, space, keep) for source in sources]))


def said_of(source: Source, teacher: Teacher, keep: Path) -> Templates:
    """Return a teacher's templates of a source's crops, float32 (n, d); asked once, if the teacher has a name."""
    file = keep / f"{source.name}.{teacher.name}.npy"
    if teacher.name and file.is_file():
        kept = np.asarray(np.load(file, allow_pickle=False), np.float32)
        if len(kept) == len(source.paths):
            return kept
    said = np.concatenate([teacher.extract(seen) for seen in blocks(source, teacher.alignment)])
    if teacher.name:
        np.save(file, said)
    return said


def blocks(source: Source, alignment: Alignment) -> Iterator[Crops]:
    """Give a source's crops as a network with another alignment wants them, block by block."""
    places = WIDE.template.astype(np.float32)  # where the landmarks of an aligned crop are
    for top in range(0, len(source.paths), BLOCK):
        yield np.stack([align(np.asarray(wide), places, alignment) for wide in source.crops[top : top + BLOCK]])
