"""Unknown devices by REST: listed, taken into the registry as an import would, dismissed; with the api's own rights."""

from __future__ import annotations

import asyncpg
import httpx
import pytest

from api.queries.strangers import StrangerRow

API = "/api/v1/strangers"
IMEI = "861234567899999"


async def knock(connection: asyncpg.Connection, *names: str, source: str = "10.1.2.3") -> None:
    for name in names:
        await connection.execute(
            "INSERT INTO strangers (name, door, source, reason) VALUES ($1, 'coap', $2, 'unknown_device')", name, source
        )


async def approve(
    client: httpx.AsyncClient, name: str, serial: str, plain: bool = False, source: str = "10.1.2.3"
) -> tuple[int, str]:
    asked = {"name": name, "serial": serial, "plain": plain, "source": source}
    answer = await client.post(f"{API}/approve", json=asked)
    body = answer.json()
    return answer.status_code, body.get("device") or body.get("message")


async def installed(connection: asyncpg.Connection, serial: str) -> list[tuple[object, ...]]:
    rows = await connection.fetch(
        "SELECT d.device, d.imei, d.plain_sources::text, i.valid_to IS NULL FROM installations i JOIN meters USING "
        "(meter_id) JOIN devices d USING (device_id) WHERE serial = $1 ORDER BY installation_id",
        serial,
    )
    return [tuple(row) for row in rows]


async def test_they_are_listed_page_by_page(operator: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    await knock(connection, *(f"stranger {n}" for n in range(5)))
    seen, cursor = [], None
    while True:
        body = (await operator.get(API, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [StrangerRow(**row).name for row in body["items"]]
        if (cursor := body["next_cursor"]) is None:
            break
    assert sorted(seen) == [f"stranger {n}" for n in range(5)]
    found = (await operator.get(API, params={"search": "ger 3"})).json()
    assert [row["name"] for row in found["items"]] == ["stranger 3"]


async def test_a_new_meter_is_made(engineer: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    await knock(connection, IMEI, "30001", "urn:imei:861234567888888")
    await connection.execute("DELETE FROM outbox")
    assert await approve(engineer, IMEI, "30002", plain=True) == (201, IMEI)
    assert await installed(connection, "30002") == [(IMEI, IMEI, "{10.1.2.3/32}", True)]
    assert await approve(engineer, "30001", "30001") == (201, "30001")
    assert await installed(connection, "30001") == [("30001", None, "{}", True)]
    assert await approve(engineer, "urn:imei:861234567888888", "30003") == (201, "861234567888888")
    assert await connection.fetchval("SELECT count(*) FROM strangers") == 0
    assert await connection.fetchval("SELECT count(DISTINCT device) FROM outbox") == 3
    actions = await connection.fetch(
        "SELECT actor, object FROM audit_log WHERE action = 'stranger.approve' ORDER BY at"
    )
    assert [tuple(row) for row in actions] == [
        ("engineer", IMEI), ("engineer", "30001"), ("engineer", "861234567888888"),
    ]  # fmt: skip


async def test_a_known_meter_gets_the_device(engineer: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    await knock(connection, IMEI, source="::1")
    assert await approve(engineer, IMEI, "210000000002", plain=True, source="::1") == (201, IMEI)
    first, second = await installed(connection, "210000000002")
    assert (first[0], first[3]) == ("861234567890102", False)
    assert second == (IMEI, IMEI, "{::1/128}", True)


async def test_a_meter_that_spoke_as_its_serial_learns_its_imei(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE devices SET imei = NULL, device = '210000000002' WHERE device_id = 2")
    await knock(connection, IMEI)
    assert await approve(engineer, IMEI, "210000000002") == (201, IMEI)
    assert await installed(connection, "210000000002") == [(IMEI, IMEI, "{127.0.0.0/8}", True)]


@pytest.mark.parametrize(
    ("name", "serial", "why"),
    [
        ("861234567890101", "30001", "in the registry already"),
        (IMEI, "861234567890101", "name of another device"),
        (IMEI, "210000000006", "not installed"),
        (IMEI, "not a serial", "a serial is"),
        ("210000000003", "30001", "serial of another meter"),
        ("no device's name\u202e", "30001", "no device can have"),
    ],
)
async def test_what_contradicts_the_registry_is_refused(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection, name: str, serial: str, why: str
) -> None:
    await knock(connection, name)
    status, message = await approve(engineer, name, serial)
    assert (status, why in message) == (409, True), message
    assert await connection.fetchval("SELECT count(*) FROM strangers") == 1


async def test_the_plain_door_opens_for_no_address_that_nobody_saw(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    """Whoever knocks last under a name is listed: he must not become the one who was approved a moment before."""
    await knock(connection, IMEI)
    await connection.execute("UPDATE strangers SET source = '203.0.113.66' WHERE name = $1", IMEI)
    status, message = await approve(engineer, IMEI, "30002", plain=True)
    assert (status, "203.0.113.66" in message) == (409, True)
    assert await installed(connection, "30002") == []
    assert await approve(engineer, IMEI, "30002", plain=True, source="203.0.113.66") == (201, IMEI)


async def test_only_who_knocked_can_be_taken_in(engineer: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    assert (await approve(engineer, IMEI, "30001"))[0] == 404
    await knock(connection, IMEI, source="a hidden place")
    status, message = await approve(engineer, IMEI, "30001", plain=True, source="a hidden place")
    assert (status, "address" in message) == (409, True)


async def test_a_dismissed_one_leaves_the_list(
    engineer: httpx.AsyncClient, operator: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await knock(connection, IMEI)
    assert (await operator.post(f"{API}/dismiss", json={"name": IMEI})).status_code == 403
    assert (await operator.post(f"{API}/approve", json={"name": IMEI, "serial": "1"})).status_code == 403
    assert (await engineer.post(f"{API}/dismiss", json={"name": IMEI})).status_code == 204
    assert (await engineer.post(f"{API}/dismiss", json={"name": IMEI})).status_code == 404
    assert (await operator.get(API)).json()["items"] == []
    (row,) = (await operator.get(API, params={"dismissed": True})).json()["items"]
    assert row["dismissed_by"] == "engineer"
    assert (await approve(engineer, IMEI, "30001"))[0] == 201


async def test_who_was_pushed_is_bound_to_its_product(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    """To the one that the person has seen, from whichever of its addresses; not to one that came meanwhile."""
    query = "SELECT product, bound_by FROM pusher_bindings JOIN devices USING (device_id) WHERE device = $1"
    for number, (seen, now, product) in enumerate(
        (("east 10.0.0.1", "east 10.0.0.2", "east"), ("east 10.0.0.1", "west 10.0.0.1", None), ("", "east ::1", None))
    ):
        name = f"86123456788888{number}"
        await knock(connection, name, source=now)
        await connection.execute("UPDATE strangers SET door = 'ctwing' WHERE name = $1", name)
        assert await approve(engineer, name, f"4000{number}", source=seen) == (201, name)
        found = [tuple(row) for row in await connection.fetch(query, name)]
        assert found == ([(product, "engineer")] if product else [])
