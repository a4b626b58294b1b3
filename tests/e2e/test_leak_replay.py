"""A leak from the meters' own reports to the alert that people see, all of it real: the same as `leaks evaluate` says.

Begins where `tests/integration/test_leak_replay.py` does not: at the gateway's door. Reports of one day each, sent by
CoAP, go through the stream, ingest, settlement and the leak stage; what the REST API tells of our detector's alerts is
compared with the file of alerts of the same readings.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import httpx

from ingest.leaks.evaluation import KINDS
from ingest.leaks.events import Kind
from tests.e2e.running import Up, until
from tests.ingest.leaks import homes

ZONE = ZoneInfo("Asia/Shanghai")
METERS, DAYS = 4, 35
LEAKS_FROM_H = 30 * 24
LEAK_L_H = 7


class Said(NamedTuple):
    """Of a fault, once; times local."""

    meter: str
    kind: str
    raised_at: datetime
    rate_ml_h: int
    began_at: datetime


def evaluated(up: Up, readings: Path) -> set[Said]:
    out = readings.with_name("alerts.csv")
    done = up.plain("leaks", "evaluate", "--readings", str(readings), "--out", str(out))
    assert done.returncode == 0, done.stderr
    with out.open() as file:
        return {
            Said(
                row["subject"], row["kind"], datetime.fromisoformat(row["raised_at"]),
                round(float(row["est_rate_lph"]) * 1_000), datetime.fromisoformat(row["est_start"]),
            )
            for row in csv.DictReader(file) if row["kind"] != "NOREPORT"
        }  # fmt: skip


def told(client: httpx.Client, names: dict[str, str]) -> set[Said]:
    """By the REST API; `names`: of the meters, by serial."""
    answer = client.get("/api/v1/alerts", params={"limit": 200})
    assert answer.status_code == 200, answer.text
    kinds = {kind.value for kind in Kind}
    rows: list[dict[str, Any]] = [row for row in answer.json()["items"] if row["kind"] in kinds]
    return {
        Said(
            names[row["serial"]], KINDS[Kind(row["kind"])], local(note["at"]), note["rate_ml_h"], local(note["from"])
        )
        for row in rows for note in row["evidence"]["course"]
    }  # fmt: skip


def local(iso: str) -> datetime:
    return datetime.fromisoformat(iso).astimezone(ZONE).replace(tzinfo=None)


def test_a_leak_that_comes_in_by_coap_is_told_as_the_evaluation_tells_it(
    start: Callable[..., Up], tmp_path: Path
) -> None:
    flow = homes.flows(METERS)[:, : DAYS * 24]
    flow[1, LEAKS_FROM_H:] += LEAK_L_H
    readings, summary = tmp_path / "readings.csv", tmp_path / "summary.json"
    homes.write(readings, flow)
    up = start(NBWATER_LEAKS_EVERY_S="1")
    expected = evaluated(up, readings)
    assert {(one.meter, one.kind) for one in expected} == {("M1", "LEAK")}
    token = up.nbwater("tokens", "create", "viewer", "--role", "viewer").stdout.strip()
    played = up.nbwater("simulate", "replay", str(readings), "--no-check", "--summary", str(summary))
    assert played.returncode == 0, played.stderr
    serials = json.loads(summary.read_text())["serials"]
    names = {serial: name for name, serial in serials.items()}
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=up.instance["api_url"], headers=headers) as client:
        until(lambda: told(client, names) >= expected, "what the evaluation says is told")
        assert told(client, names) == expected
    assert up.end() == 0
