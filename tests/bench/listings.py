"""Every list that pages and REST show, with a city behind it: the first page and the fifth, in milliseconds.

A million meters; of alerts, dead letters and unknown devices 60,000 each, most of them closed, replayed or dismissed.
What takes longer than SLOW_MS is told apart. Medians of ROUNDS, by a pool of one connection.

``python -m tests.bench.listings --url postgresql://… --meters 1000000`` makes a database of its own and drops it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from api.alert_life import CLOSED, AlertState
from api.database import ReadPool, open_read_pool
from api.queries.alerts import ACTIVE, AlertFilter, AlertOrder, list_alerts
from api.queries.completeness import completeness_of_meters, completeness_of_zones
from api.queries.dead_letters import count_reasons, list_dead_letters
from api.queries.meters import MeterFilter, MeterState, list_meters, list_zones
from api.queries.paging import Page
from api.queries.strangers import list_strangers
from ingest.schema.migrate import migrate
from metering.settings import CompletenessSettings
from tests.bench import registered
from tests.bench.databases import own_database

ROWS = 60_000
ROUNDS = 3
PAGES = 5
LIMIT = 50
SLOW_MS = 100.0
SILENCE_AFTER = timedelta(hours=25)
ZONE = ZoneInfo("Asia/Shanghai")

_ALERTS = """
INSERT INTO alerts (kind, severity, meter_id, service_point_id, state, started_at, raised_at, last_seen_at, ended_at,
                    closed_at, rate_ml_h, loss_ml, certainty, evidence)
SELECT CASE n % 5 WHEN 0 THEN 'burst' WHEN 1 THEN 'silent' WHEN 2 THEN 'meter_alarm:leak'
                  ELSE 'continuous_leak' END,
       (ARRAY['critical', 'warning', 'info'])[1 + n % 3], 1 + n * 13::bigint % $2::int, 1 + n * 13::bigint % $2::int,
       CASE WHEN n % 30 = 0 THEN 'open' WHEN n % 30 = 1 THEN 'acknowledged' WHEN n % 30 < 8 THEN 'dismissed'
            ELSE 'resolved' END, at, at, at, CASE WHEN n % 30 > 1 THEN at + INTERVAL '2 days' END,
       CASE WHEN n % 30 > 1 THEN at + INTERVAL '3 days' END, n::bigint * 7919 % 200000,
       n::bigint * 104729 % 900000000,
       (ARRAY['suspected', 'confirmed', 'cleared'])[1 + n % 3],
       jsonb_build_object('flowing_share', 0.1 * (n % 10), 'hours', 24,
                          'hourly_ml', ARRAY(SELECT generate_series(1, 24)))
FROM generate_series(1, $1::int) n, LATERAL (SELECT $3::timestamptz - make_interval(mins => n * 9) AS at) x
ON CONFLICT DO NOTHING"""
_LETTERS = """
INSERT INTO dead_letters (report_id, received_at, device, door, authentication, source, content_format, payload, reason,
                          message, replayed_at)
SELECT gen_random_uuid(), $2::timestamptz - make_interval(secs => n * 30), (861234500000000 + n % 5000)::text, 'coap',
       'claimed', '10.0.0.1', 60, decode(repeat(md5(n::text), 4), 'hex'), 'reason_' || n % 12, 'ends too early',
       CASE WHEN n % 4 > 0 THEN $2::timestamptz END
FROM generate_series(1, $1::int) n"""
_STRANGERS = """
INSERT INTO strangers (name, door, source, reason, last_at, dismissed_at)
SELECT (869999900000000 + n)::text, 'coap', '10.0.0.' || n % 250, 'unknown_device',
       $2::timestamptz - make_interval(secs => n * 30), CASE WHEN n % 10 > 0 THEN $2::timestamptz END
FROM generate_series(1, $1::int) n"""
_SETTLED = """
INSERT INTO settled_days (meter_id, day, start_index_ml, end_index_ml, consumption_ml, quality, complete, readings)
SELECT n, $2, 0, 1000, 1000, 'measured', n % 50 > 0, CASE WHEN n % 50 > 0 THEN 24 ELSE 0 END
FROM generate_series(1, $1::int) n ON CONFLICT DO NOTHING"""

List = Callable[[str | None], Awaitable[Page[Any]]]


async def prepare(connection: Any, meters: int, now: datetime) -> None:
    await registered.register(connection, meters)
    await registered.report_a_day(connection, meters, now - timedelta(days=1))
    await registered.make_latest(connection, now - timedelta(days=1))
    await fill(connection, meters, now)


async def fill(connection: Any, meters: int, now: datetime) -> None:
    await connection.execute(_ALERTS, ROWS, meters, now)
    await connection.execute(_LETTERS, ROWS, now)
    await connection.execute(_STRANGERS, ROWS, now)
    await connection.execute(_SETTLED, meters, (now - timedelta(days=1)).astimezone(ZONE).date())
    await connection.execute("UPDATE installations SET valid_to = now() WHERE meter_id % 1000 = 999")
    await connection.execute("UPDATE devices SET enabled = false WHERE device_id % 1000 = 998")
    await connection.execute("DELETE FROM device_latest WHERE device_id % 1000 = 997")
    silent = "UPDATE device_latest SET last_report_at = last_report_at - INTERVAL '3 days' WHERE device_id % 1000 = 996"
    await connection.execute(silent)
    for table in ("alerts", "dead_letters", "strangers", "settled_days", "installations", "devices", "device_latest"):
        await connection.execute(f"VACUUM ANALYZE {table}")


def lists_of_alerts(pool: ReadPool) -> dict[str, List]:
    closed, everything = tuple(CLOSED), tuple(AlertState)
    wanted = {
        "active": AlertFilter(ACTIVE), "closed": AlertFilter(closed), "all": AlertFilter(),
        "each state asked": AlertFilter(everything), "closed, critical": AlertFilter(closed, severity="critical"),
        "closed, of a kind": AlertFilter(closed, kind="burst"), "closed, of a zone": AlertFilter(closed, zone="Z7"),
        "closed, meters' alarms": AlertFilter(closed, kind="meter_alarm:"),
        "closed, suspected": AlertFilter(closed, certainty="suspected"),
        "of a kind there is not": AlertFilter(kind="none"), "of a meter": AlertFilter(serial="210000000017"),
    }  # fmt: skip

    def asking(of: AlertFilter, order: AlertOrder) -> List:
        return lambda cursor: list_alerts(pool, of, limit=LIMIT, cursor=cursor, order=order)

    return {
        f"alerts by {order}: {name}": asking(of, order) for order in AlertOrder for name, of in wanted.items()
    }  # fmt: skip


def lists_of_meters(pool: ReadPool, now: datetime) -> dict[str, List]:
    wanted = {"all": MeterFilter(), "of a zone": MeterFilter(zone="Z7"), "that are silent": MeterFilter(silent=True)}
    wanted |= {f"state {state}": MeterFilter(state=state) for state in MeterState}
    wanted |= {"with an alert": MeterFilter(has_alert=True), "search of a serial": MeterFilter(search="210000712345")}
    wanted |= {"search of many": MeterFilter(search="street 7"), "search of none": MeterFilter(search="nowhere")}

    def asking(of: MeterFilter) -> List:
        return lambda cursor: list_meters(
            pool, of, now=now, silence_after=SILENCE_AFTER, limit=LIMIT, cursor=cursor
        )  # fmt: skip

    return {f"meters: {name}": asking(of) for name, of in wanted.items()}


def other_lists(pool: ReadPool, now: datetime) -> dict[str, List]:
    day, definition = (now - timedelta(days=1)).astimezone(ZONE).date(), CompletenessSettings()

    def letters(**asked: Any) -> List:
        return lambda cursor: list_dead_letters(pool, limit=LIMIT, cursor=cursor, **asked)

    def strangers(**asked: Any) -> List:
        return lambda cursor: list_strangers(pool, limit=LIMIT, cursor=cursor, **asked)

    def meters_of_day(**asked: Any) -> List:
        return lambda cursor: completeness_of_meters(
            pool, day, definition, ZONE, limit=LIMIT, cursor=cursor, **asked
        )  # fmt: skip

    def whole(rows: Callable[[], Awaitable[list[Any]]]) -> List:
        async def ask(_cursor: str | None) -> Page[Any]:
            return Page(await rows(), None)

        return ask

    return {
        "dead letters: waiting": letters(), "dead letters: replayed": letters(waiting=False),
        "dead letters: all": letters(waiting=None), "dead letters: of a reason": letters(reason="reason_4"),
        "dead letters: of a device": letters(waiting=None, device="861234500000017"),
        "dead letters: of none": letters(waiting=None, device="nobody"),
        "dead letters: reasons": whole(lambda: count_reasons(pool)),
        "unknown devices": strangers(), "unknown devices: dismissed": strangers(dismissed=True),
        "unknown devices: search": strangers(search="0017"), "zones": whole(lambda: list_zones(pool)),
        "completeness of zones, a day": whole(lambda: completeness_of_zones(pool, day, day, definition, ZONE)),
        "completeness of meters": meters_of_day(), "completeness of meters: not read": meters_of_day(is_read=False),
        "completeness of meters: of a zone": meters_of_day(code="Z7"),
    }  # fmt: skip


async def timed(ask: List) -> dict[str, Any]:
    first, fifth, rows = [], [], 0
    for _ in range(ROUNDS):
        cursor, pages = None, 0
        while pages < PAGES and (pages == 0 or cursor is not None):
            began = time.perf_counter()
            page = await ask(cursor)
            took_ms = 1e3 * (time.perf_counter() - began)
            rows = len(page.items) if pages == 0 else rows
            (first if pages == 0 else fifth if pages == PAGES - 1 else []).append(took_ms)
            cursor, pages = page.next_cursor, pages + 1
    return {"first_ms": round(statistics.median(first), 1), "rows": rows} | (
        {"fifth_ms": round(statistics.median(fifth), 1)} if fifth else {}
    )


async def all_timed(url: str, now: datetime, progress: Callable[[str], None]) -> dict[str, Any]:
    pool = await open_read_pool(url, size=1)
    lists = lists_of_alerts(pool) | lists_of_meters(pool, now) | other_lists(pool, now)
    found = {}
    for name, ask in lists.items():
        found[name] = await timed(ask)
        if max(found[name]["first_ms"], found[name].get("fifth_ms", 0)) > SLOW_MS:
            progress(f"listings: slow: {name}: {json.dumps(found[name])}")
    await pool.close()
    return found


async def measured(given: str | None, meters: int, progress: Callable[[str], None]) -> dict[str, Any]:
    async with own_database(given) as url:
        await migrate(url)
        connection = await asyncpg.connect(url)
        now = datetime.now(UTC)
        await prepare(connection, meters, now)
        await connection.close()
        return await all_timed(url, now, progress)


def measure(progress: Callable[[str], None], server_url: str, quick: bool = False) -> dict[str, Any]:
    """As a section of `make bench`."""
    return asyncio.run(measured(server_url, 5_000 if quick else 200_000, progress))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server with or without TimescaleDB, as a user who may create databases")
    parser.add_argument("--meters", type=int, default=100_000)
    chosen = parser.parse_args()
    for name, took in asyncio.run(measured(chosen.url, chosen.meters, print)).items():
        print(f"{name}: {json.dumps(took)}", flush=True)


if __name__ == "__main__":
    main()
