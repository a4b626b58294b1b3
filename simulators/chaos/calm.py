"""Whether the platform has recovered by itself: every program ready, nothing in flight, nothing left to settle."""

from __future__ import annotations

import asyncio
import time
import urllib.request

import asyncpg
import nats.errors

from simulators.chaos.platform import Platform, role_of
from simulators.chaos.stream import last_sequences, mqtt_waiting

POLL_S = 1.0
CALM_POLLS = 3
"""Seen calm so often in a row."""
ASK_S = 10.0
KNOWN_DEVICES = "nbwater_gateway_registry_devices"
KNOWN_KEYS = "nbwater_gateway_registry_keys"
SPOOLED = "nbwater_gateway_push_spool_bytes"


async def until_calm(platform: Platform, within_s: float) -> str:
    """Empty once all is calm; what still was not when `within_s` had passed."""
    deadline = time.monotonic() + within_s
    calm = 0
    while calm < CALM_POLLS:
        reason = await _unrest(platform)
        calm = 0 if reason else calm + 1
        if reason and time.monotonic() >= deadline:
            return reason
        await asyncio.sleep(POLL_S)
    return ""


async def until_known(platform: Platform, meters: int, keys: int, within_s: float) -> str:
    """Empty once every gateway worker knows so many meters and keys: each hears of the registry by itself, and refuses
    whom it does not know yet. Else what still was missing when `within_s` had passed."""
    deadline = time.monotonic() + within_s
    while True:
        known = {
            name: await asyncio.to_thread(_metrics, port, KNOWN_DEVICES, KNOWN_KEYS)
            for name, port in platform.metrics_ports().items()
            if role_of(name) == "gateway"
        }
        behind = [
            f"{name} knows {found[0]} of {meters} meters and {found[1]} of {keys} keys"
            for name, found in known.items()
            if found[0] < meters or found[1] < keys
        ]
        if not behind or time.monotonic() >= deadline:
            return ", ".join(behind)
        await asyncio.sleep(POLL_S)


def _metrics(port: int, *names: str) -> list[int]:
    """The values of the metrics of these names; 0 for one that is not there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=ASK_S) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return [0] * len(names)
    found = {name: value for name, _, value in (line.partition(" ") for line in lines)}
    return [int(float(found.get(name, 0))) for name in names]


async def _unrest(platform: Platform) -> str:
    for name, port in platform.metrics_ports().items():
        if not await asyncio.to_thread(_is_ready, port):
            return f"{name} is not ready"
        if spooled := (await asyncio.to_thread(_metrics, port, SPOOLED))[0]:
            return f"{name} has {spooled} bytes in its push spool"
    try:
        async with asyncio.timeout(3 * ASK_S):
            if waiting := await mqtt_waiting(platform.nats_url):
                return f"{waiting} reports by MQTT wait for a gateway"
            last = await last_sequences(platform.nats_url)
            return await _unrest_of_database(platform.database_url, last)
    except (OSError, TimeoutError, nats.errors.Error, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return f"a server does not answer: {str(error) or type(error).__name__}"


async def _unrest_of_database(database_url: str, last: dict[int, int]) -> str:
    connection = await asyncpg.connect(database_url, timeout=ASK_S)
    try:
        rows = await connection.fetch("SELECT partition, sequence FROM watermarks")
        spans = await connection.fetchval("SELECT count(*) FROM touched_spans")
    finally:
        await connection.close(timeout=ASK_S)
    taken = {row["partition"]: row["sequence"] for row in rows}
    for partition, sequence in last.items():
        if taken.get(partition, 0) != sequence:
            return f"partition {partition} has taken {taken.get(partition, 0)} of {sequence}"
    return f"{spans} spans wait for settlement" if spans else ""


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=ASK_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
