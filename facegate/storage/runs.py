"""The runs of fine-tuning: what was seen, what the judge said and why. A run that is due waits as a row, too."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select, delete, func, insert, select, update

from facegate.core.decision import rfc3339
from facegate.errors import UnusableInputError
from facegate.storage.engine import reading, writing
from facegate.storage.tables import FinetuneRunRow, PhotoRow

DUE, RUNNING, SHADOW, FINISHED, FAILED = "due", "running", "shadow", "finished", "failed"
UNSAID: Final = {SHADOW: "kept", FAILED: "refused"}
"""What a run without a verdict comes to: the champion leads on."""
REMOVAL: Final = "removal"
"""Trigger of a run that is due because a user was removed from what was learned."""
CORRECTION: Final = "correction"
"""Trigger of a run that is due because an operator took back a word that was learned from."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of fine-tuning.

    Attributes:
        number: Its number; never used twice.
        started_at: When it began, or when it became due.
        finished_at: When it ended.
        trigger: What asked for it: `command`, `schedule`, `enrollments`, `order`, `removal`.
        champion: Id of the model that was in charge.
        challenger: Id of the model that was made.
        on_shelf: Whether the challenger's folder is kept.
        data_digest: SHA-256 of all that was learned from.
        seed: What its randomness began with.
        state: `due`, `running`, `shadow` (the challenger scores beside the champion), `finished` or `failed`.
        verdict: `promoted`, `kept` or `refused`; None unless it is finished.
        reason: A sentence.
        before: The champion's figures.
        after: The challenger's figures.
        seconds: How long it took.
        picture: File name of its picture, beside the models.
    """

    number: int
    started_at: datetime
    finished_at: datetime | None
    trigger: str
    champion: str
    challenger: str | None
    on_shelf: bool
    data_digest: str
    seed: int
    state: str
    verdict: str | None
    reason: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    seconds: float | None
    picture: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: what `facegate finetune --json` prints and `P/models/event` carries."""
        return {
            "verdict": self.verdict or UNSAID.get(self.state),
            "reason": self.reason,
            "before": None if self.before is None else dict(self.before),
            "after": None if self.after is None else dict(self.after),
            "seconds": self.seconds,
            "run": self.number,
            "state": self.state,
            "trigger": self.trigger,
            "champion": self.champion,
            "challenger": self.challenger,
            "started_at": rfc3339(self.started_at),
            "finished_at": None if self.finished_at is None else rfc3339(self.finished_at),
            "data_digest": self.data_digest,
            "seed": self.seed,
            "picture": self.picture,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: see `Run`."""

    verdict: str
    reason: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    challenger: str | None = None
    on_shelf: bool = False
    picture: str | None = None


class FinetuneRuns:
    """The runs. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def start(self, *, trigger: str, champion: str, seed: int, now: datetime) -> Run:
        """Begin a run; one that is due becomes this one, and keeps what asked for it."""
        with writing(self._engine) as connection:
            due = connection.execute(_runs().where(FinetuneRunRow.state == DUE)).first()
            row = {
                "started_at": now,
                "trigger": due.trigger if due is not None else trigger,
                "champion": champion,
                "on_shelf": False,
                "data_digest": "",
                "seed": seed,
                "state": RUNNING,
                "reason": "",
            }
            if due is None:
                added = insert(FinetuneRunRow).returning(FinetuneRunRow.number)
                number = connection.execute(added, row).scalar_one()
            else:
                number = due.number
                connection.execute(_update(number).values(row))
            return _run(connection.execute(_runs().where(FinetuneRunRow.number == number)).one())

    def note(self, number: int, *, data_digest: str) -> None:
        """Write down what a run learns from."""
        with writing(self._engine) as connection:
            connection.execute(_update(number).values(data_digest=data_digest))

    def finish(self, number: int, outcome: Outcome, now: datetime) -> Run:
        """End a run with the judge's word."""
        with writing(self._engine) as connection:
            return finish(connection, number, outcome, now)

    def fail(self, number: int, reason: str, now: datetime) -> Run:
        """End a run that came to nothing."""
        with writing(self._engine) as connection:
            connection.execute(_update(number).values(state=FAILED, reason=reason, finished_at=now))
            return _run(connection.execute(_runs().where(FinetuneRunRow.number == number)).one())

    def fail_interrupted(self, now: datetime) -> int:
        """End the runs that a dead process left; only for whoever holds the lock of fine-tuning. Return how many."""
        values = {"state": FAILED, "reason": "The run was interrupted", "finished_at": now}
        with writing(self._engine) as connection:
            left = update(FinetuneRunRow).where(FinetuneRunRow.state == RUNNING)
            return connection.execute(left.values(values)).rowcount

    def ask(self, trigger: str, now: datetime) -> None:
        """Make a run due, unless one is."""
        with writing(self._engine) as connection:
            ask(connection, trigger, now)

    def due(self) -> Run | None:
        """Return the run that is due, if one is."""
        found = self._fetch(_runs().where(FinetuneRunRow.state == DUE))
        return found[0] if found else None

    def in_shadow(self) -> Run | None:
        """Return the run whose challenger scores beside the champion, if there is one."""
        found = self._fetch(_runs().where(FinetuneRunRow.state == SHADOW))
        return found[0] if found else None

    def find(self, number: int) -> Run:
        """Return a run.

        Raises:
            UnusableInputError: There is none of this number.
        """
        found = self._fetch(_runs().where(FinetuneRunRow.number == number))
        if not found:
            raise UnusableInputError(f"There is no run {number}", "See: facegate finetune --list")
        return found[0]

    def newest(self, limit: int = 20) -> list[Run]:
        """Return the newest runs, the newest first."""
        return self._fetch(_runs().order_by(FinetuneRunRow.number.desc()).limit(limit))

    def ended_after(self, number: int) -> list[Run]:
        """Return the runs after a number that have ended, the oldest first: for telling of them."""
        ended = FinetuneRunRow.state.in_((FINISHED, FAILED)) & (FinetuneRunRow.number > number)
        return self._fetch(_runs().where(ended).order_by(FinetuneRunRow.number).limit(100))

    def enrollments_since_last(self) -> int:
        """Return how many photos were enrolled since the newest finished run began; all of them before the first."""
        last = select(func.max(FinetuneRunRow.started_at)).where(FinetuneRunRow.state == FINISHED)
        statement = select(func.count()).select_from(PhotoRow).where(PhotoRow.origin == "enrolled")
        with reading(self._engine) as connection:
            since = connection.execute(last).scalar_one()
            if since is not None:
                statement = statement.where(PhotoRow.enrolled_at > since)
            return int(connection.execute(statement).scalar_one())

    def _fetch(self, statement: Select[Any]) -> list[Run]:
        with reading(self._engine) as connection:
            return [_run(row) for row in connection.execute(statement)]


def finish(connection: Connection, number: int, outcome: Outcome, now: datetime) -> Run:
    """End a run with the judge's word, as part of a transaction."""
    ended = {"state": FINISHED, "verdict": outcome.verdict, "finished_at": now}
    return _told(connection, number, outcome, now, ended)


def into_shadow(connection: Connection, number: int, outcome: Outcome, now: datetime) -> Run:
    """Let the challenger of a run score beside the champion; what the outcome promises is not said yet."""
    return _told(connection, number, outcome, now, {"state": SHADOW, "verdict": None, "finished_at": None})


def _told(connection: Connection, number: int, outcome: Outcome, now: datetime, state: dict[str, Any]) -> Run:
    row = connection.execute(_runs().where(FinetuneRunRow.number == number)).one()
    values = {
        "reason": outcome.reason,
        "before": _text(outcome.before),
        "after": _text(outcome.after),
        "challenger": outcome.challenger,
        "on_shelf": outcome.on_shelf,
        "picture": outcome.picture,
        "seconds": round((now - row.started_at).total_seconds(), 3) if row.seconds is None else row.seconds,
    }
    connection.execute(_update(number).values(values | state))
    return _run(connection.execute(_runs().where(FinetuneRunRow.number == number)).one())


def is_in_shadow(connection: Connection, number: int) -> bool:
    """Tell whether the challenger of a run scores beside the champion."""
    here = (FinetuneRunRow.number == number) & (FinetuneRunRow.state == SHADOW)
    return connection.execute(select(FinetuneRunRow.number).where(here)).first() is not None


def ask(connection: Connection, trigger: str, now: datetime) -> None:
    """Make a run due as part of a transaction, unless one is."""
    if connection.execute(_runs().where(FinetuneRunRow.state == DUE)).first() is None:
        row = {
            "started_at": now, "trigger": trigger, "champion": "", "on_shelf": False, "data_digest": "", "seed": 0,
            "state": DUE, "reason": "",
        }  # fmt: skip
        connection.execute(insert(FinetuneRunRow), row)


def forget_runs(engine: Engine, before: datetime) -> int:
    """Delete the runs that ended before a moment and whose challenger is not kept; return how many those were."""
    over = (FinetuneRunRow.finished_at < before) & ~FinetuneRunRow.on_shelf
    with writing(engine) as connection:
        return connection.execute(delete(FinetuneRunRow).where(over)).rowcount


def _update(number: int) -> Any:
    return update(FinetuneRunRow).where(FinetuneRunRow.number == number)


def _runs() -> Select[Any]:
    return select(*FinetuneRunRow.__table__.columns)


def _text(document: Mapping[str, Any] | None) -> str | None:
    return None if document is None else json.dumps(dict(document), allow_nan=False)


def _run(row: Any) -> Run:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    for name in ("before", "after"):
        fields[name] = None if fields[name] is None else json.loads(fields[name])
    return Run(**fields)
