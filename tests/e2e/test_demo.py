"""`nbwater demo`: a small town on ports that are free, from nothing to reports in the database."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import asyncpg

from tests.e2e.running import until

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120
MORE_DOORS = {("lwm2m", "claimed"), ("mqtt", "mqtt"), ("ctwing", "pusher")}


def test_a_town_lives_although_the_page_port_is_taken(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with socket.create_server(("127.0.0.1", 0)) as neighbour:
        taken = neighbour.getsockname()[1]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NBWATER_")} | {
            "NBWATER_API_PORT": str(taken),
            "NBWATER_GATEWAY_PORT": "0",
            "NBWATER_MQTT_PORT": "0",
            "NBWATER_PUSH_PORT": "0",
            "NBWATER_GATEWAY_METRICS_PORT": "0",
            "NBWATER_INGEST_METRICS_PORT": "0",
        }
        command = [sys.executable, "-m", "deploy", "demo", "--data", str(tmp_path / "town"), "--meters", "5"]
        with output.open("wb") as file:
            demo = subprocess.Popen([*command, "--days", "2"], stdout=file, stderr=file, env=environment, cwd=ROOT)
        try:
            stored = asyncio.run(_stored(demo, tmp_path / "town"))
            assert stored == {("coap", "claimed"), ("dtls", "dtls"), *MORE_DOORS}
            said = output.read_text()
            assert f"the page port {taken} is taken; using" in said
            until(lambda: "the history is in: 2 days, " in output.read_text(), "the end of the history is said")
            assert re.search(r"Open http://127\.0\.0\.1:\d+ and log in as +admin +with +\S{10,}", said)
        finally:
            demo.send_signal(signal.SIGTERM)
            code = demo.wait(DEADLINE_S)
    assert code == 0, output.read_text()
    assert output.read_text().endswith("\nstopped\n")


async def _stored(demo: subprocess.Popen[bytes], data: Path) -> set[tuple[str, str]]:
    """Doors by which reports of the town are in the database, once five meters have five ways."""
    deadline, stored = time.monotonic() + DEADLINE_S, set[tuple[str, str]]()
    while time.monotonic() < deadline and demo.poll() is None:
        await asyncio.sleep(0.3)
        try:
            url = json.loads((data / "run" / "instance.json").read_text())["database_url"]
        except (OSError, ValueError):
            continue
        connection = await asyncpg.connect(url)
        rows = await connection.fetch("SELECT DISTINCT door, authentication FROM reports WHERE outcome = 'stored'")
        await connection.close()
        stored = {(row["door"], row["authentication"]) for row in rows}
        if len(stored) >= 5:
            break
    return stored
