"""Back pressure: the stream stops answering, or is full, at full load; memory, answers and recovery of the gateway.

``python -m tests.bench.back_pressure [MINUTES]``: a nats-server and a gateway of its own. The generator sends at
`RATE` whatever comes back. Half of the time nats-server is stopped (SIGSTOP), then the stream is full (`max_bytes`).
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
import psutil

from deploy.embedded.nats import USERS, NatsServer
from metering.streams import StreamSizes, ensure
from tests.bench.gateway_growth import gateway, metric, peak_rss_mb, until_served, write_snapshot
from tests.bench.processes import python
from tests.bench.saturate import DEVICES, device_name, request

RATE = 20_000.0
"""Requests a second: the budget of custody."""

MINUTES = 10.0
ROOMY, FULL = StreamSizes(8 << 30), StreamSizes(1 << 20, registry_max_bytes=256 << 20)
RECOVERY_S = 120.0
PROBE_WAIT_S = 0.5

Progress = Callable[[str], None]


def measure(progress: Progress, minutes: float = MINUTES, rate: float = RATE) -> dict[str, Any]:
    """The keys `back_pressure.*` of bench.json. Raises RuntimeError when the gateway does not recover by itself."""
    with tempfile.TemporaryDirectory(prefix="nbwater-bench-") as folder:
        server = NatsServer(Path(folder), {user: secrets.token_hex(16) for user in USERS})
        server.start()
        try:
            asyncio.run(write_snapshot(server.url, DEVICES, own_address=False))
            with gateway(server) as (child, port, metrics_port, _):
                until_served(port, DEVICES - 1, own_address=False)
                bench = _Bench(server, child.pid, port, metrics_port, rate, progress)
                figures = {f"stopped_{key}": value for key, value in bench.phase(_stopped, minutes * 30).items()}
                return figures | {f"full_{key}": value for key, value in bench.phase(_full, minutes * 30).items()}
        finally:
            server.stop()


class _Bench:
    def __init__(
        self, server: NatsServer, gateway_pid: int, port: int, metrics_port: int, rate: float, progress: Progress
    ) -> None:
        self._server, self._port, self._rate, self._progress = server, port, rate, progress
        self._metrics_port = metrics_port
        self._gateway = psutil.Process(gateway_pid)

    def phase(self, trouble: Callable[[NatsServer], Any], seconds: float) -> dict[str, Any]:
        """Load for `seconds` with the trouble; then how long until a report is taken again, the trouble gone."""
        figures: dict[str, Any] = {"rss_start_mb": self._rss_mb()}
        dropped_before = self._dropped()
        with trouble(self._server):
            command = python("tests.bench.flood", str(self._port), str(self._rate), str(seconds))
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            flood = json.loads(done.stdout.splitlines()[-1])
            figures |= {"rss_end_mb": self._rss_mb(), "rss_peak_mb": peak_rss_mb(self._gateway.pid)}
        ended = time.monotonic()
        recovered_s = _recovery_s(self._port, ended)
        codes = flood["codes"]
        figures |= {
            "sent": flood["sent"],
            "answered_204": codes.get("2.04", 0),
            "answered_503": codes.get("5.03", 0),
            "other_answers": sum(count for code, count in codes.items() if code not in ("2.04", "5.03")),
            "silent": flood["sent"] - sum(codes.values()),
            "dropped_by_the_kernel": self._dropped() - dropped_before,
            "max_age_s": flood["max_age_s"],
            "recovery_s": recovered_s,
        }
        self._progress(f"{trouble.__name__.strip('_')}: {figures}")
        return figures

    def _dropped(self) -> int:
        return int(metric(self._metrics_port, "nbwater_gateway_udp_dropped_total"))

    def _rss_mb(self) -> float:
        return self._gateway.memory_info().rss / 1e6


@contextmanager
def _stopped(server: NatsServer) -> Iterator[None]:
    pid = _pid_of(server)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def _full(server: NatsServer) -> Iterator[None]:
    asyncio.run(_resize(server.url, FULL))
    try:
        yield
    finally:
        asyncio.run(_resize(server.url, ROOMY))


async def _resize(url: str, sizes: StreamSizes) -> None:
    connection = await nats.connect(url)
    await ensure(connection.jetstream(timeout=60), sizes)
    await connection.close()


def _pid_of(server: NatsServer) -> int:
    command = server.command()
    return next(p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == command)


def _recovery_s(port: int, since: float) -> float:
    """Until one meter, asking again and again, gets a 2.04."""
    before, after = request(device_name(0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as meter:
        meter.settimeout(PROBE_WAIT_S)
        meter.connect(("127.0.0.1", port))
        for seq in range(1_000_000):
            if time.monotonic() - since > RECOVERY_S:
                raise RuntimeError(f"no report was taken within {RECOVERY_S} s after the stream was there again")
            token = (seq & 0xFFFF).to_bytes(2, "big")
            meter.send(before[:2] + token * 2 + before[6:] + (0xF000_0000 + seq).to_bytes(4, "big") + after)
            try:
                if meter.recv(256)[1] >> 5 == 2:
                    break
            except TimeoutError:
                continue
            time.sleep(0.05)
    return round(time.monotonic() - since, 2)


if __name__ == "__main__":
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES
    print(json.dumps(measure(lambda line: print(line, file=sys.stderr), minutes), indent=2))
