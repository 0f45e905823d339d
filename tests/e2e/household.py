"""A household of people who do not exist, a daemon of its own on a broker, and pictures of them."""

import functools
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
from joserfc import jws
from joserfc.jwk import KeySet
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from facegate.core.decision import rfc3339
from facegate.core.policy import EVERYONE, Door, Permission
from facegate.daemon.harness import DaemonProcess
from facegate.settings import Settings
from facegate.storage.opening import open_storage
from facegate.verifier.enrollment import Enrollment
from facegate.vision.composites import people

ENROLLED = [person for person in people() if not person.stranger]
STRANGERS = [person for person in people() if person.stranger]


@functools.cache
def picture_of(slug: str, number: int = 2) -> bytes:
    """A 1280x720 JPEG with one person."""
    person = next(person for person in people() if person.slug == slug)
    canvas = np.full((720, 1280, 3), 120, np.uint8)
    canvas[100:580, 400:880] = person.picture(number)
    return cv2.imencode(".jpg", canvas)[1].tobytes()


@functools.cache
def empty_picture() -> bytes:
    return cv2.imencode(".jpg", np.full((720, 1280, 3), 120, np.uint8))[1].tobytes()


def varied(picture: bytes, number: int) -> bytes:
    """The same picture in other bytes: a comment is put behind the start marker."""
    comment = f"{number:08d}".encode()
    return picture[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + picture[2:]


def make_household(folder: Path) -> None:
    """Enroll everybody from one photo, and make the front door."""
    settings = Settings(data_dir=folder)
    storage = open_storage(settings, upgrade_empty=True)
    storage.doors.add(Door("front", "Front door", ("porch", "yard"), permissions=(Permission(EVERYONE),)))
    enrollment = Enrollment.of(settings, storage)
    for person in ENROLLED:
        assert enrollment.enroll(person.slug, person.name, [person.picture_path(0)]).accepted
    storage.close()


def copy_household(template: Path, folder: Path) -> Path:
    shutil.copytree(template, folder)
    folder.chmod(0o700)
    return folder


def wait_until(condition, seconds: float = 10.0, what: str = "it") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


class Listener:
    """An ordinary MQTT 5 client: publishes as a camera, collects what facegate says."""

    def __init__(self, port: int) -> None:
        self.decisions: list[dict[str, Any]] = []
        self.messages: list[paho.MQTTMessage] = []
        self.status: dict[str, Any] = {}
        self._news = threading.Condition()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe([("facegate/#", 1)])
        self.client.on_message = self._hear
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _hear(self, _client, _data, message) -> None:
        with self._news:
            self.messages.append(message)
            if message.topic.endswith("/decision") and message.payload:
                self.decisions.append(json.loads(message.payload))
            if message.topic == "facegate/status":
                self.status = json.loads(message.payload)
            self._news.notify_all()

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = False, **properties: str) -> None:
        carried = Properties(PacketTypes.PUBLISH)
        if properties:
            carried.UserProperty = list(properties.items())
        self.client.publish(f"facegate/{topic}", payload, qos=1, retain=retain, properties=carried)

    def wait(self, condition, seconds: float = 10.0) -> bool:
        with self._news:
            return self._news.wait_for(condition, seconds)

    def decision_on(self, event: str, seconds: float = 10.0) -> dict[str, Any]:
        def found():
            return next((one for one in self.decisions if event in one["events"]), None)

        assert self.wait(lambda: found() is not None, seconds), f"no decision on {event}; status {self.status}"
        return found()

    def ask(self, camera: str, picture: bytes, event: str, **properties: str) -> dict[str, Any]:
        self.publish(f"cameras/{camera}/image", picture, event=event, **properties)
        return self.decision_on(event)

    def balance(self) -> tuple[int, int, dict[str, int]]:
        events = self.status["events"]
        return events["in"], events["decided"], events["counted"]

    def wait_for_balance(self, expected_in: int, seconds: float = 20.0) -> None:
        def even() -> bool:
            if self.status.get("state") != "online":
                return False
            taken, decided, counted = self.balance()
            return taken == expected_in == decided + sum(counted.values())

        assert self.wait(even, seconds), f"the books do not balance at {expected_in}: {self.status}"

    def online(self, seconds: float = 30.0) -> "Listener":
        assert self.wait(lambda: self.status.get("state") == "online", seconds), "not online"
        return self

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Daemon(DaemonProcess):
    """A daemon on a mosquitto."""

    def __init__(self, folder: Path, port: int, **settings: str) -> None:
        own = {"FACEGATE_MQTT__HOST": "127.0.0.1", "FACEGATE_MQTT__PORT": str(port)}
        super().__init__(folder, own | settings)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._running().wait()


@contextmanager
def serving(folder: Path, port: int, **settings: str) -> Iterator[tuple[Daemon, Listener]]:
    daemon, listener = Daemon(folder, port, **settings), Listener(port)
    begun = rfc3339(datetime.now(UTC))

    def is_up() -> bool:  # one that was killed may have left its last word at the broker
        return listener.status.get("state") == "online" and listener.status["since"] >= begun

    daemon.start()
    try:
        deadline = time.monotonic() + 30
        while not is_up():
            daemon.check()
            assert time.monotonic() < deadline, daemon.log.read_text()
            listener.wait(is_up, 0.1)
        yield daemon, listener
    finally:
        listener.close()
        daemon.stop()


def public_keys(folder: Path) -> KeySet:
    from facegate.storage.signing import DecisionSigner

    return KeySet.import_key_set(DecisionSigner(Settings(data_dir=folder).signing_key).jwks(datetime.now(UTC)))


def signed_claims(decision: dict[str, Any], keys: KeySet) -> dict[str, Any]:
    return json.loads(jws.deserialize_compact(decision["jws"], keys, algorithms=["EdDSA"]).payload)
