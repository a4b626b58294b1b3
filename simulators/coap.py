"""The CoAP sender: plays thousands of meters over many UDP source ports, open loop, with real retransmission.

A message id has 16 bits and may be used again on one address pair only after EXCHANGE_LIFETIME (RFC 7252 section
4.4), which caps a pair at ~265 messages a second. A port whose ids are used up too early is therefore replaced by a
new one, as a NAT would do. Retransmission timers sit in a wheel that one sweep turns, not in one timer per message.

Shortcomings: no blockwise transfer and no observe; a separate answer is acknowledged, but its own retransmissions are
acknowledged only while its exchange is still open.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from simulators import message
from simulators.exchange import MESSAGE_IDS, Answer, Exchange, Fate, OnEnd, Port, SenderCounts, Timers
from simulators.message import HEAD, Message, Type

DATAGRAMS_A_TURN = 256
RECEIVE_BYTES = 2048
TICK_S = 0.05
RECEIVE_BUFFER_BYTES = 1 << 20


class Sender:
    """`async with Sender(host, port) as sender`: `submit` for load, `post` where one waits for the answer.

    `ports` sockets are open; `lane` (any integer, such as a meter's number) chooses one and so keeps a meter on one
    source address. At most `max_inflight` exchanges are open; `submit` then returns False and nothing is sent.
    """

    def __init__(
        self, host: str, port: int, *, ports: int = 16, timers: Timers | None = None, max_inflight: int = 500_000
    ) -> None:
        self._host, self._port_number, self._port_count = host, port, ports
        self.timers = timers or Timers()
        self.max_inflight = max_inflight
        self.counts = SenderCounts()
        self._ports: list[Port] = []
        self._retired: list[Port] = []
        self._open: dict[int, Exchange] = {}
        self._next_token = random.randrange(1 << 32)  # noqa: S311 - not a secret: a simulator plays the meter
        self._wheel: dict[int, list[Exchange]] = {}
        self._swept_tick = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._family = socket.AF_UNSPEC
        self._peer: Any = None
        self._room: tuple[int, asyncio.Future[None]] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        found = await self._loop.getaddrinfo(self._host, self._port_number, type=socket.SOCK_DGRAM)
        self._family, _, _, _, self._peer = found[0]
        now = time.monotonic()
        self._ports = [self._open_port(now) for _ in range(self._port_count)]
        self._swept_tick = int(now / TICK_S)
        self._sweep = self._loop.call_later(TICK_S, self._turn_wheel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the ports. Exchanges still open end as UNKNOWN."""
        if self._sweep is not None:
            self._sweep.cancel()
        for port in (*self._ports, *self._retired):
            self._close_port(port)
        for exchange in list(self._open.values()):
            self._end(exchange, Fate.UNKNOWN, message.EMPTY)

    @property
    def inflight(self) -> int:
        return len(self._open)

    async def room(self, limit: int) -> None:
        """Wait until fewer than `limit` exchanges are open. One waits at a time."""
        if len(self._open) >= limit:
            self._room = limit, self._loop.create_future()
            await self._room[1]

    def submit(
        self,
        tail: bytes,
        on_end: OnEnd,
        *,
        tag: object = None,
        intended: float | None = None,
        lane: int = 0,
        confirmable: bool = True,
    ) -> bool:
        """Send a POST whose options and payload are `tail` (`message.request_tail`); `on_end` is called exactly once
        unless False is returned. `intended`: the monotonic instant it was due."""
        if len(self._open) >= self.max_inflight:
            return False
        now = time.monotonic()
        exchange = Exchange(tail, on_end, tag, now if intended is None else intended, lane, confirmable)
        self._start(exchange, message.POST, now)
        return True

    async def post(self, path: Sequence[str], content_format: int | None, payload: bytes, *, lane: int = 0) -> Answer:
        return await self.post_tail(message.request_tail(path, content_format, payload), lane=lane)

    async def post_tail(self, tail: bytes, *, lane: int = 0) -> Answer:
        return await self._ask(message.POST, tail, lane)

    async def get(self, path: Sequence[str]) -> Answer:
        return await self._ask(message.GET, message.request_tail(path), 0)

    async def _ask(self, code: int, tail: bytes, lane: int) -> Answer:
        ended: asyncio.Future[Answer] = self._loop.create_future()

        def on_end(exchange: Exchange) -> None:
            if not ended.done():
                ended.set_result(Answer(exchange.fate or Fate.UNKNOWN, exchange.code, exchange.payload))

        now = time.monotonic()
        self._start(Exchange(tail, on_end, None, now, lane, True), code, now)
        return await ended

    # sending

    def _start(self, exchange: Exchange, code: int, now: float) -> None:
        port = self._usable_port(exchange.lane % self._port_count, now)
        token = self._next_token
        self._next_token = token + 1 & 0xFFFFFFFF
        message_id = port.next_id
        port.next_id = message_id + 1 & 0xFFFF
        port.used += 1
        kind = Type.CON if exchange.confirmable else Type.NON
        exchange.head = HEAD.pack(message.first_byte(kind), code, message_id, token)
        exchange.token, exchange.message_id, exchange.port = token, message_id, port
        exchange.attempt, exchange.waiting = 0, False
        self._open[token] = exchange
        port.by_message_id[message_id] = exchange
        self._send(exchange)
        timers = self.timers
        if exchange.confirmable:
            spread = 1 + (timers.ack_random_factor - 1) * random.random()  # noqa: S311 - jitter
            exchange.timeout_s = timers.ack_timeout_s * spread
        else:
            exchange.timeout_s = timers.separate_wait_s
        self._arm(exchange, now + exchange.timeout_s)

    def _send(self, exchange: Exchange) -> None:
        datagram = exchange.head + exchange.tail
        self.counts.datagrams_sent += 1
        self._send_datagram(exchange.port, datagram)

    def _send_datagram(self, port: Port, datagram: bytes) -> None:
        try:
            port.socket.sendto(datagram, self._peer)
        except OSError:
            self.counts.lost_at_send += 1

    def _usable_port(self, position: int, now: float) -> Port:
        port = self._ports[position]
        if port.used < MESSAGE_IDS - 1:
            return port
        if now - port.born >= self.timers.exchange_lifetime_s and not port.by_message_id:
            port.used, port.born = 0, now
            return port
        self._retired.append(port)
        self._ports[position] = self._open_port(now)
        return self._ports[position]

    def _open_port(self, now: float) -> Port:
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        port = Port(sock, now)
        self._loop.add_reader(sock.fileno(), self._drain, port)
        self.counts.ports_opened += 1
        return port

    def _close_port(self, port: Port) -> None:
        self._loop.remove_reader(port.socket.fileno())
        port.socket.close()

    # receiving

    def _drain(self, port: Port) -> None:
        receive = port.socket.recv
        for _ in range(DATAGRAMS_A_TURN):
            try:
                datagram = receive(RECEIVE_BYTES)
            except OSError:
                return
            self._receive(port, datagram)
            if not port.by_message_id:
                return

    def _receive(self, port: Port, datagram: bytes) -> None:
        self.counts.datagrams_received += 1
        if len(datagram) == HEAD.size:
            first, code, message_id, token = HEAD.unpack(datagram)
            if first == 0x64 and code == message.CHANGED:  # the usual answer: an ACK with 2.04 and nothing more
                exchange = self._open.get(token)
                if exchange is not None and port.by_message_id.get(message_id) is exchange:
                    self._end(exchange, Fate.ANSWERED, code)
                    return
        self._receive_any(port, datagram)

    def _receive_any(self, port: Port, datagram: bytes) -> None:
        try:
            answer = message.decode(datagram)
        except message.MessageFormatError:
            self.counts.stray += 1
            return
        if answer.code == message.EMPTY:
            self._receive_empty(port, answer)
            return
        exchange = self._open.get(int.from_bytes(answer.token, "big"))
        ours = exchange is not None and exchange.port is port and len(answer.token) == message.TOKEN_BYTES
        if exchange is None or not ours or exchange.attempt < 0:
            self.counts.stray += 1
            return
        if answer.type is Type.CON:
            empty = bytes((message.first_byte(Type.ACK, 0), 0))
            self._send_datagram(port, empty + answer.message_id.to_bytes(2, "big"))
        self._judge(exchange, answer)

    def _receive_empty(self, port: Port, answer: Message) -> None:
        exchange = port.by_message_id.get(answer.message_id)
        if exchange is None:
            self.counts.stray += 1
        elif answer.type is Type.RST:
            self._end(exchange, Fate.UNKNOWN, message.EMPTY)
        elif answer.type is Type.ACK:  # the answer comes separately: stop repeating, wait for it
            exchange.waiting = True
            exchange.attempt = self.timers.max_retransmit
            exchange.timeout_s = self.timers.separate_wait_s

    def _judge(self, exchange: Exchange, answer: Message) -> None:
        exchange.options, exchange.payload = answer.options, answer.payload
        family = answer.code >> 5
        if family == 2:
            self._end(exchange, Fate.ANSWERED, answer.code)
        elif family == 4:
            self._end(exchange, Fate.REFUSED, answer.code)
        elif answer.code == message.SERVICE_UNAVAILABLE and exchange.tries < self.timers.unavailable_retries:
            exchange.tries += 1
            max_age_s = answer.uint_option(message.MAX_AGE)
            pause_s = min(message.DEFAULT_MAX_AGE_S if max_age_s is None else max_age_s, self.timers.pause_cap_s)
            self._forget(exchange)
            exchange.attempt = -1
            self._open[exchange.token] = exchange
            self._arm(exchange, time.monotonic() + pause_s)
        else:
            self._end(exchange, Fate.UNKNOWN, answer.code)

    def _forget(self, exchange: Exchange) -> None:
        self._open.pop(exchange.token, None)
        exchange.port.by_message_id.pop(exchange.message_id, None)

    def _end(self, exchange: Exchange, fate: Fate, code: int) -> None:
        if exchange.fate is not None:
            return
        exchange.fate, exchange.code = fate, code
        self._forget(exchange)
        exchange.on_end(exchange)
        if self._room is not None and len(self._open) < self._room[0]:
            waiter, self._room = self._room[1], None
            if not waiter.done():
                waiter.set_result(None)

    # time

    def _arm(self, exchange: Exchange, due: float) -> None:
        exchange.due_tick = int(due / TICK_S) + 1
        self._wheel.setdefault(exchange.due_tick, []).append(exchange)

    def _turn_wheel(self) -> None:
        now = time.monotonic()
        tick = int(now / TICK_S)
        while self._swept_tick < tick:
            self._swept_tick += 1
            for exchange in self._wheel.pop(self._swept_tick, ()):
                if exchange.fate is None and exchange.due_tick == self._swept_tick:
                    self._due(exchange, now)
        for port in [port for port in self._retired if not port.by_message_id]:
            self._retired.remove(port)
            self._close_port(port)
        self._sweep = self._loop.call_later(TICK_S, self._turn_wheel)

    def _due(self, exchange: Exchange, now: float) -> None:
        if exchange.attempt < 0:
            self.counts.unavailable_retries += 1
            self._open.pop(exchange.token, None)
            self._start(exchange, message.POST, now)
        elif exchange.waiting:
            exchange.waiting = False
            self._arm(exchange, now + exchange.timeout_s)
        elif exchange.confirmable and exchange.attempt < self.timers.max_retransmit:
            exchange.attempt += 1
            exchange.timeout_s *= 2
            self.counts.retransmissions += 1
            self._send(exchange)
            self._arm(exchange, now + exchange.timeout_s)
        else:
            self._end(exchange, Fate.UNKNOWN, message.EMPTY)
