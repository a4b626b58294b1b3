"""`nbwater simulate city` through the doors, faster than real time: districts with inlets, and the town's truth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

from simulators.town_plan import INLET_ZONES
from tests.e2e.running import Up, until

METERS, DAYS = 160, 2
SPEED = 20_000


def rows(url: str, query: str) -> list[Any]:
    async def asked() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    return asyncio.run(asked())


def test_a_town_has_districts_that_balance_and_a_truth(start: Callable[..., Up], tmp_path: Path) -> None:
    up = start(NBWATER_DISTRICTS_EVERY_S="1")
    url, truth = up.instance["database_url"], tmp_path / "truth" / "town.json"
    played = up.nbwater(
        "simulate", "city", "--meters", str(METERS), "--days", str(DAYS), "--speed", str(SPEED), "--duration", "3",
        "--report-every", "2", "--truth", str(truth),
    )  # fmt: skip
    assert played.returncode == 0, played.stderr
    counts = json.loads(played.stdout)
    assert counts["phase"] == "live"
    assert counts["live_reports"] > 0
    assert counts["history_s"] > 0.5 * DAYS * 86_400 / SPEED

    known = json.loads(truth.read_text())
    assert (known["n"], len(known["meters"])) == (METERS, METERS)
    assert {event["dma"] for event in known["dma_events"]} <= set(INLET_ZONES)
    assert all(event["start"] <= event["end"] or event["vol_m3"] < 1 for event in known["dma_events"])

    assert len(rows(url, "SELECT FROM zone_flows")) == 6
    balanced = until(
        lambda: rows(
            url,
            "SELECT z.code FROM zone_hours h JOIN zones z USING (zone_id) WHERE h.inlet_ml > h.outlet_ml AND "
            "h.measured > 5 GROUP BY z.code HAVING count(*) > 20",
        ),
        "every district has balanced hours",
    )
    assert {row["code"] for row in balanced} <= set(INLET_ZONES)
    assert rows(url, "SELECT FROM zones z JOIN zones up ON up.zone_id = z.parent_id WHERE up.code = 'LS'")
