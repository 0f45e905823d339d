"""What the twins learn from. Templates have unit length, so the distance of two is d = sqrt(2 - 2 cos), in [0, 2].

Contrastive loss (Hadsell, Chopra, LeCun, CVPR 2006, eq. 4), with a margin on both sides:

    mated:      max(0, d - near)^2 / 2          non-mated:      max(0, far - d)^2 / 2

There Y = 0 marks a similar pair and `near` is 0. A trunk that has learnt to tell people apart keeps two pictures of one
person at a distance of about 0.8; pulling them to 0 would undo what else it knows, so only what is farther is pulled.
"""

import math
from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor, nn


class Head(StrEnum):
    """A further loss on who is who."""

    NONE = "none"
    ARCFACE = "arcface"
    MULTI_SIMILARITY = "multi-similarity"


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


def anchor(templates: Tensor, targets: Tensor, parts: Sequence[int] = ()) -> Tensor:
    """Return the mean of 1 - cos to what the teachers said of the clean picture: (n, d), (n, d).

    Args:
        templates: Of any length.
        targets: Of any length.
        parts: Values of each teacher, which add up to d: each part is held to its teacher by itself, and how much
            the parts count beside each other is left free. None: one teacher.
    """
    lengths = list(parts) or [templates.shape[1]]
    pairs = zip(torch.split(templates, lengths, 1), torch.split(targets, lengths, 1), strict=True)
    return torch.stack([(1 - nn.functional.cosine_similarity(one, other)).mean() for one, other in pairs]).mean()


def relations(templates: Tensor, teachers: Tensor) -> Tensor:
    """Return the mean squared difference of all scores in a batch to those of the teachers, (n, d), (n, e).

    It asks only how alike two faces are, so the teachers' templates may have another dimension.
    """
    off = ~torch.eye(len(templates), dtype=torch.bool, device=templates.device)
    return (templates @ templates.T - teachers @ teachers.T)[off].square().mean()


def multi_similarity(
    templates: Tensor, people: Tensor, groups: Tensor, *, tight: float = 2.0, steep: float = 40.0, middle: float = 0.4
) -> Tensor:
    """Return the multi-similarity loss of a batch (Wang and others, CVPR 2019, eq. 15), without its mining.

        mean over pictures of  log(1 + sum_mated exp(-a (s - m))) / a + log(1 + sum_strangers exp(b (s - m))) / b

    Args:
        templates: Float (n, d), unit length.
        people: Int (n,): who is on each picture.
        groups: Int (n,): two people are known to be two only within a group.
        tight: a, how hard mated scores are pulled.
        steep: b, how hard the scores of strangers are pushed.
        middle: m, about where the threshold will be.
    """
    alike = templates @ templates.T
    same = people[:, None] == people[None, :]
    mated = same & ~torch.eye(len(people), dtype=torch.bool, device=templates.device)
    strangers = ~same & (groups[:, None] == groups[None, :])
    # logsumexp with a zero beside it is log(1 + sum exp); what does not count is far below.
    pull = torch.where(mated, -tight * (alike - middle), -math.inf)
    push = torch.where(strangers, steep * (alike - middle), -math.inf)
    zero = alike.new_zeros(len(people), 1)
    own = torch.logsumexp(torch.cat((zero, pull), 1), 1) / tight
    return (own + torch.logsumexp(torch.cat((zero, push), 1), 1) / steep).mean()


class ArcFace(nn.Module):
    """A class for each training person, with an angle added to one's own (Deng and others, CVPR 2019, eq. 3).

    It exists while the twins learn, and is thrown away with its people: nothing of it is in the network.
    """

    groups: Tensor

    def __init__(self, dimension: int, groups: Tensor, *, scale: float = 32.0, angle: float = 0.3) -> None:
        """Draw a direction for each person.

        Args:
            dimension: d of the templates.
            groups: Int (people,): the group of each; only people of one group are known to be two.
            scale: s.
            angle: m, radians.
        """
        super().__init__()
        self.register_buffer("groups", groups)
        self.centres = nn.Parameter(nn.functional.normalize(torch.randn(len(groups), dimension), dim=1))
        self.scale, self.angle = scale, angle

    def forward(self, templates: Tensor, people: Tensor) -> Tensor:
        """(n, d), int (n,) -> the mean cross entropy."""
        cosines = templates @ nn.functional.normalize(self.centres, dim=1).T  # (n, people)
        own = cosines.gather(1, people[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        turned = torch.cos(torch.acos(own) + self.angle)
        # Past the pole an angle more would be less: there the cosine is lowered by as much as is left.
        turned = torch.where(own > math.cos(math.pi - self.angle), turned, own - self.angle * math.sin(self.angle))
        logits = self.scale * cosines.scatter(1, people[:, None], turned)
        known = self.groups[None, :] == self.groups[people][:, None]
        return nn.functional.cross_entropy(logits.masked_fill(~known, -math.inf), people)
