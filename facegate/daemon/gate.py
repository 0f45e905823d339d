"""The straight line: frame -> sighting -> visit -> decision -> recorded -> published; then it may be remembered.

`Gate.decide` is the whole job. The daemon, `facegate demo` and the tests call the same function; each of its steps is
one call into one module, and none calls back.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from facegate.core.decision import Decision, Reason, decision_id
from facegate.core.frame import Frame
from facegate.core.policy import Door, History
from facegate.core.ports import Clock, DecisionLog, Publisher, Roster, Signer, Witness
from facegate.core.ruling import Circumstances, rule
from facegate.core.sighting import Sighting
from facegate.core.visits import MAX_EVENTS, Verdict, VisitRule
from facegate.daemon.engine import Engine
from facegate.daemon.openvisits import Ended, OpenVisits
from facegate.daemon.work import Refusal
from facegate.settings import GateSection

log = logging.getLogger(__name__)

STALE_SECONDS: Final = 5.0
"""A roster that was not confirmed for so long grants nobody. It is confirmed twice a second."""


class UndecidedError(Exception):
    """A visit ended, but its decision could not be signed or recorded; `events` are those that it would have named."""

    def __init__(self, events: tuple[str, ...]) -> None:
        super().__init__(events)
        self.events = events


class Nobody:
    """A `Witness` that looks away."""

    def see(self, decision: Decision, sighting: Sighting | None, *, lone: bool) -> None:
        """Do nothing."""


class Gate:
    """Decides who passes. Safe to use from several threads.

    Args:
        engine: The network in charge with its calibration and its gallery; replaced whole, never changed.
        settings: The section `gate`.
        log: Where decisions are committed.
        signer: Signs them.
        publisher: Sends them out.
        witness: Is shown afterwards what they rested on; or nobody.
        clock: Tells the time.
        entropy: Returns so many random bytes.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        settings: GateSection,
        decisions: DecisionLog,
        signer: Signer,
        publisher: Publisher,
        clock: Clock,
        entropy: Callable[[int], bytes],
        witness: Witness | None = None,
    ) -> None:
        self.engine = engine
        self.open_visits = OpenVisits()
        self._confirmed_at: datetime | None = None
        self._settings = settings
        self._decisions = decisions
        self._signer = signer
        self._publisher = publisher
        self._witness = witness or Nobody()
        self._clock = clock
        self._entropy = entropy

    def decide(self, frame: Frame) -> Decision | None:
        """Judge one frame: the decision that it brought about, or None while its visit goes on.

        Raises:
            UndecidedError: Its visit ended, and the decision could not be signed or recorded.
        """
        engine = self.engine  # one look: whatever is activated meanwhile serves the next frame
        roster = engine.roster
        door = roster.door_of(frame.camera)
        if door is None:
            return None
        sighting = engine.verifier.sight(frame, roster)
        verdict = self.open_visits.see(door.slug, sighting, self._visit_rule(door, engine, roster))
        if verdict is None:
            return None
        with self._answering(verdict):
            decision = self._ruled(door, verdict, engine, roster)
            self._decisions.record(decision)
            self._publisher.publish(self._told(decision, roster))
        self._witness.see(decision, verdict.best, lone=verdict.lone)
        return decision

    def refuse(self, refusal: Refusal) -> Decision | None:
        """Deny an event whose frame cannot be judged; None if a visit will answer it, or its camera's door is gone."""
        engine = self.engine
        door = engine.roster.door_of(refusal.camera)
        if door is None or self.open_visits.holds(refusal.event):
            return None
        sighting = Sighting(
            camera=refusal.camera,
            event=refusal.event,
            captured_at=refusal.captured_at,
            received_at=refusal.received_at,
            digest="",
            model=engine.model,
            flaw=refusal.reason,
            detail=refusal.detail,
        )
        verdict = Verdict(
            refusal.reason, refusal.detail, sighting, sighting, (refusal.camera,), (refusal.event,), frames=0
        )
        return self._conclude(door, verdict, engine)

    def door_of(self, camera: str) -> Door | None:
        """Return the door that has the camera."""
        return self.engine.roster.door_of(camera)

    def wants_more(self, event: str, door: Door) -> bool:
        """Tell whether an event may bring a further frame: it is hunted, or its door wants frames to agree."""
        agreeing = door.agreeing_frames or self._settings.agreeing_frames
        return agreeing > 1 or self.open_visits.hunts(event)

    def is_crowded(self, camera: str) -> bool:
        """Tell whether the visit at a camera's door answers as many events as a decision may name."""
        door = self.engine.roster.door_of(camera)
        return door is not None and self.open_visits.events_at(door.slug) >= MAX_EVENTS

    def begin_hunt(self, event: str, camera: str) -> bool:
        """Note that frames are hunted for an event; False if no door has the camera."""
        door = self.engine.roster.door_of(camera)
        if door is None:
            return False
        self.open_visits.hunt(door.slug, event, camera, self._clock.now())
        return True

    def end_hunt(self, event: str, camera: str, failure: str = "") -> Decision | None:
        """Note that a hunt is over, and why no frame came if none did; the decision if that ended the visit."""
        engine = self.engine
        door = engine.roster.door_of(camera)
        if door is None:
            return None
        verdict = self.open_visits.end_hunt(door.slug, event, self._visit_rule(door, engine, engine.roster))
        return None if verdict is None else self._conclude(door, explained(verdict, failure), engine)

    def required(self, slug: str, engine: Engine, named: str | None, *, lone: bool) -> float | None:
        """Return the score that naming a user takes at a door under any engine, or None: not armed, or no such door."""
        roster = engine.roster
        door = roster.doors.get(slug)
        return None if door is None else self._visit_rule(door, engine, roster).required(named, lone=lone)

    def overdue(self) -> Sequence[Ended]:
        """Take the visits whose time is up; each is to be given to `conclude`."""
        return self.open_visits.due(self._clock.now(), self._rule_at)

    def closing(self) -> Sequence[Ended]:
        """Take every open visit, because the gate stops."""
        return self.open_visits.close(self._rule_at)

    def conclude(self, ended: Ended, failure: str = "") -> Decision | None:
        """Decide a visit that has ended, given why no frame came if none did; None if its door is gone."""
        engine = self.engine
        door = engine.roster.doors.get(ended.door)
        if door is None:
            self.open_visits.answered(ended.verdict.events)
            return None
        return self._conclude(door, explained(ended.verdict, failure), engine)

    def _conclude(self, door: Door, verdict: Verdict, engine: Engine) -> Decision:
        """Walk the second half of the line, for what ends without a frame."""
        roster = engine.roster
        with self._answering(verdict):
            decision = self._ruled(door, verdict, engine, roster)
            self._decisions.record(decision)
            self._publisher.publish(self._told(decision, roster))
        self._witness.see(decision, verdict.best, lone=verdict.lone)
        return decision

    @contextmanager
    def _answering(self, verdict: Verdict) -> Iterator[None]:
        """Let go of the events of a visit that is over; a failure on the way tells which they are."""
        try:
            yield
        except Exception as error:
            raise UndecidedError(verdict.events) from error
        finally:
            self.open_visits.answered(verdict.events)

    def _ruled(self, door: Door, verdict: Verdict, engine: Engine, roster: Roster) -> Decision:
        """Rule on a verdict and sign the decision."""
        now = self._clock.now()
        if verdict.reason is Reason.MATCH and self._is_stale(now):
            verdict = replace(verdict, reason=Reason.INTERNAL_ERROR, detail="the gallery cannot be read")
        named = verdict.best.user if verdict.best else None
        needed = self._visit_rule(door, engine, roster).required(named, lone=verdict.lone)
        decision = rule(
            door,
            verdict,
            Circumstances(
                now=now,
                id=decision_id(now, self._entropy(10)),
                user=roster.users.get(named) if named else None,
                history=self._history(door, now),
                threshold=needed,
                model=engine.model,
                max_age_seconds=self._settings.max_age_seconds,
                grant_seconds=self._settings.grant_seconds,
            ),
        )
        log.info("decided", extra={"decision": decision.id, "door": decision.door, "reason": str(decision.reason)})
        return replace(decision, jws=self._signer.sign(self._told(decision, roster)).jws)

    def confirm_roster(self) -> None:
        """Note that the roster was found to be the newest just now. From the first call on, others must follow."""
        self._confirmed_at = self._clock.now()

    def _is_stale(self, now: datetime) -> bool:
        """Tell whether a suspension or a lockdown may have been missed: nobody is granted on an old roster."""
        confirmed = self._confirmed_at
        return confirmed is not None and not abs((now - confirmed).total_seconds()) <= STALE_SECONDS

    def _told(self, decision: Decision, roster: Roster) -> Decision:
        """Return the decision as messages tell it; that form is what the JWS signs."""
        known = roster.users.get(decision.user or "")
        return as_told(decision, self._settings.user_in_messages, known.name if known else None)

    def _history(self, door: Door, now: datetime) -> History:
        """Ask for what happened lately, only if the door has limits."""
        limits = door.limits
        if not limits.denials and not limits.cooldown_seconds:
            return History()
        back = max(limits.window_seconds + limits.lockout_seconds, limits.cooldown_seconds)
        return self._decisions.history(door.slug, now - timedelta(seconds=back))

    def _visit_rule(self, door: Door, engine: Engine, roster: Roster) -> VisitRule:
        settings, arming = self._settings, roster.armed
        agreeing = door.agreeing_frames or settings.agreeing_frames
        lone = engine.threshold(door, roster, settings.target_fmr)
        frames = engine.frames(door, roster, settings.target_fmr, wished=settings.frames_per_visit, agreeing=agreeing)
        many = engine.threshold(door, roster, settings.target_fmr, frames / agreeing)
        return VisitRule(
            threshold=lone,
            threshold_of_many=many,
            margin=settings.margin,
            agreeing_frames=agreeing,
            frames_per_visit=frames,
            visit_seconds=settings.visit_seconds,
            hunt_seconds=settings.hunt_seconds,
            alone=door.alone,
            nearest=arming.nearest if arming is not None else {},
            rises=arming.rises if arming is not None else {},
            unarmed=engine.unarmed(roster) if many is None else "",
        )

    def _rule_at(self, slug: str) -> VisitRule:
        """Return the rule of a door that may be gone by now: such a visit just runs out."""
        engine = self.engine
        roster = engine.roster
        door = roster.doors.get(slug) or Door(slug, slug, ())
        return self._visit_rule(door, engine, roster)


def explained(verdict: Verdict, failure: str) -> Verdict:
    """Return the verdict with the sources' own words for why there was no frame to judge."""
    return replace(verdict, detail=failure) if failure and verdict.reason is Reason.IMAGE_UNREACHABLE else verdict


def as_told(decision: Decision, how: str, name: str | None) -> Decision:
    """Return the decision with the user's slug, their shown name, or neither.

    Args:
        decision: As recorded.
        how: `slug`, `name` or `none` (the setting `gate.user_in_messages`).
        name: The user's shown name.
    """
    if decision.user is None or how == "slug":
        return decision
    return replace(decision, user=name if how == "name" else None)
