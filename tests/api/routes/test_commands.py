"""Commands over HTTP: filed, approved by somebody else, cancelled, and everything that must not be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from api.accounts import create_token, create_user
from api.database import WritePool
from api.roles import Role
from metering.command_feed import MAX_WAITING_PER_DEVICE
from tests.api.conftest import PASSWORD, Seed, client_of

COMMANDS = "/api/v1/commands"
SERIAL = "210000000001"
CLOSE = {"serials": [SERIAL], "kind": "valve", "arguments": {"valve": "close"}, "reason": "burst"}
CLOCK = {"serials": [SERIAL], "kind": "set_clock"}


@pytest.fixture(autouse=True)
def _meters(seeded: Seed) -> None:
    """Every test here runs over the seeded database."""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def _engineer(app: FastAPI, write: WritePool, login: str) -> httpx.AsyncClient:
    await create_user(write, login, Role.ENGINEER, PASSWORD, actor="test")
    token = await create_token(write, login, login, Role.ENGINEER, actor="test")
    return client_of(app, Authorization=f"Bearer {token}")


@pytest.fixture
async def wang(app: FastAPI, write: WritePool) -> AsyncIterator[httpx.AsyncClient]:
    async with await _engineer(app, write, "wang") as client:
        yield client


@pytest.fixture
async def zhao(app: FastAPI, write: WritePool) -> AsyncIterator[httpx.AsyncClient]:
    async with await _engineer(app, write, "zhao") as client:
        yield client


async def filed(client: httpx.AsyncClient, wish: dict[str, Any]) -> str:
    answer = await client.post(COMMANDS, json=wish)
    assert answer.status_code == 201, answer.text
    return answer.json()[0]


async def refused(client: httpx.AsyncClient, path: str, status: int, wish: dict[str, Any] | None = None) -> str:
    answer = await client.post(path, json=wish)
    assert answer.status_code == status, answer.text
    return str(answer.json())


async def state(client: httpx.AsyncClient, command_id: str) -> str:
    return (await client.get(f"{COMMANDS}/{command_id}")).json()["command"]["state"]


async def test_a_valve_is_closed_by_two(
    wang: httpx.AsyncClient, zhao: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    command_id = await filed(wang, CLOSE)
    assert await connection.fetchval("SELECT count(*) FROM command_outbox") == 0  # nobody is told yet
    assert "somebody else" in await refused(wang, f"{COMMANDS}/{command_id}/approve", 403)
    answer = (await zhao.post(f"{COMMANDS}/{command_id}/approve")).json()
    assert (answer["command"]["state"], answer["command"]["approved_by"]) == ("queued", "zhao")
    assert [(event["state"], event["actor"]) for event in answer["events"]] == [
        ("awaiting_approval", "wang"), ("queued", "zhao"),
    ]  # fmt: skip
    assert answer["command"]["arguments"] == {"valve": "close"}
    assert await connection.fetchval("SELECT count(*) FROM command_outbox") == 1
    assert "no approval" in await refused(zhao, f"{COMMANDS}/{command_id}/approve", 409)
    audited = await connection.fetch("SELECT actor, action FROM audit_log WHERE action LIKE 'command.%' ORDER BY at")
    assert [tuple(row) for row in audited] == [("wang", "command.file"), ("zhao", "command.approve")]


async def test_what_expired_waits_for_no_approval(
    wang: httpx.AsyncClient, zhao: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    command_id = await filed(wang, CLOSE)
    await connection.execute("UPDATE commands SET filed_at = '2026-01-01Z', expires_at = '2026-01-02Z'")
    assert "the command is expired by now" in await refused(zhao, f"{COMMANDS}/{command_id}/approve", 409)


async def test_who_may_not(viewer: httpx.AsyncClient, operator: httpx.AsyncClient, wang: httpx.AsyncClient) -> None:
    await refused(viewer, COMMANDS, 403, CLOCK)
    await refused(operator, COMMANDS, 403, CLOSE)
    await filed(operator, CLOCK)
    command_id = await filed(wang, CLOSE)
    await refused(operator, f"{COMMANDS}/{command_id}/approve", 403)
    await refused(operator, f"{COMMANDS}/{command_id}/cancel", 403)


@pytest.mark.parametrize(
    ("wish", "status", "words"),
    [
        (CLOSE | {"reason": " "}, 400, "give the reason"),
        (CLOSE | {"arguments": {}}, 400, "needs valve"),
        (CLOSE | {"serials": ["none"]}, 404, "no meter none"),
        (CLOSE | {"serials": ["210000000005"]}, 409, "no device"),  # disabled
        (CLOSE | {"serials": ["210000000006"]}, 409, "no device"),  # removed
        (CLOSE | {"serials": [SERIAL, SERIAL]}, 400, "twice"),
        (CLOSE | {"kind": "explode"}, 400, "a kind is one of"),
        (CLOSE | {"kind": "firmware", "arguments": {}}, 400, "campaign"),
        (CLOCK | {"ttl_h": 0.001}, 400, "waits from"),
        (CLOCK | {"serials": ["a\0b"]}, 400, "database"),
    ],
)
async def test_what_cannot_be_is_refused(
    wang: httpx.AsyncClient, wish: dict[str, Any], status: int, words: str
) -> None:
    assert words in await refused(wang, COMMANDS, status, wish)


async def test_a_critical_customer_is_never_cut_off(
    wang: httpx.AsyncClient, zhao: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    command_id = await filed(wang, CLOSE)
    raw = await filed(wang, CLOSE | {"kind": "raw", "arguments": {"frame": "6816"}})
    await connection.execute("UPDATE service_points SET critical = true")
    for one in (command_id, raw):
        assert "critical" in await refused(zhao, f"{COMMANDS}/{one}/approve", 409)
    assert "critical" in await refused(wang, COMMANDS, 409, CLOSE)
    assert "critical" in await refused(wang, COMMANDS, 409, CLOSE | {"kind": "raw", "arguments": {"frame": "6816"}})
    await filed(wang, CLOSE | {"arguments": {"valve": "open"}})


async def test_never_many_at_once(
    wang: httpx.AsyncClient, zhao: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    many = [await filed(wang, CLOSE) for _ in range(20)]
    assert "at most 20" in await refused(wang, COMMANDS, 409, CLOSE)
    await filed(wang, CLOSE | {"arguments": {"valve": "open"}})
    await wang.post(f"{COMMANDS}/{many.pop()}/cancel")
    many.append(await filed(wang, CLOSE))
    for command_id in many:
        assert (await zhao.post(f"{COMMANDS}/{command_id}/approve")).status_code == 200
    await connection.execute("UPDATE commands SET filed_at = filed_at - interval '25 hours'")
    next_day = await filed(wang, CLOSE)
    assert "at most 20" in await refused(zhao, f"{COMMANDS}/{next_day}/approve", 409)


async def test_no_more_wait_for_a_meter_than_it_can_hear(operator: httpx.AsyncClient) -> None:
    for _ in range(MAX_WAITING_PER_DEVICE):
        await filed(operator, CLOCK)
    assert "wait for" in await refused(operator, COMMANDS, 409, CLOCK)


async def test_cancelled_is_cancelled(operator: httpx.AsyncClient, viewer: httpx.AsyncClient) -> None:
    command_id = await filed(operator, CLOCK)
    answer = await operator.post(f"{COMMANDS}/{command_id}/cancel", json={"reason": "mistaken"})
    assert answer.json()["events"][-1] | {"at": ""} == {
        "at": "", "state": "cancelled", "actor": "operator", "detail": "mistaken",
    }  # fmt: skip
    await refused(operator, f"{COMMANDS}/{command_id}/cancel", 409)
    assert await state(viewer, command_id) == "cancelled"


async def test_lists_are_filtered_and_paged(operator: httpx.AsyncClient, viewer: httpx.AsyncClient) -> None:
    ids = [await filed(operator, CLOCK | {"serials": [f"21000000000{n}"]}) for n in (1, 2, 1)]
    await operator.post(f"{COMMANDS}/{ids[2]}/cancel")
    first = (await viewer.get(COMMANDS, params={"limit": 2})).json()
    rest = (await viewer.get(COMMANDS, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert {row["command_id"] for row in first["items"] + rest["items"]} == set(ids)
    found = (await viewer.get(COMMANDS, params={"serial": SERIAL, "state": "queued", "kind": "set_clock"})).json()
    assert [row["command_id"] for row in found["items"]] == [ids[0]]
    for missing in ("0" * 16, "f" * 16):
        assert (await viewer.get(f"{COMMANDS}/{missing}")).status_code == 404


async def test_a_command_that_a_platform_did_not_give_back_shows_it(
    wang: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    command_id = await filed(wang, CLOCK)

    async def recall() -> tuple[object, object]:
        shown = (await wang.get(f"{COMMANDS}/{command_id}")).json()["command"]
        return shown["recall"], (await wang.get(COMMANDS)).json()["items"][0]["recall"]

    note = "INSERT INTO command_events (command_id, state, actor) VALUES ($1, $2, $3)"
    await connection.execute(note, int(command_id, 16), "not_recalled", "iotda")
    assert await recall() == (None, None)  # it is not cancelled
    await wang.post(f"{COMMANDS}/{command_id}/cancel")
    assert await recall() == ("not_recalled", "not_recalled")
    await connection.execute(note, int(command_id, 16), "recalled", "ctwing")
    assert await recall() == ("not_recalled", "not_recalled")  # the platform that had it before still has it
    await connection.execute(note, int(command_id, 16), "recalled", "iotda")
    assert await recall() == ("recalled", "recalled")
