from datetime import timedelta

import numpy as np
import pytest

from facegate.core.comparison import References
from facegate.core.decision import Reason
from facegate.settings import Settings
from facegate.storage import open_storage
from facegate.storage.photos import Enrollee
from facegate.verifier.drifting import drift
from tests.fakes import START
from tests.storage.decisions import MODEL, a_decision
from tests.storage.photos import a_photo


@pytest.fixture
def storage(tmp_path):
    with open_storage(Settings(data_dir=tmp_path / "data"), upgrade_empty=True) as opened:
        for axis, user in enumerate(("alice", "bob")):
            opened.photos.enroll(Enrollee(user), [a_photo(axis)], model=MODEL, now=START)
        yield opened


def visits(storage, who, level, *, ago, count, **changes):
    rng = np.random.default_rng([ago, *who.encode()])
    for at in range(count):
        moment = START - timedelta(days=ago + count - at)
        fields = {"user": who, "score": float(level + rng.normal(0, 0.02)), "decided_at": moment} | changes
        storage.decisions.record(a_decision(f"{who}-{ago}-{at}", **fields))


def templates(*rows):
    given = np.array(rows, np.float32)
    return References(
        MODEL, given / np.linalg.norm(given, axis=1, keepdims=True), np.arange(len(given)), ("a", "b", "c")
    )


NOBODY_ALIKE = templates((1, 0, 0), (0, 1, 0), (0, 0, 1))


def test_a_user_who_sinks_is_advised_to_enroll_again(storage):
    visits(storage, "alice", 0.8, ago=30, count=40)
    visits(storage, "bob", 0.8, ago=30, count=40)
    visits(storage, "alice", 0.6, ago=0, count=20)
    visits(storage, "bob", 0.8, ago=0, count=20)
    report = drift(storage.decisions, NOBODY_ALIKE, 0.4, 0.05, START)
    assert report.visits == 120
    assert [fall.name for fall in report.sinking] == ["alice"]
    (line,) = report.advice()
    assert line.startswith("alice: scores sink from 0.80 (40 days) to 0.59 (the last 20)")
    assert "facegate enroll alice PHOTO" in line


def test_an_operators_word_counts_more_than_the_decision(storage):
    visits(storage, "alice", 0.8, ago=0, count=1)
    granted = storage.decisions.newest()[0].document["decision"]
    storage.decisions.speak(granted, "denied", START)
    visits(storage, "nobody", 0.3, ago=2, count=1, user=None, reason=Reason.NO_MATCH)
    denied = storage.decisions.newest()[0].document["decision"]
    storage.decisions.speak(denied, "denied", START, "bob")
    report = drift(storage.decisions, NOBODY_ALIKE, 0.4, 0.05, START)
    assert [(month.user, month.visits) for month in report.months] == [("bob", 1)]


def test_users_who_are_too_alike_are_named_from_the_margin_below_the_threshold(storage):
    alike = templates((1, 0, 0), (0.37, 0.93, 0), (0, 0, 1))
    report = drift(storage.decisions, alike, 0.4, 0.05, START)
    assert [(pair.one, pair.other) for pair in report.alike] == [("a", "b")]
    assert "a and b are alike: score 0.37 >= 0.35" in report.advice()[0]
    assert drift(storage.decisions, alike, None, 0.05, START).alike == ()


def test_what_is_older_than_a_year_and_a_month_is_left_out(storage):
    visits(storage, "alice", 0.8, ago=400, count=3)
    assert drift(storage.decisions, NOBODY_ALIKE, 0.4, 0.05, START).visits == 0
