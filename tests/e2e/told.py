"""What our detector says of a file's meters: by `leaks evaluate`, and by the REST API after the file was replayed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import httpx

from ingest.leaks.evaluation import KINDS
from ingest.leaks.events import Kind
from tests.e2e.running import Up

ZONE = ZoneInfo("Asia/Shanghai")


class Said(NamedTuple):
    """Of a fault, once; times local, the rate as the file of alerts writes it: to the millilitre."""

    meter: str
    kind: str
    raised_at: datetime
    rate_l_h: str
    began_at: datetime


def evaluated(up: Up, readings: Path, out: Path) -> set[Said]:
    """All but silence, which the platform tells by the time of receipt."""
    done = up.plain("leaks", "evaluate", "--readings", str(readings), "--out", str(out))
    assert done.returncode == 0, done.stderr
    with out.open() as file:
        return {
            Said(
                row["subject"], row["kind"], datetime.fromisoformat(row["raised_at"]),
                row["est_rate_lph"], datetime.fromisoformat(row["est_start"]),
            )
            for row in csv.DictReader(file) if row["kind"] != "NOREPORT"
        }  # fmt: skip


def told(client: httpx.Client, names: dict[str, str]) -> set[Said]:
    """`names`: of the meters, by serial."""
    kinds = {kind.value for kind in Kind}
    return {
        Said(
            names[row["serial"]], KINDS[Kind(row["kind"])], _local(note["at"]), _rate(note["rate_ml_h"]),
            _local(note["from"]),
        )
        for row in _alerts(client) if row["kind"] in kinds for note in row["evidence"]["course"]
    }  # fmt: skip


def names_of(summary: Path) -> dict[str, str]:
    """Meter of the file by its serial, from what `simulate replay --summary` wrote."""
    serials: dict[str, str] = json.loads(summary.read_text())["serials"]
    return {serial: name for name, serial in serials.items()}


def client_of(up: Up) -> httpx.Client:
    """Of a viewer of this platform."""
    token = up.nbwater("tokens", "create", "viewer", "--role", "viewer").stdout.strip()
    return httpx.Client(base_url=up.instance["api_url"], headers={"Authorization": f"Bearer {token}"}, timeout=60)


def _alerts(client: httpx.Client) -> Iterator[dict[str, Any]]:
    cursor = None
    while True:
        answer = client.get("/api/v1/alerts", params={"limit": 200} | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        yield from page["items"]
        if (cursor := page["next_cursor"]) is None:
            return


def _rate(ml_h: int | None) -> str:
    return "" if ml_h is None else f"{ml_h / 1_000:.3f}"


def _local(iso: str) -> datetime:
    return datetime.fromisoformat(iso).astimezone(ZONE).replace(tzinfo=None)
