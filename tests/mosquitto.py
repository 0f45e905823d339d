"""A real mosquitto for tests: on a free port of loopback, with whatever listens in its configuration."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BINARY = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
START_SECONDS = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def require(found: object, what: str, package: str) -> None:
    """Skip with one clear line where a server is missing, or fail where none may be."""
    if found:
        return
    if os.environ.get("FACEGATE_TEST_REQUIRE") == "all":
        pytest.fail(f"{what} is missing: apt-get install {package}")
    pytest.skip(f"{what} is missing: apt-get install {package}")


@dataclass
class Mosquitto:
    """A broker that can be stopped and started again; it remembers sessions and retained messages."""

    folder: Path
    port: int
    lines: tuple[str, ...] = ("allow_anonymous true",)
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = None
    secrets: dict[str, object] = field(default_factory=dict)

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        user = ["user root"] if os.geteuid() == 0 else []
        store = ["persistence true", f"persistence_location {self.folder}/", "autosave_interval 1"]
        config.write_text("\n".join([f"listener {self.port} {self.host}", *user, *store, *self.lines, ""]))
        log = (self.folder / "mosquitto.log").open("ab")
        self.process = subprocess.Popen([str(BINARY), "-c", str(config)], stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((self.host, self.port), 0.5).close()
            except OSError:
                assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text()
                assert time.monotonic() < deadline, "mosquitto did not start"
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(5)
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()


@contextmanager
def mosquitto_in(folder: Path, *lines: str) -> Iterator[Mosquitto]:
    """Run a broker with these configuration lines; anonymous clients are let in without any."""
    require(BINARY, "mosquitto", "mosquitto")
    broker = Mosquitto(folder, free_port(), lines or ("allow_anonymous true",))
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
