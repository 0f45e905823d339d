import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegate.errors import NotReadyError, UnusableInputError
from facegate.resources import shipped
from facegate.siamese.corpus import Source, held_out
from facegate.siamese.export import read_onnx
from facegate.siamese.shapes import ACCOMPANIED
from facegate.siamese.tuning.cohort import (
    COHORT,
    LIGHTS,
    Cohort,
    Plan,
    Strangers,
    digest_of_trunk,
    document,
    gather,
    read_cohort,
)
from facegate.verifier.library import DEFAULT

TWIN = shipped("models") / "verifier" / DEFAULT


@pytest.fixture(scope="module")
def trunk():
    return read_onnx(TWIN / "network.onnx")


def strangers(count, first, seed=0):
    draw = np.random.default_rng(seed)
    features = draw.normal(0, 3, (count, ACCOMPANIED.features)).astype(np.float32)
    return Strangers(features, first + np.arange(count) // 4, np.arange(count, dtype=np.int64) % 4)


def cohort(trunk):
    return Cohort(digest_of_trunk(trunk), strangers(8, 0), strangers(12, 2, 1))


@settings(deadline=None)
@given(st.integers(0, 100))
def test_bytes_keep_a_feature_to_a_part_in_250_of_the_largest(tmp_path_factory, trunk, seed):
    folder = tmp_path_factory.mktemp("twin")
    made = Cohort(digest_of_trunk(trunk), strangers(8, 0, seed), strangers(4, 2, seed + 1))
    (folder / COHORT).write_bytes(document(made))
    read = read_cohort(folder, trunk)
    for part, was in ((read.replay, made.replay), (read.outsiders, made.outsiders)):
        most = np.abs(was.features).max(axis=1, keepdims=True)
        assert (np.abs(part.features - was.features) <= most / 250).all()
        assert np.array_equal(part.people, was.people)
        assert np.array_equal(part.lights, was.lights)


def test_the_same_cohort_gives_the_same_bytes(trunk):
    assert document(cohort(trunk)) == document(cohort(trunk))


def test_strangers_come_to_the_door_in_the_lights_that_it_sees_and_never_as_a_good_photo():
    everybody = strangers(12, 0)
    assert set(everybody.at_doors().lights) == {1, 2, 3}
    seen = everybody.under(np.array([0.0, 0.7, 0.3]))
    assert set(seen.lights) == {2, 3}
    assert np.array_equal(seen.features, everybody.features[everybody.lights >= 2])
    assert np.array_equal(seen.people, everybody.people[everybody.lights >= 2])


def test_a_cohort_of_another_trunk_is_refused(trunk, tmp_path):
    made = cohort(trunk)
    (tmp_path / COHORT).write_bytes(document(Cohort("0" * 64, made.replay, made.outsiders)))
    with pytest.raises(NotReadyError, match="another trunk"):
        read_cohort(tmp_path, trunk)


@pytest.mark.parametrize("damage", [None, b"", b"no archive", b"PK\x03\x04"])
def test_a_cohort_that_is_not_there_or_broken_is_told_in_a_line(trunk, tmp_path, damage):
    if damage is not None:
        (tmp_path / COHORT).write_bytes(damage)
    with pytest.raises(NotReadyError, match=COHORT):
        read_cohort(tmp_path, trunk)


def test_the_shipped_cohort_fits_its_network_and_its_parts_share_nobody(trunk):
    shipped_one = read_cohort(TWIN, trunk)
    assert not set(shipped_one.replay.people) & set(shipped_one.outsiders.people)
    assert (TWIN / COHORT).stat().st_size <= 3_500_000
    for part in (shipped_one.replay, shipped_one.outsiders):
        assert {tuple(sorted(part.lights[part.people == person])) for person in np.unique(part.people)} == {
            (0, 1, 2, 3)
        }


def people(count, photos, prefix):
    draw = np.random.default_rng(1)
    names = [f"{prefix}{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(count)]
    crops = draw.integers(0, 256, (count * photos, 160, 160, 3), dtype=np.uint8)
    return Source("made_up", crops, tuple(f"made_up/{name}/{n}.png" for name in names for n in range(photos)))


def test_whom_the_trunk_knows_is_replayed_and_whom_it_does_not_checks():
    source = people(40, 2, "person")
    unknown = {name for name in source.people if held_out(name)}
    seen = []

    def extract(crops):
        seen.append(len(crops))
        return np.ones((len(crops), 512), np.float32)

    made = gather([source], "digest", extract, Plan(replay=3, outsiders=2, lights=1))
    assert len(unknown) >= 2
    assert len(np.unique(made.replay.people)) == 3
    assert len(np.unique(made.outsiders.people)) == 2
    assert (np.bincount(made.replay.lights, minlength=len(LIGHTS)) == 3).all()
    assert len(made.outsiders.people) == 4
    assert sum(seen) == 3 * 4 + 2 * 2


def test_too_few_people_make_no_cohort():
    with pytest.raises(UnusableInputError, match="too few people"):
        gather([people(1, 2, "lonely")], "digest", lambda crops: np.ones((len(crops), 512), np.float32), Plan())
