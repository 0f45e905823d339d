"""How the database keeps a moment: in UTC, refused without a zone, and told in a line where a row holds none."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, TypeDecorator

from facegate.errors import NotReadyError


class UtcTime(TypeDecorator[datetime]):
    """A moment, stored in UTC. One without a time zone is refused: nobody could say what it meant."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn a moment into UTC.

        Raises:
            ValueError: The moment has no time zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "a moment without a time zone"
            raise ValueError(msg)
        return value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the zone back, which SQLite drops."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        """Return what reads a column: SQLite keeps a moment as text, and takes any text for one.

        What it returns raises NotReadyError where the text is none.
        """
        processed = super().result_processor(dialect, coltype)
        if processed is None:
            return None

        def read(value: Any) -> datetime | None:
            try:
                return processed(value)
            except (TypeError, ValueError) as error:
                raise NotReadyError(
                    "A row of the database holds a moment that is none", "Run: facegate db restore FILE"
                ) from error

        return read
