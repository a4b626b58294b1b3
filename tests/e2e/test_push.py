"""The push door of `nbwater up`: opened by a command, used as CTWing does, its reports accounted for."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx

from tests.e2e.running import FRAME, IMEI, ROOT, Up, until

NOBODY = "869999999999999"


def nbwater(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def body_of(imei: str, number: int) -> bytes:
    frame = base64.b64encode(FRAME).decode()
    content = {"messageType": "dataReport", "topic": "v1/up/ad", "IMEI": imei, "timestamp": 1_700_000_000_000 + number}
    return json.dumps({**content, "deviceId": "44d0", "productId": "1", "payload": {"APPdata": frame}}).encode()


def test_a_product_pushes_and_everything_is_accounted_for(tmp_path: Path, start: Callable[..., Up]) -> None:
    data = tmp_path / "data"
    added = nbwater("push", "add-product", "east", "--platform", "ctwing", "--data", str(data))
    assert added.returncode == 0, added.stderr
    path = added.stdout.split()[-1]
    file = data / "secrets" / "push.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert nbwater("push", "products", "--data", str(data)).stdout.split()[:2] == ["east", "ctwing"]
    again = nbwater("push", "add-product", "east", "--platform", "iotda", "--data", str(data))
    assert (again.returncode, "the same name" in again.stderr) == (1, True)

    up = start(NBWATER_PUSH_PORT="0")
    up.register()
    assert "1 device bound to east" in up.nbwater("push", "bind", "east", IMEI).stderr
    port = up.instance["programs"]["gateway"]["push_port"]
    url = f"http://127.0.0.1:{port}{path}"
    assert f"port {port}, /push/" in up.said
    assert path not in up.said
    bodies = [body_of(IMEI, 1), body_of(IMEI, 2), body_of(NOBODY, 3), b"garbage", body_of(IMEI, 1)]
    for body in bodies:
        assert httpx.post(url, content=body, timeout=30).status_code == 200
    assert httpx.post(f"{url}x", content=b"{}").status_code == 404

    account = until(lambda: asyncio.run(account_of(up, 4)), "the four reports are accounted for")
    assert account["received"] == sum(account[end] for end in ("stored", "partial", "duplicate", "dead_lettered"))
    assert asyncio.run(letters_of(up, NOBODY)) == 1
    bindings = up.nbwater("push", "bindings", "--device", IMEI).stdout
    assert bindings.split()[1:3] == [IMEI, "east"]
    assert up.nbwater("push", "gaps").returncode == 0
    assert up.nbwater("push", "missed", "east", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z").stdout == ""
    refused = up.nbwater("push", "backfill", "east", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z")
    assert (refused.returncode, "read_history" in refused.stderr) == (1, True)
    assert up.end() == 0


async def account_of(up: Up, received: int) -> asyncpg.Record | None:
    """What the door's reports became, once so many are in."""
    connection = await asyncpg.connect(up.instance["database_url"])
    row = await connection.fetchrow(
        "SELECT sum(received) AS received, sum(stored) AS stored, sum(partial) AS partial, "
        "sum(duplicate) AS duplicate, sum(dead_lettered) AS dead_lettered FROM accounting WHERE door = 'ctwing'"
    )
    await connection.close()
    return row if row["received"] is not None and row["received"] >= received else None


async def letters_of(up: Up, device: str) -> int:
    connection = await asyncpg.connect(up.instance["database_url"])
    count: int = await connection.fetchval("SELECT count(*) FROM dead_letters WHERE device = $1", device)
    await connection.close()
    return count
