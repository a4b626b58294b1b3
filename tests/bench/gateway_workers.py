"""What a second gateway process on the port costs and takes over, on a nats-server of its own.

``python -m tests.bench.gateway_workers``. One and two workers take turns under the same load, all pinned to one core
and the generator to another: CPU a report, and the share of the busier worker. A machine with two cores cannot show how
the rate grows with cores; it can show that the load is parted and what the parting costs.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from deploy.embedded.nats import USERS, NatsServer
from tests.bench.gateway_growth import environment_on, until_served, write_snapshot
from tests.bench.processes import python
from tests.bench.saturate import DEVICES

ROUNDS = 3
RATE = 4_000.0
SECONDS = 8.0
WARM_UP = 20
"""Reports from ports of their own before anything is counted, so that every worker has loaded the registry."""

Progress = Callable[[str], None]


def measure(progress: Progress, rate: float = RATE, seconds: float = SECONDS) -> dict[str, float]:
    """The keys `gateway_workers.*` of bench.json: medians over rounds in which one and two workers take turns."""
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="nbwater-bench-") as folder:
        server = NatsServer(Path(folder), {user: secrets.token_hex(16) for user in USERS})
        server.start()
        try:
            asyncio.run(write_snapshot(server.url, DEVICES, own_address=False))
            for number in range(ROUNDS):
                for workers, figures in found.items():
                    figures.append(_run(server, workers, rate, seconds))
                    cpu_us, share = figures[-1]
                    progress(f"workers {number + 1}/{ROUNDS}: {workers}: {cpu_us:.1f} us a report, busier {share:.2f}")
        finally:
            server.stop()
    one, two = (statistics.median(cpu_us for cpu_us, _ in figures) for figures in found.values())
    return {
        "cpu_us_per_report_1_worker": one,
        "cpu_us_per_report_2_workers": two,
        "ratio": statistics.median(b[0] / a[0] for a, b in zip(found[1], found[2], strict=True)),
        "busier_worker_share": statistics.median(share for _, share in found[2]),
        "rate": rate,
    }


def _run(server: NatsServer, workers: int, rate: float, seconds: float) -> tuple[float, float]:
    """CPU microseconds a report of all workers, and the share of the busier one."""
    cores = sorted(os.sched_getaffinity(0))
    with _gateway(server, workers) as (pids, port):
        for _ in range(WARM_UP * workers):
            until_served(port, 0, own_address=False)
        processes = [psutil.Process(pid) for pid in pids]
        for each in processes:
            each.cpu_affinity(cores[:1])
        before = _used_s(processes)
        command = ["taskset", "-c", str(cores[-1]), *python("tests.bench.flood", str(port), str(rate), str(seconds))]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        used = [now_s - before_s for now_s, before_s in zip(_used_s(processes), before, strict=True)]
    answered = json.loads(done.stdout.splitlines()[-1])["codes"]["2.04"]
    return sum(used) / answered * 1e6, max(used) / sum(used)


def _used_s(processes: list[psutil.Process]) -> list[float]:
    return [times.user + times.system for times in (each.cpu_times() for each in processes)]


@contextmanager
def _gateway(server: NatsServer, workers: int) -> Iterator[tuple[list[int], int]]:
    environment = os.environ | environment_on(server)
    command = python("deploy", "gateway", "--workers", str(workers))
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            assert child.stdout is not None
            said = json.loads(child.stdout.readline())
            yield [worker["pid"] for worker in said.get("workers", [{"pid": child.pid}])], said["port"]
        finally:
            child.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    print(json.dumps(measure(lambda line: print(line, file=sys.stderr)), indent=2))
