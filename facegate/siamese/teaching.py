"""What the teachers are asked, and what each picture is to learn of it.

A teacher sees every clean face and its mirror image, and the mean is what it says. The target of a photo may go part
of the way to the mean target of its person: that is what the teachers would say if they knew who it is. A photo that
looks like none of its person's others, a wrong label perhaps, keeps its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.comparison import Templates
from facegate.core.ports import Crops
from facegate.siamese.checkpoints import replacing
from facegate.siamese.corpus import Source, labels_of, training_rows
from facegate.siamese.plan import Recipe
from facegate.siamese.teachers import one_target, turned
from facegate.vision.align import STORED, Alignment, align

BLOCK: Final = 32
ALIKE: Final = 0.3
"""A photo whose target is less alike than this (cosine) to the mean of its person's others is not trusted."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A network whose templates of clean faces are to be kept or reached.

    Attributes:
        extract: Turns crops into templates.
        alignment: How it wants them.
        name: What its templates are kept under between runs, `name@digest12`; empty: they are not kept.
        weight: How much its templates count beside those of others. Of a lighter one less is learnt, and sooner.
    """

    extract: Callable[[Crops], Templates]
    alignment: Alignment
    name: str = ""
    weight: float = 1.0


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
        recipe: Says whether anything is learnt of them, and how far a target goes to its person's mean.
        space: Whose templates the targets are turned to, if that is none of the teachers: the start's.

    Raises:
        UnusableInputError: Something is to be learnt of teachers, and there are none that fit.
    """
    if not (recipe.anchor or recipe.relations):
        return np.zeros((sum(len(source.paths) for source in sources), dimension), np.float32)
    said = [
        np.float32(teacher.weight) * np.concatenate([said_of(source, teacher, keep) for source in sources])
        for teacher in teachers
    ]
    targets = one_target(said, dimension)
    if space is not None:
        targets = turned(targets, np.concatenate([said_of(source, space, keep) for source in sources]))
    rows = training_rows(sources)
    targets[rows] = towards_person(targets[rows], labels_of(sources).people[rows], recipe.person)
    return targets


def towards_person(targets: Templates, people: NDArray[np.int64], share: float) -> Templates:
    """Move each target a share of the way to the mean of its person's, float32 (n, d), unit length.

    Args:
        targets: Float32 (n, d), unit length.
        people: Int64 (n,): who is on each.
        share: 0 leaves them as they are, 1 gives all photos of a person that are trusted the same.
    """
    numbers = np.unique(people, return_inverse=True)[1]
    sums = np.zeros((int(numbers.max(initial=-1)) + 1, targets.shape[1]), np.float32)
    np.add.at(sums, numbers, targets)
    whole = _unit(sums)[numbers]
    others = _unit(sums[numbers] - targets)  # zeros for those who have one photo: alike to nothing
    trusted = (others * targets).sum(1, keepdims=True) > ALIKE
    return np.where(trusted, _unit((1 - share) * targets + share * whole), targets)


def said_of(source: Source, teacher: Teacher, keep: Path) -> Templates:
    """Return a teacher's templates of a source's crops, float32 (n, d); asked once, if the teacher has a name."""
    file = keep / f"{source.name}.{teacher.name}.both.npy"
    kept = _kept(file) if teacher.name else None
    if kept is not None and len(kept) == len(source.paths):
        return kept
    said = np.concatenate(
        [teacher.extract(seen) + teacher.extract(seen[:, :, ::-1]) for seen in blocks(source, teacher.alignment)]
    )
    said = _unit(said)
    if teacher.name:
        with replacing(file) as path:
            np.save(path, said)
    return said


def _kept(file: Path) -> Templates | None:
    """Return what was kept of a teacher's answers, or None: nothing, or not all of it."""
    try:
        return np.asarray(np.load(file, allow_pickle=False), np.float32)
    except (OSError, ValueError, EOFError):
        return None


def blocks(source: Source, alignment: Alignment) -> Iterator[Crops]:
    """Give a source's crops as a network with another alignment wants them, block by block."""
    places = STORED.template.astype(np.float32)  # where the landmarks of an aligned crop are
    for top in range(0, len(source.paths), BLOCK):
        yield np.stack([align(np.asarray(wide), places, alignment) for wide in source.crops[top : top + BLOCK]])


def _unit(templates: Templates) -> Templates:
    length = np.linalg.norm(templates, axis=1, keepdims=True)
    return np.asarray(templates / np.maximum(length, 1e-6), np.float32)
