"""What the twins learn from. Templates have unit length, so the distance of two is d = sqrt(2 - 2 cos), in [0, 2].

Contrastive loss (Hadsell, Chopra, LeCun, CVPR 2006, eq. 4), with a margin on both sides:

    mated:      max(0, d - near)^2 / 2          non-mated:      max(0, far - d)^2 / 2

There Y = 0 marks a similar pair and `near` is 0. A trunk that has learnt to tell people apart keeps two pictures of one
person at a distance of about 0.8; pulling them to 0 would undo what else it knows, so only what is farther is pulled.
"""

import torch
from torch import Tensor


def distances(cosines: Tensor) -> Tensor:
    """Return sqrt(2 - 2 cos), any shape. The floor keeps the gradient finite where two templates are equal."""
    return (2 - 2 * cosines).clamp_min(1e-8).sqrt()


def contrastive(distance: Tensor, mated: Tensor, *, near: float, far: float) -> Tensor:
    """Return the loss of each pair: float (n,), from distances (n,) and bool (n,)."""
    pull, push = (distance - near).clamp_min(0).square(), (far - distance).clamp_min(0).square()
    return torch.where(mated, pull, push) / 2


def mean_of_hardest(losses: Tensor, share: float) -> Tensor:
    """Return the mean of the largest `share` of losses (n,), at least one; of none: 0."""
    if not len(losses):
        return losses.sum()
    count = max(1, round(share * len(losses)))
    return losses.topk(count).values.mean()


def batch_contrastive(
    templates: Tensor, people: Tensor, groups: Tensor, *, near: float, far: float, hardest: float
) -> Tensor:
    """Return the contrastive loss over all pairs of a batch, the hardest of both kinds, both kinds weighing the same.

    Args:
        templates: Float (n, d), unit length.
        people: Int (n,): who is on each picture.
        groups: Int (n,): two people are known to be two only within a group, since sets share people under other names.
        near: Mated pairs closer than this are left alone.
        far: Non-mated pairs farther than this are left alone.
        hardest: Share of non-mated pairs that counts, the hardest.
    """
    left, right = torch.triu_indices(len(people), len(people), 1, device=templates.device)
    distance = distances((templates[left] * templates[right]).sum(1))  # (pairs,)
    mated = people[left] == people[right]
    strangers = ~mated & (groups[left] == groups[right])
    losses = contrastive(distance, mated, near=near, far=far)
    own = losses[mated].mean() if bool(mated.any()) else losses.sum() * 0
    return own + mean_of_hardest(losses[strangers], hardest)


def anchor(templates: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of 1 - cos to what a teacher said of the clean picture: (n, d), (n, d), both of unit length."""
    return (1 - (templates * targets).sum(1)).mean()


def relations(templates: Tensor, teachers: Tensor) -> Tensor:
    """Return the mean squared difference of all scores in a batch to those of the teachers, (n, d), (n, e).

    It asks only how alike two faces are, so the teachers' templates may have another dimension.
    """
    off = ~torch.eye(len(templates), dtype=torch.bool, device=templates.device)
    return (templates @ templates.T - teachers @ teachers.T)[off].square().mean()
