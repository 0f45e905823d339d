"""Whom a model was learned from: whoever is removed from facegate is removed from that, too."""

from collections.abc import Iterable

from sqlalchemy import Connection, Engine, delete, insert, select

from facegate.storage.engine import reading
from facegate.storage.tables import LearnedUserRow, UserRow


class LearnedUsers:
    """Which models were learned from which users. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def models_of(self, slug: str) -> set[str]:
        """Return the ids of the models that were learned from a user."""
        statement = select(LearnedUserRow.model).join(UserRow, UserRow.id == LearnedUserRow.user_id)
        with reading(self._engine) as connection:
            return set(connection.execute(statement.where(UserRow.slug == slug)).scalars())

    def users_of(self, model: str) -> list[str]:
        """Return the slugs of the users whom a model was learned from."""
        statement = select(UserRow.slug).join(LearnedUserRow, LearnedUserRow.user_id == UserRow.id)
        with reading(self._engine) as connection:
            return list(
                connection.execute(statement.where(LearnedUserRow.model == model).order_by(UserRow.slug)).scalars()
            )


def models_learned_from(connection: Connection, user_id: int) -> set[str]:
    """Return the ids of the models that were learned from a user."""
    return set(connection.execute(select(LearnedUserRow.model).where(LearnedUserRow.user_id == user_id)).scalars())


def learned_from(connection: Connection, model: str) -> set[int]:
    """Return the numbers of the users whom a model was learned from."""
    return set(connection.execute(select(LearnedUserRow.user_id).where(LearnedUserRow.model == model)).scalars())


def note_learned(connection: Connection, model: str, users: Iterable[int]) -> None:
    """Write down whom a model was learned from."""
    rows = [{"model": model, "user_id": user} for user in sorted(set(users))]
    if rows:
        connection.execute(insert(LearnedUserRow), rows)


def unlearn(connection: Connection, models: Iterable[str]) -> None:
    """Forget models that are no more."""
    connection.execute(delete(LearnedUserRow).where(LearnedUserRow.model.in_(sorted(models))))
