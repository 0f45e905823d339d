"""Shadow mode: a challenger scores live visits beside the champion, decides nothing, and is judged on them.

A step of the aftermath: it runs after a decision was published, on the thread of low priority, and what does not fit
into its queue is not scored. So no decision is other, or later, for it. When the visits or the days are full, the
second judge (`core.shadowing`) says whether the challenger takes charge (`verifier.finetuning.shadowing`).
"""

import contextlib
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from facegate.core.comparison import best_match
from facegate.core.decision import Decision, Outcome, Reason
from facegate.core.judging import Verdict
from facegate.core.ports import Clock, FaceDetector
from facegate.core.shadowing import Beside, Opinion, ShadowJudgement, is_over, judge_shadow
from facegate.core.sighting import Sighting
from facegate.core.word import Meaning, meaning
from facegate.daemon.assembly import engine_with, verifier_of
from facegate.daemon.engine import Engine
from facegate.errors import FacegateError
from facegate.settings import Settings
from facegate.storage.decisions import Recorded
from facegate.storage.opening import Storage
from facegate.storage.runs import Run
from facegate.storage.shadow import Said, ShadowScore
from facegate.verifier.extractor import OnnxExtractor
from facegate.verifier.finetuning.shadowing import conclude
from facegate.verifier.library import Library, Model
from facegate.verifier.references import missing_templates
from facegate.vision.align import align

log = logging.getLogger(__name__)

LOOK: Final = timedelta(seconds=5)
"""So often it is asked whether a challenger came into the shadow."""


@dataclass(frozen=True, slots=True, eq=False)
class Challenger:
    """The network in the shadow, with the references that it made."""

    run: Run
    model: Model
    extractor: OnnxExtractor
    engine: Engine


class Required(Protocol):
    """Says what naming a user takes at a door under an engine."""

    def __call__(self, slug: str, engine: Engine, named: str | None, *, lone: bool) -> float | None:
        """Return the score, or None: the door is not armed."""
        ...


class Shadow:
    """Scores beside the champion. `score` and `tend` are for one thread, `judge` may be called from another.

    Args:
        settings: The settings in force.
        storage: Where runs and scores are.
        library: The models.
        detector: Finds faces: the challenger is loaded as if it were in charge.
        clock: Tells the time.
        required: What naming a user takes at a door under an engine (`Gate.required`).
    """

    def __init__(
        self,
        *,
        settings: Settings,
        storage: Storage,
        library: Library,
        detector: FaceDetector,
        clock: Clock,
        required: Required,
    ) -> None:
        self._detector = detector
        self._required = required
        self._settings = settings
        self._storage = storage
        self._library = library
        self._clock = clock
        self._challenger: Challenger | None = None
        self._unfit: int | None = None
        self._looked_at: datetime | None = None

    def score(self, decision: Decision, sighting: Sighting, lone: bool) -> None:
        """Let the challenger look at the face that a decision rests on, and store what both networks said.

        Args:
            decision: As published.
            sighting: What it rests on.
            lone: One frame was the whole visit: the challenger is held to the same of a door's two thresholds.
        """
        self.tend()
        challenger = self._challenger
        if challenger is None or sighting.cutout is None or sighting.model != challenger.run.champion:
            return
        alignment = challenger.model.card.contract.alignment
        crop = align(sighting.cutout.pixels, sighting.cutout.landmarks, alignment)
        (template,) = challenger.extractor.extract(crop[None])
        match = best_match(template, challenger.engine.roster.references)
        named = match.user if match else None
        self._storage.shadow.add(
            ShadowScore(
                run=challenger.run.number,
                decision=decision.id,
                camera=sighting.camera,
                door=decision.door,
                champion=Said(sighting.user, sighting.score, decision.threshold),
                challenger=Said(
                    named,
                    match.score if match else None,
                    self._required(decision.door, challenger.engine, named, lone=lone),
                ),
                at=decision.decided_at,
            )
        )

    def tend(self) -> None:
        """Take up a challenger that came into the shadow, let go of one that left, and follow the gallery."""
        now = self._clock.now()
        if self._looked_at is not None and abs(now - self._looked_at) < LOOK:
            return
        self._looked_at = now
        run = self._storage.runs.in_shadow()
        if run is None or run.number == self._unfit:
            self._challenger = None
        elif self._challenger is None or self._challenger.run.number != run.number:
            self._challenger = self._loaded(run)
        elif self._challenger.engine.gallery.refresh():
            self._complete(self._challenger.model)
            self._challenger.engine.gallery.refresh()

    def judge(self) -> None:
        """Judge the challenger in the shadow, if it was there for long enough."""
        run = self._storage.runs.in_shadow()
        limits = self._settings.finetune
        if run is None or not is_over(
            self._storage.shadow.count(run.number),
            run.started_at,
            self._clock.now(),
            most_visits=limits.shadow_visits,
            most_days=limits.shadow_days,
        ):
            return
        judged = judge_shadow(self._visits(run), self._target())
        self._conclude(run, judged)

    def _conclude(self, run: Run, judged: ShadowJudgement) -> None:
        promote = judged.verdict is Verdict.PROMOTED
        live = judged.to_json()
        try:
            conclude(
                self._storage, self._library, self._settings, run, promote=promote, reason=judged.reason, live=live
            )
        except FacegateError as error:
            if not promote:
                raise
            # It cannot lead: its files were changed, or another model leads by now. It must not wait for ever.
            reason = f"{error.what}; {judged.reason}"
            conclude(self._storage, self._library, self._settings, run, promote=False, reason=reason, live=live)
        log.info("the shadow is over", extra={"run": run.number, "verdict": str(judged.verdict), "why": judged.reason})

    def _visits(self, run: Run) -> list[Beside]:
        """Return what both networks said, with an operator's word where there is one."""
        return [
            Beside(
                score.decision,
                score.door,
                score.at,
                opinion_of(score.champion),
                opinion_of(score.challenger),
                meaning_of(self._storage.decisions.show(score.decision)),
            )
            for score in self._storage.shadow.of_run(run.number)
        ]

    def _target(self) -> float:
        """Return the least share of strangers that any door may let in."""
        usual = self._settings.gate.target_fmr
        return min((door.target_fmr or usual for door in self._storage.doors.listed()), default=usual)

    def _loaded(self, run: Run) -> Challenger | None:
        """Load a challenger; one that cannot be loaded is told once, and judged without scores after its days."""
        try:
            model = self._library.load((run.challenger or "").partition("@")[0])
            self._complete(model)
            extractor = model.extractor(self._settings.verifier.threads)
            verifier = verifier_of(self._settings, self._detector, model, extractor, self._clock)
            engine = engine_with(self._settings, self._storage.gallery, model, verifier)
        except FacegateError as error:
            self._unfit = run.number
            log.warning("the challenger in the shadow cannot score", extra={"run": run.number, "why": error.what})
            return None
        log.info("a challenger scores in the shadow", extra={"run": run.number, "model": model.id})
        return Challenger(run, model, extractor, engine)

    def _complete(self, model: Model) -> None:
        """Make the references that are missing: somebody was enrolled meanwhile."""
        if missing := missing_templates(self._storage, model, threads=self._settings.verifier.threads):
            self._storage.photos.add_references(missing, model=model.id)


def opinion_of(said: Said) -> Opinion:
    """Return what a network said as the core wants it."""
    return Opinion(said.user, said.score, said.threshold)


def meaning_of(recorded: Recorded) -> Meaning | None:
    """Return what an operator's word on a decision says, or None without one."""
    if recorded.word is None:
        return None
    document = recorded.document
    with contextlib.suppress(ValueError):  # a word of an older version that contradicts itself says nothing
        outcome, reason = Outcome(document["outcome"]), Reason(document["reason"])
        return meaning(outcome, reason, document["user"], recorded.word, recorded.word_user)
    return None
