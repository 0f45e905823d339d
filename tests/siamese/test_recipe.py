import shutil

import numpy as np
import pytest
import torch

from facegate.errors import UnusableInputError
from facegate.siamese import recipe
from facegate.siamese.corpus import held_out
from facegate.siamese.networks import BlockShape, Trunk, TrunkShape
from facegate.siamese.recipe import Teacher
from facegate.siamese.selection import Candidate, judged_rows, ranked, templates_of, untouched_rows
from facegate.siamese.training import Recipe
from facegate.vision.align import ALIGNMENT
from facegate.vision.composites import people
from facegate.vision.detect import YuNetDetector

TINY = TrunkShape(128, 8, tuple(BlockShape(8, 16, 8, 2, 4) for _ in range(3)), 16, 24)
PLAN = Recipe(steps=2, people=4, pictures=2, every=1, frozen=1, bf16=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Forty folders of composites under made-up names; who is whom does not matter here."""
    root = tmp_path_factory.mktemp("data")
    known = people()
    for number in range(40):
        folder = root / "set_train" / f"number{number:02}{chr(97 + number % 26)}{chr(97 + number // 26)}"
        folder.mkdir(parents=True)
        for picture in range(5):
            shutil.copy(known[number % len(known)].picture_path(picture), folder)
    return root


def start():
    torch.manual_seed(0)
    return Trunk(TINY).eval()


def train(data, folder, *, resume=False):
    trunk, said = start(), []
    teacher = Teacher(lambda crops: templates_of(trunk, crops), ALIGNMENT)
    trained = recipe.train(
        data,
        folder,
        start=trunk,
        teachers=[teacher],
        detector=YuNetDetector(),
        recipe=PLAN,
        resume=resume,
        say=said.append,
        report=lambda _: None,
    )
    return trained, said


def test_photos_go_in_and_a_chosen_trunk_comes_out(data, tmp_path):
    trained, said = train(data, tmp_path)
    assert trained.missed == {"set_train": 0}
    assert sorted(each.share for each in trained.candidates) == [0, 0.25, 0.5, 0.75, 1]
    assert said[0] == "aligning set_train"

    with pytest.raises(UnusableInputError, match="holds a run already"):
        train(data, tmp_path)
    again, said = train(data, tmp_path, resume=True)
    assert "going on at step 2" in said
    assert [each.cost for each in again.candidates] == [each.cost for each in trained.candidates]

    (source,) = trained.sources
    judged, untouched = judged_rows(source), untouched_rows(source)
    assert all(held_out(source.people[row]) for row in np.concatenate((judged, untouched)))
    assert not {source.people[row] for row in judged} & {source.people[row] for row in untouched}


def test_what_loses_in_daylight_never_leads_however_good_at_the_door():
    start = Candidate(0.0, {"a": 0.10, "b": 0.02}, {"a": 0.5, "b": 0.4})
    mild = Candidate(0.5, {"a": 0.09, "b": 0.021}, {"a": 0.4, "b": 0.4})
    bold = Candidate(1.0, {"a": 0.05, "b": 0.03}, {"a": 0.1, "b": 0.1})
    assert [each.share for each in ranked([start, bold, mild])] == [0.5, 0.0, 1.0]


def test_a_folder_without_people_and_too_few_people_are_refused(data, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnusableInputError, match="no folder of people"):
        train(tmp_path / "empty", tmp_path / "out")
    few = tmp_path / "few" / "set_train"
    few.mkdir(parents=True)
    shutil.copytree(next((data / "set_train").iterdir()), few / "one")
    with pytest.raises(UnusableInputError, match="too few people"):
        train(tmp_path / "few", tmp_path / "other")
