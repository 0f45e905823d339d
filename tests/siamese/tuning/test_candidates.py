import numpy as np
import pytest

from facegate.siamese.tuning.candidates import best, mean
from facegate.siamese.tuning.head import Rows, templates


def rows_of(owners):
    draw, count = np.random.default_rng(3), len(owners)
    return Rows(
        draw.normal(size=(count, 6)).astype(np.float32),
        np.array(owners, np.int64),
        np.arange(count),
        np.ones(count, np.float32),
        np.zeros(count, np.bool_),
        np.ones(count, np.bool_),
    )


@pytest.mark.parametrize("owners", [[0, 2, 2], [1, 1, 2], [0, 1, 0]])
def test_a_user_without_references_is_never_recognised_and_takes_nobodys_place(owners):
    rows, head = rows_of(owners), np.eye(6, dtype=np.float32)
    scores = best(head, rows, 3)(rows.features)
    assert scores.shape == (3, 3) == mean(head, rows, 3)(rows.features).shape
    alike = templates(head, rows.features) @ templates(head, rows.features).T
    for user in range(3):
        mine = np.flatnonzero(rows.owners == user)
        slow = np.clip(alike[:, mine], -1, 1).max(axis=1) if len(mine) else np.full(3, -1.0)
        assert scores[:, user] == pytest.approx(slow, abs=1e-6)
