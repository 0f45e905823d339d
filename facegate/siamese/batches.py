"""Batches of a run: people drawn, their pictures augmented, each from the seed and its number alone."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from facegate.siamese import augment
from facegate.siamese.corpus import Counted, Source
from facegate.siamese.pairs import Labels, PeopleSampler
from facegate.siamese.plan import Recipe
from facegate.siamese.processes import Team


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """What is learnt from: crops of several sources, who is on them, and the teachers' targets.

    Attributes:
        sources: The crops.
        labels: Who is on each, counted through the sources.
        rows: Numbers of the crops that may be used.
        targets: float32 (n, d), the teachers' template of each clean crop; unused rows may hold anything. d: the values
            that the student learns.
        weights: Share of a batch's people from each source, shape (sources,).
    """

    sources: tuple[Source, ...]
    labels: Labels
    rows: NDArray[np.int64]
    targets: NDArray[np.float32]
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A batch as one process of a team sees it.

    Attributes:
        crops: uint8 (m, 3, s, s), its own part of the pictures.
        people: int64 (n,), of the whole batch, in the order of ranks.
        groups: int64 (n,), of the whole batch.
        targets: float32 (n, d), of the whole batch.
    """

    crops: Tensor
    people: Tensor
    groups: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        parts = (self.crops, self.people, self.groups, self.targets)
        return Batch(*(part.to(device, non_blocking=True) for part in parts))

    def pin_memory(self) -> "Batch":
        """Return the batch in memory that a GPU copies from by itself; the loader asks for it."""
        return Batch(*(part.pin_memory() for part in (self.crops, self.people, self.groups, self.targets)))


class Batches(Dataset[Batch]):
    """Batch number k of a run, made from the seed and k alone."""

    def __init__(self, collection: Collection, recipe: Recipe, team: Team | None = None) -> None:
        self._collection, self._recipe, self._team = collection, recipe, team or Team()
        chosen = collection.labels.where(collection.rows)
        self._sampler = PeopleSampler(
            chosen, people=recipe.people, pictures=recipe.pictures, weights=collection.weights
        )
        self._crops = Counted(collection.sources)

    def __len__(self) -> int:
        return self._recipe.steps

    def __getitem__(self, step: int) -> Batch:
        """Draw the batch and augment one's own part."""
        seed, size = (self._recipe.seed, step), self._team.size
        drawn = self._collection.rows[self._sampler.draw(np.random.default_rng(seed))]
        order = np.arange(len(drawn) // size * size).reshape(-1, size).T  # (size, m): a row for each rank
        crops = np.stack(
            [self._seen(int(drawn[at]), np.random.default_rng((*seed, int(at) + 1))) for at in order[self._team.rank]]
        )
        rows = drawn[order.ravel()]
        labels = self._collection.labels.where(rows)
        return Batch(
            torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))),
            torch.from_numpy(labels.people),
            torch.from_numpy(labels.groups),
            torch.from_numpy(self._collection.targets[rows]),
        )

    def _seen(self, row: int, draw: np.random.Generator) -> NDArray[np.uint8]:
        wide = self._crops[row]
        if draw.random() < self._recipe.doors:
            return augment.door(wide, draw)
        return augment.masked(wide, draw) if draw.random() < self._recipe.masked else augment.place(wide, draw)
