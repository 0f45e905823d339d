"""The client against real brokers: mosquitto with its restarts, and the embedded one."""

import gc
import json
import socket
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from facegate.errors import NotReadyError
from facegate.mqtt.broker import EmbeddedBroker
from facegate.mqtt.client import MqttClient
from facegate.settings import MqttSection
from tests.e2e.neighbours import DECISION, IMAGE, TOPICS, Mute, eventually, gate, neighbour, push, section_for
from tests.mosquitto import free_port


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
            assert eventually(lambda: daemon.connections == 1)
            push(junk, TOPICS.motion("porch"), b"ON")
            assert eventually(lambda: b"ON" in daemon.payloads)
            assert daemon.payloads == [b"ON"]
            mosquitto.restart()
            assert eventually(lambda: daemon.connections == 2)
            assert not any(message.payload == b"old picture" and not message.retained for message in daemon.messages)


def test_a_restart_of_the_broker_is_survived_in_both_directions(mosquitto):
    heard = []
    with gate(section_for(mosquitto)) as daemon:
        assert eventually(lambda: daemon.connections == 1)  # and its greeting has left
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


def test_a_lost_connection_leaves_no_socket_behind(mosquitto):
    gc.collect()
    gc.disable()
    try:
        with gate(section_for(mosquitto)) as daemon:
            assert eventually(lambda: daemon.connections == 1)
            before = len(list(Path("/proc/self/fd").iterdir()))
            for number in range(2, 5):
                mosquitto.restart()
                assert eventually(lambda number=number: daemon.connections == number)
            assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
    finally:
        gc.enable()
