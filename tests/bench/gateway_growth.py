"""What a million registered meters cost the gateway: time until it serves, and memory, on a nats-server of its own.

``python -m tests.bench.gateway_growth [ENTRIES]``. A reporting meter's address is a network that all share, or, as some
private APNs give them out, one of its own: both are measured.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nats
import psutil
from nats.js.api import ObjectMeta

from deploy.embedded.nats import USERS, NatsServer
from metering.registry import (
    ENABLED,
    FEED_CREATED_HEADER,
    FEED_POSITION_HEADER,
    SNAPSHOT_OBJECT,
    RegistryEntry,
    encode_entries,
)
from metering.streams import REGISTRY_STREAM, SNAPSHOT_BUCKET, StreamSizes, ensure
from tests.bench.processes import process, python
from tests.bench.saturate import device_name, request

ENTRIES = 1_000_000
READY_S = 300.0
POLL_S = 0.05

Progress = Callable[[str], None]


def measure(progress: Progress, entries: int = ENTRIES) -> dict[str, float]:
    """The keys `growth_gateway.*` of bench.json: of a shared network, and with `own_address_` of one for each meter."""
    figures: dict[str, float] = {"entries": entries}
    for prefix, own_address in (("", False), ("own_address_", True)):
        found = _one(entries, own_address)
        progress(f"gateway with {entries:,} meters{', each with its address' if own_address else ''}: {found}")
        figures |= {prefix + name: value for name, value in found.items()}
    return figures


def entry(number: int, own_address: bool) -> RegistryEntry:
    """A meter with IMEI and serial, as the import makes them."""
    source = f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/32" if own_address else "127.0.0.0/8"
    return RegistryEntry(device_name(number), (device_name(number), f"44{number:012d}"), (source,), ENABLED)


def _one(entries: int, own_address: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="nbwater-bench-") as folder:
        server = NatsServer(Path(folder), {user: secrets.token_hex(16) for user in USERS})
        server.start()
        try:
            asyncio.run(write_snapshot(server.url, entries, own_address))
            with gateway(server) as (child, coap_port, metrics_port, started):
                return _figures(psutil.Process(child.pid), coap_port, metrics_port, started, entries, own_address)
        finally:
            server.stop()


async def write_snapshot(url: str, entries: int, own_address: bool) -> None:
    connection = await nats.connect(url)
    js = connection.jetstream(timeout=60)
    await ensure(js, StreamSizes(1 << 30))
    feed = await js.stream_info(REGISTRY_STREAM)
    headers = {FEED_POSITION_HEADER: str(feed.state.last_seq), FEED_CREATED_HEADER: str(feed.created)}
    objects = await js.object_store(SNAPSHOT_BUCKET)
    body = encode_entries(entry(number, own_address) for number in range(entries))
    await objects.put(SNAPSHOT_OBJECT, body, ObjectMeta(name=SNAPSHOT_OBJECT, headers=headers))
    await connection.close()


def environment_on(server: NatsServer) -> dict[str, str]:
    """Of a gateway on this server, at free ports."""
    return {
        "NBWATER_NATS_URL": server.url_for("gateway"),
        "NBWATER_NATS_MONITOR_URL": server.monitor_url,
        "NBWATER_GATEWAY_HOST": "127.0.0.1",
        "NBWATER_GATEWAY_PORT": "0",
        "NBWATER_GATEWAY_METRICS_PORT": "0",
    }


@contextmanager
def gateway(server: NatsServer, **settings: str) -> Iterator[tuple[subprocess.Popen[str], int, int, float]]:
    """A gateway process on this server: the child, its ports and when it was started."""
    environment = {
        **environment_on(server),
        **{f"NBWATER_GATEWAY_{name.upper()}": value for name, value in settings.items()},
    }
    started = time.monotonic()
    with process(python("gateway"), environment) as child:
        assert child.stdout is not None
        said = json.loads(child.stdout.readline())
        yield child, said["port"], said["metrics_port"], started


def _figures(
    gateway_process: psutil.Process, coap_port: int, metrics_port: int, started: float, entries: int, own: bool
) -> dict[str, float]:
    until_served(coap_port, entries - 1, own)
    start_s = time.monotonic() - started
    cpu = gateway_process.cpu_times()
    rss_mb = gateway_process.memory_info().rss / 1e6
    if not own:  # the generator sends from one address
        subprocess.run(python("tests.bench.saturate", str(coap_port), "5"), check=True, capture_output=True)
    known = metric(metrics_port, "nbwater_gateway_registry_devices")
    if known != entries:
        raise RuntimeError(f"the gateway knows {known:.0f} of {entries} meters")
    return {
        "start_s": start_s,
        "start_cpu_s": cpu.user + cpu.system,
        "rss_mb": rss_mb,
        "peak_rss_mb": peak_rss_mb(gateway_process.pid),
    }


def metric(metrics_port: int, name: str) -> float:
    """Value of a family without labels; 0 when it is not there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
    return 0.0


def until_served(port: int, number: int, own_address: bool) -> None:
    """The last meter of the snapshot gets a 2.04, from its own address where it has one."""
    host = entry(number, True).plain_sources[0].removesuffix("/32") if own_address else "127.0.0.1"
    before, after = request(device_name(number))
    deadline = time.monotonic() + READY_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as meter:
        meter.bind((host, 0))
        meter.settimeout(POLL_S)
        while time.monotonic() < deadline:
            meter.sendto(before + b"\0\0\0\1" + after, ("127.0.0.1", port))
            try:
                if meter.recv(256)[1] >> 5 == 2:
                    return
            except TimeoutError:
                continue
            time.sleep(POLL_S)
    raise RuntimeError(f"the gateway did not serve within {READY_S} s")


def peak_rss_mb(pid: int) -> float:
    """The most that was ever resident (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the kernel does not say VmHWM")


if __name__ == "__main__":
    print(json.dumps(measure(print, int(sys.argv[1]) if len(sys.argv) > 1 else ENTRIES), indent=2))
