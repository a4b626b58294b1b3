"""Windows of suppression over REST: made, listed, ended early, audited; what cannot be is refused."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from api.suppression_rules import LONGEST
from tests.api.conftest import NOW, Seed

API = "/api/v1/suppressions"
SERIAL = "210000000001"
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _water(seeded: Seed) -> None:
    """Every test here runs over the seeded database."""


async def add(client: httpx.AsyncClient, **changed: Any) -> httpx.Response:
    window = {"serial": SERIAL, "valid_to": (NOW + 8 * HOUR).isoformat(), "reason": " pool "} | changed
    return await client.post(API, json={name: value for name, value in window.items() if value is not ...})


async def test_a_window_is_made_and_ended_before_its_time(
    operator: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    made = await add(operator, kind="leak", valid_from=(NOW - HOUR).isoformat())
    assert made.status_code == 201
    row = made.json()
    assert (row["serial"], row["kind"], row["reason"], row["state"]) == (SERIAL, "leak", "pool", "in_force")
    assert (row["created_by"], row["ended_by"]) == ("operator", None)
    ended = await operator.post(f"{API}/{row['suppression_id']}/end")
    assert (ended.json()["state"], ended.json()["ended_by"]) == ("over", "operator")
    assert (await operator.post(f"{API}/{row['suppression_id']}/end")).status_code == 409
    audited = await connection.fetch(
        "SELECT actor, action, detail FROM audit_log WHERE action LIKE 'alerts.%' ORDER BY at"
    )
    assert [(line["actor"], line["action"]) for line in audited] == [
        ("operator", "alerts.suppress"), ("operator", "alerts.end_suppression"),
    ]  # fmt: skip
    assert json.loads(audited[0]["detail"])["reason"] == "pool"


async def test_one_that_has_not_begun_is_called_off(operator: httpx.AsyncClient) -> None:
    row = (await add(operator, valid_from=(NOW + HOUR).isoformat())).json()
    assert row["state"] == "planned"
    assert (await operator.post(f"{API}/{row['suppression_id']}/end")).json()["ended_by"] == "operator"
    assert (await operator.get(API, params={"state": "in_force"})).json()["items"] == []
    assert (await operator.get(API, params={"state": "planned"})).json()["items"] == []
    assert (await operator.post(f"{API}/{row['suppression_id']}/end")).status_code == 409  # it is over


async def test_windows_are_listed_page_by_page(operator: httpx.AsyncClient, viewer: httpx.AsyncClient) -> None:
    made = [(await add(operator, serial=None, zone="DMA-1")).json()["suppression_id"] for _ in range(3)]
    first = (await viewer.get(API, params={"state": ["in_force", "planned"], "limit": 2})).json()
    then = (await viewer.get(API, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [row["suppression_id"] for row in first["items"] + then["items"]] == made[::-1]
    assert {row["zone_code"] for row in first["items"]} == {"DMA-1"}
    assert (await viewer.get(API, params={"state": "over"})).json()["items"] == []


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"reason": "  "}, 400), ({"reason": "x" * 501}, 422), ({"kind": "outage:"}, 400), ({"kind": "odd"}, 400),
        ({"kind": "district_leak"}, 400), ({"zone": "DMA-1"}, 400), ({"serial": None}, 400),
        ({"serial": "none"}, 404), ({"serial": None, "zone": "none"}, 404),
        ({"valid_to": NOW.isoformat()}, 400), ({"valid_to": (NOW + LONGEST + HOUR).isoformat()}, 400),
        ({"valid_from": (NOW + 9 * HOUR).isoformat()}, 400), ({"valid_from": (NOW - 31 * 24 * HOUR).isoformat()}, 400),
        ({"valid_to": "2026-03-11T00:00:00"}, 400), ({"valid_to": ...}, 422), ({"serial": "1\0"}, 400),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused(
    operator: httpx.AsyncClient, connection: asyncpg.Connection, changed: dict[str, Any], status: int
) -> None:
    answer = await add(operator, **changed)
    assert answer.status_code == status, answer.text
    assert await connection.fetchval("SELECT count(*) FROM alert_suppressions") == 0


async def test_viewers_look_only(viewer: httpx.AsyncClient) -> None:
    assert (await add(viewer)).status_code == 403
    assert (await viewer.post(f"{API}/1/end")).status_code == 403


async def test_what_is_not_there(operator: httpx.AsyncClient) -> None:
    assert (await operator.post(f"{API}/77/end")).status_code == 404
