"""Every route over a seeded database: answers, CSV, paging, decisions, and garbage that is told so."""

from __future__ import annotations

import csv
import io

import asyncpg
import httpx
import pytest

from tests.api.conftest import METERS, PASSWORD, Seed

API = "/api/v1"
ONE = f"{API}/meters/210000000001"
DAYS = {"from": "2026-03-08", "to": "2026-03-10"}


@pytest.fixture(autouse=True)
def _water(seeded: Seed) -> None:
    """Every test here runs over the seeded database."""


async def get(client: httpx.AsyncClient, path: str, **params: object) -> dict:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_meters_page_by_page(viewer: httpx.AsyncClient) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        body = await get(viewer, f"{API}/meters", limit=5, **({"cursor": cursor} if cursor else {}))
        seen += [item["serial"] for item in body["items"]]
        cursor = body["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == METERS


async def test_filters_reach_the_query(viewer: httpx.AsyncClient) -> None:
    found = await get(viewer, f"{API}/meters", state="silent", silent=True, has_alert=True, zone="DMA-1", search="03")
    assert [item["serial"] for item in found["items"]] == ["210000000003"]


async def test_one_meter(viewer: httpx.AsyncClient) -> None:
    body = await get(viewer, ONE)
    assert (body["meter"]["state"], body["meter"]["last_index_ml"], body["facts"]["q3_l_h"]) == (
        "reporting", 1_000_001, 2500,
    )  # fmt: skip
    assert body["installations"][0]["device"] == "861234567890101"
    missing = await viewer.get(f"{API}/meters/none")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert missing.headers["content-type"] == "application/problem+json"


async def test_zones(viewer: httpx.AsyncClient) -> None:
    assert {zone["code"] for zone in await get(viewer, f"{API}/zones")} == {"DMA-1", "HLD"}


async def test_readings(viewer: httpx.AsyncClient) -> None:
    body = await get(viewer, f"{ONE}/readings", **DAYS, limit=3)
    assert [item["index_ml"] for item in body["items"]] == [1_000_000, 1_001_000, 1_002_000]
    assert (await get(viewer, f"{ONE}/conflicts", **DAYS)) == []


async def test_consumption_by_day_hour_and_month(viewer: httpx.AsyncClient) -> None:
    days = await get(viewer, f"{ONE}/consumption", **DAYS)
    assert [row["volume_ml"] for row in days] == [24_000, 24_000, 2_000]
    assert (days[0]["start"], days[0]["quality"]) == ("2026-03-08T00:00:00+08:00", "measured")
    hours = await get(viewer, f"{ONE}/consumption", by="hour", **DAYS)
    assert len(hours) == 72
    assert [row["volume_ml"] for row in hours[:48]] == [1_000] * 48
    assert {row["volume_ml"] for row in hours[48:]} == {None}
    months = await get(viewer, f"{ONE}/consumption", by="month", **{"from": "2026-01-01", "to": "2026-03-31"})
    assert [(row["volume_ml"], row["reasons"]) for row in months] == [(100_000, ["gap"]), (50_000, [])]


@pytest.mark.parametrize("way", [{"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}])
async def test_csv_holds_what_json_holds(viewer: httpx.AsyncClient, way: dict) -> None:
    params = DAYS | way.get("params", {})
    answer = await viewer.get(f"{ONE}/consumption", params=params, headers=way.get("headers"))
    assert answer.headers["content-type"].startswith("text/csv")
    assert "consumption-210000000001" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["volume_ml"] for row in rows] == ["24000", "24000", "2000"]
    readings = await viewer.get(f"{ONE}/readings", params=params, headers=way.get("headers"))
    assert len(readings.text.splitlines()) == 50


async def test_reports(viewer: httpx.AsyncClient, seeded: Seed) -> None:
    body = await get(viewer, f"{ONE}/reports", limit=2)
    assert [item["report_id"] for item in body["items"]] == [str(report) for report in seeded.report_ids[:2]]
    following = await get(viewer, f"{ONE}/reports", limit=2, cursor=body["next_cursor"])
    assert following["items"][0]["report_id"] == str(seeded.report_ids[2])
    one = await get(viewer, f"{API}/reports/{seeded.report_ids[0]}")
    assert (one["payload_hex"], one["extra"]) == ("a10001", {"99": "kept"})


async def test_an_alert_lives(operator: httpx.AsyncClient, seeded: Seed, database_url: str) -> None:
    alert = f"{API}/alerts/{seeded.alert_ids[0]}"
    acknowledged = await operator.post(f"{alert}/acknowledge", json={"reason": "crew sent", "expected_state": "open"})
    assert acknowledged.json()["alert"]["state"] == "acknowledged"
    again = await operator.post(f"{alert}/acknowledge")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    stale = await operator.post(f"{alert}/resolve", json={"expected_state": "open"})
    assert (stale.status_code, stale.json()["message"]) == (409, "the alert is acknowledged by now, not open")
    without_reason = await operator.post(f"{alert}/dismiss", json={"reason": "  "})
    assert (without_reason.status_code, without_reason.json()["code"]) == (400, "request")
    dismissed = (await operator.post(f"{alert}/dismiss", json={"reason": "tenant's pool"})).json()
    assert dismissed["alert"]["closed_at"] is not None
    assert [(event["to_state"], event["actor"], event["reason"]) for event in dismissed["events"]] == [
        ("acknowledged", "operator", "crew sent"), ("dismissed", "operator", "tenant's pool"),
    ]  # fmt: skip
    assert (await operator.post(f"{alert}/resolve")).status_code == 409
    assert (await operator.post(f"{API}/alerts/999999/resolve")).status_code == 404
    connection = await asyncpg.connect(database_url)
    audited = await connection.fetch("SELECT actor, action FROM audit_log WHERE action LIKE 'alert.%' ORDER BY at")
    await connection.close()
    assert [tuple(row) for row in audited] == [("operator", "alert.acknowledge"), ("operator", "alert.dismiss")]


async def test_alerts_are_listed(viewer: httpx.AsyncClient, seeded: Seed) -> None:
    body = await get(viewer, f"{API}/alerts", state=["open", "acknowledged"], limit=2)
    assert [item["alert_id"] for item in body["items"]] == seeded.alert_ids[:2]
    body = await get(viewer, f"{API}/alerts", state=["open", "acknowledged"], limit=2, cursor=body["next_cursor"])
    assert [item["alert_id"] for item in body["items"]] == seeded.alert_ids[2:3]


async def test_losses_are_told_in_water_and_money(
    viewer: httpx.AsyncClient, seeded: Seed, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "UPDATE alerts SET certainty = 'confirmed', rate_low_ml_h = 10000, rate_high_ml_h = 15000, loss_ml = 2000000"
        " WHERE alert_id = $1",
        seeded.alert_ids[0],
    )
    (listed,) = (await get(viewer, f"{API}/alerts", certainty="confirmed", order="loss"))["items"]
    one = (await get(viewer, f"{API}/alerts/{seeded.alert_ids[0]}"))["alert"]
    assert listed == one
    assert (one["rate_low_ml_h"], one["rate_high_ml_h"], one["loss_year_ml"]) == (10_000, 15_000, 12_000 * 8_760)
    assert (one["loss_money"], one["loss_year_money"], one["currency"]) == (6.0, 315.36, "CNY")


async def test_accounting_says_unknown_without_the_stream(viewer: httpx.AsyncClient) -> None:
    body = await get(viewer, f"{API}/accounting", **DAYS)
    assert body["adds_up"]
    assert body["in_flight"]["reports"] is None
    assert (body["lines"][0]["received"], body["lines"][0]["recounted"]) == (7, 7)


async def test_overview(viewer: httpx.AsyncClient) -> None:
    body = await get(viewer, f"{API}/overview")
    assert body["overview"]["open_alerts"] == {"critical": 1, "warning": 1, "info": 1}
    assert body["reporting_rate"] == pytest.approx(9 / 11)


async def test_dead_letters(viewer: httpx.AsyncClient) -> None:
    body = await get(viewer, f"{API}/dead-letters", waiting=True, reason="not_cbor")
    assert body["items"][0]["payload_hex"] == "a100"
    assert await get(viewer, f"{API}/dead-letters/{body['items'][0]['dead_letter_id']}") == body["items"][0]


async def test_health(stranger: httpx.AsyncClient, database_url: str) -> None:
    assert (await stranger.get("/healthz")).text == "alive\n"
    assert (await stranger.get("/readyz")).json() == {
        "ready": True, "database": "ok", "db_schema": "ok", "stream": "away",
    }  # fmt: skip
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)"
    )
    await connection.close()
    answer = await stranger.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)


async def test_requests_are_measured_by_route(viewer: httpx.AsyncClient) -> None:
    await viewer.get(ONE)
    text = (await viewer.get("/metrics")).text
    assert 'nbwater_api_requests_total{method="GET",route="/api/v1/meters/{serial}",status="200"}' in text


async def test_tokens_and_users(administrator: httpx.AsyncClient, app: object) -> None:
    new = {"login": "li.wei", "role": "operator", "password": PASSWORD}
    assert (await administrator.post(f"{API}/users", json=new)).status_code == 201
    assert (await administrator.post(f"{API}/users", json=new)).status_code == 409
    made = await administrator.post(
        f"{API}/tokens", json={"name": "billing", "role": "administrator", "login": "li.wei", "valid_days": 3660}
    )
    bearer = {"Authorization": f"Bearer {made.json()['token']}"}
    who = await administrator.get(f"{API}/session", headers=bearer)
    assert who.json() == {"login": "li.wei", "role": "operator", "must_change": False}, "never more than its user"
    assert [token["name"] for token in (await administrator.get(f"{API}/tokens")).json()] == [
        "billing", "of-administrator",
    ]  # fmt: skip
    assert (await administrator.patch(f"{API}/users/li.wei", json={"enabled": False})).status_code == 204
    assert (await administrator.get(f"{API}/session", headers=bearer)).status_code == 401
    assert (await administrator.delete(f"{API}/tokens/billing")).status_code == 204
    assert (await administrator.delete(f"{API}/tokens/billing")).status_code == 404
    last = await administrator.patch(f"{API}/users/admin", json={"role": "viewer"})
    assert (last.status_code, last.json()["message"]) == (409, "this would leave no administrator")


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (f"{API}/meters", {"limit": 0}),
        (f"{API}/meters", {"limit": 501}),
        (f"{API}/meters", {"limit": "many"}),
        (f"{API}/meters", {"cursor": "garbage"}),
        (f"{API}/meters", {"cursor": "x" * 5000}),
        (f"{API}/meters", {"state": "dreaming"}),
        (f"{API}/meters", {"silent": "perhaps"}),
        (f"{API}/meters", {"search": "x" * 101}),
        (f"{ONE}/readings", {"from": "yesterday"}),
        (f"{ONE}/readings", {"from": "2026-03-02", "to": "2026-03-01"}),
        (f"{ONE}/readings", {"to": "9999-12-31"}),
        (f"{ONE}/readings", {"from": "0001-01-01"}),
        (f"{ONE}/readings", {"cursor": "WyJ4Il0"}),
        (f"{ONE}/consumption", {"by": "minute"}),
        (f"{ONE}/consumption", {"by": "hour", "from": "2020-01-01", "to": "2026-01-01"}),
        (f"{ONE}/consumption", {"format": "xml"}),
        (f"{API}/accounting", {"recount_days": 1000}),
        (f"{API}/accounting", {"from": "2000-01-01", "to": "2026-01-01"}),
        (f"{API}/alerts", {"state": "gone"}),
        (f"{API}/alerts", {"severity": "bad"}),
        (f"{API}/alerts", {"certainty": "sure"}),
        (f"{API}/alerts/0", {}),
        (f"{API}/alerts/99999999999999999999", {}),
        (f"{API}/alerts/x", {}),
        (f"{API}/reports/x", {}),
        (f"{API}/dead-letters/-1", {}),
        (f"{API}/dead-letters", {"cursor": "W10"}),
    ],
)
async def test_garbage_is_refused_with_a_clear_problem(viewer: httpx.AsyncClient, path: str, params: dict) -> None:
    answer = await viewer.get(path, params=params)
    assert answer.status_code in (400, 422), answer.text
    body = answer.json()
    assert body["code"] in ("request", "validation")
    assert body["message"]


GARBAGE_BODIES = [
    b"",
    b"{",
    b"[]",
    b"\xff",
    b'{"reason": 1}',
    b'{"reason": "\\u0000"}',
    b'{"reason": "\\ud800"}',
    b'{"expected_state": "x"}',
    b'{"reason": "' + b"x" * 501 + b'"}',
]


@pytest.mark.parametrize("body", GARBAGE_BODIES)
async def test_garbage_bodies(operator: httpx.AsyncClient, seeded: Seed, body: bytes) -> None:
    address = f"{API}/alerts/{seeded.alert_ids[0]}/dismiss"
    answer = await operator.post(address, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text


@pytest.mark.parametrize("text", ["' OR '1'='1", "\\", "%", "_", "$1", "*/--", "龙港", "\ud83d\ude00", "x" * 100])
async def test_text_is_only_text(viewer: httpx.AsyncClient, text: str) -> None:
    text = text.encode("utf-16", "surrogatepass").decode("utf-16")
    for params in ({"search": text}, {"zone": text[:64]}):
        assert (await viewer.get(f"{API}/meters", params=params)).status_code == 200
    assert (await viewer.get(f"{API}/meters/{text.replace('/', '')[:64]}")).status_code in (404, 405)


async def test_the_database_away_is_said(viewer: httpx.AsyncClient, read: object) -> None:
    await read.close()
    answer = await viewer.get(f"{API}/meters")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert (await viewer.get("/healthz")).status_code == 200
    assert (await viewer.get("/readyz")).json()["database"] == "away"
