from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from facegate.core.judging import Verdict
from facegate.core.levelling import FEWEST
from facegate.errors import NotReadyError, UnusableInputError
from facegate.resources import shipped
from facegate.siamese.export import read_onnx
from facegate.siamese.finetuning import Recipe, finetune, levelled_calibration_of, per_comparison
from facegate.siamese.tuning.cohort import digest_of_trunk, read_cohort
from facegate.siamese.tuning.head import HeadPlan
from facegate.verifier.calibrations import read_calibration, read_levelled
from facegate.verifier.card import CALIBRATION, read_card
from facegate.verifier.library import DEFAULT, Model
from facegate.vision.align import middle_of
from tests.siamese.household_of_composites import crops, household

TWIN = shipped("models") / "verifier" / DEFAULT
QUICK = Recipe(seed=3, copies=2, head=HeadPlan(steps=8))


def tuned(house, recipe=QUICK):
    return finetune(house, TWIN, recipe)


@pytest.fixture(scope="module")
def learnt():
    house = household()
    return house, tuned(house)


def test_a_challenger_is_a_whole_network_with_the_champions_trunk(learnt, tmp_path):
    house, outcome = learnt
    (tmp_path / "network.onnx").write_bytes(outcome.network)
    challenger, champion = read_onnx(tmp_path / "network.onnx"), read_onnx(TWIN / "network.onnx")
    assert digest_of_trunk(challenger) == digest_of_trunk(champion)
    assert not np.array_equal(challenger.embed.weight.detach(), champion.embed.weight.detach())
    assert outcome.verdict in {Verdict.PROMOTED, Verdict.KEPT}
    assert outcome.calibration.people > 1000
    assert outcome.frames_as_references
    assert len(outcome.curves.before.mated) == len(outcome.curves.after.mated)
    assert outcome.before.fnmr.of == len(house.photos) * 2 + len(house.frames)


def test_what_stands_for_a_user_is_nearest_to_their_own_faces(learnt, tmp_path):
    house, outcome = learnt
    (tmp_path / "network.onnx").write_bytes(outcome.network)
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    side = session.get_inputs()[0].shape[-1]
    inner = middle_of(house.photos, side).transpose(0, 3, 1, 2).astype(np.float32)
    made = session.run(["templates"], {"crops": inner})[0]
    assert np.linalg.norm(outcome.references, axis=1) == pytest.approx(1, abs=1e-5)
    assert ((made @ outcome.references.T).argmax(axis=1) == house.photo_owners).all()


def test_the_same_seed_gives_the_same_bytes():
    house = household(users=4)
    one, two = tuned(house), tuned(house)
    assert one.network == two.network
    assert one.reason == two.reason
    assert np.array_equal(one.references, two.references)
    assert tuned(house, replace(QUICK, seed=4)).network != one.network


@pytest.mark.parametrize("users", [1, 2])
def test_one_user_or_two_prove_nothing(users):
    outcome = tuned(household(users=users))
    assert (outcome.verdict, outcome.network) == (Verdict.KEPT, None)


def test_nobody_is_no_reason_to_fail():
    empty = household(users=3)
    nobody = replace(
        empty,
        users=(),
        photos=empty.photos[:0],
        photo_owners=empty.photo_owners[:0],
        frames=empty.frames[:0],
        frame_owners=empty.frame_owners[:0],
        frame_refused=empty.frame_refused[:0],
        frame_cameras=(),
        views={},
    )
    assert tuned(nobody).verdict is Verdict.KEPT


def test_with_one_photo_each_and_no_frame_nothing_can_be_held_out():
    outcome = tuned(household(photos=1, frames=0))
    assert (outcome.verdict, outcome.network) == (Verdict.KEPT, None)
    assert "second photo" in outcome.reason


def test_without_a_view_or_frames_it_still_learns():
    house = replace(household(frames=0), views={})
    assert tuned(house).network is not None


def test_a_frame_that_comes_again_and_again_is_one_frame():
    house = household(frames=1)
    again = replace(
        house,
        frames=np.repeat(house.frames, 5, axis=0),
        frame_owners=np.repeat(house.frame_owners, 5),
        frame_refused=np.repeat(house.frame_refused, 5),
        frame_cameras=house.frame_cameras * 5,
    )
    one, five = tuned(house), tuned(again)
    assert five.before.fnmr.of == one.before.fnmr.of
    assert five.frames_used.tolist() == [True, False, False, False, False] * 6


# --- poison -----------------------------------------------------------------------------------------------------


def swapped(house):
    photos = house.photos.copy()
    photos[[0, 3]] = photos[[3, 0]]  # user0's first and user1's first
    return replace(house, photos=photos)


def all_swapped(house):
    owners = house.photo_owners.copy()
    owners[house.photo_owners == 0], owners[house.photo_owners == 1] = 1, 0
    return replace(house, photo_owners=owners)


def of_noise(house):
    photos = house.photos.copy()
    photos[:3] = np.random.default_rng(0).integers(0, 256, photos[:3].shape)
    return replace(house, photos=photos)


def one_picture(house):
    photos = np.concatenate((house.photos, np.repeat(house.photos[:1], 97, axis=0)))
    photos[1:3] = photos[0]
    return replace(house, photos=photos, photo_owners=np.concatenate((house.photo_owners, np.zeros(97, np.int64))))


def a_strangers_frames(house):
    frames = house.frames.copy()
    frames[house.frame_owners == 0] = crops()[12][:2]  # unlike user0, as nine strangers in ten are
    return replace(house, frames=frames)


def enrolled_twice(house):
    photos = house.photos.copy()
    photos[house.photo_owners == 1] = crops()[0][3:6]
    frames = house.frames.copy()
    frames[house.frame_owners == 1] = frames[house.frame_owners == 0]
    return replace(house, photos=photos, frames=frames)


@pytest.mark.parametrize(
    ("poison", "named"),
    [
        (swapped, "user0"),
        (all_swapped, "user1"),
        (of_noise, "user0"),
        (one_picture, "100 photos of user0"),
        (a_strangers_frames, "frames of user0"),
        (enrolled_twice, "user0 and user1"),
    ],
)
def test_poison_is_refused_and_its_user_named(poison, named):
    outcome = tuned(poison(household()))
    assert (outcome.verdict, outcome.network) == (Verdict.REFUSED, None)
    assert named in outcome.reason


# --- what is not there ------------------------------------------------------------------------------------------


def test_a_network_without_strangers_is_told_in_a_line(tmp_path):
    (tmp_path / "network.onnx").write_bytes((TWIN / "network.onnx").read_bytes())
    with pytest.raises(NotReadyError, match=r"cohort\.npz"):
        finetune(household(users=3), tmp_path, QUICK)


def test_what_is_no_twin_is_told_in_a_line(tmp_path):
    (tmp_path / "network.onnx").write_bytes(b"no network")
    with pytest.raises(UnusableInputError, match="no twin"):
        finetune(household(users=3), tmp_path, QUICK)


def test_a_doors_target_is_shared_out_among_its_users():
    assert per_comparison(1e-3, 1) == pytest.approx(1e-3)
    assert 1 - (1 - per_comparison(1e-2, 50)) ** 50 == pytest.approx(1e-2)


def test_a_challengers_doors_are_levelled_by_those_whom_its_trunk_learnt_from(learnt):
    _, outcome = learnt
    levelling, champion = outcome.levelled.levelling, library_model().levelled.levelling
    assert levelling.crowd.shape == champion.crowd.shape
    assert (levelling.crowd * champion.crowd).sum(axis=1).min() > 0.8
    assert levelling.ordinary == pytest.approx(champion.ordinary, abs=0.05)
    assert outcome.levelled.people == outcome.calibration.people
    assert outcome.levelled.knots[-1].score < outcome.calibration.knots[-1].score
    for target in (1e-2, 1e-3):
        assert outcome.levelled.threshold(target) < outcome.calibration.threshold(target)


def library_model():
    return Model(read_card(TWIN), TWIN, read_calibration(TWIN / CALIBRATION), read_levelled(TWIN, 384))


def test_a_small_cohort_is_no_crowd():
    trunk = read_onnx(TWIN / "network.onnx")
    cohort = read_cohort(TWIN, trunk)
    few = np.isin(cohort.replay.people, np.unique(cohort.replay.people)[: FEWEST - 1])
    small = replace(
        cohort.replay,
        features=cohort.replay.features[few],
        people=cohort.replay.people[few],
        lights=cohort.replay.lights[few],
    )
    head = trunk.embed.weight.detach().numpy()[:, :, 0, 0]
    assert levelled_calibration_of(head, replace(cohort, replay=small)) is None
    assert levelled_calibration_of(head, cohort).levelling is not None
