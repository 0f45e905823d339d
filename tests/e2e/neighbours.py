"""The client's counterparts in tests: a daemon's part of it, an ordinary client, a broker that acknowledges nothing."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from facegate.mqtt.client import MqttClient
from facegate.mqtt.topics import Topics
from facegate.settings import MqttSection

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
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection, suppress(OSError):
            self.serve(connection)

    def serve(self, connection):
        connection.recv(65536)  # CONNECT
        connection.sendall(bytes([0x20, 3, 0, 0, 0]))
        subscribe = connection.recv(65536)
        connection.sendall(bytes([0x90, 11, *self.mid_of(subscribe), 0]) + self.granted)
        while data := connection.recv(65536):
            self.published += data.count(b"a grant")

    @staticmethod
    def mid_of(subscribe):
        body = 2 if subscribe[1] < 128 else 3
        return subscribe[body : body + 2]
