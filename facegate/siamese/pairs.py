"""P x K batches: P people, K pictures of each, so that every batch holds mated and non-mated pairs in known numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Who is on each picture of a collection.

    Attributes:
        people: int64, shape (n,): number of the person, unique over all sources.
        sources: int64, shape (n,): number of the source; a person is in one source.
        nobody: Number of the source that shows mixtures of people, whose likeness says nothing; -1: there is none.
    """

    people: NDArray[np.int64]
    sources: NDArray[np.int64]
    nobody: int = -1

    @property
    def groups(self) -> NDArray[np.int64]:
        """int64, shape (n,): two people are known to be strangers if they are of one group."""
        return np.where(self.sources == self.nobody, -1 - self.people, self.sources)

    def where(self, rows: NDArray[np.int64]) -> "Labels":
        """Return those of some pictures."""
        return Labels(self.people[rows], self.sources[rows], self.nobody)


class PeopleSampler:
    """Draws batches of P x K pictures, sources by weight, people of a source evenly."""

    def __init__(self, labels: Labels, *, people: int, pictures: int, weights: NDArray[np.float64]) -> None:
        """Prepare the draw.

        Args:
            labels: The collection.
            people: P, people in a batch.
            pictures: K, pictures of each.
            weights: Share of people from each source, shape (sources,); a source without people gets none.
        """
        self._pictures, self._count = pictures, people
        order = np.argsort(labels.people, kind="stable")
        _, starts = np.unique(labels.people[order], return_index=True)
        self._of_person = np.split(order, starts[1:])
        source_of = np.array([labels.sources[own[0]] for own in self._of_person])
        self._of_source = [np.flatnonzero(source_of == source) for source in range(len(weights))]
        filled = weights * np.array([len(people) > 0 for people in self._of_source])
        self._weights = filled / filled.sum()

    def draw(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return the indices of a batch, int64 (P * K,), a person's pictures together.

        People are distinct. A person with fewer than K pictures gives some of them twice: two augmentations differ.
        """
        shares = generator.multinomial(self._count, self._weights)
        chosen = [
            generator.choice(people, size=min(share, len(people)), replace=False)
            for people, share in zip(self._of_source, shares, strict=True)
        ]
        return np.concatenate([self._of(int(person), generator) for person in np.concatenate(chosen)])

    def _of(self, person: int, generator: np.random.Generator) -> NDArray[np.int64]:
        own = self._of_person[person]
        order = generator.permutation(len(own))
        return own[np.resize(order, self._pictures)]
