"""facegate seen from outside: a daemon as a process of its own, and a plain MQTT client that plays a camera and a lock.

The demo and the bench use it, so that what they show is what an operator gets: real processes, real messages.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from facegate.core.decision import rfc3339
from facegate.errors import NotReadyError

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0


def free_port() -> int:
    """Return a port on loopback that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a daemon ended."""

    code: int
    seconds: float


class DaemonProcess:
    """`facegate run` in a process of its own, with its data in one folder; on its embedded broker if none is set.

    Args:
        folder: The data folder; the log goes to `daemon.log` in it.
        settings: Further `FACEGATE_` variables. None of the caller's own are passed on.
        program: The facegate that is run; none: this one.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, str] | None = None, program: Sequence[str] | None = None
    ) -> None:
        self.port = int((settings or {}).get("FACEGATE_MQTT__PORT", 0)) or free_port()
        self.folder = folder
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("FACEGATE_")}
        own = {"FACEGATE_DATA_DIR": str(folder), "FACEGATE_MQTT__PORT": str(self.port)}
        self._environment = {**inherited, **own, **(settings or {})}
        self._command = [*(program or (sys.executable, "-m", "facegate")), "run"]
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "daemon.log"

    def start(self) -> None:
        """Start the process; it may take a while until it hears."""
        with self.log.open("ab") as stream:
            self._process = subprocess.Popen(  # noqa: S603 - this facegate, or one that the caller built
                self._command, stderr=stream, stdout=stream, env=self._environment
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    def check(self) -> None:
        """Raise NotReadyError, with the last line of its log, if it has ended."""
        if self._process is not None and self._process.poll() is not None:
            lines = self.log.read_text("utf-8", "replace").splitlines() or ["(it said nothing)"]
            raise NotReadyError(f"The daemon ended with {self._process.returncode}: {lines[-1]}", f"See {self.log}")

    def stop(self) -> Stopped:
        """Ask it to stop, and kill it if it does not."""
        process = self._running()
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return Stopped(code, time.monotonic() - begun)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise NotReadyError("The daemon was not started", "Start it first")
        return self._process


class Harness:
    """Sends pictures as a camera does, and collects decisions as a lock does.

    Args:
        port: The broker's on loopback.
        prefix: First levels of every topic of facegate.
    """

    def __init__(self, port: int, prefix: str = "facegate") -> None:
        self._port = port
        self._prefix = prefix
        self._news = threading.Condition()
        self._decisions: dict[str, dict[str, Any]] = {}
        self._arrived: dict[str, float] = {}
        self.status: dict[str, Any] = {}
        self._models: list[dict[str, Any]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"harness-{os.getpid()}")
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)

    def __enter__(self) -> Self:
        """Connect, as soon as the broker is there."""
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def wait_until_online(self, daemon: DaemonProcess, seconds: float = START_SECONDS) -> None:
        """Connect and wait for the daemon's word that it is ready.

        Raises:
            NotReadyError: It ended, or did not say so in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            daemon.check()
            try:
                self._client.connect("127.0.0.1", self._port)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise NotReadyError("The daemon's broker does not answer", f"See {daemon.log}") from None
                time.sleep(0.02)
        self._client.loop_start()
        while self.status.get("state") != "online":
            daemon.check()
            if time.monotonic() > deadline:
                raise NotReadyError("The daemon did not come online", f"See {daemon.log}")
            with self._news:
                self._news.wait(0.05)

    def send(self, camera: str, event: str, picture: bytes, captured_at: datetime | None = None) -> float:
        """Send a picture as an event; returns the moment, for `time.monotonic`."""
        document = {
            "event": event,
            "captured_at": rfc3339(captured_at or datetime.now(UTC)),
            "image": base64.b64encode(picture).decode(),
        }
        sent = time.monotonic()
        self._client.publish(f"{self._prefix}/cameras/{camera}/event", json.dumps(document), qos=1)
        return sent

    def send_raw(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send anything to a topic below the prefix."""
        self._client.publish(f"{self._prefix}/{topic}", payload, qos=1, retain=retain)

    def decision_on(self, event: str, seconds: float) -> dict[str, Any] | None:
        """Return the decision that names an event, waiting for it."""
        with self._news:
            self._news.wait_for(lambda: event in self._decisions, seconds)
            return self._decisions.get(event)

    def arrived_at(self, event: str) -> float:
        """Return when the decision on an event came, for `time.monotonic`."""
        with self._news:
            return self._arrived[event]

    def wait_for_status(self, fits: Callable[[dict[str, Any]], bool], seconds: float) -> bool:
        """Wait until the status fits; tells whether it does."""
        with self._news:
            return self._news.wait_for(lambda: fits(self.status), seconds)

    def verdict(self, seconds: float) -> dict[str, Any] | None:
        """Return the first word on the networks, waiting for it."""
        with self._news:
            self._news.wait_for(lambda: bool(self._models), seconds)
            return self._models[0] if self._models else None

    def wait_for_balance(self, expected_in: int, seconds: float) -> bool:
        """Wait until the status accounts for so many events: in = decided + counted."""
        with self._news:
            return self._news.wait_for(lambda: self._balanced(expected_in), seconds)

    @property
    def decided(self) -> int:
        """How many events decisions have named so far."""
        with self._news:
            return len(self._decisions)

    def _balanced(self, expected_in: int) -> bool:
        came = (self.status.get("events") or {}).get("in")
        return came == expected_in and not missing(self.status, expected_in)

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(
            [
                (f"{self._prefix}/doors/+/decision", 1),
                (f"{self._prefix}/status", 1),
                (f"{self._prefix}/models/event", 1),
            ]
        )

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        now = time.monotonic()
        document = json.loads(message.payload)
        with self._news:
            if message.topic.endswith("/status"):
                self.status = document
            elif message.topic.endswith("/models/event"):
                self._models.append(document)
            else:
                for event in document["events"]:
                    self._decisions[event] = document
                    self._arrived[event] = now
            self._news.notify_all()


def missing(status: Mapping[str, Any], sent: int) -> int:
    """Return how many events did not come in, or came in and are neither named nor counted (law 4)."""
    events = status.get("events")
    if not events:
        return sent
    settled = int(events["decided"]) + sum(int(count) for count in events["counted"].values())
    return max(0, sent - int(events["in"])) + abs(int(events["in"]) - settled)
