"""Readings that people give and take away: over REST, audited, reversible, and followed by the sums."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import pytest

from api import amendment_rules
from api.roles import ForbiddenError, Principal, Role
from ingest.settlement.stage import SettlementStage
from metering.errors import RequestError
from metering.settings import SettlementSettings
from tests.api.conftest import Seed

API = "/api/v1/meters/210000000001"
ZONE, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")
NOON = "2026-03-08T12:00:00+08:00"
DAYS = {"from": "2026-03-08", "to": "2026-03-09"}


@pytest.fixture(autouse=True)
def _water(seeded: Seed) -> None:
    """Every test here runs over the seeded database."""


async def settle(connection: asyncpg.Connection, zone: ZoneInfo = ZONE) -> None:
    while await SettlementStage(connection, SettlementSettings(), zone).settle_batch():
        pass


async def amend(
    client: httpx.AsyncClient, index_ml: int | None, ts: str = NOON, reason: str = "misread"
) -> httpx.Response:
    return await client.post(f"{API}/amendments", json={"ts": ts, "index_ml": index_ml, "reason": reason})


async def volumes(client: httpx.AsyncClient, by: str) -> list[tuple[int, str]]:
    answer = await client.get(f"{API}/consumption", params={**DAYS, "by": by})
    return [(row["volume_ml"], row["quality"]) for row in answer.json()]


async def test_a_reading_is_changed_changed_again_and_given_back(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    made = await amend(engineer, 1_012_900)
    assert made.status_code == 201
    await settle(connection)
    assert (await volumes(engineer, "day"))[0] == (24_000, "edited")
    hours = await volumes(engineer, "hour")
    assert hours[11:13] == [(1_900, "edited"), (100, "edited")]
    again = await amend(engineer, None, reason="no, it is void")
    listed = (await engineer.get(f"{API}/amendments")).json()
    assert [(row["index_ml"], row["withdrawn_why"]) for row in listed] == [(None, None), (1_012_900, "replaced")]
    assert [volume for volume, _ in (await volumes(engineer, "hour"))[11:13]] == [1_000, 1_000]
    answer = await engineer.post(f"{API}/amendments/{again.json()}/withdraw", json={"reason": "was right"})
    assert answer.status_code == 200
    assert (await volumes(engineer, "hour"))[11:13] == [(1_000, "measured")] * 2
    await settle(connection)
    assert (await volumes(engineer, "day"))[0] == (24_000, "measured")
    twice = await engineer.post(f"{API}/amendments/{again.json()}/withdraw", json={"reason": "again"})
    assert twice.status_code == 409
    actions = await connection.fetch("SELECT actor, action FROM audit_log WHERE object = '210000000001' ORDER BY at")
    assert [tuple(row) for row in actions] == [
        ("engineer", "amend_reading"), ("engineer", "amend_reading"), ("engineer", "withdraw_amendment"),
    ]  # fmt: skip
    assert await connection.fetchval("SELECT count(*) FROM readings") == 49


@pytest.mark.parametrize(
    ("ts", "index_ml", "reason", "status"),
    [
        (NOON, 5, " ", 400), (NOON, -1, "why", 422), (NOON, 10**15, "why", 400), (NOON, True, "why", 422),
        (NOON, "5", "why", 422), (NOON, 5, "\u202ewhy", 400), (NOON, 5, "w\x07hy", 400),
        ("2026-03-08T12:00:00.5Z", 5, "why", 400),
        ("2026-03-08T12:00:00", 5, "why", 400), ("2027-01-01T00:00:00Z", 5, "why", 400),
        ("2026-03-08T12:30:00+08:00", None, "why", 404),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection, ts: str, index_ml: int | None, reason: str, status: int
) -> None:
    assert (await amend(engineer, index_ml, ts, reason)).status_code == status
    assert await connection.fetchval("SELECT count(*) FROM amendments") == 0


async def test_operators_may_look_only(operator: httpx.AsyncClient) -> None:
    assert (await amend(operator, 5)).status_code == 403
    assert (await operator.get(f"{API}/amendments")).json() == []
    assert (await operator.post(f"{API}/amendments/1/withdraw", json={"reason": "x"})).status_code == 403


async def test_unknown_meters_and_amendments(engineer: httpx.AsyncClient) -> None:
    answer = await engineer.post("/api/v1/meters/none/amendments", json={"ts": NOON, "index_ml": 5, "reason": "x"})
    assert answer.status_code == 404
    assert (await engineer.post(f"{API}/amendments/77/withdraw", json={"reason": "x"})).status_code == 404


async def test_the_multiplier_counts(viewer: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE installations SET multiplier = 10 WHERE meter_id = 1")
    assert [volume for volume, _ in await volumes(viewer, "day")] == [240_000, 240_000]
    assert (await volumes(viewer, "hour"))[0][0] == 10_000


async def test_a_register_that_stands_still_is_said(viewer: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO settled_days SELECT 1, '2026-01-05'::date + n, 1, 1, 0, 0, 'measured', '{}', true, 24 "
        "FROM generate_series(0, 30) n"
    )
    answer = await viewer.get(f"{API}/consumption", params={"from": "2026-01-20", "to": "2026-02-10"})
    assert {tuple(row["reasons"]) for row in answer.json()} == {("stuck",)}


def test_rules_in_short() -> None:
    with pytest.raises(ForbiddenError):
        amendment_rules.check_role(Principal("wang", Role.OPERATOR, "token"))
    with pytest.raises(RequestError):
        amendment_rules.check_reason("a" * 501)
    assert amendment_rules.check_reason(" seen ") == "seen"


async def test_a_day_is_given_as_such_and_flows_into_sums_bills_and_the_ledger(
    engineer: httpx.AsyncClient, operator: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    wanted = {"volume_ml": 12_000, "reason": "burst behind the meter, agreed with the customer"}
    path = f"{API}/days/2026-03-08/edit"
    assert (await operator.post(path, json=wanted)).status_code == 403
    assert (await engineer.post(path, json={**wanted, "reason": " "})).status_code == 400
    assert (await engineer.post(path, json={**wanted, "volume_ml": 10**9})).status_code == 400
    assert (await engineer.post(f"{API}/days/2019-03-08/edit", json=wanted)).status_code == 404
    for future in ("2199-03-08", "9999-12-31"):
        assert (await engineer.post(f"{API}/days/{future}/edit", json=wanted)).status_code == 400
    await connection.execute("UPDATE installations SET multiplier = 10 WHERE meter_id = 1")
    period = {"name": "P", "first_day": "2026-03-08", "last_day": "2026-03-09"}
    await engineer.post("/api/v1/billing/periods", json=period)
    billed = (await engineer.post("/api/v1/billing/periods/P/close", json={"reason": "all looked at"})).json()[
        "billed_ml"
    ]
    made = await engineer.post(path, json=wanted)
    assert made.status_code == 201
    await settle(connection)
    day, following = await volumes(engineer, "day")
    assert day == (12_000, "edited")
    ledger = (await engineer.get("/api/v1/billing/periods/P/corrections")).json()["items"]
    assert [row["after_ml"] for row in ledger] == [12_000 + following[0]]
    listed = (await engineer.get(f"{API}/day-edits")).json()
    assert [(row["day"], row["volume_ml"], row["withdrawn_at"]) for row in listed] == [("2026-03-08", 12_000, None)]
    void = await engineer.post(path, json={"volume_ml": None, "reason": "void"})
    await settle(connection)
    assert (await volumes(engineer, "day"))[0] == (0, "edited")
    taken_back = await engineer.post(f"{API}/day-edits/{void.json()}/withdraw", json={"reason": "was right"})
    assert [row["withdrawn_why"] for row in taken_back.json()] == ["was right", "replaced"]
    await settle(connection)
    assert (await volumes(engineer, "day"))[0] == (240_000, "measured")
    ledger = (await engineer.get("/api/v1/billing/periods/P/corrections")).json()["items"]
    assert sum(row["difference_ml"] for row in ledger) == 0
    assert billed == 240_000 + following[0]
    again = await engineer.post(f"{API}/day-edits/{void.json()}/withdraw", json={"reason": "was right"})
    assert again.status_code == 409
    actions = await connection.fetch("SELECT action FROM audit_log WHERE action LIKE '%day%' ORDER BY at")
    assert [row["action"] for row in actions] == ["edit_day", "edit_day", "withdraw_day_edit"]


@pytest.mark.parametrize(("day", "hours"), [("2025-03-09", 23), ("2025-11-02", 25)])
async def test_days_on_which_clocks_change_are_edited_whole(
    engineer: httpx.AsyncClient, context, connection: asyncpg.Connection, day: str, hours: int
) -> None:
    object.__setattr__(context, "zone", NEW_YORK)
    begin = datetime.fromisoformat(day).replace(tzinfo=NEW_YORK).astimezone(UTC)
    await connection.executemany(
        "INSERT INTO readings VALUES (2, $1, 0, $2)",
        [(begin + timedelta(hours=hour), 10**6 + 10_000 * hour) for hour in range(-48, 73)],
    )
    await connection.execute(
        "INSERT INTO touched_spans (meter_id, from_ts, to_ts) "
        "SELECT 2, min(ts), max(ts) FROM readings WHERE meter_id = 2"
    )
    await settle(connection, NEW_YORK)
    meter = "/api/v1/meters/210000000002"
    most_ml = 3_125_000 * hours
    for volume_ml, status in ((most_ml + 1, 400), (most_ml, 201)):
        wanted = {"volume_ml": volume_ml, "reason": "fire brigade"}
        assert (await engineer.post(f"{meter}/days/{day}/edit", json=wanted)).status_code == status
    await settle(connection, NEW_YORK)
    middle = date.fromisoformat(day)
    span = {"from": str(middle - timedelta(days=1)), "to": str(middle + timedelta(days=1)), "by": "day"}
    rows = (await engineer.get(f"{meter}/consumption", params=span)).json()
    assert [row["volume_ml"] for row in rows] == [240_000, most_ml, 240_000]
    assert rows[1]["excluded_ml"] == 10_000 * hours - most_ml
    assert datetime.fromisoformat(rows[1]["end"]) - begin == timedelta(hours=hours)
