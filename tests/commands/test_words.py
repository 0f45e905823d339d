"""An operator's word on a decision: what is stored, what it means, what is kept to learn from."""

import numpy as np
import pytest

from facegate.core.decision import Reason
from facegate.storage.frames import DecisionFrame
from facegate.storage.packing import Crop
from tests.fakes import START
from tests.storage.decisions import a_decision

CROP = Crop(np.ones((5, 2), np.float32), b"a face")


@pytest.fixture
def house(gate):
    """A granted, a denied and a policy-denied decision; the first two with a kept face."""
    late = a_decision("event-3", id="decision-3", reason=Reason.OUTSIDE_HOURS, user="bob")
    gate.decisions.record(late)
    gate.frames.keep(DecisionFrame("decision-1", "alice", "porch", START, CROP), most=9)
    gate.frames.keep(DecisionFrame("decision-2", "bob", "porch", START, CROP), most=9)
    return gate


WORDS = [
    (("confirm", "decision-1"), {"user": "alice", "stranger": False, "not": None}, True),
    (("deny", "decision-1"), {"user": None, "stranger": False, "not": "alice"}, True),
    (("deny", "decision-1", "--user", "bob"), {"user": "bob", "stranger": False, "not": "alice"}, True),
    (("confirm", "decision-2"), {"user": None, "stranger": True, "not": None}, True),
    (("deny", "decision-2", "--user", "alice"), {"user": "alice", "stranger": False, "not": None}, True),
    (("deny", "decision-2"), {"user": None, "stranger": False, "not": None}, True),
    (("confirm", "decision-3"), {"user": "bob", "stranger": False, "not": None}, False),
]


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(("words", "means", "kept"), WORDS, ids=[" ".join(row[0]) for row in WORDS])
def test_a_word_is_stored_with_what_it_means(answer, words, means, kept):
    told = answer("decisions", *words)
    assert (told["means"], told["face_kept"]) == (means, kept)
    shown = answer("decisions", "show", words[1])
    assert shown["word"] == {"confirm": "confirmed", "deny": "denied"}[words[0]]
    assert shown.get("word_user") == (words[3] if "--user" in words else None)


@pytest.mark.usefixtures("house")
def test_a_word_without_a_kept_face_is_stored_and_says_so_in_a_line(call):
    code, out, err = call("decisions", "confirm", "decision-3")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "decision-3 is confirmed: it is bob",
        "No face of it was kept: nothing is learned from it",
    ]


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("confirm", "decision-1", "--user", "bob"), "confirmed means that it was alice, and not bob"),
        (("deny", "decision-1", "--user", "alice"), "denied means that it was not alice"),
        (("confirm", "decision-2", "--user", "bob"), "confirmed means that it was nobody enrolled, and not bob"),
        (("deny", "decision-1", "--user", "carol"), "There is no user carol"),
        (("deny", "decision-9"), "No decision has an id that begins with 'decision-9'"),
    ],
)
def test_a_word_that_makes_no_sense_changes_nothing(call, answer, words, says):
    code, out, err = call("decisions", *words)
    assert (code, out) == (2, "")
    assert says in err
    assert "word" not in answer("decisions", "show", "decision-1")


def test_the_kept_face_of_a_decision_can_be_deleted(house, call, answer):
    answer("decisions", "confirm", "decision-1")
    assert answer("decisions", "forget", "decision-1") == {"decision": "decision-1", "forgotten": True}
    assert not house.frames.has("decision-1")
    assert answer("decisions", "show", "decision-1")["word"] == "confirmed"
    assert call("decisions", "forget", "decision-1")[1] == "decision-1: no face of it was kept\n"


def test_a_grant_that_nobody_spoke_on_is_nothing_to_learn_from(house, answer):
    assert house.frames.spoken() == []
    answer("decisions", "confirm", "decision-1")
    assert [one.frame.decision for one in house.frames.spoken()] == ["decision-1"]
