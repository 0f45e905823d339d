"""What the daemon does again and again, and when: to forget, to learn, to judge a shadow, to watch for drift."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from facegate.core.ports import Clock
from facegate.core.schedule import parse
from facegate.daemon.books import Books
from facegate.daemon.engine import Engine
from facegate.daemon.jobs import MONTHLY, NIGHT_GRACE_SECONDS, RETENTION, Job, every, trigger_of
from facegate.daemon.learning import Learning, cause_of
from facegate.daemon.shadow import Shadow
from facegate.settings import Settings
from facegate.storage.audit import checkpoint
from facegate.storage.opening import Storage
from facegate.verifier.drifting import drift

log = logging.getLogger(__name__)

CATCH_UP_SECONDS: Final = 5.0
DUE_SECONDS: Final = 30.0
CHECKPOINT_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chores:
    """The table of jobs, and what each of them does.

    Attributes:
        settings: The settings in force.
        storage: Everything that remembers.
        engine: Returns the engine in charge.
        books: Settles events that the database could not take.
        shadow: Judges a challenger in the shadow.
        learning: Fine-tunes.
        clock: Tells the time.
        send: Sends a signed head of the chain of decisions out.
    """

    settings: Settings
    storage: Storage
    engine: Callable[[], Engine]
    books: Books
    shadow: Shadow
    learning: Learning
    clock: Clock
    send: Callable[[str], bool]

    def jobs(self) -> list[Job]:
        """Return the table."""
        night = trigger_of(parse(self.settings.finetune.schedule))
        return [
            Job("retention", self.forget, RETENTION, NIGHT_GRACE_SECONDS),
            Job("checkpoint", self.send_checkpoint, every(CHECKPOINT_SECONDS)),
            Job("drift", self.watch_drift, MONTHLY, NIGHT_GRACE_SECONDS),
            Job("catch_up", self.books.catch_up, every(CATCH_UP_SECONDS)),
            Job("shadow", self.shadow.judge, every(DUE_SECONDS)),
            Job("finetune_due", self.learn_if_due, every(DUE_SECONDS)),
            Job("finetune", self.learn, night, NIGHT_GRACE_SECONDS),
        ]

    def forget(self) -> None:
        """Delete what is older than the settings say."""
        self.storage.retention.apply(self.clock.now())

    def send_checkpoint(self) -> None:
        """Send the chain's signed head out: kept elsewhere, it finds whoever writes the chain anew."""
        self.send(json.dumps(checkpoint(self.storage.engine, self.storage.signer, self.clock.now())))

    def watch_drift(self) -> None:
        """Name in the log whose scores sink and who are too alike: what `facegate users drift` says."""
        engine, gate = self.engine(), self.settings.gate
        references, threshold = engine.roster.references, engine.usual_threshold(gate.target_fmr)
        for line in drift(self.storage.decisions, references, threshold, gate.margin, self.clock.now()).advice():
            log.warning("drift: %s", line)

    def learn(self) -> None:
        """Fine-tune, unless the challenger before is not judged yet."""
        if self._may_learn() and self.storage.runs.in_shadow() is None:
            self.learning.run("schedule")

    def learn_if_due(self) -> None:
        """Fine-tune if somebody was removed or enough photos are new."""
        if self._may_learn():
            self.learning.run_if(lambda: cause_of(self.storage.runs, self.settings.finetune))

    def _may_learn(self) -> bool:
        """Tell whether a challenger could lead: not while the settings name the model. An order is refused in words."""
        return not self.settings.verifier.model
