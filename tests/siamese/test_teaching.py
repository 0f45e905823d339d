from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facegate.siamese.corpus import Source
from facegate.siamese.plan import Recipe
from facegate.siamese.teaching import Teacher, said_of, taught, towards_person
from facegate.vision.align import ALIGNMENT


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def targets_of(people, seed, spread=0.3):
    """Targets around a direction for each person."""
    draw = np.random.default_rng(seed)
    return unit(unit(draw.normal(size=(6, 32)))[people] + spread * unit(draw.normal(size=(len(people), 32))))


@given(seed=st.integers(0, 999), share=st.floats(0, 1))
def test_a_target_goes_towards_its_persons_mean_and_no_further(seed, share):
    people = np.repeat(np.arange(6), 4)
    targets = targets_of(people, seed)
    moved = towards_person(targets, people, share)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-5)
    whole = unit(np.array([targets[people == person].sum(0) for person in people]))
    assert ((moved * whole).sum(1) >= (targets * whole).sum(1) - 1e-5).all()
    if share == 1:
        np.testing.assert_allclose(moved, whole, atol=1e-5)


def test_who_has_one_photo_and_a_photo_that_looks_like_none_of_the_others_keep_their_own():
    people = np.array([0, 0, 0, 0, 1])
    targets = targets_of(people, 3)
    targets[3] = -targets[0]
    moved = towards_person(targets, people, 0.5)
    assert np.array_equal(moved[3:], targets[3:])
    assert not np.array_equal(moved[:3], targets[:3])


def test_a_teacher_says_the_same_of_a_face_and_its_mirror_image(tmp_path):
    draw = np.random.default_rng(0)
    faces = draw.integers(0, 256, (3, 160, 160, 3), np.uint8)
    weights = draw.normal(size=(3, 128, 128)).astype(np.float32)

    def extract(crops):
        return unit(np.einsum("nyxc,kyx->nk", crops.astype(np.float32) - 127, weights))

    teacher = Teacher(extract, ALIGNMENT)
    seen, mirrored = (
        said_of(Source("set", crops, ("a/1.jpg", "b/1.jpg", "c/1.jpg")), teacher, tmp_path)
        for crops in (faces, np.ascontiguousarray(faces[:, :, ::-1]))
    )
    assert (seen * mirrored).sum(1).min() > 0.9  # bilinear sampling is not the same from both sides
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-5)


def test_of_a_lighter_teacher_less_is_learnt(tmp_path):
    draw = np.random.default_rng(0)
    faces = draw.integers(0, 256, (40, 160, 160, 3), np.uint8)
    source = Source("set", faces, tuple(f"{number}/1.jpg" for number in range(40)))
    weights = [draw.normal(size=(8, 128, 128)).astype(np.float32) for _ in range(2)]
    first, second = (
        Teacher(lambda crops, own=own: unit(np.einsum("nyxc,kyx->nk", crops.astype(np.float32) - 127, own)), ALIGNMENT)
        for own in weights
    )
    own = said_of(source, first, tmp_path)
    near = [
        (taught([source], [first, replace(second, weight=weight)], tmp_path, 8, Recipe()) * own).sum(1).mean()
        for weight in (0.1, 0.7, 1.0)
    ]
    assert near == sorted(near, reverse=True)
    assert near[0] > 0.98
