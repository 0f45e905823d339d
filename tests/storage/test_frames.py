import sqlite3
from datetime import timedelta

import numpy as np
import pytest

from facegate.core.decision import Reason
from facegate.errors import NotReadyError, UnusableInputError
from facegate.storage import open_storage
from facegate.storage.frames import DecisionFrame
from facegate.storage.packing import Crop
from facegate.storage.photos import Enrollee
from tests.fakes import START

MODEL = "twins@0123456789ab"


@pytest.fixture(autouse=True)
def _household(storage, photo):
    storage.photos.enroll(Enrollee("alice"), [photo(0)], model=MODEL, now=START)
    storage.photos.enroll(Enrollee("bob"), [photo(1)], model=MODEL, now=START)


@pytest.fixture
def decided(storage, decision):
    """Record a decision and return its id."""

    def make(event, **changes):
        made = decision(event, **changes)
        storage.decisions.record(made)
        return made.id

    return make


def a_frame(decision, user="alice", *, minutes=0):
    crop = Crop(np.arange(10, dtype=np.float32).reshape(5, 2), f"a face for {decision}".encode())
    return DecisionFrame(decision, user, "porch", START + timedelta(minutes=minutes), crop)


def test_a_frame_comes_back_as_it_was_and_lies_sealed(storage, decided, settings):
    one = decided("e1")
    assert storage.frames.keep(a_frame(one), most=10)
    found = storage.frames.find(one)
    assert (found.user, found.camera, found.captured_at) == ("alice", "porch", START)
    assert found.crop.picture == f"a face for {one}".encode()
    assert found.crop.landmarks.tolist() == np.arange(10).reshape(5, 2).tolist()
    blobs = b"".join(path.read_bytes() for path in settings.data_dir.glob("facegate.db*"))
    assert b"a face for" not in blobs


def test_keeping_a_frame_does_not_make_the_daemon_read_its_roster_again(storage, decided):
    before = storage.gallery.revision()
    storage.frames.keep(a_frame(decided("e1")), most=10)
    assert storage.gallery.revision() == before


@pytest.mark.parametrize("case", ["unknown decision", "unknown user", "twice"])
def test_a_frame_that_belongs_nowhere_is_not_kept(storage, decided, case):
    one = decided("e1")
    if case == "twice":
        assert storage.frames.keep(a_frame(one), most=10)
    wanted = a_frame("gone" if case == "unknown decision" else one, "nobody" if case == "unknown user" else "alice")
    assert not storage.frames.keep(wanted, most=10)


def test_only_the_newest_stay_but_those_that_somebody_spoke_on(storage, decided):
    ids = [decided(f"e{number}") for number in range(5)]
    storage.frames.keep(a_frame(ids[0]), most=3)
    storage.decisions.speak(ids[0], "confirmed", START)
    for number in range(1, 5):
        storage.frames.keep(a_frame(ids[number], minutes=number), most=3)
    assert [storage.frames.find(one) is not None for one in ids] == [True, False, True, True, True]


def test_spoken_frames_carry_the_operators_word(storage, decided):
    granted, denied = decided("e1"), decided("e2", reason=Reason.NO_MATCH, user=None)
    for one in (granted, denied, decided("e3")):
        storage.frames.keep(a_frame(one), most=10)
    storage.decisions.speak(granted, "confirmed", START)
    assert storage.decisions.speak(denied, "denied", START, "bob").to_json()["word_user"] == "bob"
    told = {
        one.frame.decision: (one.word, str(one.outcome), one.user, one.word_user) for one in storage.frames.spoken()
    }
    assert told == {granted: ("confirmed", "grant", "alice", None), denied: ("denied", "deny", None, "bob")}


def test_an_operator_cannot_name_who_is_not_enrolled(storage, decided):
    with pytest.raises(UnusableInputError, match="There is no user mallory"):
        storage.decisions.speak(decided("e1"), "denied", START, "mallory")


def test_retention_takes_what_nobody_spoke_on(storage, decided):
    old, spoken, young = decided("e1"), decided("e2"), decided("e3")
    for one, minutes in ((old, 0), (spoken, 0), (young, 10)):
        storage.frames.keep(a_frame(one, minutes=minutes), most=10)
    storage.decisions.speak(spoken, "confirmed", START)
    assert storage.frames.forget(START + timedelta(minutes=5)) == 1
    assert storage.frames.find(old) is None
    assert storage.frames.count() == 2


def test_a_removed_user_takes_along_every_frame_that_shows_them(storage, decided):
    scored, named, others = decided("e1"), decided("e2", reason=Reason.NO_MATCH, user=None), decided("e3", user="bob")
    storage.frames.keep(a_frame(scored), most=10)
    storage.frames.keep(a_frame(named, "bob"), most=10)
    storage.frames.keep(a_frame(others, "bob"), most=10)
    storage.decisions.speak(named, "denied", START, "alice")
    assert len(storage.frames.of_user("alice")) == 2
    storage.users.remove("alice")
    assert [storage.frames.find(one) is not None for one in (scored, named, others)] == [False, False, True]
    assert storage.decisions.show(named).word_user is None


def test_the_last_user_takes_all_frames_along_so_that_the_next_key_may_be_another(storage, decided):
    storage.frames.keep(a_frame(decided("e1"), None), most=10)
    storage.users.remove("alice")
    assert storage.frames.count() == 1
    storage.users.remove("bob")
    assert storage.frames.count() == 0


def test_a_rotated_key_opens_the_frames(storage, decided, settings):
    one = decided("e1")
    storage.frames.keep(a_frame(one), most=10)
    with open_storage(settings) as other:
        assert other.photos.rotate_vault() == 5
    assert storage.frames.find(one).crop.picture == f"a face for {one}".encode()


def test_a_frame_moved_to_another_decision_is_noticed(storage, decided, settings):
    one, other = decided("e1"), decided("e2")
    storage.frames.keep(a_frame(one), most=10)
    with sqlite3.connect(settings.data_dir / "facegate.db") as connection:
        connection.execute("UPDATE decision_frames SET decision = ?", (other,))
    with pytest.raises(NotReadyError, match="changed or moved"):
        storage.frames.find(other)


def test_a_frame_goes_with_its_decision(storage, decided):
    storage.frames.keep(a_frame(decided("e1")), most=10)
    storage.retention.apply(START + timedelta(days=1000))
    assert storage.frames.count() == 0
