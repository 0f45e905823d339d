import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text

from facegate.errors import NotReadyError
from facegate.resources import shipped
from facegate.settings import Settings
from facegate.storage import open_storage, schema
from facegate.storage.engine import open_engine, reading, writing
from facegate.storage.tables import Base


def differences(engine):
    with reading(engine) as connection:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata)


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'facegate.db'}")
    yield engine
    engine.dispose()


def test_upgrading_from_nothing_gives_the_tables(engine):
    schema.upgrade(engine)
    assert differences(engine) == []


def test_each_step_goes_down_and_up_again(engine):
    schema.upgrade(engine)
    for revision in ("0002", "0001", "base"):
        schema.downgrade(engine, revision)
        schema.upgrade(engine)
        assert differences(engine) == []
        schema.require_current(engine)


def test_the_status_tells_empty_old_and_current_apart(engine):
    assert schema.status(engine) == schema.SchemaStatus("", schema.needed(), empty=True)
    schema.upgrade(engine, "0001")
    assert schema.status(engine) == schema.SchemaStatus("0001", schema.needed(), empty=False)
    schema.upgrade(engine)
    assert schema.status(engine).is_current


def test_the_schema_that_is_needed_is_the_last_of_the_migrations():
    config = Config()
    config.set_main_option("script_location", str(shipped("migrations")))
    scripts = ScriptDirectory.from_config(config)
    assert [schema.needed()] == scripts.get_heads()
    for script in scripts.walk_revisions():
        assert Path(script.path).name.startswith(f"{script.revision}_")


def test_looking_at_a_schema_takes_no_alembic(engine, tmp_path):
    schema.upgrade(engine)
    look = "import sys; from facegate.storage import open_storage; from facegate.settings import Settings; "
    look += f"open_storage(Settings(data_dir={str(tmp_path)!r})).close(); print('alembic' in sys.modules)"
    seen = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "False"


def test_an_old_schema_is_refused_with_the_command_that_upgrades_it(engine):
    schema.upgrade(engine, "0001")
    with pytest.raises(NotReadyError, match=r"has schema 0001, this facegate needs 0003\. Run: facegate db upgrade"):
        schema.require_current(engine)


def test_a_newer_schema_is_refused(engine, tmp_path):
    schema.upgrade(engine)
    with sqlite3.connect(tmp_path / "facegate.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NotReadyError, match="has schema 9999, this facegate knows"):
        schema.require_current(engine)


def test_only_an_empty_database_is_upgraded_by_itself(engine):
    schema.upgrade(engine, "0001")
    with pytest.raises(NotReadyError, match="Run: facegate db upgrade"):
        schema.upgrade_if_empty(engine)
    assert schema.status(engine).current == "0001"


def test_a_database_of_somebody_else_is_never_upgraded(engine, tmp_path):
    with sqlite3.connect(tmp_path / "facegate.db") as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    with pytest.raises(NotReadyError, match="has schema none"):
        schema.upgrade_if_empty(engine)


def test_opening_what_is_not_there_or_empty_names_the_command(tmp_path):
    with pytest.raises(NotReadyError, match=r"There is no database at .*\. Run: facegate db upgrade"):
        open_storage(Settings(data_dir=tmp_path))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "facegate.db").touch()
    with pytest.raises(NotReadyError, match=r"The database is empty\. Run: facegate db upgrade"):
        open_storage(Settings(data_dir=tmp_path))


def test_what_was_enrolled_and_decided_survives_the_way_up_and_down(engine):
    schema.upgrade(engine, "0002")
    with writing(engine) as connection:
        for statement in (
            "INSERT INTO users VALUES (1, 'alice', 'Alice', '2026-01-01', 0, NULL)",
            "INSERT INTO photos VALUES (1, 1, 'd', x'00', '{}', '2026-01-01')",
            "INSERT INTO user_references VALUES (1, 1, 'twin@1', 8, x'00')",
            "INSERT INTO decisions VALUES (1, 'i', 'f', 'grant', 'match', 'a', '2026-01-01', '{}', 'h', NULL, NULL)",
            "INSERT INTO decision_events VALUES ('e', 1)",
        ):
            connection.exec_driver_sql(statement)

    def counts():
        with reading(engine) as connection:
            tables = ("photos", "user_references", "decisions", "decision_events")
            return [connection.execute(select(func.count()).select_from(text(table))).scalar() for table in tables]

    schema.upgrade(engine)
    assert counts() == [1, 1, 1, 1]
    with reading(engine) as connection:
        assert connection.exec_driver_sql("SELECT origin FROM photos").scalar() == "enrolled"
    schema.downgrade(engine, "0002")
    assert counts() == [1, 1, 1, 1]
