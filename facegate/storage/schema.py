"""The schema: Alembic run from code, so that an installed wheel needs no alembic.ini.

Alembic is imported by whoever changes a schema, and not by those who only look: a daemon whose database is as it must
be never meets it, and is 12 MB smaller.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, inspect

from facegate.errors import NotReadyError
from facegate.resources import shipped
from facegate.storage.engine import reading, writing

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE: Final = "alembic_version"
#: Taken by whoever upgrades PostgreSQL, so that two daemons that start together do it once.
ADVISORY_LOCK = 0x66616365


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Which schema a database has and which this facegate needs; `current` is empty for an empty database."""

    current: str
    needed: str
    empty: bool

    @property
    def is_current(self) -> bool:
        """The database can be used as it is."""
        return self.current == self.needed


def status(engine: Engine) -> SchemaStatus:
    """Tell which schema the database has.

    Raises:
        NotReadyError: The database does not answer.
    """
    with reading(engine) as connection:
        tables = set(inspect(connection).get_table_names())
        found = None
        if VERSION_TABLE in tables:
            found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()  # noqa: S608 - ours
    return SchemaStatus(found or "", needed(), empty=not found and not tables - {VERSION_TABLE})


def needed() -> str:
    """Return the schema that this facegate needs: the last of the migrations, whose files begin with their numbers."""
    return max(file.name.partition("_")[0] for file in (shipped("migrations") / "versions").glob("[0-9]*_*.py"))


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to a schema; all or nothing.

    Raises:
        NotReadyError: The database does not answer or is not ours.
    """
    from alembic import command  # noqa: PLC0415 - see above

    with writing(engine) as connection:
        _lock(connection)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to an older schema, `base` for none. Data of newer columns is lost: for tests."""
    from alembic import command  # noqa: PLC0415 - see above

    with writing(engine) as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def require_current(engine: Engine) -> None:
    """Refuse to work on another schema.

    Raises:
        NotReadyError: The schema is older or newer than this facegate's; the error names the command.
    """
    found = status(engine)
    if found.is_current:
        return
    if found.empty:
        raise NotReadyError("The database is empty", "Run: facegate db upgrade")
    if found.current > found.needed:
        raise NotReadyError(
            f"The database has schema {found.current}, this facegate knows {found.needed}", "Update facegate"
        )
    raise NotReadyError(
        f"The database has schema {found.current or 'none'}, this facegate needs {found.needed}",
        "Run: facegate db upgrade",
    )


def upgrade_if_empty(engine: Engine) -> None:
    """Make the schema in an empty database; never touch one that holds anything.

    Raises:
        NotReadyError: The database holds another schema.
    """
    if status(engine).empty:
        upgrade(engine)
    require_current(engine)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
        connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(shipped("migrations")))
    config.set_main_option("path_separator", "os")
    return config
