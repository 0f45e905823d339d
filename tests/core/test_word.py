import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.decision import Outcome, Reason
from facegate.core.word import Meaning, meaning

GRANT, DENY = Outcome.GRANT, Outcome.DENY


@pytest.mark.parametrize(
    ("decided", "word", "user", "expected"),
    [
        ((GRANT, Reason.MATCH, "alice"), "confirmed", None, Meaning(owner="alice")),
        ((GRANT, Reason.MATCH, "alice"), "confirmed", "alice", Meaning(owner="alice")),
        ((GRANT, Reason.MATCH, "alice"), "denied", None, Meaning(refused="alice")),
        ((GRANT, Reason.MATCH, "alice"), "denied", "bob", Meaning(owner="bob", refused="alice")),
        ((DENY, Reason.NO_MATCH, None), "confirmed", None, Meaning(stranger=True)),
        ((DENY, Reason.NO_MATCH, None), "denied", None, Meaning()),
        ((DENY, Reason.NO_MATCH, None), "denied", "alice", Meaning(owner="alice")),
        ((DENY, Reason.AMBIGUOUS, None), "confirmed", None, Meaning()),
        ((DENY, Reason.AMBIGUOUS, None), "denied", "alice", Meaning(owner="alice")),
        ((DENY, Reason.OUTSIDE_HOURS, "alice"), "confirmed", None, Meaning(owner="alice")),
        ((DENY, Reason.OUTSIDE_HOURS, "alice"), "denied", None, Meaning()),
        ((DENY, Reason.OUTSIDE_HOURS, "alice"), "denied", "alice", Meaning(owner="alice")),
        ((DENY, Reason.OUTSIDE_HOURS, "alice"), "denied", "bob", Meaning(owner="bob", refused="alice")),
    ],
)
def test_a_word_says_what_its_table_says(decided, word, user, expected):
    assert meaning(*decided, word, user) == expected


@pytest.mark.parametrize(
    ("outcome", "reason", "named", "word", "user"),
    [
        (GRANT, Reason.MATCH, "alice", "confirmed", "bob"),
        (GRANT, Reason.MATCH, "alice", "denied", "alice"),
        (DENY, Reason.NO_MATCH, None, "confirmed", "alice"),
    ],
)
def test_a_word_that_contradicts_itself_is_told(outcome, reason, named, word, user):
    with pytest.raises(ValueError, match="means that it was"):
        meaning(outcome, reason, named, word, user)


users = st.one_of(st.none(), st.sampled_from(["alice", "bob"]))


@given(st.sampled_from(Reason), users, st.sampled_from(["confirmed", "denied"]), users)
def test_nobody_is_both_owner_and_not_and_a_grant_alone_teaches_nothing(reason, named, word, user):
    try:
        said = meaning(reason.outcome, reason, named, word, user)
    except ValueError:
        return
    assert said.owner is None or said.owner != said.refused
    assert not (said.stranger and said.owner)
    assert said.owner in {None, named, user}
    assert said.teaches == (said != Meaning())
    assert said.sentence
