"""Push products of a meter by REST: bound and ended by engineers; with the rights of the api's own database role."""

from __future__ import annotations

import json

import asyncpg
import httpx
import pytest

from api.queries.pushers import BindingRow

PUSHERS = "/api/v1/meters/210000000001/pushers"
DEVICE = "861234567890101"


async def bind(client: httpx.AsyncClient, product: str, status: int = 201, **more: object) -> int:
    answer = await client.post(PUSHERS, json={"product": product, **more})
    assert answer.status_code == status, answer.text
    return int(answer.json().get("binding_id", 0))


async def bound(client: httpx.AsyncClient) -> list[str]:
    rows = [BindingRow(**row) for row in (await client.get(PUSHERS)).json()]
    return [row.product for row in rows if row.ended_at is None]


async def test_a_meter_is_bound_moved_and_left(engineer: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    await connection.execute("DELETE FROM outbox")
    await bind(engineer, "east")
    await bind(engineer, "east", status=409)
    west = await bind(engineer, "west")
    assert await bound(engineer) == ["west"]
    await bind(engineer, "south", beside_others=True)
    assert await bound(engineer) == ["south", "west"]
    url = f"/api/v1/pushers/{west}/end"
    assert (await engineer.post(url, json={"reason": "sold"})).status_code == 204
    assert (await engineer.post(url, json={"reason": "sold"})).status_code == 404
    assert await bound(engineer) == ["south"]
    rows = await connection.fetch("SELECT actor, action, object FROM audit_log WHERE action ~ '^pushers' ORDER BY at")
    assert [row["action"] for row in rows] == ["pushers.bind"] * 3 + ["pushers.unbind"]
    assert {(row["actor"], row["object"]) for row in rows} == {("engineer", DEVICE)}
    assert await connection.fetchval("SELECT count(*) FROM outbox WHERE device = $1", DEVICE) >= 4
    old = (await engineer.get(PUSHERS)).json()[-1]
    assert (old["product"], old["ended_by"], old["ended_why"]) == ("east", "engineer", "moved")


@pytest.mark.usefixtures("seeded")
async def test_who_is_bound_beside_others_can_be_made_the_only_one(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await bind(engineer, "east")
    south = await bind(engineer, "south", beside_others=True)
    assert await bind(engineer, "south") == south
    assert await bound(engineer) == ["south"]
    detail = await connection.fetchval("SELECT detail FROM audit_log WHERE action = 'pushers.bind' ORDER BY at DESC")
    assert json.loads(detail)["ended"] == ["east"]


@pytest.mark.usefixtures("seeded")
async def test_too_many_and_no_products(engineer: httpx.AsyncClient) -> None:
    for number in range(4):
        await bind(engineer, f"p{number}", beside_others=True)
    await bind(engineer, "p4", status=409, beside_others=True)
    assert len(await bound(engineer)) == 4
    await bind(engineer, "No Product", status=422)
    assert (await engineer.post("/api/v1/meters/nobody/pushers", json={"product": "east"})).status_code == 404


async def test_only_engineers(operator: httpx.AsyncClient) -> None:
    assert (await operator.get(PUSHERS)).status_code == 403
    await bind(operator, "east", status=403)
    assert (await operator.post("/api/v1/pushers/1/end", json={"reason": "x"})).status_code == 403
