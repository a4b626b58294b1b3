"""Partitions of the report stream: what ingest takes with 1, 4 and 8 of them, one worker process for each.

The same reports lie in the stream before the workers start. A gateway's batch is parted among the partitions, so that
more of them mean smaller messages and smaller transactions. Wall-clock figures depend on what else the machine does;
CPU seconds for each report hold: of the workers, of nats-server, and of the PostgreSQL processes that serve the workers
(its checkpoints and its log are not counted). Rounds are interleaved. On the server of NBWATER_DATABASE_URL, which must
run on this machine, where that is set.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import nats
import psutil

from deploy.embedded.nats import USERS, NatsServer
from deploy.registration import register_rows
from ingest.schema.migrate import migrate
from metering.clock import now_us
from metering.envelope import REPORTS_HEADER, Report, encode, mint_report_id, partition
from metering.model import Authentication, ContentFormat, Door
from metering.streams import StreamSizes, ensure, up_subject
from simulators.load import import_row
from simulators.report_rows import ReportRows
from simulators.synthetic import Plan, plan, serial
from tests.bench.databases import own_database
from tests.bench.sections import Progress

CHOICES = (1, 4, 8)
ROUNDS = 3
METERS = 10_000
REPORTS = 30_000
READINGS = 24
GATEWAY_BATCH = 64
"""Reports of one batching window: 4 ms at 16,000 reports/s, or a window of the burst of a batch under way."""
UNDER_WAY = 32
PATIENCE_S = 300.0
POLL_S = 0.02


def measure(progress: Progress, *, quick: bool = False) -> dict[str, Any]:
    """The keys `partitions.*` of bench.json: for each choice P rows/s and CPU µs for a report."""
    return asyncio.run(_measure(progress, REPORTS // 20 if quick else REPORTS, 1 if quick else ROUNDS))


async def _measure(progress: Progress, reports: int, rounds: int) -> dict[str, Any]:
    found: dict[int, list[dict[str, float]]] = {choice: [] for choice in CHOICES}
    for _ in range(rounds):
        for choice in CHOICES:
            figures = await _one(choice, reports)
            found[choice].append(figures)
            progress(f"partitions {choice}: " + ", ".join(f"{name} {value:,.0f}" for name, value in figures.items()))
    return {
        f"p{choice}_{name}": statistics.median(figures[name] for figures in runs)
        for choice, runs in found.items()
        for name in runs[0]
    }


async def _one(partitions: int, reports: int) -> dict[str, float]:
    planned = plan(reports, 1.0, METERS, READINGS, time.time(), 0)
    with _stream() as server:
        async with own_database(os.environ.get("NBWATER_DATABASE_URL")) as url:
            await migrate(url)
            await register_rows(url, [import_row(meter) for meter in range(planned.meters)])
            await _make_streams(server.url)
            with _workers(server, url, partitions) as workers:
                connection = await asyncpg.connect(url)
                await _until(connection, "SELECT count(*) FROM watermarks WHERE holder IS NOT NULL", partitions)
                for worker in workers:
                    worker.suspend()
                await _fill(server.url, planned, partitions)
                figures = await _drain(server, connection, workers, reports)
                await connection.close()
    return figures


async def _drain(
    server: NatsServer, connection: asyncpg.Connection, workers: list[psutil.Process], reports: int
) -> dict[str, float]:
    """Let the workers go; what it takes until they have taken all."""
    if server.process is None:
        raise RuntimeError("nats-server does not run")
    nats_server = psutil.Process(server.process.pid)

    async def used() -> dict[str, float]:
        pids = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return {
            "ingest_us": sum(map(_cpu_s, workers)),
            "postgres_us": sum(_cpu_s(psutil.Process(row["pid"])) for row in pids),
            "nats_us": _cpu_s(nats_server),
        }

    before, began = await used(), time.monotonic()
    for worker in workers:
        worker.resume()
    await _until(connection, "SELECT coalesce(sum(received), 0)::bigint FROM accounting", reports)
    elapsed, after = time.monotonic() - began, await used()
    cpu = {name: (after[name] - before[name]) * 1e6 / reports for name in after}
    return {"rows_per_s": reports * READINGS / elapsed, **cpu}


@contextmanager
def _stream() -> Iterator[NatsServer]:
    with tempfile.TemporaryDirectory(prefix="nbwater-bench-") as folder:
        server = NatsServer(Path(folder), {user: secrets.token_hex(16) for user in USERS})
        server.start()
        try:
            yield server
        finally:
            server.stop()


async def _make_streams(url: str) -> None:
    client = await nats.connect(url)
    await ensure(client.jetstream(), StreamSizes(1 << 30))
    await client.close()


async def _fill(url: str, planned: Plan, partitions: int) -> None:
    """All reports into the stream, as gateways would put them there."""
    client = await nats.connect(url)
    js = client.jetstream(timeout=30)
    rows, gate = ReportRows(planned), asyncio.Semaphore(UNDER_WAY)

    async def publish(number: int, reports: list[Report]) -> None:
        async with gate:
            headers = {"Nats-Msg-Id": reports[0].report_id.hex(), REPORTS_HEADER: str(len(reports))}
            await js.publish(up_subject(number), encode(reports), headers=headers)

    async with asyncio.TaskGroup() as group:
        for start in range(0, planned.reports, GATEWAY_BATCH):
            parts: dict[int, list[Report]] = {}
            for number in range(start, min(planned.reports, start + GATEWAY_BATCH)):
                device, at_us = serial(number % planned.meters), now_us()
                parts.setdefault(partition(device, partitions), []).append(
                    Report(
                        mint_report_id(at_us), at_us, Door.COAP, Authentication.CLAIMED, device, ContentFormat.CBOR,
                        rows.payload(number), "127.0.0.1:5683",
                    )
                )  # fmt: skip
            for one, reports in parts.items():
                group.create_task(publish(one, reports))
    await client.close()


@contextmanager
def _workers(server: NatsServer, url: str, partitions: int) -> Iterator[list[psutil.Process]]:
    children = []
    for number in range(partitions):
        environment = os.environ | {
            "NBWATER_DATABASE_URL": url,
            "NBWATER_NATS_URL": server.url_for("ingest"),
            "NBWATER_NATS_PARTITIONS": str(partitions),
            "NBWATER_INGEST_PARTITION": str(number),
            "NBWATER_INGEST_METRICS_PORT": "0",
        }
        command = [sys.executable, "-m", "ingest"]
        children.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
    try:
        yield [psutil.Process(child.pid) for child in children]
    finally:
        for child in children:  # nothing of theirs is needed any more
            child.kill()
        for child in children:
            child.wait()


async def _until(connection: asyncpg.Connection, query: str, wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (found := await connection.fetchval(query)) < wanted:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{query}: {found}, not {wanted}, after {PATIENCE_S:.0f} s")
        await asyncio.sleep(POLL_S)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
