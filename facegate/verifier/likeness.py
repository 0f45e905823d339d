"""Whom a new photo is like: the user it is enrolled for, or somebody else. A bad reference poisons a person."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from facegate.core.comparison import Template
from facegate.core.ports import Roster

NEARLY_THE_SAME: Final = 0.98
"""Templates of two files this alike come from one picture, saved twice."""

TELL_APART: Final = (
    "Give a photo of the right person; if these are two people who look alike, add --force-quality and give more "
    "photos of both"
)


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much a photo is like the user's own references, the other photos of the call, and the nearest other user."""

    own: float | None
    peers: float | None
    other: float | None
    other_user: str | None

    def is_of_another(self, threshold: float) -> bool:
        """Tell whether the photo names another user, and not the user's own references more.

        Photos of one call do not vouch for one another: they may all be of the wrong person.
        """
        return self.other is not None and self.other >= threshold and (self.own is None or self.other > self.own)

    def told(self, threshold: float) -> str:
        """Say that the photo is of another user, with the scores."""
        told = f"It looks like {self.other_user}: score {self.other:.2f} (a door opens at {threshold:.2f})"
        return told if self.own is None else f"{told}, and {self.own:.2f} with their own photos"

    def warnings(self, threshold: float, *, force: bool, replace: bool) -> tuple[str, ...]:
        """Say what is odd about a photo that passes."""
        told: list[str] = []
        if self.other is not None and self.other >= threshold:
            told.append(("enrolled although it" if force else "it") + self.told(threshold).removeprefix("It"))
        nearest = max((value for value in (self.own, self.peers) if value is not None), default=None)
        if nearest is not None and nearest < threshold:
            told.append(f"far from the user's other photos: score {nearest:.2f} < {threshold:.2f}")
        if self.own is not None and self.own >= NEARLY_THE_SAME and not replace:
            told.append(f"nearly the same as a photo that is enrolled: score {self.own:.2f}")
        return tuple(told)


def compare(slug: str, template: Template, roster: Roster, peers: float | None) -> Likeness:
    """Hold a new template against the user's references and everybody else's.

    Args:
        slug: The user.
        template: Of the new photo.
        roster: Everybody, at one revision.
        peers: Best score with another photo of the same call, or None if it is alone.
    """
    references = roster.references
    if not len(references):
        return Likeness(None, peers, None, None)
    alike = references.templates @ template
    number = references.users.index(slug) if slug in references.users else -1
    theirs = references.owners == number
    own = float(alike[theirs].max()) if theirs.any() else None
    if theirs.all():
        return Likeness(own, peers, None, None)
    alike[theirs] = -np.inf
    best = int(np.argmax(alike))
    other_user = references.users[int(references.owners[best])]
    return Likeness(own, peers, float(alike[best]), other_user)
