"""What the teachers say of a clean face, as one target in the student's own space.

Two teachers' templates a (n, d) and b (n, e), side by side and divided by sqrt(2), have as their inner products the
mean of the two scores. Their d leading principal directions keep nearly all of those, and a rotation (Procrustes) turns
them to where the first teacher, from which the student starts, has them. So the student sets out near its target.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegate.core.comparison import Templates


@dataclass(frozen=True, slots=True, eq=False)
class Merge:
    """A linear map from two teachers' templates to the student's space: float32 (d + e, d)."""

    matrix: NDArray[np.float32]

    def targets(self, first: Templates, second: Templates) -> Templates:
        """Return the targets (n, d), unit length, of templates (n, d) and (n, e)."""
        both = np.hstack((first, second)) @ self.matrix
        return np.asarray(both / np.linalg.norm(both, axis=1, keepdims=True), np.float32)


def fit_merge(first: Templates, second: Templates) -> Merge:
    """Fit the map on templates of the same faces, (n, d) and (n, e) with n >= d."""
    both = np.hstack((first, second)).astype(np.float64) / np.sqrt(2)  # (n, d + e)
    _, directions = np.linalg.eigh(both.T @ both)  # eigenvalues ascend
    leading = directions[:, ::-1][:, : first.shape[1]]  # (d + e, d)
    left, _, right = np.linalg.svd((both @ leading).T @ first)
    return Merge(np.asarray(leading @ (left @ right) / np.sqrt(2), np.float32))
