import copy
from dataclasses import replace

import numpy as np
import pytest

from facegate.errors import UnusableInputError
from facegate.siamese.ablation import FIGURES, START, UNTRAINED, Row, ablate, collection_of, rows_of
from facegate.siamese.corpus import Source
from facegate.siamese.losses import Head
from facegate.siamese.plan import ITSELF, Recipe
from facegate.siamese.recipe import Place
from facegate.siamese.selection import templates_of
from facegate.siamese.teachers import turned
from facegate.siamese.teaching import Teacher
from facegate.vision.align import ALIGNMENT
from facegate.vision.detect import YuNetDetector
from tests.siamese.small_trunks import small_chain
from tests.siamese.test_recipe import PLAN, data, start  # noqa: F401 - a fixture


def test_rows_leave_out_each_loss_teacher_and_source_in_turn():
    rows = rows_of(Recipe(), ["a_train", "b_train"], 2)
    assert next(iter(rows)) == "recipe"
    assert rows["without-contrastive"].recipe.contrastive == 0
    assert rows["without-teacher"].recipe.anchor == rows["without-relations"].recipe.relations == 0
    assert rows["arcface"].recipe.head is Head.ARCFACE
    assert rows["masked-none"].recipe.masked == rows["doors-none"].recipe.doors == 0
    assert not rows["start-stays"].recipe.together
    assert rows_of(Recipe(together=False), ["a_train"], 2)["together"].recipe.together
    assert rows["random-start"].fresh
    assert rows["whole-trunk-teacher-1-alone"].teachers == (1,)
    assert rows["without-b_train"].without == "b_train"
    assert "without-a_train" not in rows_of(Recipe(), ["a_train"], 2)


def test_all_teach_a_companion_and_a_start_that_learns_itself_has_its_own_rate():
    rows = rows_of(Recipe(steps=9, seed=3), ["a_train"], 2)
    assert {row.teachers for row in rows.values() if row.recipe.companion} == {None}
    whole = rows["whole-trunk"]
    assert (whole.teachers, whole.recipe.rate) == (None, ITSELF.rate)
    assert (whole.recipe.steps, whole.recipe.seed) == (9, 3)


def test_a_source_that_is_left_out_is_never_drawn(tmp_path):
    crops = np.zeros((4, 1, 1, 3), np.uint8)
    sources = tuple(Source(f"{name}_train", crops, tuple(f"{n // 2}/{n}.jpg" for n in range(4))) for name in "ab")
    plan = Recipe(anchor=0.0, relations=0.0)
    collection = collection_of(Row(plan, without="a_train"), sources, [], Place(tmp_path, tmp_path), 8)
    assert collection.weights[0] == 0 < collection.weights[1]
    assert collection.targets.shape == (8, 8)


def test_what_another_teacher_says_is_turned_to_where_the_start_has_it():
    draw = np.random.default_rng(0)
    space = draw.normal(size=(60, 12)).astype(np.float32)
    space /= np.linalg.norm(space, axis=1, keepdims=True)
    elsewhere = space @ np.linalg.qr(draw.normal(size=(12, 12)))[0].astype(np.float32)
    assert turned(elsewhere, space) == pytest.approx(space, abs=1e-5)


def short(templates):
    """Templates of as many values as a small companion has."""
    return templates[:, :12] / np.linalg.norm(templates[:, :12], axis=1, keepdims=True)


def test_rows_are_run_judged_and_kept(data, tmp_path):  # noqa: F811 - the fixture
    trunk, trained, both = start(), [], replace(PLAN, companion=True)
    teacher = Teacher(lambda crops: templates_of(trunk, crops), ALIGNMENT)

    def rows(*names, plan=both, begun=trunk):
        return list(
            ablate(
                Place(data, tmp_path),
                names,
                start=begun,
                teachers=[teacher, Teacher(lambda crops: short(templates_of(trunk, crops)), ALIGNMENT)],
                detector=YuNetDetector(),
                plan=plan,
                chain=small_chain(),
                say=lambda _: None,
                report=lambda name, at: trained.append((name, at.step)),
            )
        )

    first = rows("recipe", "random-start")
    assert [one.row for one in first] == [START, UNTRAINED, "recipe", "random-start"]
    assert all(0 <= share <= 1 for one in first for view in one.views for share in view.values())
    assert trained == [("recipe", 1), ("recipe", 2), ("random-start", 1), ("random-start", 2)]
    assert rows("recipe", "random-start") == first
    assert len(trained) == 4  # nothing was run again
    with pytest.raises(UnusableInputError, match="holds figures of another recipe"):
        rows("recipe", plan=replace(both, rate=1e-4))
    other = copy.deepcopy(trunk)
    other.embed.weight.data *= 1.1
    with pytest.raises(UnusableInputError, match="another start or other photos"):
        rows("recipe", begun=other)
    (tmp_path / "random-start" / FIGURES).write_text('{"row": "random-start", ')
    with pytest.raises(UnusableInputError, match="cannot be read"):
        rows("recipe", "random-start")
    with pytest.raises(UnusableInputError, match="There is no row everything"):
        rows("everything")
