"""Queries over a seeded database: what each filter finds, and that pages neither lose nor repeat rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from api.database import ReadPool
from api.queries.accounting import list_accounting
from api.queries.alerts import AlertFilter, AlertOrder, get_alert, list_alert_events, list_alerts
from api.queries.consumption import Granularity, list_consumption
from api.queries.dead_letters import count_reasons, get_dead_letter, list_dead_letters
from api.queries.meters import MeterFilter, MeterState, get_meter, list_meters, list_zones, meter_id_of
from api.queries.overview import get_overview, received_total
from api.queries.paging import decode_cursor, encode_cursor
from api.queries.readings import CURVE_POINTS, index_curve, list_conflicts, list_readings
from api.queries.reports import get_report, list_reports
from metering.errors import NotFoundError, RequestError
from metering.model import MeterId, Quality
from tests.api.conftest import METERS, NOW, SILENCE, TODAY, ZONE, Seed


async def serials(read: ReadPool, **wanted: object) -> list[str]:
    found = await list_meters(read, MeterFilter(**wanted), now=NOW, silence_after=SILENCE)
    return [row.serial[-2:] for row in found.items]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"search": "210000000007"}, ["07"]),
        ({"search": "861234567890109"}, ["09"]),
        ({"search": "100%_12 号"}, ["12"]),
        ({"search": "%"}, [f"{n:02d}" for n in range(1, 13) if n != 6]),
        ({"search": "' OR 1=1 --"}, []),
        ({"zone": "DMA-1"}, ["01", "03", "05", "07", "09", "11"]),
        ({"zone": "HLD"}, [f"{n:02d}" for n in range(1, 13) if n != 6]),
        ({"zone": "none"}, []),
        ({"state": MeterState.SILENT}, ["03"]),
        ({"state": MeterState.NEVER}, ["04"]),
        ({"state": MeterState.DISABLED}, ["05"]),
        ({"state": MeterState.REMOVED}, ["06"]),
        ({"silent": True}, ["03", "04"]),
        ({"has_alert": True}, ["01", "03"]),
        ({"has_alert": True, "silent": False}, ["01"]),
    ],
)
async def test_filters_of_the_meter_list(read: ReadPool, seeded: Seed, wanted: dict, expected: list[str]) -> None:
    assert await serials(read, **wanted) == expected


async def test_a_whole_serial_or_imei_finds_its_meter_alone(read: ReadPool, seeded: Seed, database_url: str) -> None:
    """Where it is a part of others', too; with another filter it is a part like any."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO meters (serial) VALUES ('9210000000007'), ('861234567890109')")
    await connection.close()
    assert await serials(read, search=" 210000000007 ") == ["07"]
    assert await serials(read, search="10000000007") == ["07", "07"]
    assert await serials(read, search="210000000007", state=MeterState.REMOVED) == ["07"]
    assert len(await serials(read, search="861234567890109")) == 1


async def test_pages_are_stable_while_meters_come_and_go(read: ReadPool, seeded: Seed, database_url: str) -> None:
    first = await list_meters(read, MeterFilter(), now=NOW, silence_after=SILENCE, limit=5)
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO meters (serial) VALUES ('000000000000')")
    await connection.close()
    seen = [row.serial for row in first.items]
    cursor = first.next_cursor
    while cursor:
        following = await list_meters(read, MeterFilter(), now=NOW, silence_after=SILENCE, limit=5, cursor=cursor)
        seen += [row.serial for row in following.items]
        cursor = following.next_cursor
    assert seen == sorted(set(seen))
    assert len(seen) == METERS


async def test_one_meter(read: ReadPool, seeded: Seed) -> None:
    detail = await get_meter(read, "210000000001", now=NOW, silence_after=SILENCE)
    assert detail.meter.meter_id == seeded.meter_ids[0] == await meter_id_of(read, "210000000001")
    assert (detail.meter.state, detail.meter.open_alerts, detail.meter.zone_code) == (MeterState.REPORTING, 2, "DMA-1")
    assert detail.facts.plain_sources == ["127.0.0.0/8"]
    assert [row.valid_to for row in detail.installations] == [None]
    with pytest.raises(NotFoundError):
        await get_meter(read, "999", now=NOW, silence_after=SILENCE)


async def test_a_meter_that_was_taken_out_shows_what_it_said_last(
    read: ReadPool, seeded: Seed, database_url: str
) -> None:  # fmt: skip
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO device_latest (device_id, meter_id, last_report_at, last_report_id, last_ts, last_index_ml)"
        " SELECT device_id, meter_id, valid_to, $2, valid_to, 4711 FROM installations WHERE meter_id = $1",
        seeded.meter_ids[5], seeded.report_ids[0],
    )  # fmt: skip
    await connection.close()
    detail = await get_meter(read, "210000000006", now=NOW, silence_after=SILENCE)
    assert detail.meter.state is MeterState.REMOVED
    assert detail.installations[0].valid_to is not None
    assert (detail.meter.address, detail.meter.zone_code) == (
        detail.installations[0].address, detail.installations[0].zone_code
    )  # fmt: skip
    assert detail.meter.device == detail.installations[0].device
    assert (detail.meter.last_ts, detail.meter.last_index_ml) == (detail.installations[0].valid_to, 4711)


async def test_zones_count_their_meters(read: ReadPool, seeded: Seed) -> None:
    assert [(zone.code, zone.parent_code, zone.meters) for zone in await list_zones(read)] == [
        ("DMA-1", "HLD", 6), ("HLD", None, 5),
    ]  # fmt: skip


async def test_readings_page_through_a_period(read: ReadPool, seeded: Seed) -> None:
    meter = MeterId(seeded.meter_ids[0])
    since, until = datetime(2026, 3, 8, tzinfo=ZONE), datetime(2026, 3, 9, tzinfo=ZONE)
    rows, cursor = [], None
    while True:
        part = await list_readings(read, meter, since, until, limit=7, cursor=cursor)
        rows += part.items
        cursor = part.next_cursor
        if cursor is None:
            break
    assert [row.index_ml for row in rows] == [1_000_000 + 1000 * h for h in range(24)]
    assert await list_conflicts(read, meter, since, until) == []


async def test_days_and_months(read: ReadPool, seeded: Seed) -> None:
    meter = MeterId(seeded.meter_ids[0])
    days = await list_consumption(read, meter, Granularity.DAY, date(2026, 3, 8), TODAY, ZONE)
    assert [(row.volume_ml, row.complete) for row in days] == [(24_000, True), (24_000, True), (2_000, False)]
    assert days[0].start == datetime(2026, 3, 7, 16, tzinfo=UTC)
    months = await list_consumption(read, meter, Granularity.MONTH, date(2026, 2, 1), TODAY, ZONE)
    assert [(row.start.month, row.volume_ml, row.quality, row.reasons) for row in months] == [
        (2, 100_000, Quality.INTERPOLATED, ("gap",)), (3, 50_000, Quality.MEASURED, ()),
    ]  # fmt: skip
    assert not months[0].complete


@pytest.mark.parametrize("granularity", list(Granularity))
async def test_a_period_is_bounded(read: ReadPool, seeded: Seed, granularity: Granularity) -> None:
    for first, last in [(TODAY, TODAY - timedelta(days=1)), (date(1900, 1, 1), TODAY)]:
        with pytest.raises(RequestError, match="period"):
            await list_consumption(read, MeterId(1), granularity, first, last, ZONE)


async def test_reports_show_raw_bytes_and_decoded_fields(read: ReadPool, seeded: Seed) -> None:
    meter = MeterId(seeded.meter_ids[0])
    first = await list_reports(read, meter, limit=4)
    rest = await list_reports(read, meter, limit=4, cursor=first.next_cursor)
    assert [row.report_id for row in first.items + rest.items] == [str(report) for report in seeded.report_ids]
    newest = await get_report(read, str(seeded.report_ids[0]))
    assert (newest.payload_hex, newest.extra, newest.battery_mv) == ("a10001", {"99": "kept"}, 3600)
    with pytest.raises(NotFoundError):
        await get_report(read, "ffffffff-ffff-7fff-bfff-ffffffffffff")
    with pytest.raises(RequestError):
        await get_report(read, "x")


async def test_dead_letters(read: ReadPool, seeded: Seed) -> None:
    found = await list_dead_letters(read)
    assert [(row.reason, row.payload_hex) for row in found.items] == [("not_cbor", "a100")]
    assert await get_dead_letter(read, found.items[0].dead_letter_id) == found.items[0]
    assert (await list_dead_letters(read, waiting=False)).items == []
    assert (await list_dead_letters(read, reason="other")).items == []
    assert [(row.reason, row.waiting) for row in await count_reasons(read)] == [("not_cbor", 1)]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"states": ["open"]}, [0, 2]),
        ({"severity": "info"}, [1, 3]),
        ({"kind": "meter_alarm:"}, [2]),
        ({"kind": "meter_alarm"}, []),
        ({"serial": "210000000003"}, [1]),
        ({"zone": "HLD"}, [0, 1, 2, 3]),
        ({"certainty": "confirmed"}, []),
    ],
)
async def test_filters_of_the_alert_list(read: ReadPool, seeded: Seed, wanted: dict, expected: list[int]) -> None:
    found = await list_alerts(read, AlertFilter(**wanted))
    assert [row.alert_id for row in found.items] == [seeded.alert_ids[n] for n in expected]


async def test_the_worst_alerts_come_first_page_by_page(read: ReadPool, seeded: Seed, database_url: str) -> None:
    """What lasts, what is over, what is closed; severity, then what is lost; pages neither repeat nor lose one."""
    connection = await asyncpg.connect(database_url)
    drop, over = seeded.alert_ids[0], seeded.alert_ids[2]
    await connection.execute("UPDATE alerts SET ended_at = now() WHERE alert_id = $1", over)
    torrent = await connection.fetchval(
        "INSERT INTO alerts (kind, severity, meter_id, started_at, raised_at, last_seen_at, rate_ml_h, evidence)"
        " SELECT 'continuous_flow', 'warning', $1, '2020-01-01', '2020-01-01', now(), 222000, '{}' RETURNING alert_id",
        seeded.meter_ids[4],
    )
    await connection.close()
    seen, cursor = [], None
    for _ in range(9):
        page = await list_alerts(read, AlertFilter(), limit=2, cursor=cursor, order=AlertOrder.WORST)
        seen += [row.alert_id for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    closed = seeded.alert_ids[3]
    assert seen == [torrent, drop, seeded.alert_ids[1], over, closed]


@pytest.mark.parametrize(
    ("order", "expected"),
    [(AlertOrder.LOSS, ["most", "pauses", "old", "less", "over", "closed"]),
     (AlertOrder.LOST, ["over", "old", "most", "less", "pauses", "closed"])],
)  # fmt: skip
async def test_leaks_are_ranked_by_what_they_lose(
    read: ReadPool, seeded: Seed, database_url: str, order: AlertOrder, expected: list[str]
) -> None:
    """Page by page: by the rate of those that last, of one that pauses over all hours, or by what was lost so far,
    dismissed ones last."""
    leaks = {  # name: rate, lost, state, over
        "less": (3_000, 10, "open", False), "most": (90_000, 20, "open", False),
        "closed": (99_000, 999, "dismissed", True),
        "old": (4_000, 500, "acknowledged", False), "over": (50_000, 600, "open", True),
        "pauses": (170_001, 5, "open", False),
    }  # fmt: skip
    connection = await asyncpg.connect(database_url)
    names = {}
    for number, (name, (rate, lost, state, over)) in enumerate(leaks.items()):
        alert_id = await connection.fetchval(
            "INSERT INTO alerts (kind, severity, state, meter_id, started_at, raised_at, last_seen_at, ended_at,"
            " certainty, rate_ml_h, loss_ml, evidence) VALUES ('leak', 'warning', $1, $2, $3, $3, $3, $4, $5, $6, $7,"
            " $8::jsonb) RETURNING alert_id",
            state, seeded.meter_ids[number], NOW, NOW if over else None, "cleared" if over else "suspected", rate, lost,
            '{"flowing_share": 0.5}' if name == "pauses" else "{}",
        )  # fmt: skip
        names[alert_id] = name
    await connection.close()
    seen, cursor = [], None
    for _ in range(9):
        page = await list_alerts(read, AlertFilter(kind="leak"), limit=2, cursor=cursor, order=order)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [names[row.alert_id] for row in seen] == expected
    years = {names[row.alert_id]: row.loss_year_ml for row in seen}
    assert (years["most"], years["over"], years["closed"]) == (90_000 * 8_760, None, None)
    assert len((await list_alerts(read, AlertFilter(certainty="cleared"))).items) == 2


async def test_the_lives_of_listed_alerts(read: ReadPool, seeded: Seed, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.executemany(
        "INSERT INTO alert_events (alert_id, at, from_state, to_state, actor, reason)"
        " VALUES ($1, now() + $2 * INTERVAL '1 second', 'open', 'acknowledged', 'li', $3)",
        [(seeded.alert_ids[0], n, str(n)) for n in range(25)],
    )
    await connection.close()
    rows = (await list_alerts(read, AlertFilter())).items
    lives = await list_alert_events(read, rows)
    assert [event.reason for event in lives[seeded.alert_ids[0]]] == [str(n) for n in range(5, 25)]
    assert lives[seeded.alert_ids[1]] == []


async def test_a_long_index_curve_is_thinned_and_reaches_both_ends(
    read: ReadPool, seeded: Seed, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO readings (meter_id, ts, kind, index_ml)"
        " SELECT $1, $2::timestamptz - n * INTERVAL '1 hour', CASE WHEN n % 2 = 0 THEN 2 ELSE 0 END, 9000000 - n"
        " FROM generate_series(1, 8760) n",
        seeded.meter_ids[1], NOW,
    )  # fmt: skip
    await connection.close()
    points = await index_curve(read, MeterId(seeded.meter_ids[1]), NOW - timedelta(hours=8760), NOW)
    assert 1_400 < len(points) <= CURVE_POINTS
    assert [point.ts for point in points] == sorted(point.ts for point in points)
    assert points[-1].index_ml == 9_000_000 - 1
    assert points[0].index_ml < 9_000_000 - 8_750
    every_one = await index_curve(read, MeterId(seeded.meter_ids[1]), NOW - timedelta(days=30), NOW)
    assert len(every_one) == 30 * 24
    assert {point.kind for point in every_one} == {0, 2}


async def test_an_alert_has_its_evidence(read: ReadPool, seeded: Seed) -> None:
    detail = await get_alert(read, seeded.alert_ids[0])
    assert detail.alert.evidence == {"hours": 24}
    assert detail.alert.serial == "210000000001"


async def test_accounting_adds_up_and_says_when_it_does_not(read: ReadPool, seeded: Seed, database_url: str) -> None:
    today, old = await list_accounting(read, date(2026, 2, 20), TODAY, ZONE)
    assert (today.received, today.recounted, today.repeats, today.adds_up) == (7, 7, 3, True)
    assert (old.recounted, old.rows_agree, old.adds_up) == (None, None, True)
    connection = await asyncpg.connect(database_url)
    await connection.execute("DELETE FROM reports WHERE outcome = 'partial'")
    await connection.close()
    today, _old = await list_accounting(read, date(2026, 2, 20), TODAY, ZONE)
    assert (today.recounted, today.adds_up) == (6, False)


async def test_overview(read: ReadPool, seeded: Seed) -> None:
    overview = await get_overview(read, now=NOW, silence_after=SILENCE, zone=ZONE)
    assert (overview.meters, overview.reporting, overview.today_ml, overview.received_today) == (11, 9, 2_000, 7)
    assert overview.open_alerts == {"critical": 1, "warning": 1, "info": 1}
    assert overview.dead_letters_waiting == 1
    assert len(overview.series) == 14
    assert overview.series[-2].consumption_ml == 24_000
    assert overview.reporting_rate == pytest.approx(9 / 11)
    assert await received_total(read, TODAY) == 7


async def test_what_flows_into_a_district_is_not_counted_a_second_time(
    read: ReadPool, seeded: Seed, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO zone_flows (zone_id, meter_id, direction, valid_from)"
        " SELECT zone_id, $1, 'in', '2026-01-01Z' FROM zones LIMIT 1",
        seeded.meter_ids[0],
    )
    await connection.close()
    overview = await get_overview(read, now=NOW, silence_after=SILENCE, zone=ZONE)
    assert (overview.meters, overview.today_ml, overview.series[-2].consumption_ml) == (11, 0, 0)


async def test_an_empty_database_has_an_overview(read: ReadPool) -> None:
    overview = await get_overview(read, now=NOW, silence_after=SILENCE, zone=ZONE)
    assert (overview.meters, overview.reporting_rate) == (0, None)


@pytest.mark.parametrize("cursor", ["", "x", "%", "W10", encode_cursor([1]), encode_cursor(["a\0b"]), "é", "A" * 600])
def test_a_cursor_that_was_not_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(RequestError):
        decode_cursor(cursor, str)


async def test_the_read_pool_cannot_write(read: ReadPool) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await read.value("DELETE FROM users")
