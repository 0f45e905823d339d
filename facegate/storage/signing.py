"""Signing: compact JWS (RFC 7515) with Ed25519 (RFC 8037) over a decision's claims; keys as a JWK set (RFC 7517).

The algorithm is called `EdDSA` in the header because that is the name that every JOSE library of today verifies; RFC
9864 renames it to `Ed25519`, and joserfc warns at the old name, so the three parts are put together here. The key id is
the key's thumbprint (RFC 7638).

A rotation keeps the old public key in the set for `KEEP_RETIRED`: an actuator that fetched the set learns the new key
before it forgets the old one, and recorded decisions stay verifiable meanwhile.
"""

import base64
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc.jwk import OKPKey

from facegate.core.decision import Decision, rfc3339
from facegate.errors import NotReadyError
from facegate.storage import keyfiles

KEEP_RETIRED: Final = timedelta(days=400)
"""Longer than decisions are kept by default, so that every recorded signature can be checked."""

Jwk = dict[str, str]


def canonical(document: object) -> str:
    """Write JSON in one form alone: keys sorted, no blanks, UTF-8, no NaN."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def base64url(data: bytes) -> bytes:
    """Encode as RFC 7515 wants it: base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def from_base64url(text: str) -> bytes:
    """Decode base64url without padding.

    Raises:
        ValueError: It is none.
    """
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def verified(jws: str, *jwk_sets: Mapping[str, Sequence[Jwk]]) -> dict[str, Any] | None:
    """Return the claims of a compact JWS that a key of the sets signed, or None if none did.

    Only EdDSA with Ed25519 is looked at, whatever the header asks for. Times and audience are the caller's to check.
    """
    try:
        header, payload, signature = jws.split(".")
        named = json.loads(from_base64url(header))
        keys = [jwk for jwk_set in jwk_sets for jwk in jwk_set["keys"] if jwk["kid"] == named["kid"]]
        if named["alg"] != "EdDSA" or not keys:
            return None
        public = Ed25519PublicKey.from_public_bytes(from_base64url(keys[0]["x"]))
        public.verify(from_base64url(signature), f"{header}.{payload}".encode())
        claims = json.loads(from_base64url(payload))
    except (ValueError, KeyError, TypeError, InvalidSignature):
        return None
    return claims if isinstance(claims, dict) else None


@dataclass(frozen=True, slots=True)
class _Loaded:
    private: Ed25519PrivateKey
    public: Jwk
    header: bytes
    stamp: tuple[int, int]


class DecisionSigner:
    """Signs with the key in a file that is created on first use. Keeps `core.ports.Signer`; safe in threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def sign(self, decision: Decision) -> Decision:
        """Return the decision with its JWS."""
        return replace(decision, jws=self.sign_claims(decision.claims()))

    def sign_claims(self, claims: dict[str, Any]) -> str:
        """Return a compact JWS over claims.

        Raises:
            NotReadyError: The key cannot be read or made.
        """
        key = self._key()
        signed = key.header + b"." + base64url(canonical(claims).encode())
        return (signed + b"." + base64url(key.private.sign(signed))).decode()

    @property
    def kid(self) -> str:
        """The id of the key that signs now."""
        return self._key().public["kid"]

    def jwks(self, now: datetime) -> dict[str, list[Jwk]]:
        """Return the public keys, the one that signs first, then those retired lately."""
        current = self._key().public
        retired = [
            {name: value for name, value in jwk.items() if name != "retired_at"}
            for jwk in self._retired()
            if jwk["kid"] != current["kid"] and now - datetime.fromisoformat(jwk["retired_at"]) < KEEP_RETIRED
        ]
        return {"keys": [current, *retired]}

    def retired_jwks(self) -> dict[str, list[Jwk]]:
        """Return every retired public key that is still on file, whenever it was retired."""
        return {"keys": self._retired()}

    def rotate(self, now: datetime) -> str:
        """Sign with a new key from now on; return its id. The old public key goes into the set first."""
        old = self._key().public
        kept = [jwk for jwk in self._retired() if jwk["kid"] != old["kid"]]
        kept.insert(0, old | {"retired_at": rfc3339(now)})
        try:
            keyfiles.replace(self._retired_path, json.dumps({"keys": kept}, indent=2).encode())
            keyfiles.replace(self._path, _new_key())
        except OSError as error:
            raise NotReadyError(
                f"The key file {self._path} cannot be replaced: {error.strerror}", "Make its folder writable"
            ) from error
        return self.kid

    @property
    def _retired_path(self) -> Path:
        return self._path.with_name(f"{self._path.stem}.retired.json")

    def _retired(self) -> list[Jwk]:
        data = keyfiles.read(self._retired_path)
        if data is None:
            return []
        try:
            keys: list[Jwk] = json.loads(data)["keys"]
        except (ValueError, KeyError, TypeError) as error:
            raise NotReadyError(f"{self._retired_path} is no JWK set", "Restore or delete it") from error
        return keys

    def _key(self) -> _Loaded:
        """Return the key, read again when another process has rotated it."""
        loaded = self._loaded
        stamp = self._stamp()
        if loaded is not None and (loaded.stamp == stamp or stamp is None):
            return loaded
        with self._lock:
            secret = keyfiles.read_or_create(self._path, _new_key)
            self._loaded = loaded = _load(secret, self._path, self._stamp() or (0, 0))
            return loaded

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - once for each decision, and Path.stat costs double
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


def _new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load(secret: bytes, path: Path, stamp: tuple[int, int]) -> _Loaded:
    try:
        private = serialization.load_pem_private_key(secret, password=None)
    except (ValueError, TypeError) as error:
        raise NotReadyError(f"{path} holds no private key", "Restore it: PEM, PKCS #8, without a password") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise NotReadyError(f"{path} holds a key of another kind", "An Ed25519 key is needed")
    raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    public: Jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(raw).decode()}
    kid = OKPKey.import_key(dict(public)).thumbprint()
    header = base64url(canonical({"alg": "EdDSA", "kid": kid, "typ": "JWT"}).encode())
    return _Loaded(private, public | {"kid": kid, "alg": "EdDSA", "use": "sig"}, header, stamp)
