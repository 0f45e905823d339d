import sqlite3
from datetime import timedelta

import pytest

from facegate.core.decision import Reason
from facegate.errors import UnusableInputError
from facegate.settings import RetentionSection
from facegate.storage import audit
from facegate.storage.decisions import link
from facegate.storage.retention import Forgotten, Retention
from facegate.storage.signing import verified
from tests.fakes import START

DAY = timedelta(days=1)


@pytest.fixture
def chain(storage, decision):
    """Six decisions, a day apart, each with an event."""
    for number in range(6):
        storage.decisions.record(decision(f"event-{number}", id=f"decision-{number}", decided_at=START + number * DAY))
    return storage


def check(storage):
    return audit.verify(storage.engine, storage.signer, START)


def tamper(settings, *statements):
    with sqlite3.connect(settings.data_dir / "facegate.db") as connection:
        for statement in statements:
            connection.execute(statement)


def test_an_untouched_chain_is_whole(chain):
    found = check(chain)
    assert found.is_whole
    assert (found.checked, found.first, found.last) == (6, 1, 6)


def test_a_document_that_is_none_is_a_break_even_where_every_hash_is_computed_anew(chain, settings):
    with sqlite3.connect(settings.data_dir / "facegate.db") as connection:
        previous = connection.execute("SELECT hash FROM decisions WHERE position = 5").fetchone()[0]
        forged = link(previous, "5")
        connection.execute("UPDATE decisions SET document = '5', hash = ? WHERE position = 6", (forged,))
        connection.execute("UPDATE chain SET hash = ?", (forged,))
    assert (check(chain).broken.position, check(chain).broken.what) == (6, "what stands there cannot be read")


def test_an_empty_chain_is_whole(storage):
    assert check(storage).is_whole


def test_the_operators_word_does_not_break_the_chain(chain):
    chain.decisions.speak("decision-2", "denied", START)
    assert check(chain).is_whole


@pytest.mark.parametrize(
    ("statement", "position", "what"),
    [
        ("UPDATE decisions SET document = replace(document, 'alice', 'bobby') WHERE position = 3", 3, "edited"),
        ("UPDATE decisions SET user = 'bobby' WHERE position = 3", 3, "column of user"),
        ("UPDATE decisions SET door = 'side' WHERE position = 3", 3, "column of door"),
        ("UPDATE decisions SET hash = 'x' WHERE position = 3", 3, "edited"),
        ("DELETE FROM decisions WHERE position = 1", 1, "decisions 1 to 1 were deleted"),
        ("DELETE FROM decisions WHERE position IN (3, 4)", 3, "decisions 3 to 4 were deleted"),
        ("DELETE FROM decisions WHERE position = 6", 6, "deleted at the end"),
        ("DELETE FROM decisions", 1, "deleted at the end"),
        ("DELETE FROM decision_events WHERE position = 2", 2, "events"),
        ("UPDATE decisions SET decided_at = 'garbage' WHERE position = 3", 3, "cannot be read"),
        ("DELETE FROM chain", 6, "the head of the chain is gone"),
        ("UPDATE decision_events SET event = 'another' WHERE position = 2", 2, "events"),
    ],
)
def test_whatever_is_changed_is_found_at_its_place(chain, settings, statement, position, what):
    tamper(settings, statement)
    found = check(chain)
    assert found.broken.position == position
    assert what in found.broken.what


def test_an_inserted_decision_is_found_even_if_its_own_hash_fits(chain, settings):
    with sqlite3.connect(settings.data_dir / "facegate.db") as connection:
        previous, document = connection.execute(
            "SELECT hash, replace(document, 'decision-3', 'inserted') FROM decisions WHERE position = 3"
        ).fetchone()
        connection.execute("UPDATE decisions SET position = position + 100 WHERE position > 3")
        connection.execute("UPDATE decisions SET position = position - 99 WHERE position > 100")
        connection.execute(
            "INSERT INTO decisions SELECT 4, 'inserted', door, outcome, reason, user, decided_at, ?, ?, NULL, NULL, "
            "NULL FROM decisions WHERE position = 3",
            (document, link(previous, document)),
        )
    found = check(chain)
    assert found.broken.position in (4, 5)


def test_retention_cuts_the_old_end_and_the_rest_stays_verifiable(chain):
    settings = RetentionSection(decisions_days=3, events_days=2)
    forgotten = Retention(chain.engine, chain.signer, settings).apply(START + 5 * DAY)
    assert forgotten.decisions == 2
    found = check(chain)
    assert found.is_whole
    assert (found.checked, found.first, found.last) == (4, 3, 6)


def test_retention_may_empty_the_chain_and_it_goes_on(chain, decision):
    Retention(chain.engine, chain.signer, RetentionSection(decisions_days=1, events_days=1)).apply(START + 99 * DAY)
    assert chain.decisions.newest() == []
    chain.decisions.record(decision("next", decided_at=START + 99 * DAY))
    found = check(chain)
    assert found.is_whole
    assert (found.checked, found.first) == (1, 7)


def test_retention_keeps_the_sums_right(chain):
    chain.events.open("counted", "porch", START, "")
    chain.events.count(["counted"], "superseded")
    before = chain.events.tally()
    retention = Retention(chain.engine, chain.signer, RetentionSection(decisions_days=1, events_days=1))
    assert retention.apply(START + 99 * DAY) == Forgotten(decisions=6, events=7)
    assert chain.events.tally() == before == {"in": 7, "decided": 6, "counted": {"superseded": 1}}
    assert retention.apply(START + 99 * DAY) == Forgotten(0, 0)


def test_deleting_more_than_retention_did_is_found(chain, settings):
    Retention(chain.engine, chain.signer, RetentionSection(decisions_days=3)).apply(START + 5 * DAY)
    tamper(settings, "DELETE FROM decisions WHERE position = 3")
    assert check(chain).broken.what == "decisions 3 to 3 were deleted"


def test_a_forged_checkpoint_is_found(chain, settings):
    Retention(chain.engine, chain.signer, RetentionSection(decisions_days=3)).apply(START + 5 * DAY)
    tamper(
        settings,
        "UPDATE checkpoints SET position = 4, hash = (SELECT hash FROM decisions WHERE position = 4)",
        "DELETE FROM decisions WHERE position <= 4",
    )
    assert "not signed" in check(chain).broken.what


def test_a_checkpoint_outlives_the_key_that_signed_it(chain):
    Retention(chain.engine, chain.signer, RetentionSection(decisions_days=3)).apply(START + 5 * DAY)
    chain.signer.rotate(START)
    assert audit.verify(chain.engine, chain.signer, START + 9999 * DAY).is_whole


def test_a_head_is_signed_for_sending_out(chain):
    sent = audit.checkpoint(chain.engine, chain.signer, START)
    claims = verified(sent["jws"], chain.signer.jwks(START))
    assert (claims["position"], claims["hash"]) == (6, check(chain).head)


def rewrite(settings):
    """Do what somebody does who computes every later hash anew: the chain by itself is whole again."""
    with sqlite3.connect(settings.data_dir / "facegate.db") as connection:
        previous = connection.execute("SELECT hash FROM decisions WHERE position = 2").fetchone()[0]
        for position, document in connection.execute(
            "SELECT position, document FROM decisions WHERE position > 2 ORDER BY position"
        ).fetchall():
            changed = document.replace("0.8", "0.9")
            previous = link(previous, changed)
            connection.execute(
                "UPDATE decisions SET document = ?, hash = ? WHERE position = ?", (changed, previous, position)
            )
        connection.execute("UPDATE chain SET hash = ?", (previous,))


def test_a_head_that_was_kept_elsewhere_finds_who_computed_every_hash_anew(chain, settings):
    sent = [audit.checkpoint(chain.engine, chain.signer, START)]
    assert audit.missed(chain.engine, chain.signer, sent[0], START) is None
    rewrite(settings)
    assert check(chain).is_whole
    assert audit.missed(chain.engine, chain.signer, sent[0], START).position == 6


def test_a_head_finds_decisions_that_are_gone_but_not_those_that_retention_cut(chain, settings, decision):
    sent = audit.checkpoint(chain.engine, chain.signer, START)
    chain.decisions.record(decision("event-6", id="decision-6", decided_at=START + 6 * DAY))
    Retention(chain.engine, chain.signer, RetentionSection(decisions_days=1)).apply(START + 7 * DAY)
    assert audit.missed(chain.engine, chain.signer, sent, START) is None
    tamper(settings, "DELETE FROM checkpoints", "DELETE FROM decisions", "UPDATE chain SET position = 0, hash = ''")
    assert audit.missed(chain.engine, chain.signer, sent, START) is not None


@pytest.mark.parametrize("change", [{"jws": "x.y.z"}, {"jws": ""}, {}])
def test_what_this_facegate_did_not_sign_is_no_checkpoint(chain, change):
    sent = audit.checkpoint(chain.engine, chain.signer, START) if change else {}
    with pytest.raises(UnusableInputError, match="no checkpoint"):
        audit.missed(chain.engine, chain.signer, sent | change, START)


def test_denials_are_in_the_chain_too(chain, decision):
    chain.decisions.record(decision("deny", reason=Reason.NO_FACE, user=None, score=None, fmr=None))
    assert check(chain).checked == 7
