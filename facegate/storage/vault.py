"""The vault: AES-256-GCM over templates and crops, under a key that lies in a file of its own.

A sealed blob is `version (1 byte) | key id (8) | nonce (12) | ciphertext and tag`. The nonce is random: under one key
that is safe for 2**32 blobs (NIST SP 800-38D, 8.3). Associated data name table, column and row, so that a blob moved to
another user's row does not open.

Rotation puts the next key beside the old one (`vault.key.next`), seals everything again in one transaction, and then
lets the next key take the old one's name. A blob says which key sealed it, and both are read: a crash at any moment
leaves every blob readable.
"""

import base64
import binascii
import hashlib
import secrets
import threading
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from facegate.errors import NotReadyError
from facegate.storage import keyfiles

VERSION: Final = b"\x01"
KEY_BYTES: Final = 32
ID_BYTES: Final = 8
NONCE_BYTES: Final = 12
HEADER_BYTES: Final = len(VERSION) + ID_BYTES + NONCE_BYTES


def associated(table: str, column: str, *identity: object) -> bytes:
    """Name the place of a blob. Parts are separated by a byte that none of them holds."""
    return b"\x00".join(str(part).encode() for part in (table, column, *identity))


class Vault:
    """Seals and opens blobs; the key file is read when it is first needed. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._keys: dict[bytes, AESGCM] = {}
        self._current = b""

    @property
    def path(self) -> Path:
        """The key file."""
        return self._path

    @property
    def next_path(self) -> Path:
        """Where the next key waits during a rotation."""
        return self._path.with_name(f"{self._path.name}.next")

    def key_for_sealing(self, expected: str) -> str:
        """Return the id of the key that seals, hexadecimal.

        Args:
            expected: Id of the key that the database is sealed with; empty: with none yet, so a key may be made.

        Raises:
            NotReadyError: The key file is lost, unreadable, or holds another key than the database's.
        """
        if not expected:
            keyfiles.read_or_create(self._path, _new_key)
            self.reload()
        elif expected != self._current.hex():
            self.reload()
        if expected and bytes.fromhex(expected) not in self._keys:
            raise self._lost(expected)
        with self._lock:
            if expected:
                self._current = bytes.fromhex(expected)
            return self._current.hex()

    def seal(self, plain: bytes, place: bytes) -> bytes:
        """Encrypt for one place; call `key_for_sealing` in the same transaction first."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        cipher = self._keys[self._current]
        return VERSION + self._current + nonce + cipher.encrypt(nonce, plain, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Decrypt a blob of one place.

        Raises:
            NotReadyError: The key is lost or another one, or the blob was changed or moved.
        """
        cipher = self._cipher_of(sealed)
        try:
            return cipher.decrypt(sealed[1 + ID_BYTES : HEADER_BYTES], sealed[HEADER_BYTES:], place)
        except InvalidTag as error:
            raise NotReadyError(
                "A template or crop in the database was changed or moved to another place",
                "Restore the database from a backup, or enroll that user again",
            ) from error

    def begin_rotation(self) -> str:
        """Put the next key beside the old one and seal with it from now on; return its id."""
        secret = keyfiles.read_or_create(self.next_path, _new_key)
        self.reload()
        with self._lock:
            self._current = key_id(_decoded(secret, self.next_path))
            return self._current.hex()

    def finish_rotation(self) -> None:
        """Let the next key take the old one's name, once everything is sealed with it."""
        if self.next_path.exists():
            self.next_path.replace(self._path)
        self.reload()

    def reload(self) -> None:
        """Read the key files again.

        Raises:
            NotReadyError: A key file cannot be read or holds no key.
        """
        found: dict[bytes, AESGCM] = {}
        order: list[bytes] = []
        for path in (self._path, self.next_path):
            if (secret := keyfiles.read(path)) is not None:
                key = _decoded(secret, path)
                order.append(key_id(key))
                found[order[-1]] = AESGCM(key)
        with self._lock:
            self._keys = found
            if self._current not in found:
                self._current = order[0] if order else b""

    def _cipher_of(self, sealed: bytes) -> AESGCM:
        if sealed[:1] != VERSION or len(sealed) < HEADER_BYTES:
            raise NotReadyError("A sealed blob has a form that this facegate does not know", "Update facegate")
        wanted = sealed[1 : 1 + ID_BYTES]
        cipher = self._keys.get(wanted)
        if cipher is None:
            self.reload()  # another process may have rotated
            cipher = self._keys.get(wanted)
        if cipher is None:
            raise self._lost(wanted.hex())
        return cipher

    def _lost(self, wanted: str) -> NotReadyError:
        state = "holds another key" if self._keys else "is missing"
        return NotReadyError(
            f"Templates and crops are sealed with key {wanted}, but {self._path} {state}",
            "Restore that key file, or remove the users whose photos it sealed and enroll them again",
        )


def key_id(key: bytes) -> bytes:
    """Return what names a key without telling it: eight bytes of a hash."""
    return hashlib.sha256(b"facegate vault key" + key).digest()[:ID_BYTES]


def _new_key() -> bytes:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n"


def _decoded(secret: bytes, path: Path) -> bytes:
    try:
        key = base64.b64decode(secret.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise NotReadyError(f"{path} holds no vault key", "Restore it: 32 bytes in base64 are expected")
    return key
