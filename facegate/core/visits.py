"""Sightings to the visit's state to its verdict, as a state machine of frozen values without a clock.

A visit is the sightings at one door that belong to one coming; it ends in one verdict. It opens with the first face,
or with a hunt, which waits for one. It names a user as soon as enough distinct frames do; it is refused, with the
reason of its best sighting, when it has seen enough frames, has lasted long enough, or its hunts have ended.

Where a look-alike could hide: a frame counts for a user only at or above the threshold and only when every other
user stays behind by the margin; comparisons are written so that NaN counts for nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from facegate.core.arming import Relative, required
from facegate.core.decision import Reason
from facegate.core.sighting import Sighting

MAX_EVENTS: Final = 64
"""A decision names at most so many events; a visit that has gathered them is settled."""

FACELESS: Final = frozenset(
    {Reason.NO_FACE, Reason.BAD_IMAGE, Reason.IMAGE_UNREACHABLE, Reason.INTERNAL_ERROR, Reason.TOO_OLD}
)
"""Flaws of a frame in which nobody was seen: they neither open a visit nor count for its length."""

#: Of two sightings that do not match, the one that says more about who stood there is the best: the later here.
_TELLING: Final = (
    Reason.INTERNAL_ERROR,
    Reason.BAD_IMAGE,
    Reason.IMAGE_UNREACHABLE,
    Reason.NO_FACE,
    Reason.SEVERAL_FACES,
    Reason.LOW_QUALITY,
    Reason.NOT_ARMED,
    Reason.NO_MATCH,
    Reason.AMBIGUOUS,
    Reason.MATCH,
)


@dataclass(frozen=True, slots=True)
class VisitRule:
    """What a visit must show at one door.

    Attributes:
        threshold: Score that names a user where one frame is the whole visit, or None: the door is not armed and nobody
            is named.
        threshold_of_many: The same for each frame of a visit that may have many: a stranger has more tries in it.
        margin: How far every other user's score must stay behind, in [0, 2].
        agreeing_frames: Distinct frames that must name the same user, >= 1.
        frames_per_visit: The visit is settled after so many frames with a face, >= 1.
        visit_seconds: Or so long after its first face, > 0.
        hunt_seconds: Or so long after its last hunt began without any face, > 0.
        alone: More than one face in a frame is refused as `several_faces`.
        nearest: Score of each user with the most alike other user: their own threshold stays the margin above it.
        rises: How much more is asked of each user (`core.levelling`); of whom it says nothing, nothing.
        unarmed: Why the door is not armed, where it is not.
    """

    threshold: float | None
    threshold_of_many: float | None
    margin: float
    agreeing_frames: int
    frames_per_visit: int
    visit_seconds: float
    hunt_seconds: float
    alone: bool = False
    nearest: Mapping[str, Relative] = field(default_factory=lambda: MappingProxyType({}))
    rises: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    unarmed: str = "no calibrated threshold"

    def required(self, user: str | None, *, lone: bool) -> float | None:
        """Return the score that names a user: the door's threshold, or more; None where the door is not armed."""
        door = self.threshold if lone else self.threshold_of_many
        if door is None or user is None:
            return door
        return required(door, self.margin, self.nearest.get(user), self.rises.get(user, 0.0))


@dataclass(frozen=True, slots=True)
class Judged:
    """One sighting with what it is worth by itself."""

    reason: Reason
    detail: str
    sighting: Sighting

    @property
    def telling(self) -> tuple[int, float]:
        """How much it says about who stood there: by reason first, then by score."""
        rank = _TELLING.index(self.reason) if self.reason in _TELLING else -1
        return rank, -2.0 if self.sighting.score is None else self.sighting.score


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a visit ended: `MATCH` names a user whom policy may still refuse; every other reason is a deny.

    `lone`: it was one frame by itself, and judged as such.
    """

    reason: Reason
    detail: str
    best: Sighting | None
    last: Sighting | None
    cameras: tuple[str, ...]
    events: tuple[str, ...]
    frames: int
    lone: bool = False


@dataclass(frozen=True, slots=True)
class Visit:
    """The state of one visit at one door.

    Attributes:
        opened_at: When it began, UTC: with its first frame or its first hunt.
        face_at: When its first face came, or None while nobody was seen.
        events: Ids of the events that it will answer, in order of arrival.
        cameras: Slugs of the cameras that saw it, in order.
        hunts: Event ids whose hunts are still on.
        pushed: A frame came that no hunt pulled, so the end of the hunts does not end the visit.
        votes: Each user with the digests of the distinct frames that named them.
        frames: Frames with a face so far.
        best: The most telling sighting so far, with its reason and detail.
        last: The newest sighting: its frame's age is the age of what is decided.
        lone: It is one frame that is decided at once.
    """

    opened_at: datetime
    face_at: datetime | None = None
    events: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    hunts: frozenset[str] = frozenset()
    pushed: bool = False
    votes: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    frames: int = 0
    best: Judged | None = None
    last: Sighting | None = None
    lone: bool = False


def judge(sighting: Sighting, rule: VisitRule, *, lone: bool) -> Judged:  # noqa: PLR0911 - a clause, a way out
    """Say what one sighting is worth by itself; `MATCH` only when every clause says yes.

    Args:
        sighting: What was seen.
        rule: What must be shown.
        lone: The sighting is a visit of its own; else one of many that a stranger may try.
    """
    if sighting.flaw is not None:
        return Judged(sighting.flaw, sighting.detail, sighting)
    threshold = rule.required(sighting.user, lone=lone)
    if threshold is None:
        return Judged(Reason.NOT_ARMED, rule.unarmed, sighting)
    if rule.alone and sighting.faces > 1:
        return Judged(Reason.SEVERAL_FACES, f"{sighting.faces} faces", sighting)
    if sighting.user is None or sighting.score is None:
        return Judged(Reason.NO_MATCH, "nobody is enrolled", sighting)
    if not sighting.score >= threshold:  # not "<": NaN must deny
        return Judged(Reason.NO_MATCH, _why_more(sighting, rule, lone=lone), sighting)
    if sighting.runner_up is not None and not sighting.score - sighting.runner_up >= rule.margin:
        gap = sighting.score - sighting.runner_up
        return Judged(Reason.AMBIGUOUS, f"runner-up {gap:.3f} behind < {rule.margin:.3f}", sighting)
    return Judged(Reason.MATCH, "", sighting)


def hunted(visit: Visit | None, event: str, camera: str, now: datetime) -> Visit:
    """Add a hunt to the visit at a door, opening one if there is none."""
    visit = visit or Visit(opened_at=now)
    return replace(_joined(visit, event, camera), hunts=visit.hunts | {event})


def seen(visit: Visit | None, sighting: Sighting, rule: VisitRule) -> tuple[Visit | None, Verdict | None]:
    """Add a sighting; return the visit as it goes on, or the verdict that ends it.

    A sighting that shows no face joins the visit that is open; in no open visit it is a visit of its own and ends at
    once. So does a frame that could not be read or compared, unless it belongs to the open visit's own events.
    """
    at_once = visit is None and not sighting.hunted and rule.agreeing_frames == 1
    judged = judge(sighting, rule, lone=at_once)
    faceless = judged.reason in FACELESS
    ours = visit is not None and (sighting.event in visit.events or judged.reason is Reason.NO_FACE)
    if faceless and not ours:
        lone = _joined(Visit(opened_at=sighting.received_at), sighting.event, sighting.camera)
        return visit, settle(replace(lone, best=judged, last=sighting))
    visit = _joined(visit or Visit(opened_at=sighting.received_at, lone=at_once), sighting.event, sighting.camera)
    visit = _with(visit, judged, faceless=faceless)
    if _agreed(visit, rule) is not None or _full(visit, rule):
        return None, settle(visit, rule)
    return visit, None


def hunt_ended(visit: Visit, event: str, rule: VisitRule) -> tuple[Visit | None, Verdict | None]:
    """Take a hunt away; the last one that ends settles a visit that nothing else feeds."""
    visit = replace(visit, hunts=visit.hunts - {event})
    if visit.hunts or (visit.pushed and rule.agreeing_frames > 1):
        return visit, None
    return None, settle(visit, rule)


def deadline(visit: Visit, rule: VisitRule) -> datetime:
    """Return when the visit is settled at the latest."""
    if visit.face_at is not None:
        return visit.face_at + timedelta(seconds=rule.visit_seconds)
    return visit.opened_at + timedelta(seconds=rule.hunt_seconds)


def settle(visit: Visit, rule: VisitRule | None = None) -> Verdict:
    """End the visit with the user on whom its frames agree, or with the reason of its best sighting."""
    agreed = None if rule is None else _agreed(visit, rule)
    best = visit.best
    if best is None:
        reason, detail = Reason.IMAGE_UNREACHABLE, "no frame could be pulled"
    elif best.reason is Reason.MATCH and agreed is None:
        needed = rule.agreeing_frames if rule else 1
        most = max((len(frames) for frames in visit.votes.values()), default=0)
        reason, detail = Reason.NO_MATCH, f"{most} of {needed} agreeing frames"
    else:
        reason, detail = best.reason, best.detail
    return Verdict(
        reason=reason,
        detail=detail,
        best=best.sighting if best else None,
        last=visit.last,
        cameras=visit.cameras,
        events=visit.events,
        frames=visit.frames,
        lone=visit.lone,
    )


def _why_more(sighting: Sighting, rule: VisitRule, *, lone: bool) -> str:
    """Say so where a score that would open the door to others does not, because another user is too alike."""
    door, user = rule.required(None, lone=lone), sighting.user or ""
    other = rule.nearest.get(user)
    if door is None or other is None or sighting.score is None:
        return ""
    if not sighting.score >= door + rule.rises.get(user, 0.0):
        return ""
    return f"another user is too alike ({other.score:.3f})"  # who, `facegate calibrate` tells: this is published


def _joined(visit: Visit, event: str, camera: str) -> Visit:
    """Note the event and the camera, each once."""
    events = visit.events if event in visit.events else (*visit.events, event)
    cameras = visit.cameras if camera in visit.cameras else (*visit.cameras, camera)
    return replace(visit, events=events, cameras=cameras)


def _with(visit: Visit, judged: Judged, *, faceless: bool) -> Visit:
    """Count the frame, its vote, and keep it if it tells more than the best so far.

    Scores of two networks mean different things: what a former one saw neither votes nor compares.
    """
    sighting = judged.sighting
    if visit.last is not None and visit.last.model != sighting.model:
        visit = replace(visit, votes=MappingProxyType({}), best=None)
    votes = visit.votes
    if judged.reason is Reason.MATCH and sighting.user is not None:
        frames = votes.get(sighting.user, frozenset()) | {sighting.digest}
        votes = MappingProxyType({**votes, sighting.user: frames})
    return replace(
        visit,
        pushed=visit.pushed or not sighting.hunted,
        face_at=visit.face_at if faceless or visit.face_at else sighting.received_at,
        frames=visit.frames + (not faceless),
        last=sighting,
        votes=votes,
        best=judged if visit.best is None or judged.telling > visit.best.telling else visit.best,
    )


def _agreed(visit: Visit, rule: VisitRule) -> str | None:
    """Return the user on whom enough distinct frames agree, or None.

    The best sighting decides whose name is called, so the user must be its user as well: with two people before one
    camera, the visit goes on until the more certain of them has the frames.
    """
    if visit.best is None or visit.best.reason is not Reason.MATCH:
        return None
    user = visit.best.sighting.user
    return user if user is not None and len(visit.votes.get(user, ())) >= rule.agreeing_frames else None


def _full(visit: Visit, rule: VisitRule) -> bool:
    """Tell whether the visit has seen enough, or has nothing more to wait for."""
    if visit.frames >= rule.frames_per_visit or len(visit.events) >= MAX_EVENTS:
        return True
    return rule.agreeing_frames == 1 and not visit.hunts and visit.pushed
