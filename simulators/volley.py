"""Plays very many CoAP requests from one thread: open loop (each leaves when it is due, answered or not) or closed loop
(so many under way at any time). Every answer is checked by token, message id and port; lost ones are repeated with the
timers of RFC 7252.

A port sends BLOCK requests in a row, so that one system call takes several. The ports are as many as message ids need:
a pair of addresses may use an id again after EXCHANGE_LIFETIME only (section 4.4).

Shortcomings: no blockwise transfer and no observe; an empty acknowledgement stops no repetition.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from simulators import message
from simulators.datagrams import Bytes2D, Int64s, Rows
from simulators.exchange import SenderCounts
from simulators.exchange_table import TICK_S, ExchangeTable
from simulators.message import HEAD, Message, Type
from simulators.oscore import OSCORE, TAG_BYTES, Opened, ProtectionError

BLOCK = 16
CHUNK = 1024
RESENT = 256
TURN_S = 0.002
"""A request leaves up to this late, which counts as its latency; shorter turns cost more than they show."""
PORT_RATE = 250
PORTS_MIN, PORTS_MAX = 16, 800
"""At most: open files are limited to 1,024 on many systems."""
RECEIVE_BYTES = 512
RECEIVE_BUFFER_BYTES = 1 << 20
PLAIN_CHANGED = 0x6444
"""First two bytes of the usual answer: an ACK with a token of four bytes, 2.04."""

EMPTY_OSCORE_OPTION = 0x90
USUAL_ANSWER_BYTES = HEAD.size + 2 + 1 + TAG_BYTES
"""Of a protected 2.04 that says nothing more: empty OSCORE option, payload marker, code, tag. Nothing else is sealed
under a request's nonce, so that its form suffices."""

Fill = Callable[[Bytes2D, Int64s], Int64s]
"""Writes the requests with these numbers into rows, from byte HEAD.size on (options, marker, payload); returns the
length of each datagram. The same number is always the same request."""
Open = Callable[[int, Message], Opened]
"""What the protected answer to a request says inside. Raises ProtectionError, also for a number that is none."""
Progress = Callable[[float], None]
"""Called about once a second with the monotonic time."""


def ports_for(rate: float) -> int:
    """Source ports: enough for the message ids of the rate. Raises ValueError when there are not so many."""
    wanted = max(PORTS_MIN, int(rate / PORT_RATE) + 1)
    if wanted > PORTS_MAX:
        raise ValueError(f"at most {PORTS_MAX * PORT_RATE} reports/s: beyond it message ids would have to repeat")
    return wanted


class Volley:
    """`with Volley(host, port, table, fill, row_bytes, ports) as volley: volley.open_loop()`."""

    def __init__(
        self,
        host: str,
        port: int,
        table: ExchangeTable,
        fill: Fill,
        row_bytes: int,
        ports: int,
        opened: Open | None = None,
    ) -> None:
        """`opened`: requests are protected by OSCORE, and so are answers."""
        self.table, self.counts = table, SenderCounts(ports_opened=ports)
        self.codes: dict[str, int] = {}
        """Answers that were no success, by code."""
        self._fill, self._opened = fill, opened
        self._usual_bytes = HEAD.size if opened is None else USUAL_ANSWER_BYTES
        family, _, _, _, peer = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._sockets = [_open(family, peer) for _ in range(ports)]
        self._selector = selectors.DefaultSelector()
        for number, sock in enumerate(self._sockets):
            self._selector.register(sock, selectors.EVENT_READ, number)
        self._ahead, self._again = Rows(CHUNK, row_bytes), Rows(RESENT, row_bytes)
        self._chunk = -1
        self._next = 0
        self._arrived = Rows(RESENT, RECEIVE_BYTES)
        self._heads = self._arrived.data[:, : HEAD.size].view(">u8")[:, 0]
        self._swept = self._told = 0.0

    def __enter__(self) -> Volley:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for sock in self._sockets:
            sock.close()

    def open_loop(self, progress: Progress | None = None, enough: Callable[[], bool] = lambda: False) -> None:
        """Until every request of the table has ended; after `enough`, every one that was sent. `table.due_s` are
        monotonic instants, ascending."""
        table = self.table
        while self._next < len(table) or table.waiting:
            last = self._next if enough() else len(table)
            if self._next >= last and not table.waiting:
                break
            now = time.monotonic()
            end = int(np.searchsorted(table.due_s[self._next : last], now, side="right")) + self._next
            self._turn(min(end, self._next + CHUNK), now, progress)
            if end <= self._next:
                time.sleep(TURN_S)

    def closed_loop(self, window: int, seconds: float, progress: Progress | None = None) -> None:
        """For so long, or until the table's requests are used up, `window` of them are under way. A request is due when
        it is sent. Then until those under way have ended."""
        table, began = self.table, time.monotonic()
        while (now := time.monotonic()) - began < seconds and self._next < len(table):
            end = min(len(table), self._next + max(0, window - table.waiting), self._next + CHUNK)
            table.due_s[self._next : end] = now
            self._turn(end, now, progress)
            if self._next >= end and table.waiting >= window:
                self._selector.select(TURN_S)
        while table.waiting:
            self._turn(self._next, time.monotonic(), progress)
            time.sleep(TURN_S)

    def _turn(self, end: int, now: float, progress: Progress | None) -> None:
        if end > self._next:
            self._send_first(end)
        self._receive()
        if now - self._swept >= TICK_S:
            self._swept = now
            again, over = self.table.due(now)
            self.counts.retransmissions += len(again)
            self.counts.unavailable_retries += len(over)
            if len(over):
                over = over[np.argsort(self.table.ports(over), kind="stable")]
                self.table.assign(over, self.table.ports(over))
                self._resend(over)
                self.table.sent(over, now)
            if len(again):
                self._resend(again[np.argsort(self.table.ports(again), kind="stable")])
        if progress is not None and now - self._told >= 1.0:
            self._told = now
            progress(now)

    # sending

    def _send_first(self, end: int) -> None:
        while self._next < end:
            start = self._next
            if start // CHUNK != self._chunk:
                self._prepare(start // CHUNK)
            until = min(end, (start // BLOCK + 1) * BLOCK)
            at = start % CHUNK
            self._send(self._ahead, start // BLOCK % len(self._sockets), at, at + until - start)
            self._next = until
            self.table.sent(np.arange(start, until), time.monotonic())

    def _prepare(self, chunk: int) -> None:
        numbers = np.arange(chunk * CHUNK, min(len(self.table), (chunk + 1) * CHUNK))
        self.table.assign(numbers, numbers // BLOCK % len(self._sockets))
        self._write(self._ahead, numbers)
        self._chunk = chunk

    def _write(self, rows: Rows, numbers: Int64s) -> None:
        data = rows.data[: len(numbers)]
        data[:, 0], data[:, 1] = message.first_byte(Type.CON), message.POST
        data[:, 2:4] = self.table.message_ids(numbers).astype(">u2")[:, None].view(np.uint8)
        data[:, 4:8] = self.table.tokens(numbers).astype(">u4")[:, None].view(np.uint8)
        rows.set_lengths(self._fill(data, numbers))

    def _resend(self, numbers: Int64s) -> None:
        """Sorted by port."""
        for start in range(0, len(numbers), RESENT):
            part = numbers[start : start + RESENT]
            self._write(self._again, part)
            ports = self.table.ports(part)
            edges = [*np.flatnonzero(np.r_[True, ports[1:] != ports[:-1]]).tolist(), len(part)]
            for first, end in pairwise(edges):
                self._send(self._again, int(ports[first]), first, end)

    def _send(self, rows: Rows, port: int, start: int, end: int) -> None:
        taken = rows.send(self._sockets[port], start, end)
        self.counts.datagrams_sent += end - start
        self.counts.lost_at_send += end - start - taken

    # receiving

    def _receive(self) -> None:
        for key, _ in self._selector.select(0):
            while True:
                count = self._arrived.receive(self._sockets[key.data])
                if count:
                    self._take(key.data, count, time.monotonic())
                if count < len(self._arrived):
                    break

    def _take(self, port: int, count: int, now: float) -> None:
        self.counts.datagrams_received += count
        heads = self._heads[:count].astype(np.int64)
        plain = (heads >> 48 == PLAIN_CHANGED) & (self._arrived.lengths[:count] == self._usual_bytes)
        if self._opened is not None:
            plain &= self._arrived.data[:count, HEAD.size] == EMPTY_OSCORE_OPTION
        if not plain.all():
            for row in np.flatnonzero(~plain).tolist():
                self._take_other(port, self._arrived.data[row, : self._arrived.lengths[row]].tobytes(), now)
            heads = heads[plain]
        ours = self.table.answered(heads & 0xFFFFFFFF, heads >> 32 & 0xFFFF, port, now)
        self.counts.stray += len(heads) - ours

    def _take_other(self, port: int, datagram: bytes, now: float) -> None:
        try:
            answer = message.decode(datagram)
        except message.MessageFormatError:
            self.counts.stray += 1
            return
        if answer.code == message.EMPTY:
            if answer.type is Type.RST and self.table.reset(answer.message_id, port):
                self._note("reset")
            return
        token = int.from_bytes(answer.token, "big")
        if self._opened is not None and any(number == OSCORE for number, _ in answer.options):
            try:
                code, options, payload = self._opened(self.table.number_of(token), answer)
            except ProtectionError:
                self.counts.stray += 1
                return
            answer = answer._replace(code=code, options=options, payload=payload)
        self.counts.stray += not self._judge(port, answer, token, now)

    def _judge(self, port: int, answer: Message, token: int, now: float) -> bool:
        """Whether the answer is one to a request that waited."""
        table, message_id, family = self.table, answer.message_id, answer.code >> 5
        if answer.type is not Type.ACK:
            if answer.type is Type.CON:
                empty = bytes((message.first_byte(Type.ACK, 0), 0))
                self._sockets[port].send(empty + message_id.to_bytes(2, "big"))
            message_id = table.message_id_of(token)
        if family == 2:
            return table.answered(np.array([token]), np.array([message_id]), port, now) == 1
        if family == 4:
            ours = table.refused(token, message_id, port)
        elif answer.code == message.SERVICE_UNAVAILABLE:
            max_age_s = answer.uint_option(message.MAX_AGE)
            pause_s = message.DEFAULT_MAX_AGE_S if max_age_s is None else max_age_s
            ours = table.unavailable(token, message_id, port, pause_s, now)
        else:
            ours = table.unknown(token, message_id, port)
        if ours:
            self._note(message.code_text(answer.code))
        return ours

    def _note(self, code: str) -> None:
        self.codes[code] = self.codes.get(code, 0) + 1


def _open(family: int, peer: object) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    sock.connect(peer)  # type: ignore[arg-type]  # an address of whatever family getaddrinfo found
    return sock
