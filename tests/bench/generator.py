"""The load generator as a process of its own: ``python -m tests.bench.generator '{"port": …}'`` (see `Order`).

A line of JSON a second tells how far it is, on the clock that all processes of the machine share (CLOCK_MONOTONIC);
the last line is the result. `arrays` names a file for the instants and latencies of all requests.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulators.exchange import NB_IOT, Timers
from simulators.exchange_table import ANSWERED, NOT_SENT, REFUSED, UNKNOWN, ExchangeTable
from simulators.latency import summary_ms
from simulators.protected_rows import ProtectedRows
from simulators.report_rows import ReportRows
from simulators.synthetic import Plan
from simulators.volley import PORTS_MAX, Volley, ports_for

START_PAUSE_S = 0.1
CLOSED_LOOP_RATE_MAX = 60_000.0
"""What a closed loop may reach: it bounds the table of requests."""


PROTECTED_RATE_MAX = 25_000.0
"""The same where each request is encrypted first."""
FIRST_PARTIAL_IV = 1
"""Number 0 is left to whoever asks whether the gateway knows the keys."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to send: reports `first` and following of the meters' endless plan, one a meter and day in turn."""

    port: int
    meters: int
    first_s: int
    seq_base: int
    first: int
    seconds: float
    rate: float = 0.0
    """Reports a second, open loop; 0: closed loop with `window` under way."""
    window: int = 0
    burst: bool = False
    """`rate` × `seconds` reports at random instants of `seconds`, from NB-IoT devices: retransmission after 10 s to
    15 s, doubling, 5.03 tried again after its Max-Age."""
    readings: int = 24
    oscore: bool = False
    """Protected, under Partial IVs that count the days of `first_s` on; encrypted before the first leaves."""
    arrays: str = ""


def timers_of(order: Order) -> Timers:
    if not order.burst:
        return Timers()
    return Timers(ack_timeout_s=NB_IOT.ack_timeout_s, unavailable_retries=1_000, pause_cap_s=300.0)


def due_s(order: Order) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """When each report is due, from the start on."""
    if not order.rate:
        rate_max = PROTECTED_RATE_MAX if order.oscore else CLOSED_LOOP_RATE_MAX
        return np.full(int(rate_max * order.seconds), np.nan)
    count = max(1, round(order.rate * order.seconds))
    if order.burst:
        return np.sort(np.random.default_rng(count).random(count) * order.seconds)
    return np.arange(count) / order.rate


def play(order: Order) -> dict[str, Any]:
    """Until every report has ended."""
    ports = PORTS_MAX if order.burst else ports_for(order.rate or CLOSED_LOOP_RATE_MAX)
    table = ExchangeTable(due_s(order), ports, timers_of(order))
    plan = Plan(order.meters, order.first + len(table), order.readings, order.first_s, order.seq_base)
    rows = ReportRows(plan)
    protected = None
    if order.oscore:
        protected = ProtectedRows(rows, plan, FIRST_PARTIAL_IV, order.first, len(table))

    def told(now: float) -> None:
        sent = len(table) - table.count(NOT_SENT)
        print(json.dumps({"t": now, "sent": sent, "answered": table.count(ANSWERED)}), flush=True)

    def plainly(data: Any, numbers: Any) -> Any:
        return rows.fill(data, numbers + order.first)

    opened = None if protected is None else protected.open
    fill, row_bytes = (plainly, rows.row_bytes) if protected is None else (protected.fill, protected.row_bytes)
    with Volley("127.0.0.1", order.port, table, fill, row_bytes, ports, opened) as volley:
        cpu_s, began = time.process_time(), time.monotonic() + START_PAUSE_S
        if order.rate:
            table.due_s += began
            volley.open_loop(told)
        else:
            volley.closed_loop(order.window, order.seconds, told)
        ended = time.monotonic()
        told(ended)
    sent = table.states != NOT_SENT
    answered = table.states == ANSWERED
    if order.arrays:
        np.savez(Path(order.arrays), due_s=table.due_s[sent], latency_s=table.latency_s[sent])
    return {
        "began": began,
        "ended": ended,
        "offered": int(sent.sum()),
        "answered": int(answered.sum()),
        "refused": table.count(REFUSED),
        "gave_up": table.count(UNKNOWN),
        "last_answer_s": float(np.max(table.due_s[answered] + table.latency_s[answered], initial=began)) - began,
        "answers_per_s": float(answered.sum() / max(order.seconds, 1e-9)),
        "latency_ms": summary_ms(table.latency_s[answered]),
        "lag_ms": summary_ms(table.lag_s[sent]),
        "codes": volley.codes,
        "sender": asdict(volley.counts),
        "retransmissions": volley.counts.retransmissions,
        "unavailable_retries": volley.counts.unavailable_retries,
        "cpu_s": time.process_time() - cpu_s,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps({"result": play(Order(**json.loads(sys.argv[1])))}), flush=True)
