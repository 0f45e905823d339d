import base64
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.errors import NotReadyError
from facegate.storage.vault import Vault, associated

PLACE = associated("photos", "crop", 1, "digest")


@pytest.fixture
def vault(tmp_path):
    vault = Vault(tmp_path / "keys" / "vault.key")
    vault.key_for_sealing("")
    return vault


def test_the_key_is_made_on_first_use_and_its_owners_alone(vault):
    assert stat.S_IMODE(vault.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(vault.path.parent.stat().st_mode) == 0o700
    assert len(base64.b64decode(vault.path.read_bytes())) == 32
    assert [file.name for file in vault.path.parent.iterdir()] == ["vault.key"]


def test_what_was_sealed_opens_and_tells_nothing(vault):
    sealed = vault.seal(b"a face" * 20, PLACE)
    assert b"face" not in sealed
    assert vault.open(sealed, PLACE) == b"a face" * 20
    assert vault.seal(b"a face" * 20, PLACE) != sealed


def test_a_blob_opens_in_its_own_place_only(vault):
    sealed = vault.seal(b"alice", PLACE)
    with pytest.raises(NotReadyError, match="moved to another place"):
        vault.open(sealed, associated("photos", "crop", 2, "digest"))


@given(
    parts=st.lists(st.text("ab", max_size=3), min_size=2, max_size=4),
    others=st.lists(st.text("ab", max_size=3), min_size=2, max_size=4),
)
def test_two_places_never_share_their_name(parts, others):
    assert (associated(*parts) == associated(*others)) == (parts == others)


def test_every_flipped_bit_is_noticed(vault):
    sealed = vault.seal(b"alice", PLACE)
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(NotReadyError):
            vault.open(changed, PLACE)


@pytest.mark.parametrize("blob", [b"", b"\x01", b"\x02" + b"x" * 60])
def test_a_blob_of_another_form_is_refused(vault, blob):
    with pytest.raises(NotReadyError):
        vault.open(blob, PLACE)


def test_another_process_uses_the_same_key(vault):
    other = Vault(vault.path)
    assert other.open(vault.seal(b"alice", PLACE), PLACE) == b"alice"


def test_a_lost_key_is_not_made_anew(vault):
    expected = vault.key_for_sealing("")
    vault.path.unlink()
    with pytest.raises(NotReadyError, match=r"vault.key is missing. Restore that key file"):
        Vault(vault.path).key_for_sealing(expected)
    assert not vault.path.exists()


def test_a_wrong_key_is_told(vault, tmp_path):
    sealed, expected = vault.seal(b"alice", PLACE), vault.key_for_sealing("")
    other = Vault(tmp_path / "other.key")
    other.key_for_sealing("")
    for attempt in (lambda: other.open(sealed, PLACE), lambda: other.key_for_sealing(expected)):
        with pytest.raises(NotReadyError, match="holds another key"):
            attempt()


def test_a_key_that_others_may_read_is_refused(vault):
    vault.path.chmod(0o644)
    with pytest.raises(NotReadyError, match=r"open to others \(mode 0644\). Run: chmod 600"):
        Vault(vault.path).key_for_sealing("")


@pytest.mark.parametrize("content", [b"", b"short", base64.b64encode(b"x" * 16), b"\xff" * 44])
def test_a_file_without_a_key_is_refused(tmp_path, content):
    path = tmp_path / "vault.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(NotReadyError, match="holds no vault key"):
        Vault(path).key_for_sealing("")


def test_a_crash_in_the_middle_of_a_rotation_leaves_both_keys_readable(vault):
    old = vault.seal(b"old", PLACE)
    next_id = vault.begin_rotation()
    new = vault.seal(b"new", PLACE)
    after_the_crash = Vault(vault.path)
    assert after_the_crash.open(old, PLACE) == b"old"
    assert after_the_crash.open(new, PLACE) == b"new"
    assert after_the_crash.key_for_sealing(next_id) == next_id


def test_after_a_rotation_another_process_finds_the_new_key(vault):
    other = Vault(vault.path)
    other.key_for_sealing("")
    next_id = vault.begin_rotation()
    sealed = vault.seal(b"new", PLACE)
    vault.finish_rotation()
    assert other.open(sealed, PLACE) == b"new"
    assert other.key_for_sealing(next_id) == next_id
    assert not vault.next_path.exists()
