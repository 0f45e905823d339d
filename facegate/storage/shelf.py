"""Which learned models are kept: the champion, those a rollback leads to, the newest that were judged and not promoted.

A model that is not kept loses its references and the list of whom it was learned from in one transaction; its folder
goes after that (`verifier.finetuning.shelf`), and whatever a crash leaves of it is found by not being on this shelf.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, select, update

from facegate.storage.champions import succession
from facegate.storage.engine import reading, writing
from facegate.storage.learned import unlearn
from facegate.storage.runs import FAILED, SHADOW
from facegate.storage.tables import FinetuneRunRow, LearnedUserRow, ReferenceRow


class Shelf:
    """The learned models. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def models(self) -> set[str]:
        """Return the ids of the learned models that are kept."""
        with reading(self._engine) as connection:
            return on_shelf(connection)

    def forget_leftovers(self) -> int:
        """Delete references and lists of learned models that are not kept; return how many references that were."""
        with writing(self._engine) as connection:
            return _forget_leftovers(connection)


def on_shelf(connection: Connection) -> set[str]:
    """Return the ids of the learned models that are kept."""
    statement = select(FinetuneRunRow.challenger).where(FinetuneRunRow.on_shelf)
    return {model for model in connection.execute(statement).scalars() if model is not None}


def surplus(connection: Connection, keep: int) -> set[str]:
    """Return the ids of learned models beyond the champion, `keep` before it and `keep` that were not promoted."""
    led = {row.lead.model for row in succession(connection)[: keep + 1]}
    statement = select(FinetuneRunRow.challenger, FinetuneRunRow.state, FinetuneRunRow.verdict)
    rows = connection.execute(statement.where(FinetuneRunRow.on_shelf).order_by(FinetuneRunRow.number.desc())).all()
    judged = [row.challenger for row in rows if row.verdict == "kept" and row.challenger not in led]
    shadows = {row.challenger for row in rows if row.state == SHADOW}
    return {row.challenger for row in rows} - led - shadows - set(judged[:keep])


def take_off(connection: Connection, models: Iterable[str], now: datetime) -> None:
    """Keep learned models no longer: with their references, and whom they were learned from. Shadows of them fail."""
    gone = sorted(models)
    of_them = FinetuneRunRow.challenger.in_(gone)
    connection.execute(update(FinetuneRunRow).where(of_them).values(on_shelf=False))
    shadows = update(FinetuneRunRow).where(of_them, FinetuneRunRow.state == SHADOW)
    reason = "The challenger was taken away while it was in the shadow"
    connection.execute(shadows.values(state=FAILED, reason=reason, finished_at=now))
    connection.execute(delete(ReferenceRow).where(ReferenceRow.model.in_(gone)))
    unlearn(connection, gone)


def _forget_leftovers(connection: Connection) -> int:
    kept = on_shelf(connection)
    made = select(FinetuneRunRow.challenger).where(FinetuneRunRow.challenger.is_not(None))
    gone = {model for model in connection.execute(made).scalars() if model is not None} - kept
    connection.execute(delete(LearnedUserRow).where(LearnedUserRow.model.not_in(sorted(kept))))
    return connection.execute(delete(ReferenceRow).where(ReferenceRow.model.in_(sorted(gone)))).rowcount
