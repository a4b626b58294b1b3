"""Billing periods over REST: closed for good, corrected in a ledger, exported as CSV, XLSX and Parquet."""

from __future__ import annotations

import csv
import io
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import pytest
from openpyxl import load_workbook
from pyarrow import parquet

from api.billing_export import HEADER
from api.queries.billing import get_period
from api.queries.billing_lines import METERS_A_PAGE
from ingest.settlement.stage import SettlementStage
from metering.billing import CLOSING_LOCK
from metering.settings import SettlementSettings
from tests.api.conftest import Seed

API = "/api/v1/billing/periods"
ZONE = ZoneInfo("Asia/Shanghai")
MARCH = {"name": "early March", "first_day": "2026-03-08", "last_day": "2026-03-09"}
PATH = f"{API}/early%20March"
CLOSING = {"reason": "all meters looked at"}


@pytest.fixture(autouse=True)
def _water(seeded: Seed) -> None:
    """Every test here runs over the seeded database."""


async def settle(connection: asyncpg.Connection) -> None:
    while await SettlementStage(connection, SettlementSettings(), ZONE).settle_batch():
        pass


async def closed(engineer: httpx.AsyncClient) -> dict:
    assert (await engineer.post(API, json=MARCH)).status_code == 201
    answer = await engineer.post(f"{PATH}/close", json=CLOSING)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def lines(client: httpx.AsyncClient) -> list[dict[str, str]]:
    answer = await client.get(f"{PATH}/export")
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


async def test_a_closed_period_keeps_its_entries_and_corrections_follow(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE installations SET multiplier = 10 WHERE meter_id = 1")
    period = await closed(engineer)
    assert (period["state"], period["entries"], period["billed_ml"]) == ("closed", 1, 480_000)
    (line,) = await lines(engineer)
    assert (line["start_index_ml"], line["end_index_ml"], line["consumption_ml"]) == ("1000000", "1048000", "48000")
    assert (line["quality"], line["complete"], line["missing_days"]) == ("measured", "true", "0")
    late = {"ts": "2026-03-10T00:00:00+08:00", "index_ml": 1_047_500, "reason": "read on site"}
    assert (await engineer.post("/api/v1/meters/210000000001/amendments", json=late)).status_code == 201
    await settle(connection)
    await settle(connection)
    ledger = (await engineer.get(f"{PATH}/corrections")).json()["items"]
    assert [(row["before_ml"], row["after_ml"], row["difference_ml"]) for row in ledger] == [(480_000, 475_000, -5_000)]
    assert ledger[0]["carried_to"] is None
    period = (await engineer.get(PATH)).json()
    assert (period["billed_ml"], period["corrections"], period["corrected_ml"]) == (480_000, 1, -5_000)
    (line,) = await lines(engineer)
    assert (line["billed_ml"], line["corrected_ml"], line["end_index_ml"]) == ("480000", "-5000", "1048000")
    await engineer.post(API, json={"name": "February", "first_day": "2026-02-01", "last_day": "2026-02-28"})
    await engineer.post(f"{API}/February/close", json=CLOSING)
    assert (await engineer.get(f"{PATH}/corrections")).json()["items"][0]["carried_to"] == "February"
    carried = (await engineer.get(f"{API}/February/corrections", params={"carried": True})).json()["items"]
    assert [(row["period"], row["difference_ml"]) for row in carried] == [("early March", -5_000)]
    as_file = await engineer.get(f"{API}/February/corrections", params={"carried": True, "format": "csv"})
    (row,) = csv.DictReader(io.StringIO(as_file.text.removeprefix("\ufeff")))
    assert (row["period"], row["serial"], row["difference_ml"]) == ("early March", "210000000001", "-5000")
    assert row["reasons"] == "edited"
    for column in ("billed_ml = 0", "reasons = '{}'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"SET ROLE nbwater_api; UPDATE billing_entries SET {column}")


async def make_flow(connection: asyncpg.Connection, direction: str) -> None:
    """Meter 1, from before the period on, counts water into or out of a district."""
    await connection.execute(
        "INSERT INTO zone_flows (zone_id, meter_id, direction, valid_from)"
        " SELECT zone_id, 1, $1, '2026-01-01Z' FROM zones WHERE code = 'DMA-1'",
        direction,
    )


async def test_nobody_is_billed_for_an_inlet_and_the_buyer_behind_an_outlet_is(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await make_flow(connection, "in")
    assert (await closed(engineer))["entries"] == 0
    await connection.execute("DELETE FROM zone_flows")
    await make_flow(connection, "out")
    lines = "SELECT count(*) FROM billing_lines('2026-03-08', '2026-03-09', 'Asia/Shanghai', NULL)"
    assert await connection.fetchval(lines) == 1


async def test_an_inlet_that_was_billed_is_corrected_to_nothing(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    billed = (await closed(engineer))["billed_ml"]
    await make_flow(connection, "in")
    await settle(connection)
    ledger = (await engineer.get(f"{PATH}/corrections")).json()["items"]
    assert sum(row["difference_ml"] for row in ledger) == -billed < 0


@pytest.mark.parametrize(
    ("change", "differences"),
    [
        ("multiplier = 10", [48_000 * 9]),
        ("valid_from = '2026-03-08 16:00Z'", [-24_000]),
        ("valid_to = '2026-03-08 16:00Z'", [-24_000]),
        ("start_index_ml = 7", []),
        ("valid_to = '2026-03-19 04:00Z'", []),
    ],
)  # fmt: skip
async def test_what_changes_in_the_register_of_installations_reaches_the_ledger(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection, change: str, differences: list[int]
) -> None:
    await closed(engineer)
    await connection.execute(f"UPDATE installations SET {change} WHERE meter_id = 1")
    await settle(connection)
    ledger = (await engineer.get(f"{PATH}/corrections")).json()["items"]
    assert [row["difference_ml"] for row in ledger] == differences


async def test_what_is_not_known_any_more_is_corrected_to_nothing(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute("DELETE FROM readings WHERE ts > '2026-03-08 10:00Z'")
    await connection.execute("DELETE FROM settled_days WHERE day <> '2026-03-08'")
    await closed(engineer)
    for hour in range(11):
        void = {"ts": f"2026-03-08T{hour + 8:02d}:00:00+08:00", "index_ml": None, "reason": "another meter's"}
        assert (await engineer.post("/api/v1/meters/210000000001/amendments", json=void)).status_code == 201
    await connection.execute("DELETE FROM readings WHERE ts < '2026-03-08 00:00Z'")
    await settle(connection)
    assert await connection.fetchval("SELECT count(*) FROM settled_days") == 0
    ledger = (await engineer.get(f"{PATH}/corrections")).json()["items"]
    assert sum(row["difference_ml"] for row in ledger) == -24_000


async def test_settlement_waits_while_a_period_is_closed(connection: asyncpg.Connection, database_url: str) -> None:
    other = await asyncpg.connect(database_url)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", CLOSING_LOCK)
        await other.execute("SET lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await SettlementStage(other, SettlementSettings(), ZONE).settle_batch()
    await other.close()


async def test_an_open_period_shows_what_is_known_now(engineer: httpx.AsyncClient) -> None:
    await engineer.post(API, json=MARCH)
    (line,) = await lines(engineer)
    assert (line["state"], line["billed_ml"], line["meter_index_ml"]) == ("open", "48000", "")
    assert METERS_A_PAGE > 1


async def test_the_workbook_has_the_same_lines_and_no_formulas(engineer: httpx.AsyncClient) -> None:
    await closed(engineer)
    answer = await engineer.get(f"{PATH}/export", params={"format": "xlsx"})
    rows = list(load_workbook(io.BytesIO(answer.content)).active.iter_rows(values_only=True))
    assert rows[0] == HEADER
    assert rows[1][HEADER.index("customer")] == "'=cmd|1"
    assert rows[1][HEADER.index("billed_ml")] == 48_000


async def test_parquet_has_the_same_lines_with_types(engineer: httpx.AsyncClient, monkeypatch) -> None:
    await closed(engineer)
    answer = await engineer.get(f"{PATH}/export", params={"format": "parquet"})
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    (row,) = parquet.read_table(io.BytesIO(answer.content)).to_pylist()
    assert (row["billed_ml"], row["quality"], row["reasons"]) == (48_000, "measured", [])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused = await engineer.get(f"{PATH}/export", params={"format": "parquet"})
    assert (refused.status_code, "nbwater[parquet]" in refused.text) == (400, True)


async def test_a_swap_gives_each_meter_its_days(engineer: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE installations SET valid_to = '2026-03-09 04:00Z' WHERE meter_id = 1")
    await connection.execute("UPDATE installations SET valid_to = '2026-03-01' WHERE meter_id = 2")
    device = await connection.fetchval("INSERT INTO devices (device) VALUES ('new') RETURNING device_id")
    await connection.execute(
        "INSERT INTO installations (service_point_id, meter_id, device_id, valid_from, start_index_ml) "
        "SELECT service_point_id, 2, $1, '2026-03-09 04:00Z', 500 FROM installations WHERE meter_id = 1", device
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO readings VALUES (2, '2026-03-09 15:00Z', 0, 4500), (2, '2026-03-09 16:00Z', 0, 4600)"
    )
    await settle(connection)
    await closed(engineer)
    old, new = await lines(engineer)
    assert (old["serial"], old["first_day"], old["last_day"]) == ("210000000001", "2026-03-08", "2026-03-09")
    assert (new["serial"], new["first_day"], new["billed_ml"]) == ("210000000002", "2026-03-09", "4100")
    assert old["service_point_id"] == new["service_point_id"]


async def test_the_meters_own_settlement_index_is_compared(
    engineer: httpx.AsyncClient, context, connection: asyncpg.Connection
) -> None:
    object.__setattr__(context, "billing", context.billing.model_copy(update={"settlement_day": 10}))
    await connection.execute("UPDATE reports SET extra = '{\"settlement_index_ml\": 1050000}' WHERE meter_id = 1")
    await closed(engineer)
    (line,) = await lines(engineer)
    assert (line["meter_index_ml"], line["reasons"]) == ("1050000", "sum_mismatch")


@pytest.mark.parametrize("said", ['"x"', "1.5", "true", "1e300", "-1", "null", '"12345678901234567890"'])
async def test_what_is_no_index_does_not_keep_a_period_open(
    engineer: httpx.AsyncClient, context, connection: asyncpg.Connection, said: str
) -> None:
    """A decoder of a utility's own may put anything there."""
    object.__setattr__(context, "billing", context.billing.model_copy(update={"settlement_day": 10}))
    await connection.execute(
        "UPDATE reports SET extra = jsonb_build_object('settlement_index_ml', $1::jsonb) WHERE meter_id = 1", said
    )
    await closed(engineer)
    (line,) = await lines(engineer)
    assert (line["meter_index_ml"], line["reasons"]) == ("", "")


async def test_the_preview_tells_what_would_be_estimated(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "UPDATE settled_days SET quality = 'estimated', reasons = '{gap,profile}' WHERE day = '2026-03-09'"
    )
    await connection.execute("DELETE FROM settled_days WHERE day = '2026-03-08'")
    inlet = 2  # no customer, so it is not missed
    await connection.execute(
        "INSERT INTO zone_flows (zone_id, meter_id, direction, valid_from) VALUES (1, $1, 'in', '2026-01-01Z')", inlet
    )
    await engineer.post(API, json=MARCH)
    found = (await engineer.get(f"{PATH}/preview")).json()
    (line,) = found.pop("doubtful")
    assert (line["serial"], line["quality"], line["missing_days"]) == ("210000000001", "estimated", 1)
    installed = await connection.fetch(
        "SELECT serial FROM installations JOIN meters USING (meter_id) WHERE valid_from < '2026-03-09 16:00Z' "
        "AND COALESCE(valid_to, 'infinity') > '2026-03-07 16:00Z' AND meter_id NOT IN (1, $1) ORDER BY serial", inlet
    )  # fmt: skip
    silent = [row["serial"] for row in installed][:20]
    assert found == {
        "is_over": True, "entries": 1, "billed_ml": line["billed_ml"], "edited": 0, "interpolated": 0, "estimated": 1,
        "estimated_ml": line["billed_ml"], "incomplete": 1, "missing_days": 1, "silent": len(installed),
        "silent_serials": silent,
        "waiting_spans": await connection.fetchval("SELECT count(*) FROM touched_spans"), "corrections": 0,
        "corrected_ml": 0,
    }  # fmt: skip
    closed_now = (await engineer.post(f"{PATH}/close", json={"reason": "looked at"})).json()
    assert closed_now["billed_ml"] == found["billed_ml"]
    detail = await connection.fetchval("SELECT detail->>'reason' FROM audit_log WHERE action = 'close_billing_period'")
    assert detail == "looked at"
    assert (await engineer.get(f"{PATH}/preview")).status_code == 409


async def test_a_meter_that_ends_at_midnight_has_no_part_in_the_next_day(
    engineer: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE installations SET valid_to = '2026-03-08 16:00Z' WHERE meter_id = 1")
    await closed(engineer)
    (line,) = await lines(engineer)
    assert (line["last_day"], line["complete"], line["missing_days"]) == ("2026-03-08", "true", "0")


async def test_lines_of_some_meters_are_never_planned_as_those_of_all(connection: asyncpg.Connection) -> None:
    """After five pages of an export the server would read the days of all meters for each page."""
    config = await connection.fetchval("SELECT proconfig FROM pg_proc WHERE proname = 'billing_lines'")
    assert "plan_cache_mode=force_custom_plan" in config


async def test_an_open_period_is_taken_back_and_a_closed_one_is_not(
    engineer: httpx.AsyncClient, operator: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    wrong = {"name": "2026年3月", "first_day": "2026-03-08", "last_day": "2026-03-30"}
    assert (await engineer.post(API, json=wrong)).status_code == 201
    path = f"{API}/2026年3月"
    export = await engineer.get(f"{path}/export")
    assert export.headers["content-disposition"].endswith("filename*=UTF-8''billing-2026%E5%B9%B43%E6%9C%88.csv")
    assert (await operator.post(f"{path}/drop", json={"reason": "typo"})).status_code == 403
    assert (await engineer.post(f"{path}/drop", json={"reason": " "})).status_code == 400
    assert (await engineer.post(f"{path}/drop", json={"reason": "typo"})).status_code == 204
    assert (await engineer.post(f"{path}/drop", json={"reason": "typo"})).status_code == 404
    audited = await connection.fetchval("SELECT detail->>'last' FROM audit_log WHERE action = 'drop_billing_period'")
    assert audited == "2026-03-30"
    await closed(engineer)
    assert (await engineer.post(f"{PATH}/drop", json={"reason": "typo"})).status_code == 409


async def test_refusals(engineer: httpx.AsyncClient, operator: httpx.AsyncClient) -> None:
    assert (await operator.post(API, json=MARCH)).status_code == 403
    assert (await engineer.post(f"{API}/none/close", json=CLOSING)).status_code == 404
    await engineer.post(API, json=MARCH)
    assert (await engineer.post(f"{PATH}/close")).status_code == 422
    assert (await engineer.post(f"{PATH}/close", json={"reason": " "})).status_code == 400
    await engineer.post(f"{PATH}/drop", json={"reason": "typo"})
    assert (await engineer.post(API, json={**MARCH, "last_day": "2026-03-01"})).status_code == 400
    await closed(engineer)
    assert (await engineer.post(f"{PATH}/close", json=CLOSING)).status_code == 409
    assert (
        await engineer.post(API, json={**MARCH, "first_day": "2025-03-08", "last_day": "2025-03-08"})
    ).status_code == 409
    for name, first, last in (("a/b", "2026-01-01", "2026-01-31"), ("x", "9999-12-01", "9999-12-31")):
        answer = await engineer.post(API, json={"name": name, "first_day": first, "last_day": last})
        assert answer.status_code == 400
    overlapping = await engineer.post(API, json={**MARCH, "name": "other"})
    assert overlapping.status_code == 409
    running = {"name": "running", "first_day": "2026-03-10", "last_day": "2026-03-10"}
    await engineer.post(API, json=running)
    assert (await engineer.post(f"{API}/running/close", json=CLOSING)).status_code == 409
    assert [period["name"] for period in (await operator.get(API)).json()] == ["running", "early March"]


async def test_a_period_by_name(read, engineer: httpx.AsyncClient) -> None:
    await closed(engineer)
    assert (await get_period(read, "early March")).closed_at <= datetime.now(UTC)
