import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.siamese.corpus import MIXED, Source, held_out, is_held_out, labels_of, read_source, training_rows
from facegate.siamese.mixing import mix, mix_sources
from facegate.siamese.recipe import shares_of

SIDE = 24
NAMES = [f"set_train/someone{chr(97 + n // 26)}{chr(97 + n % 26)}/{k}.jpg" for n in range(30) for k in range(2)]


def source():
    """Thirty people with a grey level each, two photos of them."""
    levels = np.repeat(np.arange(30, dtype=np.uint8) * 8, 2)
    noise = np.random.default_rng(0).integers(0, 4, (60, SIDE, SIDE, 3), np.uint8)
    return Source("set_train", levels[:, None, None, None] + noise, tuple(NAMES))


@given(seed=st.integers(0, 2**32))
def test_a_mixture_lies_between_its_two_faces(seed):
    draw = np.random.default_rng(seed)
    left = np.full((SIDE, SIDE, 3), 60, np.uint8)
    right = np.full((SIDE, SIDE, 3), 200, np.uint8)
    left[:, ::2], right[:, ::2] = 80, 220
    mixture = mix(left, right, draw)
    assert mixture.shape == left.shape
    assert mixture.min() >= 55  # the second face takes on the first one's light
    assert mixture.max() <= 85


def test_a_mixture_shows_something_of_both():
    draw = np.random.default_rng(1)
    left, right = np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE, 3), np.uint8)
    left[:6], right[-6:] = 200, 200  # a bright brow, a bright chin
    seen = np.mean([mix(left, right, draw) for _ in range(50)], axis=(0, 2, 3))
    assert seen[:6].mean() > 60
    assert seen[-6:].mean() > 60
    assert seen[8:16].mean() < 10


def test_mixtures_are_made_of_training_people_only_once_and_the_same_again(tmp_path):
    people = source()
    kept = {path for path in NAMES if held_out(path.split("/")[1])}
    assert kept
    mix_sources([people], 40, tmp_path, seed=5)
    mixed = read_source(tmp_path, MIXED)
    first = np.array(mixed.crops)
    assert first.shape == (40, SIDE, SIDE, 3)
    written = (tmp_path / f"{MIXED}.npy").stat().st_mtime_ns
    mix_sources([people], 40, tmp_path, seed=5)
    assert (tmp_path / f"{MIXED}.npy").stat().st_mtime_ns == written

    hidden = np.isin(NAMES, sorted(kept))[:, None, None, None]
    bright = Source("set_train", np.where(hidden, 255, people.crops).astype(np.uint8), people.paths)
    (tmp_path / "other").mkdir()
    mix_sources([bright], 40, tmp_path / "other", seed=5)
    assert np.array_equal(read_source(tmp_path / "other", MIXED).crops, first)
    (tmp_path / f"{MIXED}.teacher.both.npy").write_bytes(b"what it said of the mixtures before")
    before = np.array(mixed.crops)
    mix_sources([people], 40, tmp_path, seed=6)
    assert not list(tmp_path.glob(f"{MIXED}.teacher*"))
    assert np.array_equal(mixed.crops, before)  # who has them open sees them still
    assert not np.array_equal(read_source(tmp_path, MIXED).crops, first)


def test_nobody_is_on_a_mixture(tmp_path):
    people = source()
    mix_sources([people], 50, tmp_path, seed=5)
    both = (people, read_source(tmp_path, MIXED))
    labels = labels_of(both)
    assert not is_held_out(both[1]).any()
    assert len(training_rows(both)) == len(training_rows([people])) + 50
    assert len(np.unique(labels.groups[60:])) == 50  # no two of them are known to be strangers
    assert np.unique(labels.groups[:60]).tolist() == [0]
    assert labels.where(np.arange(60, 63)).groups.tolist() == labels.groups[60:63].tolist()


def test_mixtures_get_the_share_that_the_recipe_gives_them(tmp_path):
    people = source()
    mix_sources([people], 5, tmp_path, seed=5)
    assert shares_of((people, read_source(tmp_path, MIXED)), 0.3) == pytest.approx([0.7, 0.3])
    assert shares_of((people,), 0.3) == pytest.approx([1.0])
