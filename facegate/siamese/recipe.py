"""The recipe as a whole: photos of people and a start go in, a trained trunk comes out. One command, seeded, resumable.

align      photos -> crops, by the detector in use; once
mix        two crops -> one of nobody; once
teach      clean crops -> targets; once
train      resumes from the last checkpoint
choose     between the start and the trained, on held-out people

Where a companion is to learn, it is first made of SFace, in whole numbers, once.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from facegate.core.ports import Crops, FaceDetector
from facegate.errors import UnusableInputError
from facegate.siamese import augment
from facegate.siamese.batches import Collection
from facegate.siamese.checkpoints import UNREADABLE, replacing, require_no_run
from facegate.siamese.companion import Companion
from facegate.siamese.corpus import (
    MIXED,
    Counted,
    Source,
    align_source,
    labels_of,
    missed_in,
    read_source,
    training_rows,
)
from facegate.siamese.mixing import mix_sources
from facegate.siamese.networks import Trunk
from facegate.siamese.plan import Recipe
from facegate.siamese.processes import Team
from facegate.siamese.quick import quickened
from facegate.siamese.selection import Candidate, choose, look, require_judges
from facegate.siamese.sface import Chain
from facegate.siamese.teaching import Teacher, said_of, taught
from facegate.siamese.training import Progress, Run
from facegate.siamese.weights import accompanied, alone, balanced, between

FACES: Final = 128
"""So many training people's pictures, as they are and as at a door, make a companion of SFace and weigh it."""
COMPANION: Final = "companion"
"""What the file of a companion before it learns begins with, in a run's folder."""

Say = Callable[[str], None]


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
    chain: Chain | None = None,
    resume: bool,
    say: Say,
    report: Callable[[Progress], None],
    team: Team | None = None,
    share: float | None = None,
) -> Trained | None:
    """Train twins from a start.

    Args:
        place: Where pictures are and work goes.
        start: The trunk to begin with; one with a companion goes on with it.
        teachers: Whose templates of clean faces are kept or reached: the start's own network first, then SFace.
        detector: Finds the faces, as at the door.
        recipe: Everything else that decides the run.
        chain: SFace, where a companion is to learn.
        resume: Go on from the folder's checkpoint.
        say: Is told what is being done.
        report: Is told how training stands.
        team: This process among its peers; the leader alone aligns, asks the teachers, and chooses.
        share: How far to go from the start to the trained, or what a companion weighs; None: as held-out people choose.

    Returns:
        What came out; None in the processes that do not lead.

    Raises:
        UnusableInputError: There is nothing to learn from, a start that the recipe does not fit, or a checkpoint that
            is not to be resumed.
    """
    team = team or Team()
    check(place, resume=resume)
    if team.leads:
        prepare(place, teachers, detector, recipe, say)
    team.wait()
    sources, missed = opened(place)
    faces = faces_of(sources, recipe.seed)
    made = None
    if chain is not None and recipe.companion:
        made = start.companion or companion_of(chain, faces, place.folder, team, say)
    first = balanced(beginning(start, recipe, made), faces).to(team.device)
    lessons = (*sources, *mixtures(place, recipe))
    collection = collected(lessons, teachers, place, first.shape.dimension, recipe)
    run = Run(first, collection, recipe, place.folder, team=team, look=lambda trunk: look(trunk, sources, recipe.seed))
    if resume:
        say(f"going on at step {run.step}" if run.resume() else "starting anew: there is no checkpoint")
    trained = run.train(report)
    if not team.leads:
        return None
    say("choosing on held-out people")
    candidates, best = chosen(alone(start).to(team.device), balanced(trained, faces), sources, recipe.seed, share)
    return Trained(best, candidates, sources, missed)


def chosen(
    start: Trunk, trained: Trunk, sources: Sequence[Source], seed: int, share: float | None
) -> tuple[list[Candidate], Trunk]:
    """Return the points between start and trained as held-out people rank them, and the trunk at the first of them."""
    candidates = choose(start, trained, sources, seed, share)
    best = between(start, trained, candidates[0].share, candidates[0].way).cpu()
    if best.companion is not None:
        best.companion.settle()
    return candidates, best


def collected(
    lessons: tuple[Source, ...],
    teachers: Sequence[Teacher],
    place: Place,
    dimension: int,
    recipe: Recipe,
    *,
    space: Teacher | None = None,
) -> Collection:
    """Return what is learnt from: pictures, who is on them, and what the teachers say, float32 (n, dimension).

    Raises:
        UnusableInputError: Something is to be learnt of teachers, and there are none that fit.
    """
    targets = taught(lessons, teachers, place.crops_folder, dimension, recipe, space=space)
    shares = shares_of(lessons, recipe.mixed)
    return Collection(lessons, labels_of(lessons), training_rows(lessons), targets, shares)


def faces_of(sources: Sequence[Source], seed: int) -> Crops:
    """Return crops of some training people, uint8 (n, s, s, 3): each as it is and as at a door."""
    draw = np.random.default_rng((seed, FACES))
    rows, counted = training_rows(sources), Counted(sources)
    crops = []
    for row in draw.choice(rows, min(FACES, len(rows)), replace=False):
        wide = counted[int(row)]
        crops += [augment.plain(wide), augment.door(wide, draw)]
    return np.stack(crops)


def companion_of(chain: Chain, faces: Crops, folder: Path, team: Team, say: Say) -> Companion:
    """Return the companion that a run in a folder begins with: made by the leader, once, and read by all.

    Raises:
        UnusableInputError: What was made cannot be read.
    """
    file = folder / f"{COMPANION}-{digest_of_chain(chain, faces)}.pt"
    if team.leads and not file.is_file():
        say("making a companion of SFace")
        folder.mkdir(parents=True, exist_ok=True)
        crops = torch.from_numpy(faces.transpose(0, 3, 1, 2).astype(np.float32))
        made = quickened(chain, crops).state_dict()
        with replacing(file) as path, path.open("wb") as opened_file:
            torch.save(made, opened_file)
    team.wait()
    companion = Companion(chain.shape)
    try:
        companion.load_state_dict(torch.load(file, weights_only=True))
    except UNREADABLE as error:
        raise UnusableInputError(f"{file} cannot be read", "Delete it, and it is made again") from error
    return companion.eval()


def digest_of_chain(chain: Chain, faces: Crops) -> str:
    """Return what a companion hangs on in twelve digits: another network or other faces make another one."""
    digest = hashlib.sha256(faces.tobytes())
    for weights in (chain.weight, chain.bias, *(layer.weight for layer in chain.layers)):
        digest.update(weights.numpy().tobytes())
    return digest.hexdigest()[:12]


def beginning(start: Trunk, recipe: Recipe, companion: Companion | None = None) -> Trunk:
    """Return the trunk that a run begins with: the start, with a companion beside it if one is to learn.

    Raises:
        UnusableInputError: One is to learn and there is none.
    """
    if not recipe.companion:
        return start
    if companion is None:
        raise UnusableInputError("There is no network to make a companion of", "Give SFace's ONNX file (--companion)")
    trunk = accompanied(alone(start), companion)
    if trunk.companion is not None:
        trunk.companion.unsettle()
    return trunk


def check(place: Place, *, resume: bool) -> None:
    """Refuse what cannot be run, before hours are spent.

    Raises:
        UnusableInputError: There is nothing to learn from, or there is a run in the folder that is not to be resumed.
    """
    source_names(place.data, place.only)
    if not resume:
        require_no_run(place.folder)


def prepare(place: Place, teachers: Sequence[Teacher], detector: FaceDetector, recipe: Recipe, say: Say) -> None:
    """Align what is not aligned yet, mix, and ask the teachers what they were not asked yet.

    Raises:
        UnusableInputError: There is nothing to learn from.
    """

    def tell(done: int, of: int) -> None:
        say(f"  {done:,} of {of:,} photos")

    for name in source_names(place.data, place.only):
        say(f"aligning {name}")
        align_source(place.data, name, detector, place.crops_folder, threads=recipe.workers + 1, tell=tell)
    sources, _ = opened(place)
    require_judges(sources)
    if recipe.mixtures:
        say("mixing faces")
        count = round(recipe.mixtures * len(training_rows(sources)))
        mix_sources(sources, count, place.crops_folder, recipe.seed)
    for teacher in teachers:
        for source in (*sources, *mixtures(place, recipe)):
            say(f"asking {teacher.name or 'the teacher'} about {source.name}")
            said_of(source, teacher, place.crops_folder)


def opened(place: Place) -> tuple[tuple[Source, ...], dict[str, int]]:
    """Return the aligned sources, and how many photos of each had no face that was found."""
    crops, names = place.crops_folder, source_names(place.data, place.only)
    return tuple(read_source(crops, name) for name in names), {name: missed_in(crops, name) for name in names}


def mixtures(place: Place, recipe: Recipe) -> tuple[Source, ...]:
    """Return the source of mixtures, if the recipe has any."""
    return (read_source(place.crops_folder, MIXED),) if recipe.mixtures else ()


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


def shares_of(sources: Sequence[Source], mixed: float = 0.0) -> NDArray[np.float64]:
    """Return each source's share of a batch: by the root of its people with two pictures, so that small ones count.

    Args:
        sources: All, that of the mixtures among them or not.
        mixed: The share of the mixtures, if they are there.
    """
    nobody = np.array([source.name == MIXED for source in sources])
    pairs = [np.unique(source.people, return_counts=True)[1] > 1 for source in sources]
    roots = np.sqrt([max(1, int(several.sum())) for several in pairs]) * ~nobody
    rest = 1 - mixed if nobody.any() else 1.0
    return np.asarray(np.where(nobody, mixed, rest * roots / max(1.0, roots.sum())), np.float64)
