"""One connection to a broker, from its opening to its loss; never used again after that.

paho keeps what was not acknowledged and sends it when it reconnects. A link does not reconnect, so what it had not sent
is gone with it: that is how an old grant is kept from going out.
"""

import logging
import math
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from facegate.errors import NotReadyError
from facegate.mqtt.message import Message
from facegate.mqtt.topics import Topics
from facegate.settings import MqttSection

log = logging.getLogger(__name__)

KEEPALIVE_SECONDS: Final = 30
SESSION_SECONDS: Final = 300
WILL_DELAY_SECONDS: Final = 3
RECEIVE_MAXIMUM: Final = 16
LARGEST_INCOMING_BYTES: Final = 16_000_000
OUTGOING: Final = 100
ECHO_SECONDS: Final = 60.0
"""An echo that the broker does not give back by then never comes: it may not be published."""
OFFLINE: Final = '{"state": "offline"}'
NOBODY_HEARD: Final = 0x10
WRONG_PROTOCOL: Final = "Unsupported protocol version"
#: Closing throws away what the kernel has not sent yet.
ABORT: Final = struct.pack("ii", 1, 0)


class Refusal(Enum):
    """Why a broker did not take the connection, as far as that matters for the next try."""

    PROTOCOL = "protocol"
    SILENCE = "silence"


class Link:
    """One connection.

    Args:
        section: Broker, TLS, login, client id.
        topics: What is subscribed to, and where the last will goes.
        protocol: MQTT 5 or 3.1.1.
        context: TLS, or None.
        on_message: Takes each message.
        stood_still: Tells whether this process stood still until just now.

    Attributes:
        lost: Set once the link is of no use any more.
        refused: Subscriptions that the broker refused.
        problem: Why it was lost, without secrets.
        refusal: Why the broker did not take it, or None.
    """

    def __init__(
        self,
        section: MqttSection,
        topics: Topics,
        protocol: MQTTProtocolVersion,
        context: ssl.SSLContext | None,
        on_message: Callable[[Message], None],
        *,
        stood_still: Callable[[], bool] = lambda: False,
    ) -> None:
        self.lost = threading.Event()
        self.refused: tuple[str, ...] = ()
        self.problem = ""
        self.refusal: Refusal | None = None
        self._section = section
        self._topics = topics
        self._handler = on_message
        self._stood_still = stood_still
        self._echo = secrets.token_bytes(16)
        self._fresh_from = math.inf
        self._newest = protocol is MQTTProtocolVersion.MQTTv5
        self._answered = threading.Event()
        self._accepted = False
        self._network_thread = 0
        self._acknowledged = threading.Condition()
        self._acks: dict[int, ReasonCode] = {}
        self._unawaited: set[int] = set()
        self._paho = self._client(protocol, context)

    @property
    def alive(self) -> bool:
        """Whether the broker accepted the connection and it is not lost."""
        return self._accepted and not self.lost.is_set()

    @property
    def subscribed(self) -> bool:
        """Whether the broker has answered the subscriptions."""
        return self.alive and self._answered.is_set()

    def open(self) -> None:
        """Connect; the rest follows on the network's thread.

        Raises:
            OSError: The broker cannot be reached, or TLS failed.
            NotReadyError: The password file cannot be read.
        """
        password = read_password(self._section)
        if self._section.username:
            self._paho.username_pw_set(self._section.username, password)
        if self._newest:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_SECONDS
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            properties.MaximumPacketSize = LARGEST_INCOMING_BYTES
            self._paho.connect(
                self._section.host, self._section.port, KEEPALIVE_SECONDS, clean_start=False, properties=properties
            )
        else:
            self._paho.connect(self._section.host, self._section.port, KEEPALIVE_SECONDS)
        self._paho.loop_start()

    def wait_answers(self, seconds: float) -> bool:
        """Wait until the broker has answered, at most so long; tells whether the link is of use."""
        if not self._answered.wait(seconds):
            if not self._accepted:
                self.refusal = Refusal.SILENCE
            self.abort(f"the broker did not answer within {seconds:g} s")
        return self.subscribed

    def give_up(self, problem: str) -> None:
        """Use the link no more, and let everybody know who waits for it."""
        self.problem = self.problem or problem
        self.lost.set()
        self._answered.set()
        with self._acknowledged:
            self._acknowledged.notify_all()

    def publish(
        self, topic: str, body: bytes, *, retain: bool, expires_seconds: float | None, wait_seconds: float
    ) -> bool:
        """Send a message at QoS 1; True once the broker acknowledged it. See `MqttClient.publish`."""
        if not self.alive:
            return False
        info = self._paho.publish(topic, body, 1, retain, self._expiry(expires_seconds))
        if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        if threading.get_ident() == self._network_thread:
            self._unawaited.add(info.mid)
            return True
        wait = wait_seconds if expires_seconds is None else min(wait_seconds, expires_seconds)
        with self._acknowledged:
            self._acknowledged.wait_for(lambda: info.mid in self._acks or self.lost.is_set(), wait)
            reason = self._acks.pop(info.mid, None)
            if reason is None:
                self._unawaited.add(info.mid)
        if reason is None and expires_seconds is not None:
            self.abort("no acknowledgement came in time")
        return self._heard(reason, topic)

    def abort(self, problem: str) -> None:
        """Throw the connection away with whatever it has not sent.

        The socket goes first: whoever learns that the link is lost says good-bye, which would send what waits.
        """
        self.problem = self.problem or problem
        connection: Any = self._paho.socket()
        if connection is not None:
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not SSLSocket's, which would go on in plain text
            except OSError:
                log.debug("The connection was closed already")
        self.give_up(problem)

    def close(self, seconds: float) -> None:
        """Say good-bye, and end within about so long."""
        self._paho.disconnect()
        ending = threading.Thread(target=self._paho.loop_stop, name="mqtt-end", daemon=True)
        ending.start()
        ending.join(seconds)
        if ending.is_alive():
            self.abort("the broker did not let go")
            ending.join(seconds)
        self.give_up("closed")
        self._let_go()

    def _let_go(self) -> None:
        """Untie paho from this link, so that its sockets close with the last reference and wait for no collector."""
        paho = self._paho
        paho.on_connect = paho.on_subscribe = paho.on_message = paho.on_publish = paho.on_disconnect = None

    def _client(self, protocol: MQTTProtocolVersion, context: ssl.SSLContext | None) -> Client:
        """Make paho's client with its callbacks, last will and limits."""
        paho = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._section.client_id,
            clean_session=None if self._newest else False,
            protocol=protocol,
            reconnect_on_failure=False,
        )
        paho.suppress_exceptions = True  # a bug of ours must not end the network's thread
        paho.on_connect = self._on_connect
        paho.on_subscribe = self._on_subscribe
        paho.on_message = self._on_message
        paho.on_publish = self._on_publish
        paho.on_disconnect = self._on_disconnect
        paho.max_inflight_messages_set(RECEIVE_MAXIMUM)
        paho.max_queued_messages_set(OUTGOING)
        will = None
        if self._newest:
            will = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
            will.WillDelayInterval = WILL_DELAY_SECONDS
        paho.will_set(self._topics.status, OFFLINE, 1, retain=True, properties=will)
        if context is not None:
            paho.tls_set_context(context)
        return paho

    def _expiry(self, seconds: float | None) -> Properties | None:
        if seconds is None or not self._newest:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = max(1, math.floor(seconds))
        return properties

    def _heard(self, reason: ReasonCode | None, topic: str) -> bool:
        if reason is None:
            return False
        if reason.value == NOBODY_HEARD:
            log.info("Nobody listens on %s", topic)
        if reason.is_failure:
            log.error("The broker refuses what is published on %s: %s", topic, reason)
        return not reason.is_failure

    def _on_connect(
        self, paho: Client, _userdata: Any, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._network_thread = threading.get_ident()
        self._fresh_from = time.monotonic() + ECHO_SECONDS if flags.session_present else 0.0
        if reason.is_failure:
            self.refusal = Refusal.PROTOCOL if str(reason) == WRONG_PROTOCOL else None
            self.give_up(f"the broker refuses the connection: {str(reason).lower()}")
            return
        self._accepted = True
        filters = (*self._topics.subscriptions, self._topics.echo)
        if self._newest:
            paho.subscribe([(name, SubscribeOptions(qos=1, retainHandling=2)) for name in filters])
        else:
            paho.subscribe([(name, 1) for name in filters])

    def _on_subscribe(
        self, _paho: Client, _userdata: Any, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        answers = zip(self._topics.subscriptions, reasons, strict=False)
        self.refused = tuple(name for name, reason in answers if reason.is_failure)
        if self.refused:
            log.error("The broker refuses the subscriptions %s: mend its access list", ", ".join(self.refused))
        self._unawaited.add(self._paho.publish(self._topics.echo, self._echo, 1).mid)
        self._answered.set()

    def _on_message(self, _paho: Client, _userdata: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # matches no filter of ours
        if topic == self._topics.echo:  # the broker's queue for us is one: what waited in it came before
            self._fresh_from = 0.0 if message.payload == self._echo else self._fresh_from
            return
        pairs = getattr(message.properties, "UserProperty", ()) if self._newest else ()
        self._handler(Message(topic, bytes(message.payload), message.retain, dict(pairs), self._may_have_waited()))

    def _may_have_waited(self) -> bool:
        """Tell whether a message that comes now may have lain somewhere before."""
        return time.monotonic() < self._fresh_from or self._stood_still()

    def _on_publish(
        self, _paho: Client, _userdata: Any, mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        with self._acknowledged:
            if mid in self._unawaited:
                self._unawaited.discard(mid)
            else:
                self._acks[mid] = reason
                self._acknowledged.notify_all()

    def _on_disconnect(
        self, _paho: Client, _userdata: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self.give_up(f"the connection was lost: {str(reason).lower()}")


def ssl_context(section: MqttSection) -> ssl.SSLContext | None:
    """Return how to encrypt, or None without TLS.

    Raises:
        NotReadyError: A file cannot be read, or certificates are given but TLS is off.
    """
    files = [path for path in (section.ca, section.cert, section.key) if path is not None]
    if not section.tls:
        if files:
            raise NotReadyError("mqtt.ca, cert or key is set, but mqtt.tls is off", "Set FACEGATE_MQTT__TLS=true")
        return None
    try:
        context = ssl.create_default_context(cafile=section.ca)
        if section.cert is not None:
            context.load_cert_chain(section.cert, section.key)
    except (OSError, ssl.SSLError) as error:
        named = ", ".join(str(path) for path in files)
        raise NotReadyError(f"The TLS files {named} cannot be used: {error.strerror or error}", "Mend them") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def read_password(section: MqttSection) -> str | None:
    """Return the first line of the password file, or None without one.

    Raises:
        NotReadyError: It cannot be read.
    """
    if section.password_file is None:
        return None
    try:
        with section.password_file.open(encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NotReadyError(
            f"mqtt.password_file {section.password_file} cannot be read", "Name a readable file, password on line one"
        ) from error
