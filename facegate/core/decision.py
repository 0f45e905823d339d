"""The decision: what it says, and its one JSON form on the topic, in the database and on the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final


class Outcome(StrEnum):
    """What the door shall do."""

    GRANT = "grant"
    DENY = "deny"


class Reason(StrEnum):
    """Why. Only `MATCH` grants; every other reason is a deny."""

    MATCH = "match"
    NO_MATCH = "no_match"
    AMBIGUOUS = "ambiguous"
    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    LOW_QUALITY = "low_quality"
    BAD_IMAGE = "bad_image"
    IMAGE_UNREACHABLE = "image_unreachable"
    TOO_OLD = "too_old"
    FROM_THE_FUTURE = "from_the_future"
    REPLAYED = "replayed"
    NOT_PERMITTED = "not_permitted"
    OUTSIDE_HOURS = "outside_hours"
    SUSPENDED = "suspended"
    EXPIRED_USER = "expired_user"
    LOCKED_OUT = "locked_out"
    COOLING_DOWN = "cooling_down"
    ATTACK_SUSPECTED = "attack_suspected"
    FACTOR_MISSING = "factor_missing"
    CHALLENGE_FAILED = "challenge_failed"
    LOCKDOWN = "lockdown"
    NOT_ARMED = "not_armed"
    OVERLOADED = "overloaded"
    INTERNAL_ERROR = "internal_error"

    @property
    def outcome(self) -> Outcome:
        """The outcome that this reason has."""
        return Outcome.GRANT if self is Reason.MATCH else Outcome.DENY


STAGES: Final = ("wait", "detect", "extract", "compare", "total")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Grant or deny for one visit, with its reason. The outcome follows from the reason and cannot disagree with it.

    Attributes:
        id: UUID version 7 (RFC 9562), so that ids sort by time.
        door: Slug of the door.
        cameras: Slugs of the cameras whose frames it rests on.
        events: Ids of every event that it answers.
        reason: Why.
        detail: The measure behind the reason, for a person; empty if the reason says it all.
        user: Slug of the user whom a grant names, or of the one whom policy refused; None when nobody was recognised.
        score: Best cosine, in [-1, 1], or None if nothing was compared.
        threshold: The cosine that a grant needs here, or None when the door is not armed.
        fmr: Share of strangers who score this high, in [0, 1], or None.
        frames: How many frames were judged.
        captured_at: When the frame that settled it was captured, UTC.
        decided_at: When it was decided, UTC.
        expires_at: When it stops being worth anything, UTC.
        model: Name and digest of the network, `name@digest12`.
        milliseconds: Where the time went: wait, detect, extract, compare, total.
        jws: The same, signed (compact JWS); empty until signed.
    """

    id: str
    door: str
    cameras: tuple[str, ...]
    events: tuple[str, ...]
    reason: Reason
    detail: str = ""
    user: str | None
    score: float | None
    threshold: float | None
    fmr: float | None
    frames: int
    captured_at: datetime
    decided_at: datetime
    expires_at: datetime
    model: str
    milliseconds: Mapping[str, float]
    jws: str = ""

    @property
    def outcome(self) -> Outcome:
        """Grant or deny."""
        return self.reason.outcome

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, times in RFC 3339, scores rounded to what they are worth.

        `detail` is there only when there is one.
        """
        fields = {
            "decision": self.id,
            "door": self.door,
            "cameras": list(self.cameras),
            "events": list(self.events),
            "outcome": str(self.outcome),
            "reason": str(self.reason),
            "user": self.user,
            "score": rounded(self.score, 4),
            "threshold": rounded(self.threshold, 4),
            "fmr": None if self.fmr is None else float(f"{self.fmr:.3g}"),
            "frames": self.frames,
            "captured_at": rfc3339(self.captured_at),
            "decided_at": rfc3339(self.decided_at),
            "expires_at": rfc3339(self.expires_at),
            "model": self.model,
            "milliseconds": {stage: round(self.milliseconds.get(stage, 0.0), 1) for stage in STAGES},
            "jws": self.jws,
        }
        return fields | ({"detail": self.detail} if self.detail else {})

    def claims(self) -> dict[str, Any]:
        """Return what the JWS signs: every field but itself, and the registered claims of RFC 7519.

        `jti` is the decision, `iat` and `exp` whole seconds since 1970, `aud` the door. `exp` is rounded down, so the
        signature never outlives `expires_at`.
        """
        fields = self.to_json()
        del fields["jws"]
        return fields | {
            "jti": self.id,
            "iat": int(self.decided_at.timestamp()),
            "exp": int(self.expires_at.timestamp()),
            "aud": self.door,
        }


def rounded(value: float | None, digits: int) -> float | None:
    """Round a number that may be missing."""
    return None if value is None else round(value, digits)


def rfc3339(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC with milliseconds.

    Raises:
        ValueError: The moment has no time zone.
    """
    if moment.tzinfo is None:
        msg = "a moment without a time zone"
        raise ValueError(msg)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def decision_id(now: datetime, entropy: bytes) -> str:
    """Make a UUID version 7: 48 bits of milliseconds since 1970, then random bits (RFC 9562, section 5.7).

    Args:
        now: The moment, with a time zone.
        entropy: Ten random bytes.

    Raises:
        ValueError: There are not ten bytes.
    """
    if len(entropy) != 10:  # noqa: PLR2004 - 74 random bits fit into ten bytes
        msg = "a UUID version 7 needs ten random bytes"
        raise ValueError(msg)
    octets = bytearray(int(now.timestamp() * 1000).to_bytes(6, "big") + entropy)
    octets[6] = octets[6] & 0x0F | 0x70
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
