"""Chooses between the start and what was trained from it, on people whom the training has not seen.

Each candidate is judged on held-out people three times: a photo as it is, as people are enrolled, against every other
one as it is, masked, and as at a door. The figure is the FNMR at an FMR of 1e-3, and a source counts as much as
another, however many people it has. What is worse than the start on any source as it is, by more than chance explains,
falls out: what is learnt for the door must not be paid for in daylight. Of the rest leads whose misses are the fewest
beside the start's, in the geometric mean of all sources and all three: a tenth fewer in daylight, where they are rare,
counts as much as a tenth fewer at night. Where several are as good, the nearest to the start leads, as a simpler one
would (Breiman and others 1984, the rule of one standard error: that of the difference, since all are judged on the same
pictures).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from facegate.core import rates
from facegate.core.comparison import Templates, scores
from facegate.core.ports import Crops
from facegate.errors import UnusableInputError
from facegate.siamese import augment
from facegate.siamese.corpus import Source, is_held_out, training_rows
from facegate.siamese.networks import Trunk, fed_to
from facegate.siamese.training import HeldOut
from facegate.siamese.weights import alone, between, features_seen

MOST_LOSS: Final = 0.1
"""A candidate's FNMR on a source as it is may be so much above the start's, relatively."""
CHANCE: Final = 2.0
"""And so many standard errors: a source's few strangers place the threshold, and with it some misses more or less."""

SHARES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
WAYS: Final = SHARES
"""How far a start goes that learnt beside its companion."""
COMPANION_SHARES: Final = (*SHARES, 1.2, 1.5)
"""What a companion may weigh: behind masks it is the better of the two."""
Point = tuple[float, float]
"""A share, and a way."""
TARGET_FMR: Final = 1e-3
LEAST_MATED: Final = 20
"""Sources with fewer mated comparisons say nothing."""
MOST_PICTURES: Final = 500
"""Of one source; the other held-out people stay untouched, for the calibration."""
FEW_PICTURES: Final = 200
"""Of one source, while training goes on."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point between start and trained, and how it does on held-out people.

    Attributes:
        share: 0 is the start, 1 the trained; of a companion, what it weighs.
        plain: FNMR at FMR 1e-3 of each source, pictures as they are.
        masked: The same, one of two pictures with a mask.
        door: The same, one of two pictures as at a door.
        mated: Mated pairs of pictures behind each.
        way: How far the start went that stands beside the companion.
    """

    share: float
    plain: dict[str, float]
    masked: dict[str, float]
    door: dict[str, float]
    mated: dict[str, int]
    way: float = 0.0

    @property
    def is_start(self) -> bool:
        """It is the start itself."""
        return self.share == self.way == 0

    @property
    def views(self) -> tuple[dict[str, float], ...]:
        """FNMR as they are, masked, as at a door."""
        return self.plain, self.masked, self.door

    def misses(self, other: "Candidate") -> NDArray[np.float64]:
        """Return the logarithm of the misses beside another's, of each source and view, shape (sources * views,).

        Each count is one higher, since it may be 0.
        """
        ratios = [
            (mine[name] * self.mated[name] + 1) / (theirs[name] * self.mated[name] + 1)
            for mine, theirs in zip(self.views, other.views, strict=True)
            for name in mine
        ]
        return np.log(np.array(ratios, np.float64))

    def cost(self, start: "Candidate") -> float:
        """Return the misses in the geometric mean, 1 being the start's."""
        return float(np.exp(self.misses(start).mean()))

    def as_good_as(self, best: "Candidate") -> bool:
        """Tell whether it misses no more than the best but for one standard error of the difference."""
        more = self.misses(best)
        return bool(more.mean() <= more.std(ddof=1) / math.sqrt(len(more)))


def choose(
    start: Trunk, trained: Trunk, sources: Sequence[Source], seed: int, wanted: float | None = None
) -> list[Candidate]:
    """Return all candidates, the best first.

    Args:
        start: The trunk that the training began with.
        trained: What came out.
        sources: Whose held-out people judge.
        seed: Of what happens to their pictures.
        wanted: The share that was chosen elsewhere; it leads, and the start alone stands beside it.
    """
    beside = trained.companion is not None
    ways, shares = WAYS if beside and moved(start, trained) else (0.0,), COMPANION_SHARES if beside else SHARES
    points = [(share, way) for way in ways for share in shares] if wanted is None else [(wanted, ways[-1]), (0.0, 0.0)]
    candidates = compared(candidate_templates(start, trained, points), points, sources, seed)
    return ranked(candidates) if wanted is None else candidates


def moved(start: Trunk, trained: Trunk) -> bool:
    """Tell whether the start itself learnt beside its companion."""
    own = alone(trained).state_dict()
    return any(not torch.equal(value, own[name]) for name, value in start.state_dict().items())


def ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates, the start among them: the leader, then those that lose nothing, the cheapest first."""
    start = next(candidate for candidate in candidates if candidate.is_start)

    def loses(candidate: Candidate) -> bool:
        return any(
            candidate.plain[name] - seen > max(MOST_LOSS * seen, CHANCE * error(candidate.plain[name], seen, name))
            for name, seen in start.plain.items()
        )

    def error(one: float, other: float, name: str) -> float:
        return math.sqrt((one * (1 - one) + other * (1 - other)) / start.mated[name])

    ordered = sorted(candidates, key=lambda candidate: (loses(candidate), candidate.cost(start)))
    best = ordered[0]  # the start loses nothing, so the first does not either
    as_good = [candidate for candidate in ordered if not loses(candidate) and candidate.as_good_as(best)]
    leader = min(as_good, key=lambda candidate: candidate.share + candidate.way)
    return [leader, *(candidate for candidate in ordered if candidate is not leader)]


def require_judges(sources: Sequence[Source]) -> None:
    """Refuse data whose held-out people are too few to choose and to calibrate on, before hours are spent.

    Raises:
        UnusableInputError: No source has enough comparisons among them.
    """
    judges = any(speaks(source, judged_rows(source)) for source in sources)
    strangers = any(len({source.people[row] for row in untouched_rows(source)}) > 1 for source in sources)
    mated = any(comparisons(source, untouched_rows(source)) for source in sources)
    if not (judges and strangers and mated and len(training_rows(sources))):
        raise UnusableInputError("There are too few people to hold some out and choose on", "Give more people")


def speaks(source: Source, rows: NDArray[np.int64]) -> bool:
    """Tell whether some crops of a source give enough mated comparisons, and any of two people at all."""
    return comparisons(source, rows) >= LEAST_MATED and len({source.people[row] for row in rows}) > 1


def comparisons(source: Source, rows: NDArray[np.int64]) -> int:
    """Return how many mated comparisons some crops of a source give."""
    people = source.people
    _, counts = np.unique([people[row] for row in rows], return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


def judged(trunk: Trunk, share: float, sources: Sequence[Source], seed: int, most: int = MOST_PICTURES) -> Candidate:
    """Judge one trunk, on at most so many pictures of each source."""
    return compared(lambda crops: [templates_of(trunk, crops)], [(share, 0.0)], sources, seed, most)[0]


def compared(
    told: Callable[[Crops], list[Templates]],
    points: Sequence[Point],
    sources: Sequence[Source],
    seed: int,
    most: int = MOST_PICTURES,
) -> list[Candidate]:
    """Judge several on the same pictures.

    Args:
        told: Turns crops into the templates of each.
        points: What they are called.
        sources: Whose held-out people judge.
        seed: Of what happens to their pictures.
        most: Pictures of each source.
    """
    mated: dict[str, int] = {}
    found = [Candidate(share, {}, {}, {}, mated, way) for share, way in points]
    for source in sources:
        rows = judged_rows(source, most)
        if not speaks(source, rows):
            continue
        people = np.unique(np.array(source.people)[rows], return_inverse=True)[1]
        mated[source.name] = comparisons(source, rows)
        plain, *others = _views(source, rows, seed)
        enrolled = told(plain)
        for view, probes in enumerate((enrolled, *map(told, others))):
            for one, mine, theirs in zip(found, enrolled, probes, strict=True):
                one.views[view][source.name] = fnmr(mine, theirs, people)
    return found


def _views(source: Source, rows: NDArray[np.int64], seed: int) -> Iterator[Crops]:
    """Give pictures of a source as they are, masked, and as at a door."""
    yield np.stack([augment.plain(source.crops[row]) for row in rows])
    for effect in (augment.masked, augment.door):
        draw = np.random.default_rng((seed, len(rows)))
        yield np.stack([effect(source.crops[row], draw) for row in rows])


def candidate_templates(start: Trunk, trained: Trunk, points: Sequence[Point]) -> Callable[[Crops], list[Templates]]:
    """Return what turns crops into the templates of each point between a start and a trained trunk.

    All points with a companion see what that sees, and those of one way the same start: it is made once.
    """
    trunks = [between(start, trained, *point) for point in points]
    if trained.companion is None:
        return lambda crops: [templates_of(trunk, crops) for trunk in trunks]
    heads = [trunk.embed.weight.detach().flatten(1).cpu().numpy() for trunk in trunks]
    own = {way: between(start, trained, 0.0, way) for _, way in points}

    def told(crops: Crops) -> list[Templates]:
        beside = features_seen(trained, crops)[:, trained.shape.head :]
        seen = {way: np.hstack((features_seen(trunk, crops), beside)) for way, trunk in own.items()}
        made = [seen[way][:, : head.shape[1]] @ head.T for (_, way), head in zip(points, heads, strict=True)]
        return [each / np.linalg.norm(each, axis=1, keepdims=True) for each in made]

    return told


def look(trunk: Trunk, sources: Sequence[Source], seed: int) -> HeldOut:
    """Return how held-out people do, on few pictures: for the eye, not for a choice."""
    seen = judged(trunk, 1.0, sources, seed, FEW_PICTURES)
    return HeldOut(*(float(np.mean(list(rates.values() or [np.nan]))) for rates in seen.views))


def judged_rows(source: Source, most: int = MOST_PICTURES) -> NDArray[np.int64]:
    """Return the crops of held-out people that the choice is made on, whole people and at most half of them."""
    people = source.people
    rows = np.flatnonzero(is_held_out(source))
    most = min(most, len(rows) // 2)
    if not most:
        return rows[:0]
    cut = people[rows[most]]
    return np.array([row for row in rows[:most] if people[row] != cut], np.int64)


def untouched_rows(source: Source) -> NDArray[np.int64]:
    """Return the crops of held-out people that nothing was trained or chosen on."""
    judged = {source.people[row] for row in judged_rows(source)}
    untouched = [person not in judged for person in source.people]
    return np.flatnonzero(is_held_out(source) & np.array(untouched, np.bool_)).astype(np.int64)


@torch.no_grad()
def templates_of(trunk: Trunk, crops: Crops) -> Templates:
    """Return the templates of crops uint8 (n, s, s, 3), float32 (n, d)."""
    return np.concatenate([trunk(some).cpu().numpy() for some in fed_to(trunk, crops)])


def fnmr(enrolled: Templates, probes: Templates, people: NDArray[np.int64]) -> float:
    """Return the FNMR at an FMR of 1e-3, each picture of the enrolled compared with every other one of the probes."""
    others = ~np.eye(len(people), dtype=np.bool_)
    same = people[:, None] == people
    alike = scores(enrolled, probes)
    return rates.fnmr_at_fmr(TARGET_FMR, mated=alike[same & others], non_mated=alike[~same]).fnmr
