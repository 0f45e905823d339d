import pytest

from facegate.daemon.alone import lock
from facegate.errors import NotReadyError


def test_a_second_daemon_in_one_data_folder_is_refused_until_the_first_has_gone(tmp_path):
    first = lock(tmp_path)
    with pytest.raises(NotReadyError, match="Another facegate runs"):
        lock(tmp_path)
    first.close()
    lock(tmp_path).close()


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotReadyError, match="cannot be used"):
        lock(tmp_path / "file")
