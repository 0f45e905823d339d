"""Every event is accounted for (law 4): in = named in a decision + counted under a reason + still open.

A row is settled by `UPDATE ... WHERE settled_by IS NULL`, and the sums grow by the rows that this changed, in the same
transaction: whoever comes second changes nothing and counts nothing, in whichever thread or process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from facegate.storage.engine import reading, writing
from facegate.storage.tables import EventRow, TallyRow

IN: Final = "in"
DECIDED: Final = "decided"
REPLAYED: Final = "replayed"
INTERRUPTED: Final = "interrupted"
"""A former run ended before it settled the event."""

Tally = dict[str, int | dict[str, int]]

_SETTLE: Final = (
    update(EventRow)
    .where(EventRow.event == bindparam("which"), EventRow.settled_by.is_(None))
    .values(settled_by=bindparam("reason"))
)

_SEEN: Final = (
    select(EventRow.event)
    .where(EventRow.digest == bindparam("which"), EventRow.received_at >= bindparam("since"))
    .limit(1)
)
_TALLY: Final = select(TallyRow.name, TallyRow.count)


@dataclass(frozen=True, slots=True)
class Statements:
    """What each event needs, built once: building a statement costs more than running it."""

    take_in: Any
    add: Any


@cache
def statements(dialect: str) -> Statements:
    """Return the statements for a database's dialect, whose `insert` can answer conflicts."""
    insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
    add = insert(TallyRow)
    return Statements(
        # Without the option SQLAlchemy does not ask PostgreSQL's driver how many rows an INSERT made.
        take_in=insert(EventRow)
        .on_conflict_do_nothing(index_elements=[EventRow.event])
        .execution_options(preserve_rowcount=True),
        add=add.on_conflict_do_update(
            index_elements=[TallyRow.name], set_={"count": TallyRow.count + add.excluded.count}
        ),
    )


def take_in(connection: Connection, event: str, camera: str, received_at: datetime, digest: str) -> bool:
    """Note an event as open; False if it is known. The sums are the caller's to add to."""
    row = {"event": event, "camera": camera, "received_at": received_at, "digest": digest, "settled_by": None}
    return connection.execute(statements(connection.dialect.name).take_in, row).rowcount == 1


def add_to_tally(connection: Connection, sums: dict[str, int]) -> None:
    """Add to the sums, always in one order, so that two writers never wait for each other."""
    statement = statements(connection.dialect.name).add
    for name in sorted(sums):
        if sums[name]:
            connection.execute(statement, {"name": name, "count": sums[name]})


def settle(connection: Connection, events: Sequence[str], reason: str) -> list[str]:
    """Settle those of the events that are open, and return them."""
    return [
        event
        for event in sorted(set(events))
        if connection.execute(_SETTLE, {"which": event, "reason": reason}).rowcount
    ]


class SqlEventLog:
    """Keeps `core.ports.EventLog` in the database. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self, event: str, camera: str, received_at: datetime, digest: str) -> bool:
        """Take an event in; False if it was taken in before (and this repetition is now counted as replayed).

        Raises:
            NotReadyError: The database fails; the event was not taken in.
        """
        with writing(self._engine) as connection:
            is_new = take_in(connection, event, camera, received_at, digest)
            add_to_tally(connection, {IN: 1, REPLAYED: 0 if is_new else 1})
        return is_new

    def count(self, events: Sequence[str], reason: str) -> None:
        """Settle events that no decision will name, under a reason; those that are settled already stay as they are.

        Raises:
            ValueError: The reason is the name of another sum.
            NotReadyError: The database fails; nothing was counted.
        """
        if reason in (IN, DECIDED, ""):
            msg = f"{reason!r} is no reason to count under"
            raise ValueError(msg)
        with writing(self._engine) as connection:
            add_to_tally(connection, {reason: len(settle(connection, events, reason))})

    def seen(self, digest: str, since: datetime) -> bool:
        """Tell whether the same picture came in since a moment: a repeated picture that came without an id."""
        with reading(self._engine) as connection:
            return connection.execute(_SEEN, {"which": digest, "since": since}).first() is not None

    def recover(self, cameras: Sequence[str] | None = None) -> int:
        """Count what a former run left open as interrupted; return how many those were.

        Args:
            cameras: Only events of these cameras: for a daemon that shares its database with daemons of other doors.
        """
        statement = update(EventRow).where(EventRow.settled_by.is_(None)).values(settled_by=INTERRUPTED)
        if cameras is not None:
            statement = statement.where(EventRow.camera.in_(cameras))
        with writing(self._engine) as connection:
            count = connection.execute(statement).rowcount
            add_to_tally(connection, {INTERRUPTED: count})
        return count

    def tally(self) -> Tally:
        """Return `{"in": n, "decided": n, "counted": {reason: n}}` over all that ever came in."""
        with reading(self._engine) as connection:
            sums = dict(connection.execute(_TALLY).all())
        counted = {name: count for name, count in sorted(sums.items()) if name not in (IN, DECIDED)}
        return {"in": sums.get(IN, 0), "decided": sums.get(DECIDED, 0), "counted": counted}

    def unsettled(self) -> int:
        """Return how many events are open just now."""
        statement = select(func.count()).select_from(EventRow).where(EventRow.settled_by.is_(None))
        with reading(self._engine) as connection:
            return int(connection.execute(statement).scalar_one())

    def forget(self, before: datetime) -> int:
        """Delete settled events that came in before a moment; the sums stay. Return how many those were."""
        statement = delete(EventRow).where(EventRow.received_at < before, EventRow.settled_by.is_not(None))
        with writing(self._engine) as connection:
            return connection.execute(statement).rowcount
