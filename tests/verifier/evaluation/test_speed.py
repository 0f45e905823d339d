import numpy as np
import pytest

from facegate.core.comparison import is_template
from facegate.verifier.evaluation import dlib_baseline
from facegate.verifier.evaluation.dlib_baseline import Baseline, time_baseline
from facegate.verifier.evaluation.speed import STAGES, photos, strangers, summary, time_models, timed


def test_every_stage_of_a_model_is_timed_and_the_total_is_not_less_than_any(model, detector):
    done = []
    (timing,) = time_models([model], detector, threads=[1], rounds=1, references=100, report=lambda: done.append(True))
    assert timing.stages.keys() == {*STAGES, "total"}
    assert all(0 < timing.stages[name].median <= timing.stages["total"].median for name in STAGES)
    assert (timing.model, timing.threads, done) == (model.id, 1, [True])
    assert timing.megabytes == pytest.approx((model.folder / "network.onnx").stat().st_size / 1e6, abs=0.01)
    assert timing.to_json()["milliseconds"]["detect"].keys() == {"median", "p95", "processor"}


def test_a_stage_is_asked_once_to_warm_up_and_once_a_round():
    asked = []
    taken, got = timed(lambda number: asked.append(number) or -number, [1, 2, 3], 4)
    assert got == [-1, -2, -3]
    assert asked == [1, 2, 3] * 5
    assert taken.shape == (4, 3, 2)
    assert (taken[..., 0] > 0).all()


def test_times_are_told_in_milliseconds():
    taken = np.stack((np.arange(1, 101) / 1000, np.full(100, 0.002)), axis=1).reshape(10, 10, 2)
    told = summary(taken)
    assert (told.median, told.p95, told.processor) == pytest.approx((50.5, 95.05, 2.0))


def test_the_strangers_that_are_compared_with_are_templates(model):
    enrolled = strangers(model, 5)
    assert len(enrolled) == 5
    assert all(is_template(template) for template in enrolled.templates)


def test_photos_without_a_face_count_in_what_was_done_to_them_and_are_told():
    seen = []
    rival = Baseline(
        "rival 1.0",
        lambda data: data,
        lambda data: [] if data.endswith(b"0") else ["here", "there"],
        lambda data, places: [np.full(128, len(data))] if seen.append(places) is None else [],
        lambda enrolled, encoding: enrolled @ encoding,
    )
    timing = time_baseline(rival, [b"10", b"11", b"12"], rounds=2, references=7)
    assert timing.missed == 1
    assert seen == [["here"]] * 6  # one face each of two photos, three times
    assert timing.stages.keys() == {"decode", "detect", "extract", "compare", "total"}


def test_without_dlib_there_is_no_baseline(monkeypatch):
    monkeypatch.setattr(dlib_baseline.importlib.util, "find_spec", lambda _: None)
    assert dlib_baseline.installed() is None


def test_each_composite_is_timed_straight_on_and_turned():
    assert len(photos()) == len({bytes(photo) for photo in photos()}) == 28
