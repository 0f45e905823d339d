from datetime import timedelta

import pytest

from facegate.errors import UnusableInputError
from facegate.storage.photos import Enrollee
from facegate.storage.runs import Outcome
from facegate.storage.shadow import Said, ShadowScore
from facegate.storage.views import CameraView
from tests.fakes import START

CHAMPION, CHALLENGER = "twin-1@0123456789ab", "home-1@ba9876543210"


def begun(storage, trigger="command"):
    return storage.runs.start(trigger=trigger, champion=CHAMPION, seed=7, now=START)


def test_a_finished_run_is_told_with_its_figures(storage):
    run = begun(storage)
    storage.runs.note(run.number, data_digest="d" * 64)
    outcome = Outcome(
        "promoted", "It helps.", {"fnmr": 0.1}, {"fnmr": 0.05}, CHALLENGER, on_shelf=True, picture="a.png"
    )
    storage.runs.finish(run.number, outcome, START + timedelta(seconds=12))
    told = storage.runs.find(run.number).to_json()
    assert told == {
        "verdict": "promoted",
        "reason": "It helps.",
        "before": {"fnmr": 0.1},
        "after": {"fnmr": 0.05},
        "seconds": 12.0,
        "run": run.number,
        "state": "finished",
        "trigger": "command",
        "champion": CHAMPION,
        "challenger": CHALLENGER,
        "started_at": "2026-11-23T12:00:00.000Z",
        "finished_at": "2026-11-23T12:00:12.000Z",
        "data_digest": "d" * 64,
        "seed": 7,
        "picture": "a.png",
    }


def test_a_run_that_is_due_becomes_the_next_one_and_keeps_what_asked_for_it(storage):
    storage.runs.ask("removal", START)
    storage.runs.ask("schedule", START)
    assert storage.runs.due().trigger == "removal"
    run = begun(storage, "schedule")
    assert (run.trigger, run.champion, run.state) == ("removal", CHAMPION, "running")
    assert storage.runs.due() is None
    assert [one.number for one in storage.runs.newest()] == [run.number]


def test_runs_of_a_dead_process_have_failed(storage):
    ended, left = begun(storage), begun(storage)
    storage.runs.finish(ended.number, Outcome("kept", "No gain."), START)
    assert storage.runs.fail_interrupted(START) == 1
    assert [storage.runs.find(run.number).state for run in (ended, left)] == ["finished", "failed"]
    assert [run.number for run in storage.runs.ended_after(ended.number)] == [left.number]


def test_enrollments_count_from_the_last_finished_run(storage, photo):
    def enroll(slug, axis, minutes):
        now = START + timedelta(minutes=minutes)
        storage.photos.enroll(Enrollee(slug), [photo(axis)], model=CHAMPION, now=now)

    enroll("alice", 0, -1)
    assert storage.runs.enrollments_since_last() == 1
    storage.runs.finish(begun(storage).number, Outcome("kept", "No gain."), START)
    enroll("bob", 1, 1)
    begun(storage)
    assert storage.runs.enrollments_since_last() == 1


def test_a_run_that_is_not_there_is_one_clear_error(storage):
    with pytest.raises(UnusableInputError, match="There is no run 9"):
        storage.runs.find(9)


def test_shadow_scores_come_back_once_for_each_decision(storage, decision):
    run, made = begun(storage), decision("e1")
    storage.decisions.record(made)
    score = ShadowScore(
        run.number, made.id, "porch", "front", Said("alice", 0.7, 0.5), Said(None, None, 0.6), START
    )  # fmt: skip
    assert storage.shadow.add(score)
    assert not storage.shadow.add(score)
    assert storage.shadow.of_run(run.number) == [score]


def test_a_view_takes_the_place_of_the_older_one(storage):
    for noise in (1.0, 2.0):
        storage.views.put(CameraView("porch", "night", {"noise": noise}, START))
    storage.views.put(CameraView("porch", "day", {"noise": 0.5}, START))
    assert [(view.kind, view.statistics["noise"]) for view in storage.views.listed()] == [("day", 0.5), ("night", 2.0)]


def test_retention_takes_old_runs_whose_challenger_is_not_kept_and_old_views(storage):
    gone, on_shelf = begun(storage), begun(storage)
    storage.runs.finish(gone.number, Outcome("refused", "Two users are one."), START)
    storage.runs.finish(on_shelf.number, Outcome("kept", "No gain.", challenger=CHALLENGER, on_shelf=True), START)
    storage.views.put(CameraView("porch", "day", {}, START))
    storage.retention.apply(START + timedelta(days=1000))
    assert [run.number for run in storage.runs.newest()] == [on_shelf.number]
    assert storage.views.listed() == []
