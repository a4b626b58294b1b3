"""HTTP/1.1 for pushes, over plain or TLS streams: h11 parses, asyncio carries, a door decides.

Bounded in every direction: connections, header bytes (8 KiB), body bytes (64 KiB), and the time a request may take to
arrive. A sender is judged when its headers are in, before its body is read. One request of a connection at a time;
while it waits for its answer nothing more is read of that connection. There is no access log: paths are secrets.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol, cast

import h11
import structlog

from gateway.push.products import Host, Product, host_of
from metering.envelope import MAX_PAYLOAD_BYTES
from metering.following import Pace

MAX_BODY_BYTES = MAX_PAYLOAD_BYTES
MAX_HEADER_BYTES = 8 * 1024
ARRIVAL_S = 10.0
"""From a request's first byte to its last."""

IDLE_S = 75.0
"""Of a connection kept alive; longer than the usual minute of clients, so that they close first."""

LINGER_S = 2.0
"""How long a refused sender may go on sending before the connection is closed."""

REFUSED_S = 1.0
"""How long a push beyond its product's rate waits for its 429: a connection that floods gets one a second."""

SWEEP_S = 2.0
DEFECT_LOG_PAUSE_S = 10.0
OK, TOO_MANY, SERVICE_UNAVAILABLE = 200, 429, 503
_REASONS = {
    200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found", 405: b"Method Not Allowed",
    411: b"Length Required", 413: b"Content Too Large", 429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error", 503: b"Service Unavailable",
}  # fmt: skip

Headers = list[tuple[bytes, bytes]]
_log = structlog.get_logger()


class Judged(NamedTuple):
    """`status` 0: the body may come, as `product`'s. None as `status`: not even an answer."""

    status: int | None
    product: Product | None = None


class PushHandler(Protocol):
    def judge(self, method: bytes, target: bytes, headers: Headers, host: Host) -> Judged:
        """From the headers alone."""
        ...

    def take(self, product: Product, host: Host, body: bytes, answer: Callable[[int], None]) -> None:
        """Calls `answer` once, now or later, with the status."""
        ...


class Connections:
    """All connections of the port, at most `maximum`."""

    def __init__(self, handler: PushHandler, maximum: int, clock: Callable[[], float]) -> None:
        self.handler, self.clock = handler, clock
        self._maximum = maximum
        self._open: set[Connection] = set()
        self.turned_away = 0
        self.overdue = 0
        self._defects = Pace(DEFECT_LOG_PAUSE_S)

    def __len__(self) -> int:
        return len(self._open)

    def make(self) -> Connection:
        """For `loop.create_server`."""
        return Connection(self)

    def admit(self, connection: Connection) -> bool:
        """Whether there is room. The connection that has waited longest for a 429 makes it, else the longest idle."""
        if len(self._open) >= self._maximum:
            idle = [other for other in self._open if other.is_idle]
            if not idle:
                self.turned_away += 1
                return False
            min(idle, key=lambda other: (not other.is_refused, other.since)).close()
        self._open.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        self._open.discard(connection)

    def sweep(self) -> None:
        """Close those that keep us waiting."""
        now = self.clock()
        for connection in list(self._open):
            if connection.is_overdue(now):
                self.overdue += 1
                connection.abort()

    def defect(self, error: Exception) -> None:
        """A defect met by one request costs that request only."""
        if self._defects.allows(self.clock()):
            _log.error("a push met a defect", exc_info=error)

    def close(self) -> None:
        """Idle ones now, the others with their answer."""
        for connection in list(self._open):
            connection.finish()


class Connection(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, connections: Connections) -> None:
        self._all, self._handler = connections, connections.handler
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        self._transport: asyncio.Transport | None = None
        self._host: Host = ipaddress.IPv4Address(0)
        self._body = bytearray()
        self._product: Product | None = None
        self._waits = self._ends = self._begun = self._lingers = self.is_refused = False
        self.since = connections.clock()
        """When the connection was made, its request began, or its last answer went out."""

    @property
    def is_idle(self) -> bool:
        """Whether nobody loses anything when it is closed."""
        return self._lingers or self.is_refused or not (self._waits or self._begun)

    def is_overdue(self, now: float) -> bool:
        """While it waits for us it is not."""
        if self._lingers:
            return now - self.since > LINGER_S
        return not self._waits and now - self.since > (ARRIVAL_S if self._begun else IDLE_S)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no such base class
        peer = transport.get_extra_info("peername")
        if not peer or not self._all.admit(self):
            self._transport.abort()
            return
        self._host = host_of(str(peer[0]))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the base class passes it
        self._transport = None
        self._all.forget(self)

    def data_received(self, data: bytes) -> None:
        if self._lingers:
            return
        if not self._begun:
            self._begun, self.since = True, self._all.clock()
        self._http.receive_data(data)
        self._pump()

    def eof_received(self) -> bool:
        """A sender that closes its half still gets its answer."""
        if self._lingers:
            return False
        self._http.receive_data(b"")
        self._pump()
        return self._waits

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def finish(self) -> None:
        """No further request."""
        self._ends = True
        if not self._waits:
            self.close()

    def _pump(self) -> None:
        """Take what has arrived, up to the end of one request."""
        try:
            while self._transport is not None and not (self._waits or self._lingers):
                event = self._http.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    if self._http.they_are_waiting_for_100_continue:
                        self._send(h11.InformationalResponse(status_code=100, headers=[]))
                    return
                if not self._event(event):
                    return
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint)
        except Exception as error:
            self._all.defect(error)
            self._refuse(500)

    def _event(self, event: object) -> bool:
        """Whether to go on."""
        match event:
            case h11.Request():
                return self._request(event)
            case h11.Data():
                if len(self._body) + len(event.data) > MAX_BODY_BYTES:
                    self._refuse(413)
                    return False
                self._body += event.data
                return True
            case h11.EndOfMessage():
                self._take()
                return True
            case _:  # the sender has closed
                self.close()
                return False

    def _request(self, request: h11.Request) -> bool:
        headers = [(bytes(name), bytes(value)) for name, value in request.headers]
        status, self._product = self._handler.judge(bytes(request.method), bytes(request.target), headers, self._host)
        if status is None:
            self.abort()
            return False
        length = next((value for name, value in headers if name == b"content-length"), b"0")
        if status == 0 and int(length) > MAX_BODY_BYTES:
            status = 413
        elif status == 0 and {b"content-length", b"transfer-encoding"} <= {name for name, _ in headers}:
            status = 400  # RFC 9112 section 6.3: a proxy in front may have seen another end of this request
        if status:
            self._refuse(status)
            return False
        return True

    def _take(self) -> None:
        assert self._transport is not None and self._product is not None  # noqa: PT018, S101 - for the type checker
        body = bytes(self._body)
        self._body.clear()
        self._waits = True
        self._transport.pause_reading()
        self._handler.take(self._product, self._host, body, partial(self._answer, self._http))

    def _answer(self, asked: h11.Connection, status: int) -> None:
        """`asked`: of which conversation; the sender may be gone."""
        if self._transport is None or not self._waits or asked is not self._http:
            return
        if status == TOO_MANY and not self.is_refused:
            self.is_refused = True
            asyncio.get_running_loop().call_later(REFUSED_S, self._answer, asked, status)
            return
        self._waits = self._begun = self.is_refused = False
        self.since = self._all.clock()
        self._respond(status, close=self._ends)
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            self.close()
            return
        self._http.start_next_cycle()
        self._transport.resume_reading()
        if self._http.trailing_data[0]:
            self._begun = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _refuse(self, status: int) -> None:
        """And take no more of this connection: what follows could be anything. It is read for a moment and dropped, for
        a socket closed over unread bytes is reset, and the sender loses the answer."""
        if self._transport is None or self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.close()
            return
        self._respond(status, close=True)
        self._lingers, self.since = True, self._all.clock()
        self._body.clear()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _respond(self, status: int, close: bool) -> None:
        headers = [(b"content-length", b"0")]
        if close:
            headers.append((b"connection", b"close"))
        reason = _REASONS.get(status, b"Refused")
        self._send(h11.Response(status_code=status, headers=headers, reason=reason))
        self._send(h11.EndOfMessage())

    def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data and self._transport is not None:
            self._transport.write(data)
