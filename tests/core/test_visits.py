import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.arming import Relative
from facegate.core.decision import Reason
from facegate.core.sighting import Sighting
from facegate.core.visits import FACELESS, MAX_EVENTS, VisitRule, deadline, hunt_ended, hunted, judge, seen, settle

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RULE = VisitRule(
    threshold=0.5,
    threshold_of_many=0.5,
    margin=0.05,
    agreeing_frames=1,
    frames_per_visit=5,
    visit_seconds=10,
    hunt_seconds=30,
)
TWO = replace(RULE, agreeing_frames=2)


def sighting(**changes) -> Sighting:
    fields = {
        "camera": "porch",
        "event": "e1",
        "captured_at": NOW,
        "received_at": NOW,
        "digest": "d1",
        "model": "twin@0123456789ab",
        "faces": 1,
        "user": "alice",
        "score": 0.8,
        "runner_up": 0.2,
    }
    return Sighting(**(fields | changes))


sightings = st.builds(
    sighting,
    event=st.sampled_from(["e1", "e2", "e3"]),
    digest=st.text("abcdef", min_size=1, max_size=3),
    user=st.sampled_from(["alice", "bob", None]),
    score=st.none() | st.floats(-1, 1) | st.just(math.nan),
    runner_up=st.none() | st.floats(-1, 1) | st.just(math.nan),
    flaw=st.none() | st.sampled_from([Reason.NO_FACE, Reason.LOW_QUALITY, Reason.BAD_IMAGE]),
    hunted=st.booleans(),
    faces=st.integers(0, 3),
)
rules = st.builds(
    VisitRule,
    threshold=st.none() | st.floats(0.2, 0.9),
    threshold_of_many=st.none() | st.floats(0.2, 0.9),
    margin=st.floats(0, 0.3),
    agreeing_frames=st.integers(1, 3),
    frames_per_visit=st.integers(1, 6),
    visit_seconds=st.just(10.0),
    hunt_seconds=st.just(30.0),
    alone=st.booleans(),
    nearest=st.dictionaries(
        st.sampled_from(["alice", "bob"]), st.builds(Relative, st.just("carol"), st.floats(-1, 1)), max_size=2
    ),
)


@given(st.lists(sightings, max_size=12), rules)
def test_a_match_needs_enough_distinct_frames_at_the_threshold_that_name_one_user(stream, rule):
    visit, since = None, []
    for one in stream:
        since.append(one)
        visit, verdict = seen(visit, one, rule)
        if verdict is None:
            continue
        if verdict.reason is Reason.MATCH:
            user = verdict.best.user
            votes = {
                s.digest
                for s in since
                if s.user == user
                and s.flaw is None
                and s.score is not None
                and s.score >= rule.required(user, lone=verdict.lone)
                and (s.runner_up is None or s.score - s.runner_up >= rule.margin)
            }
            assert len(votes) >= rule.agreeing_frames
        if visit is None:
            since = []


@given(st.lists(sightings, max_size=15), rules)
def test_every_event_is_named_once_per_visit_or_still_held(stream, rule):
    visit, answered, arrived = None, [], []
    for one in stream:
        if one.event not in arrived:
            arrived.append(one.event)
        visit, verdict = seen(visit, one, rule)
        if verdict is not None:
            assert len(set(verdict.events)) == len(verdict.events)
            answered.extend(verdict.events)
        held = visit.events if visit else ()
        assert one.event in answered or one.event in held
    assert set(arrived) == set(answered) | set(visit.events if visit else ())


@given(sightings, rules)
def test_a_pushed_picture_outside_any_hunt_is_decided_at_once_when_one_frame_is_enough(one, rule):
    pushed = replace(one, hunted=False)
    visit, verdict = seen(None, pushed, replace(rule, agreeing_frames=1))
    assert visit is None
    assert verdict is not None
    assert verdict.events == (pushed.event,)


def test_a_score_at_the_threshold_matches_and_nan_never_does():
    assert judge(sighting(score=0.5), RULE, lone=True).reason is Reason.MATCH
    assert judge(sighting(score=math.nextafter(0.5, 0)), RULE, lone=True).reason is Reason.NO_MATCH
    assert judge(sighting(score=math.nan), RULE, lone=True).reason is Reason.NO_MATCH
    assert judge(sighting(runner_up=math.nan), RULE, lone=True).reason is Reason.AMBIGUOUS


def test_a_runner_up_too_near_is_ambiguous():
    assert judge(sighting(score=0.8, runner_up=0.76), RULE, lone=True).reason is Reason.AMBIGUOUS
    assert judge(sighting(score=0.8, runner_up=None), RULE, lone=True).reason is Reason.MATCH


def test_without_a_threshold_nobody_is_named():
    assert judge(sighting(), replace(RULE, threshold=None), lone=True).reason is Reason.NOT_ARMED


def test_a_door_for_people_alone_refuses_company():
    assert judge(sighting(faces=2), replace(RULE, alone=True), lone=True).reason is Reason.SEVERAL_FACES
    assert judge(sighting(faces=2), RULE, lone=True).reason is Reason.MATCH


def test_the_same_picture_twice_is_one_frame():
    visit, verdict = seen(None, sighting(), TWO)
    assert verdict is None
    visit, verdict = seen(visit, sighting(event="e2"), TWO)
    assert verdict is None
    _, verdict = seen(visit, sighting(event="e3", digest="d2"), TWO)
    assert verdict is not None
    assert verdict.reason is Reason.MATCH
    assert verdict.events == ("e1", "e2", "e3")


def test_what_a_former_network_saw_counts_for_nothing_once_another_is_in_charge():
    visit, _ = seen(None, sighting(model="old@000000000001", score=0.6), TWO)
    visit, verdict = seen(visit, sighting(model="new@000000000002", digest="d2", event="e2"), TWO)
    assert verdict is None
    assert visit.best.sighting.model == "new@000000000002"
    _, verdict = seen(visit, sighting(model="new@000000000002", digest="d3", event="e3"), TWO)
    assert (verdict.reason, verdict.events) == (Reason.MATCH, ("e1", "e2", "e3"))


@given(st.lists(st.tuples(sightings, st.sampled_from(["old@1", "new@2"])), max_size=12), rules)
def test_a_match_rests_on_one_network(stream, rule):
    visit, named = None, {}
    for seen_by_none, model in stream:
        one = replace(seen_by_none, model=model)
        if judge(one, rule, lone=False).reason is Reason.MATCH:
            named.setdefault((model, one.user), set()).add(one.digest)
        visit, verdict = seen(visit, one, rule)
        if verdict is not None and verdict.reason is Reason.MATCH and not verdict.lone:
            assert len(named[verdict.best.model, verdict.best.user]) >= rule.agreeing_frames


def test_two_frames_that_name_two_people_agree_on_nobody():
    visit, _ = seen(None, sighting(), TWO)
    visit, verdict = seen(visit, sighting(user="bob", digest="d2", score=0.7), TWO)
    assert verdict is None
    ended = settle(visit, TWO)
    assert ended.reason is Reason.NO_MATCH
    assert ended.detail == "1 of 2 agreeing frames"


def test_a_visit_is_refused_after_enough_frames_with_the_reason_of_its_best_sighting():
    visit = None
    for number in range(RULE.frames_per_visit):
        flaw = Reason.LOW_QUALITY if number else None
        visit, verdict = seen(visit, sighting(score=0.1, flaw=flaw, digest=str(number)), TWO)
    assert visit is None
    assert verdict.reason is Reason.NO_MATCH
    assert verdict.best.score == 0.1
    assert verdict.frames == RULE.frames_per_visit


def test_a_frame_without_a_face_joins_an_open_visit_and_is_one_of_its_own_otherwise():
    empty = sighting(event="e9", flaw=Reason.NO_FACE, faces=0, user=None, score=None)
    visit, verdict = seen(None, empty, TWO)
    assert visit is None
    assert verdict.reason is Reason.NO_FACE
    visit, _ = seen(None, sighting(), TWO)
    visit, verdict = seen(visit, empty, TWO)
    assert verdict is None
    assert visit.events == ("e1", "e9")


def test_a_broken_picture_is_denied_by_itself_and_leaves_the_open_visit_alone():
    visit, _ = seen(None, sighting(), TWO)
    after, verdict = seen(visit, sighting(event="e9", flaw=Reason.BAD_IMAGE), TWO)
    assert verdict.reason is Reason.BAD_IMAGE
    assert verdict.events == ("e9",)
    assert after == visit


def test_a_hunt_waits_for_a_face_and_its_match_answers_its_event():
    visit = hunted(None, "f1", "porch", NOW)
    visit, verdict = seen(visit, sighting(event="f1", flaw=Reason.NO_FACE, hunted=True, score=None, user=None), RULE)
    assert verdict is None
    assert deadline(visit, RULE) == NOW + timedelta(seconds=30)
    visit, verdict = seen(visit, sighting(event="f1", score=0.3, hunted=True), RULE)
    assert verdict is None
    assert deadline(visit, RULE) == NOW + timedelta(seconds=10)
    visit, verdict = seen(visit, sighting(event="f1", hunted=True, digest="d2"), RULE)
    assert visit is None
    assert verdict.reason is Reason.MATCH
    assert verdict.events == ("f1",)


def test_the_end_of_the_last_hunt_settles_the_visit():
    visit = hunted(hunted(None, "f1", "porch", NOW), "f2", "porch", NOW)
    visit, verdict = hunt_ended(visit, "f1", RULE)
    assert verdict is None
    visit, verdict = hunt_ended(visit, "f2", RULE)
    assert visit is None
    assert verdict.reason is Reason.IMAGE_UNREACHABLE
    assert verdict.events == ("f1", "f2")


def test_a_visit_names_no_more_events_than_a_decision_carries():
    visit, verdict, count = None, None, 0
    while verdict is None:
        count += 1
        changed = sighting(event=f"e{count}", score=0.1, digest=str(count))
        visit, verdict = seen(visit, changed, replace(TWO, frames_per_visit=500))
    assert len(verdict.events) == count == MAX_EVENTS


@pytest.mark.parametrize("flaw", sorted(FACELESS))
def test_frames_without_anybody_do_not_open_a_visit(flaw):
    visit, verdict = seen(None, sighting(flaw=flaw), TWO)
    assert visit is None
    assert verdict.reason is flaw


@given(sightings, rules, st.booleans(), st.floats(0, 1), st.floats(-1, 1))
def test_raising_a_threshold_never_names_anybody_whom_the_lower_one_did_not(one, rule, lone, more, alike):
    """Whatever raises it: the door's own, that of many frames, a user who is alike."""
    before = judge(one, rule, lone=lone).reason
    higher = [
        replace(rule, threshold=None if rule.threshold is None else rule.threshold + more),
        replace(rule, threshold_of_many=None if rule.threshold_of_many is None else rule.threshold_of_many + more),
        replace(rule, nearest={**rule.nearest, "dave": Relative("erin", alike)}),
        replace(rule, nearest={user: Relative(other.user, other.score + more) for user, other in rule.nearest.items()}),
        replace(rule, threshold=None, threshold_of_many=None),
    ]
    for stricter in higher:
        if judge(one, stricter, lone=lone).reason is Reason.MATCH:
            assert before is Reason.MATCH


@given(sightings, rules, st.booleans())
def test_a_user_with_somebody_alike_needs_at_least_what_the_door_asks_of_everybody(one, rule, lone):
    everybody = replace(rule, nearest={})
    if judge(one, rule, lone=lone).reason is Reason.MATCH:
        assert judge(one, everybody, lone=lone).reason is Reason.MATCH
    for user in ("alice", "bob", "carol", None):
        door, own = everybody.required(user, lone=lone), rule.required(user, lone=lone)
        assert (own is None) == (door is None)
        assert own is None or own >= door


def test_twins_are_named_only_beyond_what_they_have_in_common():
    twins = replace(RULE, nearest={"alice": Relative("bob", 0.7), "bob": Relative("alice", 0.7)})
    assert judge(sighting(score=0.74), twins, lone=True).reason is Reason.NO_MATCH
    assert judge(sighting(score=0.74), twins, lone=True).detail == "another user is too alike (0.700)"
    assert judge(sighting(score=0.76), twins, lone=True).reason is Reason.MATCH
    assert judge(sighting(score=0.4), twins, lone=True).detail == ""
    assert judge(sighting(user="carol", score=0.51), twins, lone=True).reason is Reason.MATCH


def test_a_frame_of_a_visit_that_may_have_many_must_score_more_than_one_that_is_all():
    rule = replace(RULE, threshold=0.5, threshold_of_many=0.6)
    assert seen(None, sighting(score=0.55), rule)[1].reason is Reason.MATCH
    pulled = sighting(score=0.55, hunted=True)
    assert seen(hunted(None, "e1", "porch", NOW), pulled, rule)[1] is None
    assert seen(hunted(None, "e1", "porch", NOW), replace(pulled, score=0.6), rule)[1].reason is Reason.MATCH
    assert judge(pulled, replace(rule, threshold_of_many=None), lone=False).reason is Reason.NOT_ARMED


@given(st.lists(sightings, max_size=12), rules)
def test_a_visit_is_lone_only_if_one_frame_is_all_of_it(stream, rule):
    visit = None
    for one in stream:
        visit, verdict = seen(visit, one, rule)
        assert visit is None or not visit.lone
        if verdict is not None and verdict.lone:
            assert (verdict.frames, verdict.events) == (1, (one.event,))
            assert rule.agreeing_frames == 1
            assert not one.hunted


@given(st.floats(0, 0.4), st.floats(-1, 1) | st.just(math.nan))
def test_who_is_unlike_the_crowd_is_named_only_by_so_much_more(rise, score):
    levelled = replace(RULE, rises={"alice": rise})
    named = judge(sighting(score=score, runner_up=None), levelled, lone=True)
    assert (named.reason is Reason.MATCH) == (score >= levelled.threshold + rise)
    assert levelled.required("alice", lone=True) == levelled.threshold + rise
    assert levelled.required("bob", lone=True) == levelled.required(None, lone=True) == levelled.threshold
    assert replace(levelled, threshold=None).required("alice", lone=True) is None


def test_only_a_score_that_would_do_without_the_other_is_blamed_on_the_other():
    twins = replace(RULE, nearest={"alice": Relative("bob", 0.7)}, rises={"alice": 0.15})
    assert judge(sighting(score=0.6), twins, lone=True).detail == ""
    assert judge(sighting(score=0.7), twins, lone=True).detail == "another user is too alike (0.700)"
