"""The client against a mosquitto that wants certificates and a login."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.neighbours import DECISION, eventually, gate, section_for
from tests.mosquitto import mosquitto_in, require


def make_certificates(folder):
    """A CA of our own, a certificate for 127.0.0.1, and one for the client."""
    now = datetime.now(UTC)

    def certificate(name, key, issuer, issuer_key, extension):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(extension, critical=True)
            .sign(issuer_key, hashes.SHA256())
        )
        (folder / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return made

    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "server", "client")}
    authority = certificate("ca", keys["ca"], None, keys["ca"], x509.BasicConstraints(ca=True, path_length=0))
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate("server", keys["server"], authority.subject, keys["ca"], address)
    certificate(
        "client", keys["client"], authority.subject, keys["ca"], x509.SubjectAlternativeName([x509.DNSName("c")])
    )


@pytest.fixture(scope="module")
def tls_broker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    make_certificates(folder)
    passwords = folder / "passwords"
    require(shutil.which("mosquitto_passwd"), "mosquitto_passwd", "mosquitto")
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "facegate", "a long password"], check=True)
    (folder / "password").write_text("a long password\nanother line\n")
    (folder / "acl").write_text("user facegate\ntopic readwrite facegate/#\ntopic read homeassistant/status\n")
    with mosquitto_in(
        folder,
        f"cafile {folder}/ca.crt",
        f"certfile {folder}/server.crt",
        f"keyfile {folder}/server.key",
        "require_certificate true",
        "allow_anonymous false",
        f"password_file {passwords}",
        f"acl_file {folder}/acl",
    ) as broker:
        broker.secrets = {
            "tls": True,
            "ca": folder / "ca.crt",
            "cert": folder / "client.crt",
            "key": folder / "client.key",
            "username": "facegate",
            "password_file": folder / "password",
        }
        yield broker


def test_tls_with_a_ca_of_ones_own_a_client_certificate_and_a_password_file(tls_broker):
    with gate(section_for(tls_broker, **tls_broker.secrets)) as daemon:
        assert daemon.client.wait_connected(5)
        assert daemon.client.publish(DECISION, "x", expires_seconds=5)
        assert eventually(lambda: daemon.connections == 1)


def test_a_broker_of_an_unknown_ca_is_not_spoken_to(tls_broker):
    section = section_for(tls_broker, **(tls_broker.secrets | {"ca": None}))
    with gate(section) as daemon:
        assert eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in daemon.client.problem)
        assert not daemon.client.connected


def test_a_wrong_password_is_named_and_nothing_of_it_told(tls_broker, tmp_path):
    (tmp_path / "wrong").write_text("guessed\n")
    section = section_for(tls_broker, **(tls_broker.secrets | {"password_file": tmp_path / "wrong"}))
    with gate(section) as daemon:
        assert eventually(lambda: "not authorized" in daemon.client.problem)
        assert "guessed" not in daemon.client.problem
