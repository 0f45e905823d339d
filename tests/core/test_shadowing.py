from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.judging import Verdict
from facegate.core.shadowing import Beside, Kind, Opinion, is_over, judge_shadow, kind_of
from facegate.core.word import Meaning
from tests.fakes import START

NOBODY = Opinion("alice", 0.1, 0.4)
ALICE = Opinion("alice", 0.8, 0.4)
BOB = Opinion("bob", 0.8, 0.4)


def visit(number, champion, challenger, meaning=None, *, minutes=None):
    at = START + timedelta(minutes=60 * number if minutes is None else minutes)
    return Beside(f"d{number}", "front", at, champion, challenger, meaning)


def agreed(count, opinion=ALICE, start=0):
    return [visit(number, opinion, opinion) for number in range(start, start + count)]


def kept(*visits, because):
    judged = judge_shadow(visits, 1e-3)
    assert judged.verdict is Verdict.KEPT
    assert because in judged.reason
    return judged


def test_a_challenger_that_agrees_is_promoted_with_its_counts():
    judged = judge_shadow(agreed(20), 1e-3)
    assert judged.verdict is Verdict.PROMOTED
    assert judged.reason == "20 visits beside the champion, 0 of them spoken on: 0 righted, 0 gained, 0 open, 0 lost"
    assert judged.to_json()["same"] == 20


def test_too_few_visits_say_nothing():
    kept(*agreed(9), because="9 visits are too few")


@pytest.mark.parametrize(
    ("champion", "challenger", "meaning", "kind"),
    [
        (ALICE, NOBODY, Meaning(owner="alice"), Kind.WRONGED),
        (NOBODY, ALICE, Meaning(owner="alice"), Kind.RIGHTED),
        (NOBODY, ALICE, Meaning(stranger=True), Kind.OPENED),
        (ALICE, NOBODY, Meaning(stranger=True), Kind.RIGHTED),
        (ALICE, BOB, Meaning(owner="alice"), Kind.OPENED),
        (ALICE, BOB, Meaning(owner="bob", refused="alice"), Kind.RIGHTED),
        (ALICE, ALICE, Meaning(refused="alice"), Kind.SAME),
        (ALICE, NOBODY, Meaning(refused="alice"), Kind.RIGHTED),
        (NOBODY, NOBODY, Meaning(owner="alice"), Kind.SAME),
        (ALICE, BOB, None, Kind.TORN),
        (ALICE, NOBODY, None, Kind.LOST),
        (NOBODY, ALICE, None, Kind.OPEN),
        (NOBODY, NOBODY, None, Kind.SAME),
        (ALICE, BOB, Meaning(), Kind.TORN),  # a word that does not say who was there
    ],
)
def test_a_visit_is_of_the_kind_that_its_truth_gives(champion, challenger, meaning, kind):
    assert kind_of(visit(0, champion, challenger, meaning), []) is kind


def test_a_confirmed_visit_that_is_lost_keeps_it_whatever_it_gains():
    lost = visit(99, ALICE, NOBODY, Meaning(owner="alice"))
    gained = [visit(100 + at, NOBODY, ALICE, Meaning(owner="alice")) for at in range(30)]
    kept(*agreed(40), *gained, lost, because="whom an operator confirmed: d99")


def test_a_denied_stranger_that_it_would_let_in_keeps_it():
    kept(*agreed(40), visit(99, NOBODY, ALICE, Meaning(stranger=True)), because="who was not there: d99")


def test_two_names_for_one_face_keep_it_until_somebody_says_who_it_was():
    torn = visit(99, ALICE, BOB)
    kept(*agreed(40), torn, because="another user than the champion; say who it was: d99")
    said = replace(torn, meaning=Meaning(owner="bob", refused="alice"))
    assert judge_shadow([*agreed(40), said], 1e-3).verdict is Verdict.PROMOTED


def test_a_gain_is_a_true_one_if_the_champion_granted_the_user_within_minutes():
    shut_out, again = visit(1, NOBODY, ALICE, minutes=0), visit(2, ALICE, ALICE, minutes=2)
    assert kind_of(shut_out, [shut_out, again]) is Kind.GAINED
    assert kind_of(shut_out, [shut_out, replace(again, door="back")]) is Kind.OPEN
    assert kind_of(shut_out, [shut_out, replace(again, at=START + timedelta(minutes=4))]) is Kind.OPEN
    assert kind_of(shut_out, [shut_out, replace(again, meaning=Meaning(refused="alice"))]) is Kind.OPEN


def test_losses_are_weighed_against_true_gains():
    lost = [visit(100 + at, ALICE, NOBODY) for at in range(2)]
    kept(*agreed(40), *lost, because="loses more than it gains: d100, d101")
    gained = [visit(200 + at, NOBODY, ALICE, Meaning(owner="alice")) for at in range(2)]
    assert judge_shadow([*agreed(40), *lost, *gained], 1e-3).verdict is Verdict.PROMOTED


def test_open_gains_are_believed_as_far_as_chance_explains_them():
    silent = agreed(50, NOBODY, start=500)
    one, three = ([visit(100 + at, NOBODY, ALICE) for at in range(count)] for count in (1, 3))
    assert judge_shadow([*agreed(20), *silent, *one], 1e-3).verdict is Verdict.PROMOTED
    kept(*agreed(20), *silent, *three, because="more than strangers at the target explain; say who it was: d100")


def test_a_reason_names_few_visits_and_counts_the_rest():
    torn = [visit(100 + at, ALICE, BOB) for at in range(30)]
    kept(*torn, because="d100, d101, d102, d103, d104 and 25 more")


@pytest.mark.parametrize("score", [float("nan"), None])
def test_a_score_that_is_none_names_nobody(score):
    assert Opinion("alice", score, 0.4).named is None
    assert Opinion("alice", 0.9, None).named is None
    assert Opinion("alice", 0.4, 0.4).named == "alice"


def test_the_shadow_is_over_after_its_visits_or_its_days():
    limits = {"most_visits": 50, "most_days": 7.0}
    assert not is_over(49, START, START + timedelta(days=6), **limits)
    assert is_over(50, START, START, **limits)
    assert is_over(0, START, START + timedelta(days=7), **limits)
    assert not is_over(0, START, START - timedelta(days=400), **limits)


opinions = st.sampled_from([NOBODY, ALICE, BOB])
meanings = st.sampled_from([None, Meaning(owner="alice"), Meaning(stranger=True), Meaning(refused="alice")])


@given(st.lists(st.tuples(opinions, opinions, meanings), max_size=40))
def test_who_is_promoted_never_loses_what_was_confirmed_nor_opens_to_the_denied(rows):
    visits = [visit(number, *row) for number, row in enumerate(rows)]
    judged = judge_shadow(visits, 1e-3)
    assert sum(judged.counts.values()) == len(visits)
    if judged.verdict is Verdict.PROMOTED:
        for one in visits:
            if one.meaning and one.meaning.owner == one.champion.named == "alice":
                assert one.challenger.named == "alice"
            if one.meaning and one.meaning.stranger and one.champion.named is None:
                assert one.challenger.named is None


@given(st.lists(st.tuples(opinions, meanings), min_size=10, max_size=40))
def test_a_twin_of_the_champion_is_never_worse(rows):
    visits = [visit(number, opinion, opinion, meaning) for number, (opinion, meaning) in enumerate(rows)]
    assert judge_shadow(visits, 1e-3).verdict is Verdict.PROMOTED
