"""An open-loop CoAP generator: sends at a given rate whatever comes back, and counts answers by code.

Every request is a confirmable POST of one daily report with a counter of its own, never sent twice. Runs as a process
of its own: ``python -m tests.bench.flood PORT REQUESTS_PER_S SECONDS``; a line of JSON each second, the last for all.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from array import array
from collections import Counter

from simulators.message import MAX_AGE, code_text, decode
from tests.bench.saturate import DEVICES, device_name, request

SOCKETS = 16
TICK_S = 0.001
LINGER_S = 20.0
"""After the last request, for answers: a report may wait for a free publish and then for its deadline."""

RING = 1 << 20
"""Requests whose instant of sending is remembered."""


class Flood:
    def __init__(self, port: int, rate: float) -> None:
        self._rate = rate
        self._sockets = [_connected(port) for _ in range(SOCKETS)]
        self._parts = [request(device_name(number)) for number in range(DEVICES)]
        self._sent_at = array("d", bytes(8 * RING))
        self._first = time.time_ns() >> 20 & 0xFFFFFF  # so that two runs do not send the same reports
        self.sent = self.unsent = 0
        self.codes: Counter[str] = Counter()
        self.max_age_s = 0
        self.latencies_ms = array("f")

    def run(self, seconds: float) -> None:
        start = time.monotonic()
        told, tell_at = Counter[str](), start + 1
        while (now := time.monotonic()) < start + seconds + LINGER_S:
            if now < start + seconds:
                self._send(int((now - start) * self._rate) - self.sent, now)
            elif sum(self.codes.values()) >= self.sent:
                break
            for each in self._sockets:
                self._receive(each)
            if now >= tell_at:
                print(json.dumps({"at_s": round(now - start, 3), **(self.codes - told)}), flush=True)
                told, tell_at = self.codes.copy(), tell_at + 1
            time.sleep(TICK_S)

    def _send(self, due: int, now: float) -> None:
        for _ in range(due):
            count = self.sent
            self.sent += 1
            before, after = self._parts[count % DEVICES]
            head = b"\x44\x02" + struct.pack("!HI", count & 0xFFFF, count)
            seq = struct.pack("!I", (self._first << 8) + count & 0xFFFFFFFF)
            self._sent_at[count % RING] = now
            try:
                self._sockets[count % SOCKETS].send(head + before[6:] + seq + after)
            except OSError:
                self.unsent += 1

    def _receive(self, each: socket.socket) -> None:
        try:
            while True:
                answer = each.recv(256)
                self.codes[code_text(answer[1])] += 1
                if answer[1] >> 5 == 2:
                    took_s = time.monotonic() - self._sent_at[int.from_bytes(answer[4:8], "big") % RING]
                    self.latencies_ms.append(took_s * 1000)
                elif not self.max_age_s:
                    self.max_age_s = decode(answer).uint_option(MAX_AGE) or 0
        except OSError:
            return

    def figures(self) -> dict[str, object]:
        ordered = sorted(self.latencies_ms)
        quantiles = {name: _quantile(ordered, q) for name, q in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}
        return {
            "sent": self.sent, "unsent": self.unsent, "codes": dict(self.codes), "max_age_s": self.max_age_s,
            "latency_ms": quantiles,
        }  # fmt: skip


def _quantile(ordered: list[float], q: float) -> float:
    return round(ordered[int(q * (len(ordered) - 1))], 2) if ordered else float("nan")


def _connected(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.setblocking(False)
    made.connect(("127.0.0.1", port))
    return made


if __name__ == "__main__":
    flood = Flood(int(sys.argv[1]), float(sys.argv[2]))
    flood.run(float(sys.argv[3]))
    print(json.dumps(flood.figures()))
