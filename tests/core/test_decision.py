import json
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.core.decision import Decision, Outcome, Reason, decision_id, rfc3339

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
FIELDS = [
    "decision", "door", "cameras", "events", "outcome", "reason", "user", "score", "threshold", "fmr", "frames",
    "captured_at", "decided_at", "expires_at", "model", "milliseconds", "jws",
]  # fmt: skip


def decision(**changes) -> Decision:
    fields = {
        "id": decision_id(NOW, bytes(10)),
        "door": "front",
        "cameras": ("porch",),
        "events": ("e1",),
        "reason": Reason.MATCH,
        "user": "alice",
        "score": 0.812_345,
        "threshold": 0.5,
        "fmr": 1.234_56e-6,
        "frames": 1,
        "captured_at": NOW,
        "decided_at": NOW,
        "expires_at": NOW + timedelta(seconds=5),
        "model": "twin@0123456789ab",
        "milliseconds": {"detect": 10.123},
    }
    return Decision(**(fields | changes))


def test_the_json_form_has_the_fields_of_the_design_in_their_order():
    assert list(decision().to_json()) == FIELDS
    assert list(decision(detail="face 29 px < 40 px").to_json()) == [*FIELDS, "detail"]
    json.dumps(decision().to_json(), allow_nan=False)


def test_only_a_match_grants():
    assert [reason for reason in Reason if reason.outcome is Outcome.GRANT] == [Reason.MATCH]


def test_the_signed_claims_are_every_field_but_the_signature():
    claims = decision(jws="x").claims()
    assert set(claims) == set(FIELDS) - {"jws"} | {"jti", "iat", "exp", "aud"}
    assert claims["jti"] == claims["decision"]
    assert claims["aud"] == "front"


def test_the_signature_never_outlives_the_decision():
    one = decision()
    assert one.claims()["exp"] <= one.expires_at.timestamp()
    assert one.claims()["iat"] <= NOW.timestamp()


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.binary(min_size=10, max_size=10),
)
def test_ids_are_uuids_of_version_7_that_carry_their_time(now, entropy):
    made = uuid.UUID(decision_id(now, entropy))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == int(now.timestamp() * 1000)


def test_an_id_needs_ten_random_bytes():
    with pytest.raises(ValueError, match="ten"):
        decision_id(NOW, b"short")


def test_times_are_written_in_utc_and_never_without_a_zone():
    assert rfc3339(NOW.astimezone(timezone(timedelta(hours=2)))) == "2026-11-23T12:00:00.250Z"
    with pytest.raises(ValueError, match="zone"):
        rfc3339(NOW.replace(tzinfo=None))
