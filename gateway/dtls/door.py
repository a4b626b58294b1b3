"""The DTLS port's socket and clock (RFC 7252 section 9.1), and its place among the doors.

One process of a host owns the port, the first gateway worker: see docs/decisions/0016-dtls.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from gateway.coap.peers import Peer, SecurePeer
from gateway.coap.port import Hosts, backlog, bind, read_host
from gateway.devices import Devices
from gateway.dtls.endpoint import Endpoint
from gateway.dtls.engine import MbedTlsEngine
from gateway.dtls.handshakes import HandshakeLimits, Handshakes
from gateway.dtls.identities import Identities
from gateway.dtls.session import Speaker
from gateway.dtls.session_keeper import SessionKeeper
from gateway.dtls.session_store import SessionStore
from gateway.dtls.sessions import Sessions
from gateway.key_uses import KeyUses
from gateway.metrics import Counters, Readings
from gateway.refusals import prefix_of
from gateway.strangers import Strangers
from metering.credentials import MasterKeys
from metering.model import Authentication
from metering.settings import DtlsSettings

DATAGRAMS_PER_TURN = 64
"""Read before the event loop may do something else; a step of a handshake takes 50 times as long as a plain report."""

MAX_DATAGRAM_BYTES = 4096
"""A record of the largest CoAP datagram that the slow lane takes, and some. More is cut and then not authentic."""

PORT_SETTING = "NBWATER_DTLS_PORT (of `nbwater up` also --coaps-port)"
TICK_S = 1.0
DEFECT_LOG_PAUSE_S = 10.0
_log = structlog.get_logger()


class DtlsDoor:
    """See `gateway.doors.OpenDoor`."""

    name = "dtls"

    def __init__(
        self,
        settings: DtlsSettings,
        port: int,
        devices: Devices,
        master_keys: MasterKeys,
        counters: Counters,
        receive_coap: Callable[[bytes, Peer], None],
        key_uses: KeyUses | None = None,
        strangers: Strangers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises StartError when the port cannot be had."""
        self._socket = bind(settings.host, port, what="DTLS", setting=PORT_SETTING)
        self._devices, self._counters, self._receive_coap, self._clock = devices, counters, receive_coap, clock
        self._hosts = Hosts()
        identities = Identities(devices, master_keys, key_uses, strangers)
        self.handshakes = Handshakes(
            HandshakeLimits(
                settings.max_handshakes, settings.handshakes_per_second, settings.handshakes_per_second_per_prefix
            )
        )
        self.sessions = Sessions(settings.max_sessions, settings.idle_timeout_h * 3600)
        self.endpoint = Endpoint(
            MbedTlsEngine(identities.key_of), self.handshakes, self.sessions, identities, self._send, self._deliver
        )
        self._keeper = _keeper(settings.sessions_file, master_keys, self.sessions, clock())
        for peer in self.sessions.peers():
            self.handshakes.learn(prefix_of(read_host(peer[0])[0]))
        self._timer: asyncio.TimerHandle | None = None
        self._next_defect_log = float("-inf")

    def ports(self) -> Mapping[str, int]:
        return {"dtls_port": self._socket.getsockname()[1]}

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket.fileno(), self._read)
        self._devices.on_keys_gone(self.endpoint.keys_gone)
        self._timer = loop.call_later(TICK_S, self._tick)

    async def serve(self) -> None:
        """Nothing here waits for the stream."""

    def stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._keeper is not None:
            await self._keeper.stop(self._clock)
        self._socket.close()

    def gauges(self) -> Readings:
        endpoint, sessions, handshakes = self.endpoint, self.sessions, self.handshakes
        readings: dict[str, tuple[str, Callable[[], float]]] = {
            "dtls_sessions": ("DTLS sessions", lambda: len(sessions)),
            "dtls_sessions_displaced": ("Sessions that made room for others", lambda: sessions.displaced),
            "dtls_sessions_expired": ("Sessions that nobody used", lambda: sessions.expired),
            "dtls_sessions_closed": ("Sessions that one side ended", lambda: endpoint.closed),
            "dtls_handshakes_open": ("Handshakes that are not over", lambda: len(handshakes)),
            "dtls_handshakes_completed": ("Handshakes that ended in a session", lambda: endpoint.completed),
            "dtls_handshakes_failed": ("Handshakes that ended otherwise", lambda: endpoint.failed),
            "dtls_handshakes_refused": ("Handshakes beyond what may begin", lambda: endpoint.refused),
            "dtls_known_prefixes": ("Prefixes that completed a handshake before", lambda: handshakes.known_prefixes),
            "dtls_handshakes_displaced": ("Handshakes that made room for others", lambda: handshakes.displaced),
            "dtls_hello_verify_requests": ("HelloVerifyRequests sent", lambda: endpoint.greeted),
            "dtls_sessions_unwritten": ("Sessions that differ from those on disk", lambda: sessions.unwritten),
            "dtls_session_write_failures": ("Batches of sessions that could not be written", self._write_failures),
            "dtls_ignored": ("Datagrams and records ignored", endpoint.ignored.total),
            "dtls_udp_dropped": ("Datagrams the kernel dropped unread", lambda: backlog(self._socket).dropped),
        }
        return readings

    def _write_failures(self) -> float:
        return 0 if self._keeper is None else self._keeper.failures

    def _read(self) -> None:
        now, begun = self._clock(), self.sessions.begun
        self._read_datagrams(now)
        if self._keeper is not None and self.sessions.begun > begun:
            self._keeper.tick(now)  # at once, so that a kill after the first answer finds the session on disk

    def _read_datagrams(self, now: float) -> None:
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                datagram, peer = self._socket.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self._counters.ignored["socket"] += 1
                continue
            self._guarded(partial(self._datagram, datagram, peer, now), now)

    def _datagram(self, datagram: bytes, peer: Peer, now: float) -> None:
        """Until the registry is here nobody can be known: silence makes clients repeat their ClientHello."""
        if self._devices.ready or datagram[3:5] != b"\0\0":
            self.endpoint.receive(datagram, peer, self._hosts.read(peer[0])[0], now)

    def _tick(self) -> None:
        now = self._clock()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        self._guarded(partial(self.endpoint.tick, now), now)
        if self._keeper is not None:
            self._keeper.tick(now)

    def _guarded(self, work: Callable[[], None], now: float) -> None:
        """A defect met by one peer must not close the port for all others, nor fill the disk with its traces."""
        try:
            work()
        except Exception:
            self._counters.ignored["defect"] += 1
            if now >= self._next_defect_log:
                self._next_defect_log = now + DEFECT_LOG_PAUSE_S
                _log.exception("a DTLS datagram met a defect")

    def _send(self, datagram: bytes, peer: Peer) -> None:
        try:
            self._socket.sendto(datagram, peer)
        except OSError:
            self._counters.send_failures += 1

    def _deliver(self, message: bytes, peer: Peer, speaker: Speaker) -> None:
        self._receive_coap(
            message,
            SecurePeer(peer[0], peer[1], peer, speaker.device, speaker.identity, Authentication.DTLS, self._answer),
        )

    def _answer(self, message: bytes, peer: SecurePeer) -> None:
        self.endpoint.send(message, peer.address, peer.device)


def _keeper(path: str, master_keys: MasterKeys, sessions: Sessions, now: float) -> SessionKeeper | None:
    if not path:
        return None
    keeper = SessionKeeper(SessionStore(path, master_keys), sessions)
    keeper.load(now)
    return keeper


def open_dtls(
    gateway_port: int,
    worker: int,
    settings: DtlsSettings,
    devices: Devices,
    master_keys: MasterKeys | None,
    counters: Counters,
    receive_coap: Callable[[bytes, Peer], None],
    key_uses: KeyUses | None = None,
    strangers: Strangers | None = None,
) -> DtlsDoor | None:
    """None where there are no keys for it, and in all workers but the first. Raises StartError."""
    if master_keys is None or not settings.enabled or worker:
        return None
    free = gateway_port == 0 and "port" not in settings.model_fields_set
    port = 0 if free else settings.port
    return DtlsDoor(settings, port, devices, master_keys, counters, receive_coap, key_uses, strangers)
