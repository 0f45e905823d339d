"""`facegate finetune` as an operator calls it; the work itself is tested where it is done."""

import json

import numpy as np
import pytest

from facegate.commands.finetune import document_of, lesson_of
from facegate.core.judging import NO_FIGURES, Verdict
from facegate.settings import load_settings
from facegate.storage import open_storage
from facegate.storage.runs import Outcome
from facegate.verifier.finetuning import shelf
from tests.fakes import START

CHAMPION = "twin-1@0123456789ab"


@pytest.fixture
def finished(gate):
    """Two runs that ended."""
    for verdict, picture in (("kept", None), ("promoted", "2.png")):
        run = gate.runs.start(trigger="schedule", champion=CHAMPION, seed=1, now=START)
        gate.runs.finish(run.number, Outcome(verdict, "So it was.", {"fnmr": 0.1}, {}, picture=picture), START)
    return gate.runs.newest()


def test_without_a_database_it_names_the_command_that_makes_one(call):
    where = load_settings().data_dir / "facegate.db"
    assert call("finetune", "--json") == (
        3, "", f"facegate: There is no database at {where}. Run: facegate db upgrade.\n",
    )  # fmt: skip


def test_for_nobody_it_is_not_ready_and_the_child_says_so_in_one_line(call, data_dir):
    open_storage(load_settings(), upgrade_empty=True).close()
    code, out, err = call("finetune")
    assert (code, out) == (3, "")
    assert err == "facegate: Nobody is enrolled. Enroll users: facegate enroll USER PHOTO.\n"
    assert not (data_dir / "models").exists()


def test_a_second_run_at_the_same_time_is_refused_in_one_line(call, gate, data_dir):
    with shelf.alone(data_dir, gate.engine):
        assert call("finetune", "--here") == (
            1, "", "facegate: A fine-tune is running already. Wait for its verdict.\n",
        )  # fmt: skip


def test_runs_are_listed_the_newest_first_with_the_whole_path_of_their_picture(finished, answer, data_dir):
    listed = answer("finetune", "--list")
    assert [run["verdict"] for run in listed] == ["promoted", "kept"]
    assert [run["picture"] for run in listed] == [str(data_dir / "runs" / "2.png"), None]
    assert listed[0] == document_of(finished[0], load_settings())
    assert json.dumps(listed)


@pytest.mark.usefixtures("finished")
def test_runs_are_listed_for_a_person(call):
    code, out, err = call("finetune", "--list")
    assert (code, err) == (0, "")
    assert "promoted" in out
    assert "So it was." in out


def test_what_the_twins_learnt_becomes_a_lesson_with_its_curves():
    from facegate.siamese.finetuning import Curves, Scores, Tuned

    scores = Scores(np.array([0.5, 0.7]), np.array([0.1]), 0.4)
    tuned = Tuned(Verdict.KEPT, "no gain", NO_FIGURES, NO_FIGURES, b"network", None, True, Curves(scores, scores))  # noqa: FBT003
    lesson = lesson_of(tuned)
    assert (lesson.verdict, lesson.reason, lesson.network, lesson.frames_as_references) == (
        "kept", "no gain", b"network", True,
    )  # fmt: skip
    assert [curve.name for curve in lesson.curves] == ["before", "after"]
    assert lesson.curves[0].threshold == 0.4
    assert lesson.before == NO_FIGURES.to_json()
