"""Learning a projection head on features: the contrastive loss on mated and non-mated pairs, from the champion on.

The door holds a probe against one reference a user, the mean of what is known of them, and so does the learning: each
step draws strangers of the replay set, takes the mean of a person's good photo and its door view as their reference,
and another photo's door view as the probe; the household's users join in with all that they have, each probe against a
reference made without it. A mated score s costs softplus(a (t - s)), a non-mated one softplus(a (s - t)): the
contrastive loss with soft margins at the threshold t that a door works at.

What is learnt is a small step away from the champion's head, few batches at a small rate, with a penalty for going far:
longer learning was tried and does harm (see the table of `facegate bench finetune`).
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, one_hot, softplus

from facegate.siamese.networks import Trunk
from facegate.siamese.tuning.cohort import CLEAN, LIGHTS, Strangers

Features = NDArray[np.float32]

MOST_PROBES: Final = 256
"""Of the household in one batch; of more, every second or third one is taken, so fewer than twice as many."""
MOST_USERS: Final = 64
"""Of the household in one batch; with more, each batch draws other ones."""


@dataclass(frozen=True, slots=True)
class HeadPlan:
    """How a head is learnt.

    Attributes:
        steps: Batches.
        rate: Of Adam, where each feature is measured in its standard deviations among strangers.
        strangers: People of the replay set in a batch.
        slope: a, of the loss.
        threshold: t, of the loss.
        non_mated: What the mean over non-mated pairs is multiplied by; they are many, and few of them matter.
        leash: Weight of the squared step away from the champion's head, relative to that head.
        rank: Of the step; 0: whatever it takes.
    """

    steps: int = 60
    rate: float = 5e-5
    strangers: int = 96
    slope: float = 24.0
    threshold: float = 0.33
    non_mated: float = 30.0
    leash: float = 1.0
    rank: int = 0


ALL_BUT: Final = -2
"""Owners up to here say whom a face does not show."""


def all_but(user: Any) -> Any:
    """Return the owner of a face that is not a user's, or the user of such an owner: it is its own inverse.

    >>> all_but(0), all_but(all_but(3))
    (-2, 3)
    """
    return ALL_BUT - user


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Features of the household's faces.

    Attributes:
        features: float32 (n, f).
        owners: int64 (n,): whose face it is; -1: nobody's of the household; `all_but(u)`: not that of user u, and
            more is not known.
        items: int64 (n,): photo or frame that it comes from; a photo's copies share the number.
        weights: float32 (n,): what it weighs in its owner's reference.
        probes: bool (n,): it is a face as the door sees it.
        photos: bool (n,): it is an enrolled photo as it is.
    """

    features: Features
    owners: NDArray[np.int64]
    items: NDArray[np.int64]
    weights: NDArray[np.float32]
    probes: NDArray[np.bool_]
    photos: NDArray[np.bool_]

    def where(self, kept: NDArray[np.bool_]) -> "Rows":
        """Return those rows."""
        return Rows(
            self.features[kept],
            self.owners[kept],
            self.items[kept],
            self.weights[kept],
            self.probes[kept],
            self.photos[kept],
        )


def head_of(trunk: Trunk) -> Features:
    """Return a trunk's projection head, float32 (d, f)."""
    head: Features = trunk.embed.weight.detach().numpy()[:, :, 0, 0].copy()
    return head


def templates(head: Features, features: Features) -> Features:
    """Return templates float32 (n, d), of unit length, of features (n, f) by a head (d, f)."""
    raw = features @ head.T
    return np.asarray(raw / np.maximum(1e-9, np.linalg.norm(raw, axis=1, keepdims=True)), np.float32)


def mean_references(head: Features, rows: Rows, users: int) -> Features:
    """Return one reference a user, float32 (users, d): the mean direction of their faces; zeros without any."""
    made = templates(head, rows.features) * rows.weights[:, None]
    sums = np.zeros((users, head.shape[0]), np.float32)
    known = rows.owners >= 0
    np.add.at(sums, rows.owners[known], made[known])
    return np.asarray(sums / np.maximum(1e-9, np.linalg.norm(sums, axis=1, keepdims=True)), np.float32)


def learn_head(
    head: Features, rows: Rows, users: int, replay: Strangers, lights: NDArray[np.float64], *, plan: HeadPlan, seed: int
) -> Features:
    """Return a head that was learnt from a household and strangers, starting at `head` (d, f).

    Args:
        head: The champion's.
        rows: The household's faces.
        users: How many users there are.
        replay: Strangers, with a clean face and one in each light.
        lights: float64 (3,): how much each light of `LIGHTS[1:]` is to be met.
        plan: How.
        seed: Of the batches.
    """
    draw = np.random.default_rng(seed)
    spread = spread_of(replay)
    rows, replay = replace(rows, features=rows.features / spread), replace(replay, features=replay.features / spread)
    start = torch.from_numpy(head * spread)
    parts = _step_parts(start, plan.rank, seed)
    adam = torch.optim.Adam(parts, lr=plan.rate)
    strangers = _by_light(replay)
    for _ in range(plan.steps):
        step = _step(parts)
        weights = start + step
        light = 1 + int(draw.choice(len(lights), p=lights / lights.sum()))
        met = _met_strangers(strangers, light, plan.strangers, draw)
        scores, mated = _compared(weights, met, _drawn(rows, users, draw))
        cost = softplus(plan.slope * (plan.threshold - scores[mated == 1])).mean()
        cost = cost + plan.non_mated * softplus(plan.slope * (scores[mated == 0] - plan.threshold)).mean()
        cost = cost + plan.leash * step.square().sum() / start.square().sum()
        adam.zero_grad()
        cost.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return np.asarray(head + _step(parts).detach().numpy() / spread, np.float32)  # without a step the champion's own


def spread_of(strangers: Strangers) -> NDArray[np.float32]:
    """Return the standard deviation of each feature among strangers, float32 (f,), none too small to divide by.

    Those of a trunk and of a companion differ fifteenfold. A step in a weight counts as much as the feature that it
    weighs is large, so Adam, whose steps are all alike, would turn a companion's values fifteen times as far.
    """
    spread = strangers.features.std(axis=0)
    return np.asarray(np.maximum(spread, 1e-3 * max(1e-9, float(spread.max()))), np.float32)


def _step_parts(start: Tensor, rank: int, seed: int) -> list[Tensor]:
    """Return what is learnt: the step itself, or the two factors of one of low rank; the step begins as zero."""
    if not rank:
        return [torch.zeros_like(start, requires_grad=True)]
    generator = torch.Generator().manual_seed(seed)
    across = torch.randn(rank, start.shape[1], generator=generator) / start.shape[1] ** 0.5
    return [torch.zeros(start.shape[0], rank, requires_grad=True), across.requires_grad_()]


def _step(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else parts[0] @ parts[1]


def _by_light(replay: Strangers) -> Features:
    """Return the features of those strangers who have all lights, float32 (people, lights, f)."""
    seen = [replay.seen(light) for light in LIGHTS]
    everywhere = [person for person in seen[0].people if all((part.people == person).any() for part in seen[1:])]
    places = [{person: at for at, person in enumerate(part.people.tolist())} for part in seen]
    return np.stack([
        np.stack([part.features[place[int(person)]] for part, place in zip(seen, places, strict=True)])
        for person in everywhere
    ])  # fmt: skip


def _met_strangers(strangers: Features, light: int, count: int, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return what the references of some strangers are made of, and probes of them: float (k, f) each."""
    chosen = draw.choice(len(strangers), min(count, len(strangers)), replace=False)
    clean, door = strangers[chosen, LIGHTS.index(CLEAN)], strangers[chosen, light]
    return torch.from_numpy(clean), torch.from_numpy(door)


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """The household's part of a batch; owners count through the users drawn."""

    rows: Rows
    users: int


def _drawn(rows: Rows, users: int, draw: np.random.Generator) -> _Batch:
    """Draw users, where there are many, and renumber them; faces of nobody stay."""
    if users <= MOST_USERS:
        return _Batch(rows, users)
    chosen = np.sort(draw.choice(users, MOST_USERS, replace=False))
    number = np.full(users, users)
    number[chosen] = np.arange(MOST_USERS)
    owners = rows.owners
    known, but = owners >= 0, owners <= ALL_BUT
    renumbered = owners.copy()
    renumbered[known], renumbered[but] = number[owners[known]], all_but(number[all_but(owners[but])])
    kept = (renumbered < users) & (renumbered > all_but(users))
    some = rows.where(kept)
    return _Batch(Rows(some.features, renumbered[kept], some.items, some.weights, some.probes, some.photos), MOST_USERS)


def _compared(weights: Tensor, met: tuple[Tensor, Tensor], batch: _Batch) -> tuple[Tensor, Tensor]:
    """Compare all probes with all references: scores (n, m), and 1 where mated, 0 where not, -1 where not compared."""
    clean, door = (normalize(part @ weights.T, dim=1) for part in met)
    own = torch.eye(len(clean), dtype=torch.long)
    rows = batch.rows
    if not len(rows.owners) or not batch.users:
        return door @ clean.T, own
    faces = normalize(torch.from_numpy(rows.features) @ weights.T, dim=1)
    owners = torch.from_numpy(rows.owners)
    weighed = faces * torch.from_numpy(rows.weights)[:, None]
    known = owners >= 0
    sums = torch.zeros(batch.users, faces.shape[1]).index_add(0, owners[known], weighed[known])
    _, place = np.unique(rows.items, return_inverse=True)
    item = torch.from_numpy(place)
    of_item = torch.zeros(int(item.max()) + 1, faces.shape[1]).index_add(0, item, weighed)
    at = torch.from_numpy(np.flatnonzero(rows.probes)[:: max(1, int(rows.probes.sum()) // MOST_PROBES)].copy())
    probes, whose = faces[at], owners[at]
    users = normalize(sums, dim=1)
    scores = probes @ users.T
    rest = sums[whose.clamp_min(0)] - of_item[item[at]]  # the reference without the photo or frame of the probe
    left_out = (probes * normalize(rest, dim=1)).sum(1)
    compared = (rest.norm(dim=1) > 1e-3) & (whose >= 0)  # noqa: PLR2004 - something is left
    mine = one_hot(whose.clamp_min(0), batch.users) * (whose >= 0).long()[:, None]
    scores = torch.where(mine == 1, left_out[:, None], scores)
    label = torch.where((mine == 1) & ~compared[:, None], -1, mine)
    but = all_but(whose)[:, None]  # of whom it is not; of everybody else nothing is known
    label = torch.where((whose <= ALL_BUT)[:, None] & (torch.arange(batch.users) != but), -1, label)
    top = torch.cat((door @ clean.T, door @ users.T), 1)
    low = torch.cat((probes @ clean.T, scores), 1)
    labels = torch.cat((
        torch.cat((own, torch.zeros(len(door), batch.users, dtype=torch.long)), 1),
        torch.cat((torch.zeros(len(probes), len(clean), dtype=torch.long), label), 1),
    ))  # fmt: skip
    return torch.cat((top, low)), labels
