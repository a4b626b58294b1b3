"""One MQTT connection of the gateway: paho-mqtt (sans thread) on the event loop, publishes acknowledged by hand.

paho blocks while it connects, so that and only that happens in a thread, bounded by CONNECT_S; afterwards its socket is
watched by the loop. Every callback runs on the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Protocol

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.mqtt.endpoints import Endpoint
from metering.errors import SettingsError, UnavailableError

CONNECT_S = 5.0
ANSWER_S = 10.0
"""For CONNACK and SUBACK each."""
KEEPALIVE_S = 20
MISC_EVERY_S = 1.0
MAX_QUEUED = 1000
"""Publishes of ours that wait for the broker; further ones are refused."""
MAX_UNACKNOWLEDGED = 100
"""Publishes of ours on their way at once."""
READS_A_TURN = 64
"""Packets already decrypted by TLS that are read in one turn of the loop."""
NEVER_EXPIRES = 0xFFFF_FFFF
"""Session Expiry Interval (MQTT 5 section 3.1.2.11.2)."""
REFUSED = 0x80
"""SUBACK codes from here on refuse."""
NO_MATCHING_SUBSCRIBERS = 0x10

_log = structlog.get_logger()


class Hears(Protocol):
    """Who is told what comes; on the event loop, and must not raise."""

    def received(self, connection: Connection, message: paho.MQTTMessage) -> None: ...

    def published(self, connection: Connection, message_id: int, has_subscriber: bool) -> None:
        """The broker has taken a publish of ours. MQTT 3.1.1 does not say whether anybody hears it: then True."""
        ...


def tls_context(ca: str, check_name: bool) -> ssl.SSLContext:
    """`ca`: PEM file of authorities, or of the broker's very certificate; empty: the system's. Raises SettingsError."""
    if not (ca or check_name):
        raise SettingsError("mqtt.tls_check_name is false and mqtt.tls_ca empty: any certificate would do")
    try:
        context = ssl.create_default_context(cafile=ca or None)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.check_hostname = check_name
        return context
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"mqtt.tls_ca {ca}: {error}") from error


class Connection:
    """Opened once and closed once; `closed` is set when it ended, whoever ended it."""

    def __init__(
        self,
        endpoint: Endpoint,
        client_id: str,
        mqtt5: bool,
        receive_maximum: int,
        context: ssl.SSLContext | None,
        hears: Hears,
    ) -> None:
        self.endpoint, self._mqtt5, self._receive_maximum, self._hears = endpoint, mqtt5, receive_maximum, hears
        self.closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._connack: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._suback: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._socket: Any = None
        self._is_paused = False
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if mqtt5 else False,
            protocol=paho.MQTTv5 if mqtt5 else paho.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_S
        client.max_inflight_messages_set(MAX_UNACKNOWLEDGED)
        client.max_queued_messages_set(MAX_QUEUED)
        client.username_pw_set(endpoint.user, endpoint.password)
        if endpoint.tls and context is not None:
            client.tls_set_context(context)
        client.on_connect = lambda _c, _u, _f, code, _p: _answer(self._connack, code)
        client.on_subscribe = lambda _c, _u, _m, codes, _p: _answer(self._suback, codes[0])
        client.on_message = lambda _c, _u, message: hears.received(self, message)
        client.on_publish = self._on_publish
        client.on_disconnect = lambda *_: self._ended()
        client.on_socket_close = lambda *_: self._unwatch()

    async def open(self, topic: str) -> None:
        """Connect with a session that is kept, and subscribe with QoS 1. Raises UnavailableError."""
        try:
            await asyncio.to_thread(self._connect)
            self._watch()
            await self._accepted(self._connack, "the login")
            self._client.subscribe(topic, qos=1)
            await self._accepted(self._suback, f"the subscription {topic}")
        except (OSError, ValueError, TimeoutError) as error:
            self.close()
            raise UnavailableError(
                f"the MQTT broker at {self.endpoint.place}: {str(error) or type(error).__name__}"
            ) from error
        except BaseException:
            self.close()
            raise

    async def keep(self) -> None:
        """Pings, until it is closed."""
        while not self.closed.is_set():
            self._guarded(self._look)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MISC_EVERY_S):  # wait_for loses a cancellation that comes with the closing
                    await self.closed.wait()

    def acknowledge(self, message_id: int) -> None:
        """PUBACK; nothing once it is closed, for the broker sends the message again in the next connection."""
        if not self.closed.is_set():
            self._guarded(lambda: self._client.ack(message_id, 1))

    def publish(self, topic: str, payload: bytes) -> int | None:
        """With QoS 1. The message id; None when too many wait already or it is closed."""
        if self.closed.is_set():
            return None
        sent: paho.MQTTMessageInfo | None = None

        def publish() -> None:
            nonlocal sent
            sent = self._client.publish(topic, payload, qos=1)

        self._guarded(publish)
        return sent.mid if sent is not None and sent.rc == paho.MQTT_ERR_SUCCESS else None

    def pause(self) -> None:
        """Read no more; acknowledgements can still be sent."""
        self._is_paused = True
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())

    def close(self) -> None:
        """DISCONNECT, as far as it can still be said. The session stays at the broker."""
        with contextlib.suppress(OSError, RuntimeError):
            self._client.disconnect()
            self._client.loop_write()
        self._shut()

    def _shut(self) -> None:
        """paho waits for the broker to close; we do not."""
        with contextlib.suppress(OSError, RuntimeError):
            self._client._sock_close()  # no public way to it
        self._ended()

    def _connect(self) -> None:
        endpoint, properties = self.endpoint, None
        if self._mqtt5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho says no more
            properties.SessionExpiryInterval = NEVER_EXPIRES
            properties.ReceiveMaximum = self._receive_maximum
        clean_start: Any = False if self._mqtt5 else paho.MQTT_CLEAN_START_FIRST_ONLY
        self._client.connect(endpoint.host, endpoint.port, KEEPALIVE_S, clean_start=clean_start, properties=properties)

    def _watch(self) -> None:
        self._socket = sock = self._client.socket()
        if sock is None:
            raise ConnectionResetError("closed at once")
        self._loop.add_reader(sock.fileno(), self._read)
        self._client.on_socket_register_write = self._want_write
        self._client.on_socket_unregister_write = self._want_no_write
        if self._client.want_write():
            self._write()

    def _want_write(self, _c: Any, _u: Any, sock: Any) -> None:
        self._loop.add_writer(sock.fileno(), self._write)

    def _want_no_write(self, _c: Any, _u: Any, sock: Any) -> None:
        self._loop.remove_writer(sock.fileno())

    def _unwatch(self) -> None:
        sock, self._socket = self._socket, None
        if sock is not None:
            with contextlib.suppress(RuntimeError):  # uvloop has closed its own handle of it: see _look
                self._loop.remove_reader(sock.fileno())
                self._loop.remove_writer(sock.fileno())

    def _look(self) -> None:
        """Pings; and notices a reset that uvloop keeps to itself: it closes its handle of the socket, calls nobody, and
        raises RuntimeError at the next use."""
        if self._socket is not None and not self._is_paused:
            self._loop.add_reader(self._socket.fileno(), self._read)
        if self._client.loop_misc() != paho.MQTT_ERR_SUCCESS:
            self.close()

    def _read(self) -> None:
        self._guarded(self._client.loop_read)
        for _ in range(READS_A_TURN):
            sock = self._socket
            if sock is None or not (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                return
            self._guarded(self._client.loop_read)

    def _write(self) -> None:
        self._guarded(self._client.loop_write)

    def _guarded(self, step: Callable[[], object]) -> None:
        """A broker that sends what cannot be read, or a socket that is gone, must not harm the other doors."""
        try:
            step()
        except (OSError, RuntimeError) as error:
            _log.warning("the MQTT connection is gone", broker=self.endpoint.place, error=repr(error))
            self._shut()
        except Exception:
            _log.exception("the MQTT connection failed", broker=self.endpoint.place)
            self._shut()

    async def _accepted(self, answer: asyncio.Future[ReasonCode], what: str) -> None:
        async with asyncio.timeout(ANSWER_S):
            code = await answer
        if code.value >= REFUSED:
            raise ConnectionRefusedError(f"refuses {what}: {code}")

    def _on_publish(self, _c: Any, _u: Any, message_id: int, code: ReasonCode, _p: Any) -> None:
        self._hears.published(self, message_id, not code.is_failure and code.value != NO_MATCHING_SUBSCRIBERS)

    def _ended(self) -> None:
        self.closed.set()
        for answer in (self._connack, self._suback):
            if not answer.done():
                answer.set_exception(ConnectionResetError("closed the connection"))
                answer.exception()  # whether or not anybody waits for it


def _answer(future: asyncio.Future[ReasonCode], code: ReasonCode) -> None:
    if not future.done():
        future.set_result(code)
