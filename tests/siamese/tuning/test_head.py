import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from facegate.siamese.tuning import head
from facegate.siamese.tuning.head import Rows, all_but


def some_rows(owners, seed=0):
    """A photo of each user first, then a probe for each owner."""
    users = 3
    whose = np.concatenate((np.arange(users), owners)).astype(np.int64)
    features = np.random.default_rng(seed).normal(0, 1, (len(whose), 8)).astype(np.float32)
    probes = np.arange(len(whose)) >= users
    return Rows(features, whose, np.arange(len(whose)), np.ones(len(whose), np.float32), probes, ~probes)


def labels_of_probes(owners):
    met = (torch.randn(2, 8), torch.randn(2, 8))
    _, labels = head._compared(torch.randn(4, 8), met, head._Batch(some_rows(owners), 3))
    return labels[2:].tolist()  # two strangers stand before them, as references too


def test_a_face_that_is_not_one_user_says_nothing_of_the_others():
    assert labels_of_probes([all_but(1)]) == [[0, 0, -1, 0, -1]]


def test_a_strangers_face_is_nobodys_and_a_users_is_theirs_alone():
    assert labels_of_probes([-1, 2]) == [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1]]


@given(st.lists(st.integers(-1 - 90, 89), min_size=1, max_size=200), st.integers(0, 99))
def test_where_users_are_drawn_each_face_stays_with_its_user_or_goes(owners, seed):
    owners = np.array(owners)
    rows = Rows(np.zeros((len(owners), 1), np.float32), owners, np.arange(len(owners)), np.ones(len(owners)),
                owners < 0, owners >= 0)  # fmt: skip
    batch = head._drawn(rows, 90, np.random.default_rng(seed))
    drawn = np.sort(np.random.default_rng(seed).choice(90, head.MOST_USERS, replace=False))
    kept = dict(zip(batch.rows.items.tolist(), batch.rows.owners.tolist(), strict=True))
    for item, owner in enumerate(owners.tolist()):
        user = owner if owner >= 0 else all_but(owner)
        if owner == -1:
            assert kept[item] == -1
        elif user in drawn:
            now = int(np.searchsorted(drawn, user))
            assert kept[item] == (now if owner >= 0 else all_but(now))
        else:
            assert item not in kept
