import threading
from dataclasses import replace

import numpy as np
import pytest

from facegate.core.frame import Cutout, Quality
from facegate.core.sighting import Sighting
from facegate.daemon.aftermath import PATIENCE_SECONDS, PLACES, Aftermath
from facegate.daemon.remembering import aftermath_of
from facegate.daemon.shadow import Shadow
from facegate.settings import Settings
from facegate.storage import open_storage
from facegate.storage.photos import Enrollee
from facegate.verifier.finetuning.views import statistics_of, views_of
from facegate.verifier.keepsake import aligned_again
from facegate.verifier.library import library_of
from facegate.vision.align import ALIGNMENT, align
from facegate.vision.composites import people
from facegate.vision.detect import YuNetDetector
from tests.fakes import START, StandingClock
from tests.storage.decisions import MODEL, a_decision
from tests.storage.photos import a_photo

QUALITY = Quality(size=96.0, sharpness=100.0, brightness=120.0, contrast=40.0, yaw=0.0, pitch=0.0, roll=0.0)
SEEN = Sighting("porch", "e1", START, START, "d1", MODEL, faces=1, user="alice", score=0.8, quality=QUALITY)


@pytest.fixture(scope="module")
def cutout():
    from facegate.verifier.keepsake import cut_out

    picture = people()[0].picture(1)
    return cut_out(picture, YuNetDetector().detect(picture)[0].landmarks)


@pytest.fixture
def storage(tmp_path):
    with open_storage(Settings(data_dir=tmp_path / "data"), upgrade_empty=True) as opened:
        opened.photos.enroll(Enrollee("alice"), [a_photo(0)], model=MODEL, now=START)
        yield opened


def worked_off(storage, pairs, **settings):
    given, clock = Settings(**settings), StandingClock()
    shadow = Shadow(
        settings=given,
        storage=storage,
        library=library_of(given, storage.champions),
        detector=YuNetDetector(),
        clock=clock,
        required=lambda *_, lone: 0.5,  # noqa: ARG005
    )
    aftermath = aftermath_of(given, storage, clock, shadow)
    for decision, sighting in pairs:
        storage.decisions.record(decision)
        aftermath.see(decision, sighting, lone=True)
    aftermath.start()
    aftermath.stop(10)


def test_the_face_that_a_decision_rests_on_is_kept_and_gives_the_crop_again(storage, cutout):
    decision = a_decision("e1")
    worked_off(storage, [(decision, replace(SEEN, cutout=cutout))])
    kept = storage.frames.find(decision.id)
    assert (kept.user, kept.camera, kept.captured_at) == ("alice", "porch", START)
    again = aligned_again(kept.crop, ALIGNMENT).astype(int)
    assert np.abs(again - align(cutout.pixels, cutout.landmarks)).mean() < 2


def test_how_the_camera_sees_is_measured_and_outlives_the_daemon(storage, cutout):
    for start in (0, 3):
        pairs = [(a_decision(f"e{at}"), replace(SEEN, cutout=cutout, user=None)) for at in range(start, start + 3)]
        worked_off(storage, pairs)
    (light,) = statistics_of(storage.views)["porch"].lights.values()
    assert light.faces == 6
    (glimpse,) = views_of(storage.views)["porch"].glimpses
    assert glimpse.means[5] == pytest.approx(96.0)


def test_what_was_not_compared_leaves_nothing(storage):
    decision = a_decision("e1")
    worked_off(storage, [(decision, SEEN), (a_decision("e2"), None)])
    assert storage.frames.count() == 0
    assert statistics_of(storage.views) == {}


@pytest.mark.parametrize("none", [{"frames_days": 0}, {"frames": 0}])
def test_who_wants_no_faces_kept_has_none(storage, cutout, none):
    worked_off(storage, [(a_decision("e1"), replace(SEEN, cutout=cutout))], retention=none)
    assert storage.frames.count() == 0
    assert "porch" in statistics_of(storage.views)  # sums show nobody


def test_faces_are_bounded_in_number(storage, cutout):
    pairs = [(a_decision(f"e{at}"), replace(SEEN, cutout=cutout)) for at in range(4)]
    worked_off(storage, pairs, retention={"frames": 2})
    assert storage.frames.count() == 2


def test_faces_that_nobody_spoke_on_go_after_their_days(storage, cutout):
    from datetime import timedelta

    spoken, silent = a_decision("e1"), a_decision("e2")
    worked_off(storage, [(one, replace(SEEN, cutout=cutout)) for one in (spoken, silent)])
    storage.decisions.speak(spoken.id, "confirmed", START)
    assert storage.retention.apply(START + timedelta(days=8)).frames == 1
    assert storage.frames.find(spoken.id) is not None
    assert storage.frames.find(silent.id) is None


A_CUTOUT = Cutout(np.zeros((5, 2), np.float32), np.zeros((8, 8, 3), np.uint8))


def test_a_flood_is_dropped_and_counted_and_holds_nobody_up():
    began, go_on, done = threading.Event(), threading.Event(), []

    def slow(_, sighting, __) -> None:
        began.set()
        go_on.wait(10)
        done.append(sighting.event)

    aftermath = Aftermath([slow])
    aftermath.start()
    aftermath.see(a_decision("e0"), replace(SEEN, event="e0", cutout=A_CUTOUT), lone=True)
    assert began.wait(5)
    for at in range(1, 200):
        aftermath.see(a_decision("e"), replace(SEEN, event=f"e{at}", cutout=A_CUTOUT), lone=True)
    assert aftermath.dropped == 199 - PLACES
    go_on.set()
    aftermath.stop(5)
    assert done == [f"e{at}" for at in range(PLACES + 1)]


def test_a_sighting_waits_for_a_moment_without_a_frame_in_hand_but_not_for_ever():
    busy, done = threading.Event(), threading.Event()
    busy.set()
    asked = []

    def is_busy() -> bool:
        asked.append(1)
        return busy.is_set() and len(asked) < 3

    aftermath = Aftermath([lambda *_: done.set()], busy=is_busy)
    aftermath.start()
    aftermath.see(a_decision("e1"), replace(SEEN, cutout=A_CUTOUT), lone=True)
    assert done.wait(5)
    assert len(asked) == 3
    for_ever = Aftermath([lambda *_: done.set()], busy=lambda: True)
    done.clear()
    for_ever.start()
    for_ever.see(a_decision("e2"), replace(SEEN, cutout=A_CUTOUT), lone=True)
    assert done.wait(PATIENCE_SECONDS + 5)
    aftermath.stop()
    for_ever.stop()


def test_a_step_that_fails_holds_no_other_up(caplog):
    done = []

    def broken(*_) -> None:
        raise ValueError("no such thing")

    aftermath = Aftermath(
        [broken, lambda _, sighting, __: done.append(sighting.event)], last=[lambda: done.append("last")]
    )
    aftermath.see(a_decision("e1"), replace(SEEN, cutout=A_CUTOUT), lone=True)
    aftermath.start()
    aftermath.stop(5)
    assert done == ["e1", "last"]
    assert "could not be looked at again" in caplog.text


def test_nothing_is_taken_after_the_end():
    done = []
    aftermath = Aftermath([lambda _, sighting, __: done.append(sighting.event)])
    aftermath.start()
    aftermath.stop(5)
    aftermath.see(a_decision("e1"), replace(SEEN, cutout=A_CUTOUT), lone=True)
    assert done == []
