from datetime import timedelta

import pytest

from facegate.core.decision import Reason
from facegate.errors import RefusedError, UnusableInputError
from facegate.storage.decisions import Filters
from tests.fakes import START


def later(seconds):
    return START + timedelta(seconds=seconds)


def test_a_recorded_decision_comes_back_as_its_json(storage, decision):
    made = storage.signer.sign(decision("one", "two"))
    storage.decisions.record(made)
    (found,) = storage.decisions.newest()
    assert found.to_json() == made.to_json()


def test_a_decision_is_recorded_once(storage, decision):
    made = decision()
    storage.decisions.record(made)
    with pytest.raises(RefusedError, match="was recorded before"):
        storage.decisions.record(made)
    assert storage.decisions.last_position() == 1


def test_decisions_are_listed_by_what_was_asked(storage, decision):
    storage.decisions.record(decision("a", decided_at=later(1)))
    storage.decisions.record(decision("b", door="side", user="bob", decided_at=later(2)))
    storage.decisions.record(decision("c", reason=Reason.NO_MATCH, user=None, decided_at=later(3)))

    def events(filters):
        return [one.document["events"][0] for one in storage.decisions.newest(filters)]

    assert events(Filters()) == ["c", "b", "a"]
    assert events(Filters(door="front")) == ["c", "a"]
    assert events(Filters(user="bob")) == ["b"]
    assert events(Filters(outcome="deny")) == ["c"]
    assert events(Filters(reason="no_match")) == ["c"]
    assert events(Filters(since=later(2))) == ["c", "b"]
    assert len(storage.decisions.newest(limit=2)) == 2
    assert [one.position for one in storage.decisions.after(1)] == [2, 3]


def test_a_decision_is_found_by_the_beginning_of_its_id_if_that_is_one_only(storage, decision):
    storage.decisions.record(decision(id="abc-1"))
    storage.decisions.record(decision(id="abd-2"))
    assert storage.decisions.show("abc").position == 1
    for wanted, message in (("ab", "More than one"), ("x", "No decision"), ("", "No decision"), ("%", "No decision")):
        with pytest.raises(UnusableInputError, match=message):
            storage.decisions.show(wanted)


def test_the_operators_word_is_kept_beside_the_decision(storage, decision):
    storage.decisions.record(decision(id="abc"))
    storage.decisions.speak("abc", "denied", START)
    found = storage.decisions.show("abc").to_json()
    assert (found["word"], found["word_at"]) == ("denied", "2026-11-23T12:00:00.000Z")


def test_the_history_has_strangers_and_grants_of_one_door_since_a_moment(storage, decision):
    moments = [
        ("old", Reason.NO_MATCH, None, "front", -10),
        ("stranger", Reason.NO_MATCH, None, "front", 1),
        ("nobody there", Reason.NO_FACE, None, "front", 2),
        ("elsewhere", Reason.NO_MATCH, None, "side", 3),
        ("first", Reason.MATCH, "alice", "front", 4),
        ("second", Reason.MATCH, "alice", "front", 5),
        ("between", Reason.AMBIGUOUS, None, "front", 6),
    ]
    for event, reason, user, door, seconds in moments:
        storage.decisions.record(decision(event, reason=reason, user=user, door=door, decided_at=later(seconds)))
    history = storage.decisions.history("front", START)
    assert history.denials == (later(1), later(6))
    assert history.granted == {"alice": later(5)}
