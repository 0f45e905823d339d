"""The client: MQTT 5, or 3.1.1 with a broker that knows no more, over paho-mqtt 2.

Coming in: at least once. A message is acknowledged after the handler returned, so that one which a crash swallowed
comes again; the session outlives a restart of some minutes, and what was published meanwhile is delivered then, to be
judged by its own age. What has none, and may have lain somewhere, says so (`Message.waited`): whatever comes before the
broker gives back what the connection first says to itself, or just after the process stood still. The handler is total
by contract; one that raises is logged and counted, and its message is acknowledged, because a message that fails would
fail for ever.

Going out: at most once, and never late. paho resends what was not acknowledged when it reconnects, which would turn an
old grant into a new one; so each connection gets a client of its own, and whatever that one had not sent dies with it.
`publish` says True only when the broker has acknowledged. After False one thing remains possible: the broker had the
message and its acknowledgement was lost, within `expires_seconds` after the call. A message that expires and is not
acknowledged in time takes the connection with it, unsent bytes included. MQTT 5 brokers also get the expiry; with 3.1.1
a broker may keep a grant for a client that sleeps, which is why receivers check `exp`.
"""

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable
from typing import Final

from paho.mqtt.enums import MQTTProtocolVersion

from facegate.errors import FacegateError
from facegate.mqtt.link import Link, Refusal, read_password, ssl_context
from facegate.mqtt.message import MAX_PACKET_BYTES, Message
from facegate.mqtt.pulse import Pulse
from facegate.mqtt.topics import Topics
from facegate.settings import MqttSection

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 15.0
"""A door waits for its broker: the pause doubles from the first to the longest, each time shortened by up to half."""

ANSWER_SECONDS: Final = 3.0
STOP_SECONDS: Final = 2.0

NEWEST: Final = MQTTProtocolVersion.MQTTv5
OLDER: Final = MQTTProtocolVersion.MQTTv311


class MqttClient:
    """Keeps a connection to the broker while it is started. Safe to use from several threads.

    Args:
        section: Broker, TLS, login, client id.
        topics: What is subscribed to, and where the last will goes.
        on_message: Takes each message, on the network's thread: it must be quick and must not raise.
        on_connect: Called after each connection once the broker has answered the subscriptions, on a thread that may
            wait for acknowledgements.
        rng: Jitter of the pauses between connections.
        newest: Begin with MQTT 5; with False (the embedded broker) 3.1.1 is spoken from the first.
    """

    def __init__(
        self,
        section: MqttSection,
        topics: Topics,
        on_message: Callable[[Message], None],
        on_connect: Callable[[], None],
        rng: random.Random | None = None,
        *,
        newest: bool = True,
    ) -> None:
        self._section = section
        self._topics = topics
        self._handler = on_message
        self._on_connect = on_connect
        self._rng = rng or random.Random()  # noqa: S311 - jitter is no secret
        self._stopping = threading.Event()
        self._link: Link | None = None
        self._protocol = NEWEST if newest else OLDER
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._guessing = False
        self._problem = ""
        self._handler_failures = 0
        self._pulse = Pulse()

    def start(self) -> None:
        """Begin to connect, in the background and for ever.

        Raises:
            NotReadyError: A certificate, key or password file cannot be read, or the settings contradict one another.
        """
        context = ssl_context(self._section)
        read_password(self._section)
        self._pulse.start(self._stopping)
        self._thread = threading.Thread(target=self._run, args=(context,), name="mqtt", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say good-bye to the broker (so that it sends no last will) and end, within some two seconds."""
        self._stopping.set()
        link = self._link
        if link is not None:
            link.give_up("facegate stops")
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)

    @property
    def connected(self) -> bool:
        """Whether the broker is there and has answered the subscriptions."""
        link = self._link
        return link is not None and link.subscribed

    def wait_connected(self, seconds: float) -> bool:
        """Wait until connected, at most so long; tells whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self.connected, seconds)

    @property
    def protocol(self) -> str:
        """The MQTT version that is spoken: "5" or "3.1.1"."""
        return "5" if self._protocol is NEWEST else "3.1.1"

    @property
    def problem(self) -> str:
        """What is wrong with the connection, without secrets; empty while it is well."""
        link = self._link
        if link is not None and link.refused:
            return f"the broker refuses {', '.join(link.refused)}"
        return "" if self.connected else self._problem or "not connected yet"

    @property
    def refused(self) -> tuple[str, ...]:
        """Subscriptions that the broker refused on this connection."""
        link = self._link
        return () if link is None else link.refused

    @property
    def handler_failures(self) -> int:
        """How many messages the handler raised on; contractually none."""
        return self._handler_failures

    def publish(
        self,
        topic: str,
        payload: bytes | str,
        *,
        retain: bool = False,
        expires_seconds: float | None = None,
        wait_seconds: float = 5.0,
    ) -> bool:
        """Send a message at QoS 1 now or never.

        Args:
            topic: Where.
            payload: What; text goes out as UTF-8.
            retain: Keep it at the broker; never for anything that a grant moves.
            expires_seconds: After so long it is worth nothing: it is not sent later, and MQTT 5 brokers drop it.
            wait_seconds: How long to wait for the acknowledgement, at most until it expires. On the network's own
                thread (inside `on_message`) there is no waiting: True then means that it is on its way.

        Returns:
            Whether the broker acknowledged it.
        """
        body = payload.encode() if isinstance(payload, str) else payload
        if len(body) > MAX_PACKET_BYTES:
            log.error("A message of %d bytes on %s is not sent: the limit is %d", len(body), topic, MAX_PACKET_BYTES)
            return False
        link = self._link
        if link is None or (expires_seconds is not None and not expires_seconds > 0):
            return False
        return link.publish(topic, body, retain=retain, expires_seconds=expires_seconds, wait_seconds=wait_seconds)

    def _run(self, context: ssl.SSLContext | None) -> None:
        """Make one connection after the other."""
        failures = 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            link = Link(
                self._section,
                self._topics,
                self._protocol,
                context,
                self._handle,
                stood_still=lambda: self._pulse.stood_still,
            )
            self._serve(link)
            if self._other_protocol(link):
                continue
            failures = 0 if time.monotonic() - begun > LONGEST_PAUSE_SECONDS else failures + 1
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(max(failures - 1, 0), 16))
            self._stopping.wait(pause * self._rng.uniform(0.5, 1.0))

    def _other_protocol(self, link: Link) -> bool:
        """Choose the version for the next connection; True if it is another one, to be tried at once.

        Brokers that know 3.1.1 only either say so, which is remembered, or wait for ever (amqtt, which misreads MQTT 5
        properties as a long client id): then 3.1.1 is tried once, and MQTT 5 again after that connection.
        """
        refused, unanswered = link.refusal is Refusal.PROTOCOL, link.refusal is Refusal.SILENCE
        if self._protocol is OLDER:
            back = self._guessing
            self._guessing = False
            self._protocol = NEWEST if back else OLDER
            return False
        if refused or unanswered:
            self._protocol, self._guessing = OLDER, unanswered
            log.warning("The broker knows MQTT 3.1.1 only: grants carry no message expiry")
        return refused or unanswered

    def _serve(self, link: Link) -> None:
        """Open a link, use it until it is lost, close it."""
        try:
            link.open()
        except (OSError, ValueError, FacegateError) as error:
            self._complain(f"{self._section.host}:{self._section.port}: {error}")
            return
        self._link = link
        if self._stopping.is_set():
            link.give_up("facegate stops")
        if link.wait_answers(ANSWER_SECONDS):
            self._welcome()
            link.lost.wait()
        link.close(STOP_SECONDS / 2)
        self._link = None
        if not self._stopping.is_set() and link.refusal is None:
            self._complain(f"{self._section.host}:{self._section.port}: {link.problem}")

    def _welcome(self) -> None:
        log.info("Connected to %s:%d, MQTT %s", self._section.host, self._section.port, self.protocol)
        self._problem = ""
        with self._changed:
            self._changed.notify_all()
        try:
            self._on_connect()
        except Exception:  # a bug of ours must not cut the door off from its broker
            log.exception("What is done at connection failed")

    def _complain(self, problem: str) -> None:
        """Log a problem once, not at every try."""
        if problem != self._problem:
            log.warning("No connection to the broker %s; trying on", problem)
        self._problem = problem

    def _handle(self, message: Message) -> None:
        try:
            self._handler(message)
        except Exception:  # the message would fail again: acknowledge it, but say so and count it
            self._handler_failures += 1
            log.exception("The handler failed on a message on %s", message.topic)
