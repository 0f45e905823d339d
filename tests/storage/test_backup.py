import sqlite3
import stat

import pytest

from facegate.errors import NotReadyError, RefusedError, UnusableInputError
from facegate.storage import open_storage
from facegate.storage.backup import back_up, restore
from facegate.storage.photos import Enrollee
from tests.fakes import START

MODEL = "twins@0123456789ab"


@pytest.fixture
def backup(storage, photo, tmp_path):
    storage.photos.enroll(Enrollee("alice"), [photo(0)], model=MODEL, now=START)
    back_up(storage.engine, tmp_path / "backup.db")
    return tmp_path / "backup.db"


def test_a_backup_is_one_file_of_its_owner_alone(backup, tmp_path):
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("backup*")] == ["backup.db"]


def test_a_restored_backup_holds_what_there_was(backup, storage, photo, settings):
    storage.photos.enroll(Enrollee("bob"), [photo(1)], model=MODEL, now=START)
    storage.close()
    restore(settings.database_url, backup)
    with open_storage(settings) as after:
        assert after.gallery.roster(MODEL).references.users == ("alice",)
    assert stat.S_IMODE((settings.data_dir / "facegate.db").stat().st_mode) == 0o600
    assert not list(settings.data_dir.glob("*.restored*"))


def test_a_restore_is_refused_while_the_database_is_in_use(backup, storage, settings):
    assert storage.gallery.revision()
    with pytest.raises(RefusedError, match=r"in use\. Stop facegate run"):
        restore(settings.database_url, backup)
    assert storage.users.find("alice")


def test_a_backup_never_overwrites(backup, storage):
    with pytest.raises(UnusableInputError, match="is there already"):
        back_up(storage.engine, backup)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "is no database"),
        (b"no database", "is no database"),
        (b"SQLite format 3\x00" + b"\xff" * 5000, "no whole database|is damaged"),
    ],
)
def test_what_is_no_backup_is_refused_and_the_database_stays(storage, settings, tmp_path, content, message):
    storage.close()
    bad = tmp_path / "bad.db"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(UnusableInputError, match=message):
        restore(settings.database_url, bad)
    with open_storage(settings) as after:
        assert after.users.listed() == []
    assert not list(settings.data_dir.glob("*.restored*"))


def test_a_database_of_somebody_else_is_refused(storage, settings, tmp_path):
    storage.close()
    with sqlite3.connect(tmp_path / "theirs.db") as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    with pytest.raises(UnusableInputError, match="no database of facegate"):
        restore(settings.database_url, tmp_path / "theirs.db")


def test_a_backup_of_a_newer_facegate_is_refused(backup, storage, settings):
    storage.close()
    with sqlite3.connect(backup) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NotReadyError, match="has schema 9999"):
        restore(settings.database_url, backup)
