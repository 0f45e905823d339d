"""Decisions: recorded in one transaction with the events that they settle, linked into a chain, listed, spoken on."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from facegate.core.decision import Decision, Reason, rfc3339
from facegate.core.policy import History
from facegate.errors import RefusedError, UnusableInputError
from facegate.storage.engine import reading, writing
from facegate.storage.events import DECIDED, IN, add_to_tally, settle, take_in
from facegate.storage.frames import take_back
from facegate.storage.signing import canonical
from facegate.storage.tables import ChainRow, DecisionEventRow, DecisionRow
from facegate.storage.users import user_ids

STRANGERS: Final = (Reason.NO_MATCH, Reason.AMBIGUOUS, Reason.ATTACK_SUSPECTED, Reason.CHALLENGE_FAILED)
"""Denials of somebody who was seen and not recognised; these count towards a lockout."""

GENESIS: Final = "0" * 64
"""The hash before the first decision."""

LOT: Final = 2000
"""So many decisions are read at a time where all of a year are wanted."""

Word = str  # "confirmed" or "denied"
Query = Select[int, str, str | None, datetime | None, str | None]

#: Built once: building a statement costs more than running it.
_END: Final = select(ChainRow.position, ChainRow.hash).with_for_update()
_MOVE_END: Final = update(ChainRow).values(position=bindparam("to"), hash=bindparam("newest"))
_ADD: Final = insert(DecisionRow)
_NAME: Final = insert(DecisionEventRow)


def link(previous: str, document: str) -> str:
    """Return the hash of a link: SHA-256 of the previous link's hash and this decision's canonical JSON."""
    return hashlib.sha256(previous.encode() + document.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as it was recorded, with the operator's word if there is one."""

    position: int
    document: dict[str, Any]
    word: Word | None
    word_at: datetime | None
    word_user: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the decision's JSON; what begins with `word` is there only when the operator said it."""
        if self.word is None or self.word_at is None:
            return self.document
        spoken = {"word": self.word, "word_at": rfc3339(self.word_at)}
        return self.document | spoken | ({} if self.word_user is None else {"word_user": self.word_user})


@dataclass(frozen=True, slots=True)
class Filters:
    """Which decisions to list; None does not restrict."""

    door: str | None = None
    user: str | None = None
    outcome: str | None = None
    reason: str | None = None
    since: datetime | None = None


class SqlDecisionLog:
    """Keeps `core.ports.DecisionLog` in the database. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, decision: Decision) -> None:
        """Commit the decision and settle the events that it names, in one transaction.

        An event that never was taken in is taken in here: what a decision names has come.

        Raises:
            RefusedError: An event was settled before, or the decision was recorded before; nothing was done.
            NotReadyError: The database fails; nothing was done.
        """
        try:
            with writing(self._engine) as connection:
                position = _append(connection, decision)
                _name_events(connection, decision, position)
        except IntegrityError as error:
            raise RefusedError(
                f"Decision {decision.id} or one of its events was recorded before", "An event has one answer"
            ) from error

    def history(self, door: str, since: datetime) -> History:
        """Return the denials of strangers and the last grants at a door since a moment, the oldest first."""
        statement = (
            select(DecisionRow.reason, DecisionRow.user, DecisionRow.decided_at)
            .where(DecisionRow.door == door, DecisionRow.decided_at >= since)
            .where(DecisionRow.reason.in_([*map(str, STRANGERS), str(Reason.MATCH)]))
            .order_by(DecisionRow.decided_at)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        denials = tuple(row.decided_at for row in rows if row.reason != Reason.MATCH)
        granted = {row.user: row.decided_at for row in rows if row.reason == Reason.MATCH and row.user}
        return History(denials, granted)

    def newest(self, filters: Filters = Filters(), *, limit: int | None = 50) -> list[Recorded]:
        """Return the newest decisions that fit, the newest first."""
        statement = _filtered(_columns(), filters).order_by(DecisionRow.position.desc()).limit(limit)
        return self._fetch(statement)

    def after(self, position: int, filters: Filters = Filters(), *, limit: int = 500) -> list[Recorded]:
        """Return the decisions that were recorded after one, the oldest first: for following."""
        statement = _filtered(_columns(), filters).where(DecisionRow.position > position)
        return self._fetch(statement.order_by(DecisionRow.position).limit(limit))

    def about(self, user: str) -> list[Recorded]:
        """Return every decision that names a user, or that an operator says was theirs, the newest first."""
        theirs = (DecisionRow.user == user) | (DecisionRow.word_user == user)
        return self._fetch(_columns().where(theirs).order_by(DecisionRow.position.desc()))

    def known(self, since: datetime) -> Iterator[Recorded]:
        """Yield the decisions since a moment that say who was there, or an operator says so, the oldest first."""
        named = DecisionRow.user.is_not(None) | DecisionRow.word_user.is_not(None)
        statement = _columns().where(DecisionRow.decided_at >= since, named).order_by(DecisionRow.position)
        at = 0
        while rows := self._fetch(statement.where(DecisionRow.position > at).limit(LOT)):
            at = rows[-1].position
            yield from rows

    def count_of(self, user: str) -> int:
        """Return how many decisions name a user."""
        statement = select(func.count()).select_from(DecisionRow).where(DecisionRow.user == user)
        with reading(self._engine) as connection:
            return int(connection.execute(statement).scalar_one())

    def last_position(self) -> int:
        """Return the place of the newest decision in the chain, 0 before the first."""
        with reading(self._engine) as connection:
            return int(connection.execute(select(ChainRow.position)).scalar_one())

    def show(self, wanted: str) -> Recorded:
        """Return the decision with an id, or with an id that begins so if that is one only.

        Raises:
            UnusableInputError: There is none, or several.
        """
        fits = DecisionRow.id.startswith(wanted, autoescape=True)
        found = self._fetch(_columns().where(fits).order_by(DecisionRow.position.desc()).limit(2)) if wanted else []
        if len(found) != 1:
            count = "No decision" if not found else "More than one decision"
            raise UnusableInputError(f"{count} has an id that begins with {wanted!r}", "See: facegate decisions list")
        return found[0]

    def speak(self, wanted: str, word: Word, now: datetime, user: str | None = None) -> Recorded:
        """Store the operator's word on a decision: `confirmed`, it was right; `denied`, it was wrong.

        Args:
            wanted: The decision's id, or how it begins.
            word: The word.
            now: The moment, UTC.
            user: Who it really was, if the operator says so.

        Raises:
            UnusableInputError: There is no such decision, or no such user.
        """
        found = self.show(wanted)
        with writing(self._engine) as connection:
            if user is not None:
                user_ids(connection, [user])
            statement = update(DecisionRow).where(DecisionRow.position == found.position)
            connection.execute(statement.values(word=word, word_at=now, word_user=user))
            if (found.word, found.word_user) != (word, user):
                take_back(connection, str(found.document["decision"]), now)
        return Recorded(found.position, found.document, word, now, user)

    def _fetch(self, statement: Query) -> list[Recorded]:
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        return [Recorded(row.position, json.loads(row.document), row.word, row.word_at, row.word_user) for row in rows]


def _columns() -> Query:
    return select(
        DecisionRow.position, DecisionRow.document, DecisionRow.word, DecisionRow.word_at, DecisionRow.word_user
    )


def _filtered(statement: Query, filters: Filters) -> Query:
    for column, value in (
        (DecisionRow.door, filters.door),
        (DecisionRow.user, filters.user),
        (DecisionRow.outcome, filters.outcome),
        (DecisionRow.reason, filters.reason),
    ):
        if value is not None:
            statement = statement.where(column == value)
    return statement if filters.since is None else statement.where(DecisionRow.decided_at >= filters.since)


def _append(connection: Connection, decision: Decision) -> int:
    """Put the decision at the end of the chain; the end is locked until the transaction is over."""
    position, previous = connection.execute(_END).one()
    document = canonical(decision.to_json())
    newest = link(previous, document)
    connection.execute(
        _ADD,
        {
            "position": position + 1,
            "id": decision.id,
            "door": decision.door,
            "outcome": str(decision.outcome),
            "reason": str(decision.reason),
            "user": decision.user,
            "decided_at": decision.decided_at,
            "document": document,
            "hash": newest,
        },
    )
    connection.execute(_MOVE_END, {"to": position + 1, "newest": newest})
    return position + 1


def _name_events(connection: Connection, decision: Decision, position: int) -> None:
    """Settle the events under the decision, each once."""
    events = sorted(set(decision.events))
    if not events:
        return
    camera = decision.cameras[0] if decision.cameras else ""
    missed = sum(take_in(connection, event, camera, decision.decided_at, "") for event in events)
    settled = settle(connection, events, DECIDED)
    if len(settled) != len(events):
        twice = next(event for event in events if event not in settled)
        raise RefusedError(f"Event {twice} was settled before", "An event has one answer")
    connection.execute(_NAME, [{"event": event, "position": position} for event in events])
    add_to_tally(connection, {IN: missed, DECIDED: len(events)})
