"""Decisions as tests of the storage want them."""

import os

from facegate.core.decision import Decision, Reason, decision_id
from tests.fakes import START

MODEL = "twins@0123456789ab"


def a_decision(*events, **changes):
    """Return a decision that names events; what is not given makes it a grant for alice."""
    fields = {
        "id": decision_id(START, os.urandom(10)),
        "door": "front",
        "cameras": ("porch",),
        "events": tuple(dict.fromkeys(events)),
        "reason": Reason.MATCH,
        "user": "alice",
        "score": 0.8,
        "threshold": 0.5,
        "fmr": 1e-5,
        "frames": 1,
        "captured_at": START,
        "decided_at": START,
        "expires_at": START,
        "model": MODEL,
        "milliseconds": {"total": 12.0},
    }
    return Decision(**fields | changes)
