"""The embedded broker: amqtt on loopback, for the demo, a first try, and a single box without a broker.

It speaks MQTT 3.1.1 only, keeps everything in memory, and lets every process on this machine in, which is why it binds
127.0.0.1 and nothing else. With Home Assistant, or with anything on another machine, use mosquitto.
"""

import asyncio
import errno
import logging
import socket
import threading
from typing import Final

from amqtt.broker import Broker
from amqtt.errors import BrokerError

from facegate.errors import NotReadyError

log = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"
CONNECTIONS: Final = 64
SESSION_SECONDS: Final = 300
START_SECONDS: Final = 5.0
STOP_SECONDS: Final = 0.8
#: amqtt logs every closed connection, and a failed start with its traceback; what matters comes back as an error.
NOISY: Final = ("amqtt", "transitions")


class EmbeddedBroker:
    """A broker in a thread of its own.

    Args:
        port: Where it listens on 127.0.0.1; 0 picks a free port.
    """

    def __init__(self, port: int = 1883) -> None:
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return LOOPBACK

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    def start(self) -> None:
        """Listen; returns once clients can connect.

        Raises:
            NotReadyError: The port is taken, or cannot be had.
        """
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._port = self._port or free_port()
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            raise NotReadyError("The embedded broker did not start", "Use mosquitto: set FACEGATE_MQTT__HOST")
        if self._failure is not None:
            self._thread.join(STOP_SECONDS)
            raise _not_ready(self._failure, self._port) from self._failure

    def stop(self) -> None:
        """Stop listening and let every client go, within a second."""
        loop, stop = self._loop, self._stop
        if loop is None or stop is None or self._thread is None:
            return
        try:
            loop.call_soon_threadsafe(stop.set)
        except RuntimeError:
            return  # ended already
        self._thread.join(STOP_SECONDS * 2)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - told to the one who started it
            self._failure = self._failure or error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(lambda _loop, context: log.debug("Broker: %s", context.get("message")))
        broker = Broker(configuration(self._port))
        await broker.start()
        self._started.set()
        await self._stop.wait()
        for server in broker._servers.values():  # noqa: SLF001 - shutdown() would let clients in again meanwhile
            if server.instance is not None:
                server.instance.close()
        try:
            await asyncio.wait_for(broker.shutdown(), STOP_SECONDS)
        except (TimeoutError, BrokerError):
            log.debug("The broker's shutdown was cut short")


def configuration(port: int) -> dict[str, object]:
    """Return amqtt's configuration: one listener on loopback, no plugin but the one that lets local processes in."""
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}", "max_connections": CONNECTIONS}},
        "session_expiry_interval": SESSION_SECONDS,
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }


def free_port() -> int:
    """Return a port on loopback that is free just now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _not_ready(failure: BaseException, port: int) -> NotReadyError:
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
            return NotReadyError(
                f"Another broker listens on {LOOPBACK}:{port}",
                f"Set FACEGATE_MQTT__HOST={LOOPBACK} to use it, or FACEGATE_MQTT__PORT for the embedded one",
            )
        cause = cause.__cause__
    return NotReadyError(
        f"The embedded broker cannot listen on {LOOPBACK}:{port}", "Choose another FACEGATE_MQTT__PORT"
    )
