"""Faults under load, then the reconciliation: answered ⊆ stored ⊆ sent by set, and every report accounted for.

``python -m deploy.cluster.bed.rehearsal`` is what `nbwater cluster rehearse` runs, in a process of its own: it moves
itself into the core's network namespace and does not come back.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig

from deploy.cluster.bed.bed import COAP_PORT, HOSTS, Bed
from deploy.cluster.bed.faults import FAULTS, Faults
from deploy.cluster.bed.network import ANYCAST, Network
from deploy.cluster.bed.processes import plain_environment
from deploy.embedded.nats import ADMIN
from metering.envelope import REPORTS_HEADER
from metering.errors import NbwaterError, StartError
from metering.stream_connection import connect
from metering.streams import UP_STREAM
from metering.telemetry import configure_logging

QUIET_S = 1.0
"""Between two faults, so that the load flows again."""
LONGEST_S = 1800.0
RECONCILED_S = 300.0
INTERRUPTED = 130

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    faults: Sequence[str] = ()
    """Some of FAULTS; empty: every one."""
    reports_per_second: float = 150.0
    meters: int = 150
    partitions: int = 1
    hold_s: float = 8.0
    """How long each fault lasts once it is felt; longer than a publish's deadline shows the most."""
    keep: bool = False
    """Leave the folder with configuration and logs."""


def rehearse(options: Options, tell: Tell) -> dict[str, Any]:
    """The result; `ok` says whether nothing was lost, doubled, altered or unaccounted for. Raises NbwaterError."""
    folder = Path(tempfile.mkdtemp(prefix="nbwater-cluster-"))
    folder.chmod(0o711)  # PostgreSQL's own user passes
    try:
        with Network(HOSTS) as network:
            network.enter()
            return asyncio.run(_rehearse(options, Bed(folder, network, options.partitions), tell))
    finally:
        if options.keep:
            tell(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


async def _rehearse(options: Options, bed: Bed, tell: Tell) -> dict[str, Any]:
    started = time.monotonic()
    tending = asyncio.create_task(bed.processes.tend(), name="tend")
    try:
        await bed.start()
        tell(f"{len(HOSTS)} hosts run after {time.monotonic() - started:.0f} s, TLS {'on' if bed.plan.tls else 'OFF'}")
        settings = bed.nats_settings()
        client = await connect(settings.url.get_secret_value(), ADMIN, settings.tls_ca)
        try:
            faults, result = await _under_load(options, bed, Faults(bed, client, options.hold_s), tell)
            unaccounted = await _unaccounted(bed, client)
        finally:
            await client.close()
    finally:
        tending.cancel()
        bed.stop()
    found = result["reconciliation"]
    return {
        "ok": bool(found["ok"] and result["answered"] and not any(unaccounted.values())),
        "faults": faults,
        "load": result,
        "unaccounted": unaccounted,
        "seconds": round(time.monotonic() - started, 1),
    }


async def _under_load(
    options: Options, bed: Bed, faults: Faults, tell: Tell
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Each fault in turn while the meters report; what was seen, and what the load generator found."""
    asked, result = bed.folder / "load.json", bed.folder / "result.json"
    asked.write_text(
        json.dumps(
            {
                "host": ANYCAST,
                "port": COAP_PORT,
                "database_url": bed.owner_url,
                "reports_per_second": options.reports_per_second,
                "meters": options.meters,
                "duration_s": LONGEST_S,
                "max_wait_s": RECONCILED_S,
            }
        )
    )
    load = _start_load(bed.folder / "load.log", asked, result)
    seen: list[dict[str, Any]] = []
    try:
        for name in options.faults or FAULTS:
            await _more_reports(bed, round(QUIET_S * options.reports_per_second))
            began = time.monotonic()
            seen.append({"fault": name, **await faults.do(name), "seconds": round(time.monotonic() - began, 1)})
            tell(", ".join(f"{key} {value}" for key, value in seen[-1].items()))
        await _more_reports(bed, round(QUIET_S * options.reports_per_second))
        if load.poll() is not None:
            raise StartError(f"the load ended by itself: {(bed.folder / 'load.log').read_text()[-2000:]}")
        load.terminate()
        await asyncio.to_thread(load.wait, RECONCILED_S + 120)
    finally:
        load.kill()
        load.wait()
    if not result.exists():
        raise StartError(f"the load has no result: {(bed.folder / 'load.log').read_text()[-2000:]}")
    found: dict[str, Any] = json.loads(result.read_text())
    return seen, found


def _start_load(log_file: Path, asked: Path, result: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "deploy.cluster.bed.meters", str(asked), str(result)]
    with log_file.open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=plain_environment())  # noqa: S603 - our own


async def _more_reports(bed: Bed, number: int) -> None:
    """Wait until so many more are in the database: the load flows, from meters to rows."""
    wanted = await _ask(bed, "SELECT count(*) FROM reports") + number
    deadline = time.monotonic() + RECONCILED_S
    while await _ask(bed, "SELECT count(*) FROM reports") < wanted:
        if time.monotonic() > deadline:
            raise StartError(f"no reports reach the database for {RECONCILED_S:.0f} s; see {bed.folder}")
        await asyncio.sleep(0.2)


async def _unaccounted(bed: Bed, client: Client) -> dict[str, int]:
    """Differences that must be zero: reports in the stream, received by ingest, ended somehow, rows."""
    in_stream = await _reports_in_stream(client)
    received = await _ask(bed, "SELECT coalesce(sum(received), 0)::bigint FROM accounting")
    ended = await _ask(
        bed, "SELECT coalesce(sum(stored + partial + duplicate + dead_lettered), 0)::bigint FROM accounting"
    )
    rows = await _ask(bed, "SELECT count(*) FROM reports")
    return {"stream_minus_received": in_stream - received, "received_minus_ended": received - ended,
            "ended_minus_rows": ended - rows}  # fmt: skip


async def _reports_in_stream(client: Client) -> int:
    """By the header of each message; nothing has been trimmed yet."""
    subscription = await client.jetstream().subscribe(
        "up.>",
        stream=UP_STREAM,
        ordered_consumer=True,
        config=ConsumerConfig(ack_policy=AckPolicy.NONE, headers_only=True),
    )
    info = await client.jetstream().stream_info(UP_STREAM)
    reports = 0
    for _ in range(info.state.messages):
        message = await subscription.next_msg(10)
        reports += int((message.headers or {}).get(REPORTS_HEADER, "0"))
    await subscription.unsubscribe()
    return reports


async def _ask(bed: Bed, query: str) -> int:
    """Tried again while the database is away: that is one of the faults."""
    deadline = time.monotonic() + RECONCILED_S
    while True:
        try:
            connection = await asyncpg.connect(bed.owner_url, timeout=10)
            try:
                return int(await connection.fetchval(query))
            finally:
                await connection.close(timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)


def main() -> int:
    """Options as JSON in the first argument; the result as JSON on stdout, progress on stderr. SIGTERM and SIGINT end
    it in order: nothing stays behind."""
    configure_logging("rehearsal")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    options = Options(**json.loads(sys.argv[1]))
    try:
        result = rehearse(options, lambda line: print(line, file=sys.stderr, flush=True))
    except KeyboardInterrupt:
        return INTERRUPTED
    except NbwaterError as error:
        print(f"nbwater cluster rehearse: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0 if result["ok"] else 2


if __name__ == "__main__":
    sys.exit(main())
