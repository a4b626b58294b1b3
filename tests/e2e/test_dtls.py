"""`nbwater up` and a meter with a pre-shared key, from the key's row in the database to the report's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg

from metering.credentials import CredentialKind, load_master_keys
from metering.settings import KeysSettings
from simulators.dtls import DtlsMeter, HandshakeError
from simulators.exchange import Fate, Timers
from simulators.message import SERVICE_UNAVAILABLE
from tests.e2e.running import FRAME, IMEI, Up, until

IDENTITY, KEY = f"urn:imei:{IMEI}", b"0123456789abcdef"
PATIENCE_S = 60.0
TIMERS = Timers(ack_timeout_s=5.0)
REPORTS = "SELECT count(*) FROM reports WHERE authentication = 'dtls' AND source LIKE '127.0.0.1:% as urn:imei:%'"


async def give_key(up: Up, data: Path) -> None:
    """What enrolment does."""
    keys = load_master_keys(KeysSettings(master_file=str(data / "secrets" / "master.keys")))
    assert keys is not None
    credential = keys.seal(CredentialKind.PSK, IDENTITY.encode(), KEY)
    connection = await asyncpg.connect(up.instance["database_url"])
    await connection.execute(
        "INSERT INTO credentials (device_id, kind, key_id, sealed, created_by) "
        "SELECT device_id, $1, $2, $3, 'test' FROM devices",
        *credential,
    )
    await connection.close()


def on_disk(data: Path) -> int:
    """Sessions that outlive a kill: what began within the last milliseconds may not (docs/doors/dtls.md)."""
    with contextlib.closing(sqlite3.connect(data / "run" / "gateway" / "dtls-sessions")) as database:
        return int(database.execute("SELECT count(*) FROM sessions").fetchone()[0])


async def test_a_meter_with_a_key_and_a_gateway_that_is_killed(start: Callable[..., Up]) -> None:
    up = start()
    port = up.instance["coaps_port"]
    until(lambda: f"coaps://<this machine>:{port}/r/" in up.said, "its address is told")
    up.register()
    await give_key(up, up.data)
    async with DtlsMeter("127.0.0.1", port, IDENTITY, KEY, TIMERS) as meter:
        while True:
            try:
                await meter.shake_hands()
            except HandshakeError:  # the key is on its way
                continue
            break
        shaken = meter.handshakes
        assert (await meter.post(("r", IMEI), 42, FRAME)).fate is Fate.ANSWERED
        await up.until_counted(REPORTS, 1)
        until(lambda: on_disk(up.data) == 1, "the session is on disk")
        os.kill(up.pids()["gateway"], signal.SIGKILL)
        until(lambda: "gateway is back" in up.said, "gateway is back")
        again = FRAME + b"\0"  # junk behind it, so that it is no repeat
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:  # it may not listen yet on a busy machine, and then knows no meters
            answer = await meter.post(("r", IMEI), 42, again)
            if answer.fate is Fate.ANSWERED and answer.code != SERVICE_UNAVAILABLE:
                break
            await asyncio.sleep(0.1)
        assert (answer.fate, meter.handshakes) == (Fate.ANSWERED, shaken)
        await up.until_counted(REPORTS, 2)
    assert up.post() == "4.01"  # its key makes the plain door no way for it
    assert up.end() == 0
