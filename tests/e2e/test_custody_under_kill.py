"""Nothing acknowledged is lost, nothing is stored twice: whatever is killed, restored or full, under load.

The load generator reconciles by report identity with the database: answered ⊆ stored ⊆ sent, each report at most once,
values equal (`simulators/reconcile.py`, whose own tests plant each of these faults).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

from tests.e2e.running import ROOT, Up, until

RATE = 150
METERS = 150
KILLED = ("gateway", "ingest", "nats", "postgres")
RECONCILED_S = 240


class Load:
    """`nbwater simulate load` under way."""

    def __init__(self, up: Up, duration_s: float, rate: float = RATE) -> None:
        self._result = up.data.parent / f"load-{time.monotonic_ns()}.json"
        options = {"--reports-per-second": rate, "--meters": METERS, "--duration": duration_s, "--json": self._result}
        command = [sys.executable, "-m", "deploy", "simulate", "--data", str(up.data), "load"]
        command += [str(part) for option in options.items() for part in option]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NBWATER_")}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def result(self) -> dict[str, Any]:
        _, errors = self.process.communicate(timeout=RECONCILED_S)
        assert self._result.exists(), errors
        found: dict[str, Any] = json.loads(self._result.read_text())
        return found


def assert_custody(result: dict[str, Any]) -> None:
    found = result["reconciliation"]
    assert found["ok"], found
    assert result["answered"] > 0
    assert found["stored"] >= found["answered"] == result["answered"]


async def accounts(up: Up) -> dict[str, int]:
    connection = await asyncpg.connect(up.instance["database_url"])
    try:
        return dict(
            await connection.fetchrow(
                """SELECT sum(received)::int AS received,
                          sum(stored + partial + duplicate + dead_lettered)::int AS ended,
                          (SELECT count(*)::int FROM reports) AS rows FROM accounting"""
            )
        )
    finally:
        await connection.close()


async def test_each_process_killed_in_turn_under_load(start: Callable[..., Up]) -> None:
    up = start()
    load = Load(up, duration_s=30)
    for kills, name in enumerate(KILLED):
        await up.until_counted("SELECT count(*) FROM reports", (kills + 1) * 2 * RATE)  # the load flows (again)
        os.kill(up.pids()[name], signal.SIGKILL)
        until(lambda name=name: f"{name} is back" in up.said, f"{name} is back")
    assert load.process.poll() is None, "the load ended before the last kill"
    result = load.result()
    assert_custody(result)
    assert result["sender"]["retransmissions"] > 0, "the kills were not felt: the test shows nothing"
    counts = await accounts(up)
    assert counts["received"] == counts["ended"] == counts["rows"]
    assert up.end() == 0


async def test_a_database_from_before_the_run_catches_up_by_itself(start: Callable[..., Up], tmp_path: Path) -> None:
    up = start()
    assert_custody(Load(up, duration_s=2).result())
    assert up.end() == 0
    copy = ["cp", "-a", up.data / "postgres", tmp_path / "copy"]  # keeps the owner
    await asyncio.to_thread(subprocess.run, copy, check=True)

    up = start()
    assert_custody(Load(up, duration_s=6).result())
    wanted = await contents(up)
    assert up.end() == 0
    shutil.rmtree(up.data / "postgres")
    shutil.move(tmp_path / "copy", up.data / "postgres")

    up = start()
    before = len(wanted["reports"])
    await up.until_counted("SELECT count(*) FROM reports", before)
    assert await contents(up) == wanted
    counts = await accounts(up)
    assert counts["received"] == counts["ended"] == counts["rows"]
    assert up.end() == 0


async def contents(up: Up) -> dict[str, Any]:
    """What the database knows of reports and readings, by identities that a restored copy shares."""
    connection = await asyncpg.connect(up.instance["database_url"])
    try:
        reports = await connection.fetch("SELECT report_id, device, device_seq, outcome FROM reports ORDER BY 1")
        readings = await connection.fetch(
            "SELECT m.serial, r.ts, r.kind, r.index_ml FROM readings r JOIN meters m USING (meter_id) ORDER BY 1, 2, 3"
        )
    finally:
        await connection.close()
    return {"reports": [tuple(row) for row in reports], "readings": [tuple(row) for row in readings]}


async def test_a_full_stream_says_so_and_forgets_nothing(start: Callable[..., Up]) -> None:
    up = start(NBWATER_NATS_UP_MAX_BYTES=str(1 << 20), NBWATER_GATEWAY_RETRY_AFTER_S="7")
    result = Load(up, duration_s=12, rate=900).result()
    assert result["other_codes"].get("5.03", 0) > 0, "the stream was never full: the test shows nothing"
    assert_custody(result)
    counts = await accounts(up)
    assert counts["received"] == counts["ended"] == counts["rows"]
    assert up.end() == 0
