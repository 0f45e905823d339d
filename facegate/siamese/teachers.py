"""What the teachers say of a clean face, as one target in the student's own space.

The templates of k teachers, side by side and divided by sqrt(k), have as their inner products the mean of the k scores.
Their d leading principal directions keep nearly all of those, and a rotation (Procrustes) turns them to where the first
teacher, from which the student starts, has them. So the student sets out near its target. One teacher alone stays as it
is; with fewer values than the student's templates have, it gets zeros, which leaves all scores as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegate.core.comparison import Templates
from facegate.errors import UnusableInputError


@dataclass(frozen=True, slots=True, eq=False)
class Merge:
    """A linear map from all teachers' templates, side by side, to the student's space: float32 (d + e + .., d)."""

    matrix: NDArray[np.float32]

    def targets(self, *said: Templates) -> Templates:
        """Return the targets (n, d), unit length, of each teacher's templates."""
        both = np.hstack(said) @ self.matrix
        return np.asarray(both / np.linalg.norm(both, axis=1, keepdims=True), np.float32)


def principal_axes(vectors: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the directions in which vectors (n, d) are longest, the first first: (count, d), orthonormal."""
    _, axes = np.linalg.eigh(vectors.T @ vectors)
    return axes[:, : -count - 1 : -1].T


def fit_merge(*said: Templates) -> Merge:
    """Fit the map on templates of the same faces, (n, d), (n, e), ..., the student's own first; n >= d."""
    first = said[0]
    both = np.hstack(said).astype(np.float64) / np.sqrt(len(said))  # (n, d + e + ..)
    leading = principal_axes(both, first.shape[1]).T  # (d + e + .., d)
    left, _, right = np.linalg.svd((both @ leading).T @ first)
    return Merge(np.asarray(leading @ (left @ right) / np.sqrt(len(said)), np.float32))


def one_target(said: Sequence[Templates], dimension: int) -> Templates:
    """Return what to learn from what the teachers say of the same n faces, float32 (n, dimension).

    Raises:
        UnusableInputError: Their templates do not fit into the student's.
    """
    if not said:
        raise UnusableInputError(
            "There is no teacher", "Give --teacher, or leave out what needs one: --without teacher"
        )
    if len(said) > 1 and sum(each.shape[1] for each in said) == dimension:  # each teaches a part of its own
        return np.asarray(np.hstack(said) / np.sqrt(len(said)), np.float32)
    if len(said) > 1 and said[0].shape[1] == dimension:
        return fit_merge(*said).targets(*said)
    if len(said) > 1 or said[0].shape[1] > dimension:
        raise UnusableInputError("The first teacher's templates are not as long as the student's", "Give another first")
    return np.pad(said[0], ((0, 0), (0, dimension - said[0].shape[1])))


def turned(targets: Templates, space: Templates) -> Templates:
    """Return targets (n, d) turned as near as a rotation gets them to templates (n, d) of the same faces."""
    left, _, right = np.linalg.svd(targets.T.astype(np.float64) @ space)
    return np.asarray(targets @ (left @ right), np.float32)
