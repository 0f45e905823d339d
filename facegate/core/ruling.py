"""Verdict and policy to decision: the one place where a grant is made, and it is the last line."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from facegate.core.decision import Decision, Reason
from facegate.core.policy import Door, History, User, refusal
from facegate.core.sighting import Sighting
from facegate.core.visits import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a ruling needs beside the verdict.

    Attributes:
        now: The moment, UTC.
        id: The decision's id.
        user: Whom the verdict named, as the roster knows them now; None if nobody or no longer there.
        history: What happened at the door lately.
        threshold: The score that names the verdict's user at this door, or None: not armed.
        model: Name and digest of the network in charge.
        max_age_seconds: A grant rests on no older frame.
        grant_seconds: How long the decision is worth anything.
    """

    now: datetime
    id: str
    user: User | None
    history: History
    threshold: float | None
    model: str
    max_age_seconds: float
    grant_seconds: float


def rule(door: Door, verdict: Verdict, given: Circumstances) -> Decision:
    """Decide: grant only what the verdict names, policy permits and the clock still allows."""
    reason, detail = verdict.reason, verdict.detail
    if reason is Reason.MATCH:
        reason, detail = _permitted(door, verdict, given)
    best, last = verdict.best, verdict.last or verdict.best
    captured_at = last.captured_at if last else given.now
    former = best is not None and best.model != given.model  # its score and this threshold have nothing in common
    return Decision(
        id=given.id,
        door=door.slug,
        cameras=verdict.cameras,
        events=verdict.events,
        reason=reason,
        detail=detail,
        user=best.user if best and verdict.reason is Reason.MATCH else None,
        score=best.score if best else None,
        threshold=None if former else given.threshold,
        fmr=best.fmr if best else None,
        frames=verdict.frames,
        captured_at=captured_at,
        decided_at=given.now,
        expires_at=given.now + timedelta(seconds=given.grant_seconds),
        model=best.model if best is not None and former else given.model,
        milliseconds=_milliseconds(last, given.now),
    )


def _permitted(door: Door, verdict: Verdict, given: Circumstances) -> tuple[Reason, str]:
    """Ask everything that may still refuse a user whom the frames named."""
    best, last = verdict.best, verdict.last or verdict.best
    if best is None or last is None or given.user is None or given.user.slug != best.user:
        return Reason.NOT_PERMITTED, "no longer enrolled"
    if given.threshold is None or best.score is None or not best.score >= given.threshold:
        return Reason.NOT_ARMED, "the threshold has changed"
    if best.model != given.model or last.model != given.model:
        return Reason.INTERNAL_ERROR, "the network was changed in the middle of the visit"
    age = (given.now - last.captured_at).total_seconds()
    if not age <= given.max_age_seconds:
        return Reason.TOO_OLD, f"frame {age:.1f} s > {given.max_age_seconds:g} s"
    refused = refusal(door, given.user, given.history, given.now)
    return (refused, "") if refused is not None else (Reason.MATCH, "")


def _milliseconds(last: Sighting | None, now: datetime) -> dict[str, float]:
    """Return where the time went for the frame that settled the visit; `total` runs from its arrival to now."""
    if last is None:
        return {}
    spent = last.milliseconds
    return {
        "wait": spent.wait,
        "detect": spent.detect,
        "extract": spent.extract,
        "compare": spent.compare,
        "total": max(0.0, (now - last.received_at).total_seconds() * 1000),
    }
