"""Which model is in charge: an append-only history whose last row leads.

A row says where a rollback from it leads. A rollback is a row of its own: it names the model of the row that it goes
back to, and takes over where *that* one would have gone back to. So going back twice goes back two steps, and what
happened stays written down. Every change bumps the revision: changes of users, references and the champion run one
after another, and can go into one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, insert, select

from facegate.errors import RefusedError
from facegate.storage.engine import reading, writing
from facegate.storage.revision import bump
from facegate.storage.tables import ChampionRow

REMEMBERED: Final = 1000
"""So many rows are read at most."""

_COLUMNS: Final = (
    ChampionRow.position, ChampionRow.name, ChampionRow.model, ChampionRow.since, ChampionRow.run, ChampionRow.before,
)  # fmt: skip
_LAST: Final = select(*_COLUMNS).order_by(ChampionRow.position.desc()).limit(1)


@dataclass(frozen=True, slots=True)
class Lead:
    """A model that leads or is to lead: its name and its id, `name@digest12`."""

    name: str
    model: str


@dataclass(frozen=True, slots=True)
class Champion:
    """A row of the history.

    Attributes:
        position: Its place, growing.
        lead: The model.
        since: From when on it led.
        run: The run of fine-tuning that put it in charge, if one did.
        before: Position of the row that a rollback leads to.
    """

    position: int
    lead: Lead
    since: datetime
    run: int | None
    before: int | None


class SucceededError(RefusedError):
    """Another model was put in charge while something was made ready for the former one."""


class Champions:
    """The history of champions. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def leading(self) -> Champion | None:
        """Return who is in charge, None if nobody was ever put there: then the default leads."""
        with reading(self._engine) as connection:
            return leading(connection)

    def position(self) -> int:
        """Return the position of the row in charge, 0 without one: it differs whenever the champion was changed."""
        with reading(self._engine) as connection:
            return position(connection)

    def succession(self) -> list[Champion]:
        """Return who is in charge, then whom each rollback would lead to, one after the other."""
        with reading(self._engine) as connection:
            return succession(connection)

    def listed(self) -> list[Champion]:
        """Return the whole history, the newest first."""
        with reading(self._engine) as connection:
            return _newest(connection)

    def begin(self, former: Sequence[Lead], now: datetime) -> None:
        """Write down who led before there was a history, the oldest first; nothing if there is one."""
        if self.leading() is not None:
            return
        with writing(self._engine) as connection:
            bump(connection)
            if leading(connection) is None:
                for lead in former:
                    appoint(connection, lead, now)

    def appoint(self, lead: Lead, now: datetime) -> Champion:
        """Put a model in charge; one that is stays there."""
        with writing(self._engine) as connection:
            bump(connection)
            return appoint(connection, lead, now)

    def go_back(self, to: Champion, now: datetime) -> Champion:
        """Put the model of an earlier row in charge again."""
        with writing(self._engine) as connection:
            bump(connection)
            return go_back(connection, to, now)


def leading(connection: Connection) -> Champion | None:
    """Return who is in charge, None if nobody was ever put there."""
    row = connection.execute(_LAST).one_or_none()
    return None if row is None else _champion(row)


def position(connection: Connection) -> int:
    """Return the position of the row in charge, 0 without one: it differs whenever the champion was changed."""
    last = leading(connection)
    return 0 if last is None else last.position


def succession(connection: Connection) -> list[Champion]:
    """Return who is in charge, then whom each rollback would lead to, one after the other."""
    rows = _newest(connection)
    by_position = {row.position: row for row in rows}
    found, at = [], rows[0].position if rows else None
    while at in by_position:
        found.append(by_position.pop(at))
        at = found[-1].before
    return found


def require_position(connection: Connection, expected: int) -> None:
    """Go on only if the champion is the one that the caller has worked for.

    Raises:
        SucceededError: Another model was put in charge.
    """
    if position(connection) != expected:
        raise SucceededError("Another model was put in charge in the meantime", "Try again")


def appoint(connection: Connection, lead: Lead, now: datetime, run: int | None = None) -> Champion:
    """Put a model in charge; one that is stays there. The caller has bumped the revision."""
    last = leading(connection)
    if last is not None and last.lead == lead:
        return last
    return _add(connection, lead, now, run, None if last is None else last.position)


def go_back(connection: Connection, to: Champion, now: datetime) -> Champion:
    """Put the model of an earlier row in charge again. The caller has bumped the revision."""
    return _add(connection, to.lead, now, to.run, to.before)


def _add(connection: Connection, lead: Lead, now: datetime, run: int | None, before: int | None) -> Champion:
    row = {"name": lead.name, "model": lead.model, "since": now, "run": run, "before": before}
    at = connection.execute(insert(ChampionRow).returning(ChampionRow.position), row).scalar_one()
    return Champion(int(at), lead, now, run, before)


def _newest(connection: Connection) -> list[Champion]:
    statement = select(*_COLUMNS).order_by(ChampionRow.position.desc()).limit(REMEMBERED)
    return [_champion(row) for row in connection.execute(statement)]


def _champion(row: Any) -> Champion:
    return Champion(row.position, Lead(row.name, row.model), row.since, row.run, row.before)
