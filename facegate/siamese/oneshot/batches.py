"""Batches for one-shot learning, and what is learnt on all their pairs.

A batch holds A alphabets, C characters of each, K drawings of each character by K people: each drawing passes the tower
once, and all pairs within an alphabet are compared, as the test compares them. An alphabet that is turned by a quarter,
a half or three quarters, or mirrored, is another alphabet (Santoro et al. 2016 turn single characters).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from facegate.siamese.losses import mean_of_hardest
from facegate.siamese.oneshot.drawings import Drawings


@dataclass(frozen=True, slots=True)
class BatchShape:
    """Alphabets, characters of each, drawings of each character, and the share of alphabets that may be turned."""

    alphabets: int = 4
    characters: int = 16
    drawings: int = 2
    turned: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A batch: pictures float32 (n, 1, 105, 105), characters and groups (alphabets, in order) int64 (n,)."""

    pictures: Tensor
    characters: Tensor
    groups: Tensor

    def alphabets(self) -> list[Tensor]:
        """Return the rows of each alphabet."""
        count = int(self.groups.max()) + 1
        return [torch.nonzero(self.groups == group).squeeze(1) for group in range(count)]


class Sampler:
    """Draws batches of a shape."""

    def __init__(self, drawings: Drawings, shape: BatchShape) -> None:
        self._drawings, self._shape = drawings, shape
        self._of_character = {
            int(what): np.flatnonzero(drawings.characters == what) for what in np.unique(drawings.characters)
        }
        self._of_alphabet = [
            np.unique(drawings.characters[drawings.alphabets == which]) for which in np.unique(drawings.alphabets)
        ]
        sizes = np.array([len(own) for own in self._of_alphabet])
        self._shares = sizes / sizes.sum()

    def draw(self, generator: np.random.Generator) -> Drawn:
        """Draw a batch; alphabets by their size, fewer characters where an alphabet has fewer."""
        rows, groups, turned = [], [], []
        count = min(self._shape.alphabets, len(self._of_alphabet))
        for group, which in enumerate(generator.choice(len(self._of_alphabet), count, replace=False, p=self._shares)):
            own = self._of_alphabet[which]
            chosen = generator.choice(own, min(self._shape.characters, len(own)), replace=False)
            picked = np.concatenate([self._some(int(what), generator) for what in chosen])
            pictures = self._drawings.pictures[picked]
            if generator.random() < self._shape.turned:
                pictures = np.rot90(pictures, int(generator.integers(4)), (1, 2))
                pictures = pictures[:, :: generator.choice((1, -1))]
            rows.append(picked)
            groups.append(np.full(len(picked), group))
            turned.append(pictures)
        pictures = torch.from_numpy(np.concatenate(turned)).float().unsqueeze(1)
        characters = torch.from_numpy(self._drawings.characters[np.concatenate(rows)])
        return Drawn(pictures, characters, torch.from_numpy(np.concatenate(groups)))

    def _some(self, character: int, generator: np.random.Generator) -> NDArray[np.int64]:
        own = self._of_character[character]
        return own[np.resize(generator.permutation(len(own)), self._shape.drawings)]


def pair_cross_entropy(logits: Tensor, characters: Tensor, *, hardest: float) -> Tensor:
    """Return the paper's loss over all pairs within an alphabet: cross-entropy, mated and non-mated weighing the same.

    Args:
        logits: Float (n, n), of the probability that two drawings show one character; only above the diagonal is read.
        characters: Int (n,).
        hardest: Share of the non-mated pairs that counts, the hardest.
    """
    left, right = torch.triu_indices(len(logits), len(logits), 1, device=logits.device)
    mated = characters[left] == characters[right]
    losses = functional.binary_cross_entropy_with_logits(logits[left, right], mated.to(logits.dtype), reduction="none")
    return (losses[mated].mean() + mean_of_hardest(losses[~mated], hardest)) / 2


def trial_cross_entropy(logits: Tensor, characters: Tensor) -> Tensor:
    """Return the loss of the one-shot trials within an alphabet.

    Each ordered mated pair is a trial: the asked drawing must choose the known one among that and all drawings of other
    characters. -log softmax of it, averaged (the contrastive loss of Khosla et al. 2020, "out" form).

    Args:
        logits: Float (n, n).
        characters: Int (n,), two different ones at least.
    """
    same = characters[:, None] == characters[None, :]
    against = logits.masked_fill(same, -torch.inf).logsumexp(1, keepdim=True)  # (n, 1)
    losses = functional.softplus(against - logits)  # (n, n)
    return losses[same & ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)].mean()
