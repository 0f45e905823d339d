from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.decision import Reason
from facegate.core.policy import EVERYONE, Door, History, Mode, Permission, User
from facegate.core.ruling import Circumstances, rule
from facegate.core.sighting import Sighting
from facegate.core.visits import Verdict

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MODEL = "twin@0123456789ab"
DOOR = Door("front", "Front", ("porch",), permissions=(Permission(EVERYONE),))
SEEN = Sighting(
    camera="porch",
    event="e1",
    captured_at=NOW,
    received_at=NOW,
    digest="d",
    model=MODEL,
    faces=1,
    user="alice",
    score=0.8,
)
MATCH = Verdict(Reason.MATCH, "", SEEN, SEEN, ("porch",), ("e1",), 1)
GIVEN = Circumstances(
    now=NOW,
    id="id",
    user=User("alice", "Alice"),
    history=History(),
    threshold=0.5,
    model=MODEL,
    max_age_seconds=5,
    grant_seconds=5,
)


def test_a_match_that_everything_permits_is_granted():
    decision = rule(DOOR, MATCH, GIVEN)
    assert decision.reason is Reason.MATCH
    assert decision.user == "alice"
    assert decision.expires_at == NOW + timedelta(seconds=5)


@pytest.mark.parametrize(
    ("door", "verdict", "given", "reason"),
    [
        (DOOR, MATCH, replace(GIVEN, user=None), Reason.NOT_PERMITTED),
        (DOOR, MATCH, replace(GIVEN, user=User("bob", "Bob")), Reason.NOT_PERMITTED),
        (DOOR, MATCH, replace(GIVEN, threshold=None), Reason.NOT_ARMED),
        (DOOR, MATCH, replace(GIVEN, threshold=0.9), Reason.NOT_ARMED),
        (DOOR, MATCH, replace(GIVEN, model="twin@ffffffffffff"), Reason.INTERNAL_ERROR),
        (DOOR, MATCH, replace(GIVEN, now=NOW + timedelta(seconds=6)), Reason.TOO_OLD),
        (DOOR, MATCH, replace(GIVEN, user=User("alice", "Alice", suspended=True)), Reason.SUSPENDED),
        (replace(DOOR, mode=Mode.LOCKDOWN), MATCH, GIVEN, Reason.LOCKDOWN),
        (DOOR, replace(MATCH, best=None, last=None), GIVEN, Reason.NOT_PERMITTED),
    ],
)
def test_each_doubt_denies_with_its_own_reason(door, verdict, given, reason):
    assert rule(door, verdict, given).reason is reason


@given(st.sampled_from([reason for reason in Reason if reason is not Reason.MATCH]))
def test_a_verdict_that_is_no_match_is_never_granted_and_names_nobody(reason):
    decision = rule(DOOR, replace(MATCH, reason=reason), GIVEN)
    assert decision.reason is reason
    assert decision.user is None


@given(st.none() | st.floats(), st.none() | st.floats())
def test_no_score_and_no_threshold_grants_below_the_other(score, threshold):
    seen = replace(SEEN, score=score)
    decision = rule(DOOR, replace(MATCH, best=seen, last=seen), replace(GIVEN, threshold=threshold))
    reached = score is not None and threshold is not None and score >= threshold
    assert (decision.reason is Reason.MATCH) == reached


def test_a_deny_after_another_network_took_charge_tells_the_one_whose_score_it_tells():
    old = replace(SEEN, model="old@000000000001", score=0.3)
    decision = rule(DOOR, replace(MATCH, reason=Reason.NO_MATCH, best=old, last=old), GIVEN)
    assert (decision.reason, decision.score, decision.model) == (Reason.NO_MATCH, 0.3, "old@000000000001")
    assert decision.threshold is None


def test_the_time_counts_from_the_newest_frame():
    late = replace(SEEN, captured_at=NOW + timedelta(seconds=4), received_at=NOW + timedelta(seconds=4))
    decision = rule(DOOR, replace(MATCH, last=late), replace(GIVEN, now=NOW + timedelta(seconds=6)))
    assert decision.reason is Reason.MATCH
    assert decision.captured_at == late.captured_at
    assert decision.milliseconds["total"] == pytest.approx(2000)
