"""The client against real brokers: mosquitto, with TLS and logins and restarts, and the embedded one."""

import json
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from facegate.errors import NotReadyError
from facegate.mqtt.broker import EmbeddedBroker
from facegate.mqtt.client import MqttClient
from facegate.mqtt.topics import Topics
from facegate.settings import MqttSection
from tests.mosquitto import free_port, mosquitto_in, require

TOPICS = Topics()
IMAGE = TOPICS.image("porch")
DECISION = TOPICS.decision("front")


def eventually(condition, seconds=10.0):
    """Poll until it holds, and tell whether it did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Gate:
    """What a daemon is to the client: it keeps messages, and says at each connection that it is online."""

    def __init__(self, section, *, newest=True):
        self.messages = []
        self.connections = 0
        self.client = MqttClient(section, TOPICS, self.messages.append, self.welcome, newest=newest)

    def welcome(self):
        assert self.client.publish(TOPICS.status, '{"state": "online"}', retain=True)
        self.connections += 1

    @property
    def payloads(self):
        return [message.payload for message in self.messages]


@contextmanager
def gate(section, *, newest=True):
    started = Gate(section, newest=newest)
    started.client.start()
    try:
        yield started
    finally:
        started.client.stop()


@contextmanager
def neighbour(port, *filters, protocol=paho.MQTTv5, received=None):
    """An ordinary client, as cameras and actuators are."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=protocol)
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: received.append(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    if filters:
        client.subscribe([(name, 1) for name in filters])
        assert subscribed.wait(5)
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def section_for(broker, **more):
    return MqttSection(host="127.0.0.1", port=broker.port, **more)


def push(client, topic, payload, *, retain=False, **properties):
    carried = Properties(PacketTypes.PUBLISH)
    if properties:
        carried.UserProperty = list(properties.items())
    client.publish(topic, payload, 1, retain, carried if properties else None).wait_for_publish(5)


def test_a_picture_comes_in_with_its_properties_and_a_decision_is_acknowledged(mosquitto):
    heard = []
    with gate(section_for(mosquitto)) as daemon, neighbour(mosquitto.port, DECISION, received=heard) as camera:
        assert daemon.client.wait_connected(5)
        assert daemon.client.protocol == "5"
        push(camera, IMAGE, b"\xff\xd8picture", event="e1", captured_at="2026-11-23T12:00:00Z")
        assert eventually(lambda: daemon.messages)
        message = daemon.messages[0]
        assert (message.topic, message.payload, message.retained) == (IMAGE, b"\xff\xd8picture", False)
        assert message.properties == {"event": "e1", "captured_at": "2026-11-23T12:00:00Z"}
        assert daemon.client.publish(DECISION, '{"outcome": "grant"}', expires_seconds=5)
        assert eventually(lambda: heard)
        assert heard[0].properties.MessageExpiryInterval <= 5
        assert not heard[0].retain


def test_what_the_broker_kept_never_comes_as_news(mosquitto):
    with neighbour(mosquitto.port) as junk:
        push(junk, IMAGE, b"old picture", retain=True)
        push(junk, TOPICS.command("front"), b"disarm", retain=True)
        push(junk, TOPICS.frigate_events, b"{}", retain=True)
        with gate(section_for(mosquitto)) as daemon:
            assert daemon.client.wait_connected(5)
            push(junk, TOPICS.motion("porch"), b"ON")
            assert eventually(lambda: b"ON" in daemon.payloads)
            assert daemon.payloads == [b"ON"]
            mosquitto.restart()
            assert eventually(lambda: daemon.connections == 2)
            assert not any(message.payload == b"old picture" and not message.retained for message in daemon.messages)


def test_a_restart_of_the_broker_is_survived_in_both_directions(mosquitto):
    heard = []
    with gate(section_for(mosquitto)) as daemon:
        assert daemon.client.wait_connected(5)
        mosquitto.stop()
        assert eventually(lambda: not daemon.client.connected)
        assert not daemon.client.publish(DECISION, "a grant that is too late", expires_seconds=5)
        assert daemon.client.problem
        mosquitto.start()
        with neighbour(mosquitto.port, DECISION, received=heard) as camera:
            assert eventually(lambda: daemon.connections == 2)
            push(camera, IMAGE, b"after")
            assert eventually(lambda: daemon.payloads == [b"after"])
            assert daemon.client.publish(DECISION, "a new grant", expires_seconds=5)
            assert eventually(lambda: heard)
            assert [message.payload for message in heard] == [b"a new grant"]
            assert daemon.client.problem == ""


def test_what_was_published_while_facegate_restarted_is_delivered_afterwards(mosquitto):
    with neighbour(mosquitto.port) as camera:
        with gate(section_for(mosquitto)) as before:
            assert before.client.wait_connected(5)
        push(camera, IMAGE, b"meanwhile")
        with gate(section_for(mosquitto)) as after:
            assert eventually(lambda: after.payloads == [b"meanwhile"])


def test_the_session_outlives_a_restart_of_the_broker_too(mosquitto):
    with gate(section_for(mosquitto)) as before:
        assert before.client.wait_connected(5)
    mosquitto.restart()
    with neighbour(mosquitto.port) as camera:
        push(camera, IMAGE, b"meanwhile")
    with gate(section_for(mosquitto)) as after:
        assert eventually(lambda: after.payloads == [b"meanwhile"])


def test_a_handler_that_raises_loses_nothing_that_comes_after(mosquitto):
    seen = []

    def clumsy(message):
        seen.append(message.payload)
        if message.payload == b"bad":
            raise ValueError(message.topic)

    client = MqttClient(section_for(mosquitto), TOPICS, clumsy, lambda: None)
    client.start()
    try:
        assert client.wait_connected(5)
        with neighbour(mosquitto.port) as camera:
            for payload in (b"bad", b"good", b"bad", b"good"):
                push(camera, IMAGE, payload)
        assert eventually(lambda: len(seen) == 4)
        assert client.handler_failures == 2
        assert client.connected
    finally:
        client.stop()


def test_the_handler_may_publish_without_waiting_for_itself(mosquitto):
    answers = []
    client = MqttClient(
        section_for(mosquitto), TOPICS, lambda _: answers.append(client.publish(DECISION, "x")), lambda: None
    )
    client.start()
    try:
        assert client.wait_connected(5)
        heard = []
        with neighbour(mosquitto.port, DECISION, received=heard) as camera:
            for _ in range(3):
                push(camera, IMAGE, b"picture")
            assert eventually(lambda: len(heard) == 3)
        assert answers == [True] * 3
    finally:
        client.stop()


def test_status_says_offline_once_the_process_is_gone_and_nothing_of_it_at_a_clean_stop(mosquitto):
    heard = []
    with neighbour(mosquitto.port, TOPICS.status, received=heard):
        with gate(section_for(mosquitto)) as daemon:
            assert daemon.client.wait_connected(5)
            assert eventually(lambda: heard)
        with gate(section_for(mosquitto)) as daemon:
            assert eventually(lambda: daemon.connections == 1)
            # The process dies: no good-bye, and nobody who connects again.
            daemon.client._stopping.set()
            daemon.client._link.abort("crashed")
            assert eventually(lambda: json.loads(heard[-1].payload) == {"state": "offline"})
        assert [json.loads(message.payload)["state"] for message in heard] == ["online", "online", "offline"]


def test_messages_too_large_for_the_broker_are_not_sent(mosquitto):
    with gate(section_for(mosquitto)) as daemon:
        assert daemon.client.wait_connected(5)
        assert not daemon.client.publish(DECISION, b"x" * 1_900_001)
        assert daemon.client.publish(DECISION, b"x" * 1_900_000)
        assert not daemon.client.publish(DECISION, b"x", expires_seconds=0.0)
        assert not daemon.client.publish(DECISION, b"x", expires_seconds=float("nan"))


class Mute:
    """A broker that takes everything and acknowledges nothing, as one behind a dead network does."""

    def __init__(self, granted=b"\x01" * 8):
        self.granted = granted
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.connections = 0
        self.published = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.recv(65536)  # CONNECT
        connection.sendall(bytes([0x20, 3, 0, 0, 0]))
        subscribe = connection.recv(65536)
        connection.sendall(bytes([0x90, 11, *self.mid_of(subscribe), 0]) + self.granted)
        while data := connection.recv(65536):
            self.published += data.count(b"a grant")
        connection.close()

    @staticmethod
    def mid_of(subscribe):
        body = 2 if subscribe[1] < 128 else 3
        return subscribe[body : body + 2]


def test_a_grant_that_nobody_acknowledges_takes_the_connection_along_and_is_never_resent():
    broker = Mute()
    client = MqttClient(MqttSection(host="127.0.0.1", port=broker.port), TOPICS, lambda _: None, lambda: None)
    client.start()
    try:
        assert client.wait_connected(5)
        begun = time.monotonic()
        assert not client.publish(DECISION, "a grant", expires_seconds=0.3)
        assert time.monotonic() - begun < 2
        assert eventually(lambda: broker.connections == 2 and client.connected)
        assert broker.published == 1
    finally:
        client.stop()
        broker.server.close()


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


def test_a_refused_subscription_is_reported():
    """mosquitto grants a subscription that its access list forbids; a broker that refuses must not pass unseen."""
    broker = Mute(granted=b"\x01" * 6 + b"\x87\x01")
    with gate(MqttSection(host="127.0.0.1", port=broker.port)) as daemon:
        assert daemon.client.wait_connected(5)
        assert daemon.client.refused == ("frigate/events",)
        assert "frigate/events" in daemon.client.problem
    broker.server.close()


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"tls": True, "ca": "nowhere.crt"}, "nowhere.crt"),
        ({"ca": "nowhere.crt"}, "tls is off"),
        ({"password_file": "nowhere"}, "nowhere"),
    ],
)
def test_what_is_missing_is_said_at_the_start(more, word):
    client = MqttClient(MqttSection(host="127.0.0.1", port=1, **more), TOPICS, lambda _: None, lambda: None)
    with pytest.raises(NotReadyError, match=word):
        client.start()


@pytest.fixture
def embedded():
    broker = EmbeddedBroker(0)
    broker.start()
    yield broker
    broker.stop()


@pytest.mark.parametrize("newest", [True, False])
def test_the_embedded_broker_is_spoken_to_in_the_older_version(embedded, newest):
    heard = []
    with gate(section_for(embedded), newest=newest) as daemon:
        assert daemon.client.wait_connected(10)
        assert daemon.client.protocol == "3.1.1"
        with neighbour(embedded.port, DECISION, protocol=paho.MQTTv311, received=heard) as camera:
            push(camera, IMAGE, b"x" * 1_500_000)
            assert eventually(lambda: daemon.payloads == [b"x" * 1_500_000])
            assert daemon.messages[0].properties == {}
            assert daemon.client.publish(DECISION, "grant", expires_seconds=5)
            assert eventually(lambda: heard)


def test_what_the_embedded_broker_kept_comes_marked_as_kept(embedded):
    with neighbour(embedded.port, protocol=paho.MQTTv311) as junk:
        push(junk, IMAGE, b"old picture", retain=True)
    with gate(section_for(embedded), newest=False) as daemon:
        assert daemon.client.wait_connected(5)
        assert eventually(lambda: daemon.messages)
        assert all(message.retained for message in daemon.messages)


def test_the_embedded_broker_listens_on_loopback_alone_and_says_who_has_its_port(embedded):
    with pytest.raises(NotReadyError, match=r"FACEGATE_MQTT__HOST=127\.0\.0\.1"):
        EmbeddedBroker(embedded.port).start()
    with socket.socket() as other:
        other.settimeout(1)
        assert other.connect_ex(("127.0.0.2", embedded.port)) != 0


def test_the_embedded_broker_stops_within_a_second_with_clients_on_it():
    broker = EmbeddedBroker(free_port())
    broker.start()
    with gate(section_for(broker), newest=False) as daemon:
        assert daemon.client.wait_connected(5)
        begun = time.monotonic()
        broker.stop()
        assert time.monotonic() - begun < 1
        assert eventually(lambda: not daemon.client.connected)
        again = EmbeddedBroker(broker.port)
        again.start()
        assert eventually(lambda: daemon.client.connected)
        again.stop()


def test_a_client_stops_within_two_seconds_whatever_the_broker_does():
    broker = Mute()
    client = MqttClient(MqttSection(host="127.0.0.1", port=broker.port), TOPICS, lambda _: None, lambda: None)
    client.start()
    assert client.wait_connected(5)
    begun = time.monotonic()
    client.stop()
    assert time.monotonic() - begun < 2.2
    broker.server.close()
