"""What each part of the recipe brings: the same short run again and again, each time with one thing changed.

All rows share crops, teachers' templates, seed and steps, and are judged on the same held-out people of all sources,
those of a source that was left out too. A row that is finished is kept and not run again; one that was cut goes on.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from facegate.core.ports import Crops, FaceDetector
from facegate.errors import UnusableInputError
from facegate.siamese.batches import Collection
from facegate.siamese.checkpoints import replacing
from facegate.siamese.companion import Companion
from facegate.siamese.corpus import Source, digest_of_sources
from facegate.siamese.losses import Head
from facegate.siamese.networks import Trunk
from facegate.siamese.plan import ITSELF, Recipe
from facegate.siamese.processes import Team
from facegate.siamese.recipe import (
    Place,
    beginning,
    collected,
    companion_of,
    digest_of_chain,
    faces_of,
    mixtures,
    opened,
    prepare,
    source_names,
)
from facegate.siamese.selection import judged
from facegate.siamese.sface import Chain
from facegate.siamese.teaching import Teacher
from facegate.siamese.training import Progress, Run
from facegate.siamese.weights import balanced, fresh_trunk

FIGURES: Final = "figures.json"
START: Final = "start"
UNTRAINED: Final = "companion-untrained"
SHARED: Final = ("seed", "steps", "people", "pictures", "bf16", "every", "workers", "mixtures", "mixed")
"""What a row in which the start learns itself has from the recipe as it is."""


@dataclass(frozen=True, slots=True)
class Row:
    """One change.

    Attributes:
        recipe: What decides the run.
        fresh: Begin with random weights.
        teachers: Which of the teachers are asked; None: all.
        without: A source that nothing is learnt from, or empty.
    """

    recipe: Recipe
    fresh: bool = False
    teachers: tuple[int, ...] | None = None
    without: str = ""


def rows_of(plan: Recipe, sources: Sequence[str], teachers: int) -> dict[str, Row]:
    """Return all rows, the recipe as it is first. In the last ones no companion learns, but the start itself.

    Args:
        plan: The recipe as it is.
        sources: Names of all sources.
        teachers: How many there are: the start's own network the first, SFace the second.
    """
    companions = {
        "recipe": plan,
        "start-stays" if plan.together else "together": replace(plan, together=not plan.together),
        "without-contrastive": replace(plan, contrastive=0.0),
        "without-teacher": replace(plan, anchor=0.0),
        "without-relations": replace(plan, relations=0.0),
        "without-all-teaching": replace(plan, anchor=0.0, relations=0.0),
        "arcface": replace(plan, head=Head.ARCFACE),
        "multi-similarity": replace(plan, head=Head.MULTI_SIMILARITY),
        "without-mixtures": replace(plan, mixed=0.0),
        "without-persons-mean": replace(plan, person=0.0),
        "doors-none": replace(plan, doors=0.0),
        "doors-all": replace(plan, doors=1.0),
        "masked-none": replace(plan, masked=0.0),
        "rounded-from-the-first-step": replace(plan, rounded=0.0),
        "rounded-at-the-end": replace(plan, rounded=1.0),
    }
    rows = {name: Row(recipe) for name, recipe in companions.items()}
    if len(sources) > 1:
        rows |= {f"without-{name}": Row(plan, without=name) for name in sources}
    whole = replace(ITSELF, **{each: getattr(plan, each) for each in SHARED})
    rows |= {
        "whole-trunk": Row(replace(whole, frozen=0)),
        "last-blocks": Row(replace(whole, frozen=12)),
        "random-start": Row(replace(whole, frozen=0), fresh=True),
    }
    return rows | {
        f"whole-trunk-teacher-{number}-alone": Row(replace(whole, frozen=0), teachers=(number,))
        for number in range(teachers)
    }


@dataclass(frozen=True, slots=True)
class Figures:
    """How held-out people do under one row: FNMR at an FMR of 1e-3 of each source.

    One of two pictures is as it is, the other as it is, masked, and as at a door.
    """

    row: str
    plain: dict[str, float]
    masked: dict[str, float]
    door: dict[str, float]

    @property
    def views(self) -> tuple[dict[str, float], ...]:
        """All three."""
        return self.plain, self.masked, self.door

    @property
    def means(self) -> tuple[float, ...]:
        """The mean of the sources, as they are, masked, and as at a door."""
        return tuple(float(np.mean(list(rates.values() or [np.nan]))) for rates in self.views)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def ablate(
    place: Place,
    chosen: Sequence[str],
    *,
    start: Trunk,
    teachers: Sequence[Teacher],
    detector: FaceDetector,
    plan: Recipe,
    chain: Chain,
    say: Callable[[str], None],
    report: Callable[[str, Progress], None],
    team: Team | None = None,
) -> Iterator[Figures]:
    """Run rows one after the other; the figures of the start and of a companion that learnt nothing come first.

    Args:
        place: Where pictures are and work goes, a folder for each row.
        chosen: Names of rows; empty: all.
        start: The trunk to begin with, and the first teacher's.
        teachers: All of them.
        detector: Finds the faces.
        plan: The recipe as it is.
        chain: SFace, of which the companion is made.
        say: Is told what is being done.
        report: Is told how a row stands.
        team: This process among its peers; the leader alone gives figures.

    Raises:
        UnusableInputError: There is no such row, or nothing to learn from.
    """
    team = team or Team()
    rows = rows_of(plan, source_names(place.data, place.only), len(teachers))
    if unknown := sorted(set(chosen) - set(rows)):
        raise UnusableInputError(f"There is no row {', '.join(unknown)}", f"Choose among {', '.join(rows)}")
    if team.leads:
        prepare(place, teachers, detector, plan, say)
    team.wait()
    sources, _ = opened(place)
    lessons = (*sources, *mixtures(place, plan))
    faces = faces_of(sources, plan.seed)
    basis, start = basis_of(start, chain, faces, sources), start.to(team.device)
    companion = companion_of(chain, faces, place.folder, team, say)
    if team.leads:
        yield figures_of(START, start, sources, plan, folder=place.folder, basis=basis)
        untrained = balanced(beginning(start, plan, companion), faces)
        yield figures_of(UNTRAINED, untrained.to(team.device), sources, plan, folder=place.folder, basis=basis)
    for name in chosen or rows:
        row, trunk = rows[name], start
        if not (place.folder / name / FIGURES).is_file():
            say(f"row {name}")
            trunk = beginning_of(row, start, companion, faces, plan.seed).to(team.device)
            collection = collection_of(row, lessons, teachers, place, trunk.shape.dimension)
            run = Run(trunk, collection, row.recipe, place.folder / name, team=team)
            run.resume()
            trunk = balanced(run.train(partial(report, name)), faces)
        if team.leads:
            yield figures_of(name, trunk, sources, row.recipe, folder=place.folder, basis=basis)
        team.wait()


def beginning_of(row: Row, start: Trunk, companion: Companion, faces: Crops, seed: int) -> Trunk:
    """Return what a row begins to learn with."""
    if row.fresh:
        return fresh_trunk(start.shape, seed=seed)
    return balanced(beginning(start, row.recipe, companion), faces)


def collection_of(
    row: Row, sources: tuple[Source, ...], teachers: Sequence[Teacher], place: Place, dimension: int
) -> Collection:
    """Return what a row learns from; a source that is left out is never drawn."""
    asked = teachers if row.teachers is None else [teachers[number] for number in row.teachers]
    elsewhere = not row.recipe.companion and row.teachers is not None and 0 not in row.teachers
    space = teachers[0] if elsewhere else None
    every = collected(sources, asked, place, dimension, row.recipe, space=space)
    return replace(every, weights=every.weights * np.array([source.name != row.without for source in sources]))


def basis_of(start: Trunk, chain: Chain, faces: Crops, sources: Sequence[Source]) -> str:
    """Return what all rows begin with and learn from in twelve digits: start, SFace and photos."""
    digest = hashlib.sha256(f"{digest_of_sources(sources)}/{digest_of_chain(chain, faces)}".encode())
    for value in start.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def figures_of(
    row: str, trunk: Trunk, sources: Sequence[Source], recipe: Recipe, *, folder: Path, basis: str
) -> Figures:
    """Return a row's figures: those that were kept, or measured now and kept.

    Raises:
        UnusableInputError: What was kept came of another recipe, start or photos, or cannot be read.
    """
    file, decided = folder / row / FIGURES, json.loads(json.dumps(asdict(recipe)))
    if file.is_file():
        try:
            kept = json.loads(file.read_text("utf-8"))
            found = Figures(kept["row"], kept["plain"], kept["masked"], kept["door"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnusableInputError(f"{file} cannot be read", "Delete it, and the row is judged anew") from error
        if kept.get("recipe") != decided or kept.get("basis") != basis:
            what = f"{file} holds figures of another recipe, another start or other photos"
            raise UnusableInputError(what, "Name another folder (--out)")
        return found
    seen = judged(trunk, 1.0, sources, recipe.seed)
    figures = Figures(row, *seen.views)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as path:
        path.write_text(json.dumps({**figures.to_json(), "recipe": decided, "basis": basis}, indent=1), "utf-8")
    return figures
