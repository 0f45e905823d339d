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
from facegate.siamese.corpus import WIDE, Source, align_source, labels_of, read_source, training_rows
from facegate.siamese.networks import Trunk
from facegate.siamese.selection import Candidate, choose, require_judges
from facegate.siamese.teachers import fit_merge
from facegate.siamese.training import Collection, Progress, Recipe, Run, between
from facegate.vision.align import Alignment, align

BLOCK: Final = 32

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Teacher:
    """A network whose templates of clean faces are to be kept or reached.

    Attributes:
        extract: Turns crops into templates.
        alignment: How it wants them.
    """

    extract: Callable[[Crops], Templates]
    alignment: Alignment


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


def train(
    data: Path,
    folder: Path,
    *,
    start: Trunk,
    teachers: Sequence[Teacher],
    detector: FaceDetector,
    recipe: Recipe,
    resume: bool,
    say: Say,
    report: Callable[[Progress], None],
) -> Trained:
    """Train twins from a start.

    Args:
        data: Folder of sources, `<source>/<person>/<photo>`; those whose name ends in `_train` if there are any.
        folder: Where crops, targets and checkpoints go.
        start: The trunk to begin with; it is the first teacher.
        teachers: The start's own network, and perhaps a second.
        detector: Finds the faces, as at the door.
        recipe: Everything else that decides the run.
        resume: Go on from the folder's checkpoint.
        say: Is told what is being done.
        report: Is told how training stands.

    Raises:
        UnusableInputError: There is nothing to learn from, or a checkpoint that is not to be resumed.
    """
    crops, missed = folder / "crops", {}
    names = source_names(data)
    for name in names:
        say(f"aligning {name}")
        missed[name] = align_source(data, name, detector, crops)
    sources = tuple(read_source(crops, name) for name in names)
    require_judges(sources)
    say("asking the teachers")
    targets = taught(sources, teachers, folder / "targets.npy")
    collection = Collection(sources, labels_of(sources), training_rows(sources), targets, shares_of(sources))
    run = Run(start, collection, recipe, folder)
    if resume:
        say(f"going on at step {run.step}" if run.resume() else "starting anew: there is no checkpoint")
    elif (folder / "checkpoint.pt").exists():
        raise UnusableInputError(f"{folder} holds a run already", "Go on with it (--resume) or name another folder")
    trained = run.train(report)
    say("choosing on held-out people")
    candidates = choose(start, trained, sources, recipe.seed)
    return Trained(between(start, trained, candidates[0].share), candidates, sources, missed)


def source_names(data: Path) -> list[str]:
    """Return the sources to learn from.

    Raises:
        UnusableInputError: There are none.
    """
    folders = sorted(path.name for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    names = [name for name in folders if name.endswith("_train")] or folders
    if not names:
        raise UnusableInputError(f"{data} holds no folder of people", "Unpack the *_train archives there")
    return names


def shares_of(sources: Sequence[Source]) -> NDArray[np.float64]:
    """Return each source's share of a batch: by the root of its people with two pictures, so that small ones count."""
    pairs = [np.unique(source.people, return_counts=True)[1] > 1 for source in sources]
    roots = np.sqrt([max(1, int(several.sum())) for several in pairs])
    return np.asarray(roots / roots.sum(), np.float64)


def taught(sources: Sequence[Source], teachers: Sequence[Teacher], keep: Path) -> NDArray[np.float32]:
    """Return the target of each crop, counted through the sources, float32 (n, d); kept in a file between runs."""
    if keep.is_file():
        return np.asarray(np.load(keep, allow_pickle=False), np.float32)
    said = [
        np.concatenate([teacher.extract(seen) for source in sources for seen in blocks(source, teacher.alignment)])
        for teacher in teachers
    ]
    targets = said[0] if len(said) == 1 else fit_merge(said[0], said[1]).targets(said[0], said[1])
    np.save(keep, targets)
    return targets


def blocks(source: Source, alignment: Alignment) -> Iterator[Crops]:
    """Give a source's crops as a network with another alignment wants them, block by block."""
    places = WIDE.template.astype(np.float32)  # where the landmarks of an aligned crop are
    for top in range(0, len(source.paths), BLOCK):
        yield np.stack([align(np.asarray(wide), places, alignment) for wide in source.crops[top : top + BLOCK]])
