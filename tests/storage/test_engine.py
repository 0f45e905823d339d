import stat
import subprocess
import sys

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from facegate.errors import NotReadyError, UnusableInputError
from facegate.storage.engine import fault, open_engine, parsed_url, reading, writing


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'data' / 'facegate.db'}")
    yield engine
    engine.dispose()


def test_the_database_and_its_folder_are_their_owners_alone(engine, tmp_path):
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE t (id INTEGER)"))
    folder = tmp_path / "data"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_opening_the_database_twice_keeps_the_locks_of_the_first(engine, tmp_path):
    """Else another process takes itself for the last user at its end, and deletes the write-ahead log."""
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE t (id INTEGER)"))
    path = tmp_path / "data" / "facegate.db"
    open_engine(f"sqlite:///{path}").dispose()
    visit = (
        "import sqlite3, sys; here = sqlite3.connect(sys.argv[1]);"
        " here.execute('INSERT INTO t VALUES (1)'); here.commit(); here.close()"
    )
    subprocess.run([sys.executable, "-c", visit, path], check=True)
    assert path.with_name("facegate.db-wal").exists()
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM t")).scalar_one() == 1


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 1), ("busy_timeout", 5000)]
)
def test_sqlite_runs_as_described(engine, pragma, value):
    with reading(engine) as connection:
        assert connection.execute(text(f"PRAGMA {pragma}")).scalar_one() == value


def test_an_error_rolls_everything_back(engine):
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE t (id INTEGER)"))
    with pytest.raises(NotReadyError), writing(engine) as connection:
        connection.execute(text("INSERT INTO t VALUES (1)")).close() or connection.execute(text("nonsense"))
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM t")).scalar_one() == 0


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "is no database URL"),
        ("mysql://host/db", "names mysql, which facegate does not speak"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url, message):
    with pytest.raises(UnusableInputError, match=message):
        parsed_url(url)


def test_a_plain_postgresql_url_gets_our_driver():
    assert parsed_url("postgresql://u:p@h/d").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ("database or disk is full", "The disk of the database is full"),
        ("attempt to write a readonly database", "The database may only be read"),
        ("database is locked", "The database is locked"),
        ("file is not a database", "The database file holds something else"),
        ("database disk image is malformed", "The database file is damaged"),
        ("no such table: users", "The database has no facegate schema"),
        ('password authentication failed for user "gate"', "refuses the user or the password"),
        ("connection refused", "cannot be reached"),
        ("something never heard", "The database fails"),
    ],
)
def test_each_fault_is_one_line_without_the_password(told, what):
    engine = open_engine("postgresql://gate:topsecret@127.0.0.1:1/door")
    error = fault(OperationalError("SELECT 1", {}, Exception(told)), engine)
    assert what in error.what
    assert "topsecret" not in str(error)
    assert error.mend


def test_a_full_disk_is_one_clear_line(engine):
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE t (data BLOB)"))
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages + 2}"))
    with pytest.raises(NotReadyError, match="disk of the database is full"), writing(engine) as connection:
        connection.execute(text("INSERT INTO t VALUES (zeroblob(1000000))"))


def test_a_file_that_is_no_database_is_one_clear_line(tmp_path):
    (tmp_path / "x.db").write_bytes(b"this is no database at all" * 100)
    engine = open_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(NotReadyError, match="holds something else"), reading(engine):
        pass


def test_an_unreachable_server_is_one_clear_line():
    engine = open_engine("postgresql://gate:topsecret@127.0.0.1:1/door")
    with pytest.raises(NotReadyError, match="cannot be reached") as caught, reading(engine):
        pass
    assert "topsecret" not in str(caught.value)


def test_a_folder_that_is_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "x").write_text("a file")
    with pytest.raises(NotReadyError, match="cannot be opened"):
        open_engine(f"sqlite:///{tmp_path / 'x' / 'facegate.db'}")
