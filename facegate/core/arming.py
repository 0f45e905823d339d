"""What a gallery adds to the calibration of its model, measured once for each gallery; doors are armed by both.

A model's calibration (`core.calibration`) says how often strangers score how high against any one reference. It is
bound to the network's digest. This is the part that is bound to the enrolled references:

    nearest     each user's most alike other user. Relatives and twins pass for one another more easily than strangers
                do, so a user is named only by a score that keeps the margin from that other's photos as well:
                threshold(user) = max(threshold + rise, score of the two + margin). Raising can never grant more.
    rises       by how much more is asked of each user whom the network tells from their like less well
                (`core.levelling`): threshold(user) = threshold + rise. Nobody's rise is below zero.
    strictness  how many times more often the strangers that come with the model reach this gallery than the curve says,
                where that is more than chance; at least 1, so it never makes a threshold laxer.

It belongs to exactly one set of references, whose digest it carries, and is never used with another: a door whose
gallery is not the measured one is not armed. That would shut the door at every enrollment, so nobody has to ask for
the measurement: whoever reads a roster measures it (`verifier.gallery`), in the moment in which the references change.
Stale is then only what could not be measured.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from facegate.core.calibration import Calibration
from facegate.core.comparison import Match, References, Templates, scores
from facegate.core.rates import clopper_pearson

MOST_SEARCHED: Final = 10_000
"""References up to which every two users are compared: 50 million comparisons, two seconds."""
CELLS: Final = 4_000_000
"""Comparisons of one block, 16 MB."""
MOST_TRIES: Final = 30_000_000
"""Comparisons of strangers with references at most; of more, some strangers have to do."""
FEWEST: Final = 30
"""Strangers who reach a score, for their share to say anything: it is then known to a third (the rule of 30)."""
TAIL: Final = 0.1
"""Strangers beyond this share are everyday ones, and say nothing of thresholds."""


@dataclass(frozen=True, slots=True)
class Relative:
    """The user who is most alike another one.

    Attributes:
        user: Slug.
        score: Of their two most alike references.
    """

    user: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Arming:
    """What was measured of one gallery.

    Attributes:
        references: The references that it was measured of; belongs to no others.
        gallery: Their digest.
        nearest: Each user's most alike other user; empty where there were too many references to search.
        rises: How much more is asked of each user than of the most ordinary; of whom it says nothing, nothing.
        searched: Whether every two users were compared.
        strictness: At least 1.
        strangers: Templates of strangers that were held against the references.
    """

    references: References
    gallery: str
    nearest: Mapping[str, Relative] = field(default_factory=lambda: MappingProxyType({}))
    searched: bool = True
    strictness: float = 1.0
    strangers: int = 0
    rises: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def rise(self, user: str) -> float:
        """Return how much more a user has to score, >= 0."""
        return self.rises.get(user, 0.0)

    def required(self, user: str, threshold: float, margin: float) -> float:
        """Return the score that names a user at a door with a threshold; see `required`."""
        return required(threshold, margin, self.nearest.get(user), self.rise(user))

    def fmr(self, match: Match, calibration: Calibration) -> float:
        """Return the share of strangers who score this high; each reference is a stranger's try of its own."""
        levelled = match.score - self.rise(match.user)
        return calibration.gallery_fmr(levelled, len(self.references) * self.strictness)

    def fits(self, references: References) -> bool:
        """Tell whether this was measured of exactly these references; costs nothing."""
        return self.references is references

    def raised(self, threshold: float, margin: float) -> dict[str, Relative]:
        """Return the users whose own threshold is above the door's, and the one who is too alike."""
        return {user: one for user, one in self.nearest.items() if one.score + margin > threshold + self.rise(user)}


def required(threshold: float, margin: float, other: Relative | None, rise: float) -> float:
    """Return the score that names a user.

    Args:
        threshold: The door's.
        margin: How far every other user has to stay behind.
        other: Who is most alike the user.
        rise: How much more is asked of the user.
    """
    own = threshold + rise
    return own if other is None else max(own, other.score + margin)


def digest_of(references: References) -> str:
    """Return the SHA-256 of everything that comparing rests on: model, users, and which template is whose."""
    digest = hashlib.sha256(references.model.encode())
    for user in references.users:
        digest.update(b"\0" + user.encode())
    digest.update(np.ascontiguousarray(references.owners, "<i8").tobytes())
    digest.update(np.ascontiguousarray(references.templates, "<f4").tobytes())
    return digest.hexdigest()


def measured(
    references: References,
    calibration: Calibration | None = None,
    strangers: Templates | None = None,
    before: Arming | None = None,
) -> Arming:
    """Measure a gallery.

    Args:
        references: Of one model.
        calibration: Of the same; without it, or without strangers, strictness is 1.
        strangers: float32, shape (s, d): templates of people who are not enrolled.
        before: What was measured last; kept where the references are the same, read anew.

    Raises:
        ValueError: The calibration is another model's.
    """
    gallery = digest_of(references)
    if before is not None and before.gallery == gallery:
        return replace(before, references=references)
    if calibration is not None and calibration.model != references.model:
        raise ValueError(f"a calibration of {calibration.model} for references of {references.model}")
    searched = len(references) <= MOST_SEARCHED
    rises = np.zeros(len(references)) if calibration is None else calibration.rises(references.templates)
    nearest = nearest_users(references) if searched else {}
    strictness, tried = 1.0, 0
    if calibration is not None and calibration.measured and strangers is not None and len(references):
        some = strangers[: max(FEWEST, MOST_TRIES // len(references))]
        tops = highest(some, references, rises)
        strictness, tried = strictness_of(tops, calibration, len(references)), len(some)
    return Arming(
        references,
        gallery,
        MappingProxyType(nearest),
        searched,
        strictness,
        tried,
        MappingProxyType(rises_of_users(rises, references)),
    )


def rises_of_users(rises: NDArray[np.float64], references: References) -> dict[str, float]:
    """Return each user's rise: the largest of their references', float64 (n,), so that it holds for all of them."""
    found = np.zeros(len(references.users))
    np.maximum.at(found, references.owners, rises)
    return dict(zip(references.users, found.tolist(), strict=True))


def nearest_users(references: References) -> dict[str, Relative]:
    """Return each user's most alike other user, by their most alike references; nothing for a user who is alone."""
    count, owners = len(references.users), references.owners
    best, other = np.full(count, -np.inf), np.zeros(count, np.int64)
    rows = max(1, CELLS // max(1, len(owners)))
    for top in range(0, len(owners), rows):
        mine = owners[top : top + rows]
        alike = scores(references.templates[top : top + rows], references.templates)
        alike[mine[:, None] == owners[None, :]] = -np.inf
        places = alike.argmax(axis=1)
        for owner, place, value in zip(mine, places, alike[np.arange(len(mine)), places], strict=True):
            if value > best[owner]:
                best[owner], other[owner] = value, owners[place]
    return {
        user: Relative(references.users[int(other[at])], float(best[at]))
        for at, user in enumerate(references.users)
        if np.isfinite(best[at])
    }


def highest(
    strangers: Templates, references: References, rises: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return each stranger's highest score against anybody enrolled, less the reference's rise, float64 (s,)."""
    less = np.float32(0.0) if rises is None else rises.astype(np.float32)
    rows = max(1, CELLS // max(1, len(references)))
    parts = [
        (scores(strangers[top : top + rows], references.templates) - less).max(axis=1)
        for top in range(0, len(strangers), rows)
    ]
    return np.concatenate(parts).astype(np.float64)


def strictness_of(tops: NDArray[np.float64], calibration: Calibration, references: int) -> float:
    """Return how many times more strangers reach the gallery than its calibration says; 1 where chance explains it.

    For each score that 30 to a tenth of the strangers reach, the bounds of their share are held against the share that
    is allowed for. Where a lower bound lies above it, the curve does not hold for this gallery, and the largest upper
    one counts: those references are of another kind than the curve's (means of what was learnt draw several times as
    many strangers as single photos do), and a bound that grants must not be the hopeful one.

    Args:
        tops: Each stranger's highest score.
        calibration: Of the model.
        references: How many there are.
    """
    ordered = np.sort(tops)[::-1]
    refuted, found, rank = False, 1.0, FEWEST
    while rank <= len(ordered) * TAIL:
        allowed = calibration.gallery_fmr(float(ordered[rank - 1]), references)
        share = clopper_pearson(rank, len(ordered), 0.9)
        refuted, found = refuted or share.lower > allowed, max(found, share.upper / allowed)
        rank = rank * 5 // 4
    return found if refuted else 1.0
