import multiprocessing

import pytest

from facegate.errors import NotReadyError
from facegate.storage.locking import lock_in


def _tries(folder, answers):
    lock = lock_in(folder, "a.lock")
    answers.put(lock is not None)


def taken_elsewhere(folder):
    """Whether another process gets the lock."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_tries, args=(folder, answers))
    process.start()
    answer = answers.get(timeout=60)
    process.join(60)
    return answer


def test_a_lock_is_one_processs_until_it_is_closed(tmp_path):
    lock = lock_in(tmp_path / "new" / "folder", "a.lock")
    assert lock is not None
    assert not taken_elsewhere(tmp_path / "new" / "folder")
    lock.close()
    assert taken_elsewhere(tmp_path / "new" / "folder")


def test_two_locks_of_one_folder_are_two(tmp_path):
    with lock_in(tmp_path, "a.lock"), lock_in(tmp_path, "b.lock"):
        assert lock_in(tmp_path, "a.lock") is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotReadyError, match=r"data folder .*file.* cannot be used"):
        lock_in(tmp_path / "file" / "folder", "a.lock")


def test_the_folder_is_its_owners(tmp_path):
    with lock_in(tmp_path / "own", "a.lock"):
        assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700
