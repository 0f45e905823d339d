"""Scores and distances of templates, and the best match in a gallery. The only place that knows how templates compare.

A template is L2-normalised, so the score of two is their cosine, in [-1, 1]: higher is more alike. Contrastive losses
work on the distance of the same two, sqrt(2 - 2 cos), in [0, 2]: lower is more alike.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Template = NDArray[np.float32]
"""float32, shape (d,), unit length."""

Templates = NDArray[np.float32]
"""float32, shape (n, d), each row of unit length."""

UNIT_TOLERANCE: Final = 1e-3
"""How far a template's length may be from one: float16 storage and summing orders stay well below."""


def is_template(vector: NDArray[np.floating]) -> bool:
    """Tell whether a vector is finite and of unit length, as every template is."""
    return bool(vector.ndim == 1 and abs(float(np.linalg.norm(vector)) - 1.0) <= UNIT_TOLERANCE)  # NaN: False


def score(left: Template, right: Template) -> float:
    """Return the similarity of two templates, in [-1, 1]; higher is more alike."""
    return float(np.clip(np.dot(left, right), -1.0, 1.0))


def scores(left: Templates, right: Templates) -> NDArray[np.float32]:
    """Return all similarities of two sets of templates, float32, shape (len(left), len(right))."""
    return np.asarray(np.clip(left @ right.T, -1.0, 1.0), np.float32)


def distance_of(cosine: float) -> float:
    """Return the distance of two templates whose score is `cosine`: sqrt(2 - 2 cos), in [0, 2]."""
    return math.sqrt(max(0.0, 2.0 - 2.0 * cosine))


def score_of(distance: float) -> float:
    """Return the score of two templates at `distance`: the inverse of `distance_of` on [0, 2]."""
    return 1.0 - distance * distance / 2.0


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """Every reference that one model made, as one block that is never changed.

    Attributes:
        model: Name and digest of the network, `name@digest12`.
        templates: float32, shape (n, d).
        owners: int64, shape (n,): index into `users` of each row's owner.
        users: Slugs, each once.
    """

    model: str
    templates: Templates
    owners: NDArray[np.int64]
    users: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.owners)


def nobody(model: str, dimension: int = 0) -> References:
    """Return the references of an empty gallery."""
    return References(model, np.empty((0, dimension), np.float32), np.empty(0, np.int64), ())


@dataclass(frozen=True, slots=True)
class Match:
    """The user whose reference is most alike, and how near the next user comes.

    Attributes:
        user: Slug.
        score: Cosine with the user's most alike reference.
        runner_up: Cosine with the most alike reference of any other user; None if there is no other.
        runner_up_user: Slug of that other user.
    """

    user: str
    score: float
    runner_up: float | None = None
    runner_up_user: str | None = None


def best_match(probe: Template, references: References) -> Match | None:
    """Compare a probe with every reference, each user standing with the most alike of theirs.

    Returns:
        The best user and the runner-up, or None if nobody is enrolled.

    Raises:
        ValueError: The probe is no template (a NaN would otherwise win no comparison and lose none).
    """
    if not is_template(probe):
        msg = "the probe is no unit vector"
        raise ValueError(msg)
    if not len(references):
        return None
    alike = references.templates @ probe  # (n,)
    best = int(np.argmax(alike))
    owner = int(references.owners[best])
    user, top = references.users[owner], float(np.clip(alike[best], -1.0, 1.0))
    alike[references.owners == owner] = -np.inf
    second = int(np.argmax(alike))
    if alike[second] == -np.inf:
        return Match(user, top)
    return Match(user, top, float(np.clip(alike[second], -1.0, 1.0)), references.users[references.owners[second]])
