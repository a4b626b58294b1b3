"""A closed-loop CoAP generator: keeps a window of requests under way and counts answers. The same for every server.

Every request is a confirmable POST of one daily report whose report counter differs, so that no server can answer it
as a repetition. Runs as a process of its own: ``python -m tests.bench.saturate PORT SECONDS``.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass

import cbor2

SOCKETS = 16
WINDOW_PER_SOCKET = 16
DEVICES = 100
STALL_S = 0.25


@dataclass(frozen=True, slots=True)
class Saturation:
    requests_per_s: float
    answered: int
    refused: int
    resent: int


def device_name(number: int) -> str:
    return f"86{number:013d}"


def request(device: str) -> tuple[bytes, bytes]:
    """The bytes before and after the varying part, of a CON POST /r/{device} with Content-Format 60.

    The message id goes at offset 2, the four bytes of `seq` between the two parts.
    """
    options = b"\xb1r" + _option(0, device.encode()) + b"\x11\x3c"
    body = cbor2.dumps({0: 1, 1: 0xFFFFFFFF, 2: [[1_767_225_600, 3600, 123_456, [12] * 23]], 4: 3612, 5: -1087, 6: 45})
    before, after = body.split(b"\xff\xff\xff\xff")
    return b"\x42\x02" + b"\0\0" + b"\0\0" + options + b"\xff" + before, after


def _option(delta: int, value: bytes) -> bytes:
    length = len(value)
    return bytes([delta << 4 | length]) + value if length < 13 else bytes([delta << 4 | 13, length - 13]) + value


class _Sender:
    """One source port: message ids and the counter grow together."""

    def __init__(self, address: tuple[str, int], first: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(address)
        self._parts = [request(device_name(n)) for n in range(DEVICES)]
        self._count = first
        self.last_progress = time.monotonic()

    def send(self, requests: int) -> None:
        send, parts = self.socket.send, self._parts
        for _ in range(requests):
            self._count += 1
            count = self._count
            before, after = parts[count % DEVICES]
            short = struct.pack("!H", count & 0xFFFF)
            send(before[:2] + short + short + before[6:] + struct.pack("!I", count & 0xFFFFFFFF) + after)

    def receive(self) -> tuple[int, int]:
        """Answers that are in: successes and others."""
        good = bad = 0
        receive = self.socket.recv
        try:
            while True:
                if receive(256)[1] >> 5 == 2:
                    good += 1
                else:
                    bad += 1
        except BlockingIOError:
            return good, bad


def saturate(port: int, seconds: float, host: str = "127.0.0.1") -> Saturation:
    """Requests a second that the server at `port` answers while the window is always full."""
    senders = [_Sender((host, port), n << 24) for n in range(SOCKETS)]
    poller = select.epoll()
    by_number = {sender.socket.fileno(): sender for sender in senders}
    for number, sender in by_number.items():
        poller.register(number, select.EPOLLIN)
        sender.send(WINDOW_PER_SOCKET)
    good = bad = resent = 0
    start = time.monotonic()
    while (now := time.monotonic()) - start < seconds:
        for number, _ in poller.poll(0.05):
            sender = by_number[number]
            successes, others = sender.receive()
            good, bad = good + successes, bad + others
            sender.send(successes + others)
            sender.last_progress = now
        for sender in senders:
            if now - sender.last_progress > STALL_S:
                sender.send(WINDOW_PER_SOCKET)
                resent += WINDOW_PER_SOCKET
                sender.last_progress = now
    elapsed = time.monotonic() - start
    for sender in senders:
        sender.socket.close()
    return Saturation(good / elapsed, good, bad, resent)


if __name__ == "__main__":
    print(json.dumps(asdict(saturate(int(sys.argv[1]), float(sys.argv[2])))))
