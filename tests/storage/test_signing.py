import base64
import json
import stat
from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from facegate.errors import NotReadyError
from facegate.storage.signing import KEEP_RETIRED, DecisionSigner, verified
from tests.fakes import START


@pytest.fixture
def signer(tmp_path):
    return DecisionSigner(tmp_path / "keys" / "signing.pem")


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_a_plain_jose_library_verifies_a_decision_with_the_jwk_set(signer, decision):
    signed = signer.sign(decision("one"))
    token = jwt.decode(signed.jws, KeySet.import_key_set(signer.jwks(START)), algorithms=["EdDSA"])
    assert token.header == {"alg": "EdDSA", "kid": signer.kid, "typ": "JWT"}
    assert token.claims == json.loads(json.dumps(signed.claims()))
    assert token.claims["aud"] == "front"


def test_cryptography_alone_verifies_a_decision_and_nothing_else(signer, decision):
    signed = signer.sign(decision("one"))
    header, payload, signature = signed.jws.split(".")
    public = Ed25519PublicKey.from_public_bytes(decoded(signer.jwks(START)["keys"][0]["x"]))
    public.verify(decoded(signature), f"{header}.{payload}".encode())
    with pytest.raises(InvalidSignature):
        public.verify(decoded(signature), f"{header}.{payload}x".encode())


def test_the_key_id_is_the_thumbprint(signer):
    (jwk,) = signer.jwks(START)["keys"]
    assert jwk["kid"] == OKPKey.import_key({name: jwk[name] for name in ("kty", "crv", "x")}).thumbprint()
    assert "d" not in jwk


def test_the_private_key_is_its_owners_alone(signer, tmp_path):
    assert signer.kid
    assert stat.S_IMODE((tmp_path / "keys" / "signing.pem").stat().st_mode) == 0o600


def test_signing_is_the_same_from_another_process(signer, decision, tmp_path):
    one = decision("one")
    assert DecisionSigner(tmp_path / "keys" / "signing.pem").sign(one) == signer.sign(one)


def test_a_rotation_is_followed_and_the_old_key_stays_in_the_set_for_some_time(signer, decision, tmp_path):
    old = signer.sign(decision("one"))
    running = DecisionSigner(tmp_path / "keys" / "signing.pem")
    old_kid = running.kid
    new_kid = signer.rotate(START)
    assert running.kid == new_kid != old_kid
    assert [jwk["kid"] for jwk in running.jwks(START)["keys"]] == [new_kid, old_kid]
    assert verified(old.jws, running.jwks(START))
    assert [jwk["kid"] for jwk in running.jwks(START + KEEP_RETIRED)["keys"]] == [new_kid]
    assert all(set(jwk) == {"kty", "crv", "x", "kid", "alg", "use"} for jwk in running.jwks(START)["keys"])


def test_a_jws_of_another_key_or_form_is_not_verified(signer, decision, tmp_path):
    keys = signer.jwks(START)
    good = signer.sign(decision("one")).jws
    _, payload, signature = good.split(".")
    unsigned = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": signer.kid}).encode()).decode().rstrip("=")
    stranger = DecisionSigner(tmp_path / "other.pem").sign(decision("one")).jws
    assert verified(good, keys)
    for bad in ("", "a.b", "a.b.c", good[:-4], f"{unsigned}.{payload}.{signature}", f"{unsigned}.{payload}.", stranger):
        assert verified(bad, keys) is None


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_without_a_key_is_refused(tmp_path, content):
    path = tmp_path / "signing.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(NotReadyError, match="holds no private key"):
        DecisionSigner(path).jwks(START)


def test_the_signature_never_outlives_the_decision(signer, decision):
    expires = START + timedelta(seconds=5, milliseconds=900)
    claims = verified(signer.sign(decision("one", expires_at=expires)).jws, signer.jwks(START))
    assert claims["exp"] <= expires.timestamp()
