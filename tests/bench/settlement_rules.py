"""What the rules of validation cost settlement: CPU per touched span with all of them and with none, in pairs.

Or what it costs to note what others must look at again (`--without late_hours`, `--without leak_due`): the districts'
hours, all that the spans touch, where each hour has a balance, and the meters.

The same spans are settled again and again, each time in a transaction that is rolled back, with and without the rules
in the order with, without, without, with: drift of the machine, caches and what rolled-back rows leave behind meet both
alike. Without: consumption is the plain difference of neighbouring readings; no roll-over, spike or impossible flow, no
gap is spread by habit, nobody amends, no day is compared with the meter's own sum or with a closed billing period.
Counted is CPU of this process and of its backend, as in `tests.bench.settlement`.

``python -m tests.bench.settlement_rules --meters 5000 --days 32 --pairs 10``; ``--odd 1``: so many of a hundred meters
lack eight hours of the new day, which is then spread by habit.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import secrets
import statistics
import time
from collections.abc import Iterator
from unittest.mock import patch

import asyncpg
import numpy as np

from ingest.districts import late_hours
from ingest.schema.migrate import migrate
from ingest.settlement import day_edits, days, habits, reading, spans, stage
from metering.consumption import MAX_GAP_S, MAX_SPREAD_S, Curve, Flag, Ints, Limits, Readings
from metering.settings import SettlementSettings
from tests.bench.databases import named, server
from tests.bench.settlement import T0, ZONE, MeteredConnection, Spent, lay_down, prepare, settle_all

_BALANCED = f"""
WITH district AS (INSERT INTO zones (code, name) VALUES ('d', 'd') RETURNING zone_id)
INSERT INTO zone_hours (zone_id, hour, customers_ml, estimated_ml, sigma_ml, meters, measured)
SELECT zone_id, {T0} + make_interval(hours => h), 0, 0, 0, 0, 0 FROM district, generate_series(0, 24 * $1::int) h"""
_ODD = """
DELETE FROM readings WHERE (meter_id + 50) % 100 < $1 AND ts > (SELECT max(ts) FROM readings) - INTERVAL '12 h'
                       AND ts < (SELECT max(ts) FROM readings) - INTERVAL '4 h'"""


def _plain_curve(readings: Readings, _limits: Limits) -> Curve:
    """Differences as they come."""
    meter, ts_s, index_ml = readings[:3]
    breaks = np.zeros(len(ts_s), np.bool_)
    breaks[1:] = (meter[1:] != meter[:-1]) | (np.diff(ts_s) > MAX_SPREAD_S)
    segment = np.cumsum(breaks, dtype=np.int64)
    water, flags = np.diff(index_ml), np.where(np.diff(ts_s) > MAX_GAP_S, np.int64(Flag.GAP), 0)
    water[segment[1:] != segment[:-1]] = 0
    running: Ints = np.zeros(len(ts_s), np.int64)
    np.cumsum(water, out=running[1:])
    return Curve(meter, segment, ts_s, index_ml, running, np.append(flags, 0), np.arange(1, len(ts_s) + 1))


async def _nothing(*_of: object) -> None:
    return None


async def _as_it_is(_table: object, curve: Curve, *_of: object) -> Curve:
    return curve


async def _no_spans(*_of: object) -> spans.Spans:
    return spans.joined([])


async def _no_edits(*_of: object) -> day_edits.DayEdits:
    return day_edits.NO_EDITS


@contextlib.contextmanager
def without_rules() -> Iterator[None]:
    """Settlement as it would be if it only took differences."""
    with contextlib.ExitStack() as patched:
        patched.enter_context(patch.object(stage, "curve_of", _plain_curve))
        patched.enter_context(patch.object(reading.ReadingTable, "prepare", _nothing))
        patched.enter_context(patch.object(habits, "with_gaps_filled", _as_it_is))
        patched.enter_context(patch.object(habits, "later_gaps", _no_spans))
        patched.enter_context(patch.object(day_edits, "in_force", _no_edits))
        for name in ("closed_until", "recheck_billed", "forget_unreached"):
            patched.enter_context(patch.object(days, name, _nothing))
        yield


WITHOUT = {
    "rules": without_rules,
    "late_hours": lambda: patch.object(late_hours, "note", _nothing),
    "leak_due": lambda: patch.object(stage, "note_due", _nothing),
}


async def _once(metered: MeteredConnection, without: str | None) -> Spent:
    """Settles all that waits, and takes it back."""
    transaction = metered.transaction()
    await transaction.start()
    try:
        with WITHOUT[without]() if without else contextlib.nullcontext():
            return await settle_all(stage.SettlementStage(metered, SettlementSettings(), ZONE), metered)
    finally:
        await transaction.rollback()


async def compare(
    url: str, meters: int, history_days: int, pairs: int, odd: int, without: str
) -> dict[str, object]:  # fmt: skip
    name = f"nbwater_bench_{secrets.token_hex(4)}"
    administration = await asyncpg.connect(url)
    await administration.execute(f"CREATE DATABASE {name}")
    database = named(url, name)
    await migrate(database)
    owner = await asyncpg.connect(database)
    connection = await asyncpg.connect(database, server_settings={"jit": "off"})
    found: dict[bool, list[Spent]] = {True: [], False: []}
    try:
        await prepare(owner, meters, history_days)
        await owner.execute(_BALANCED, history_days + 1)
        await lay_down(owner, history_days, meters)
        await owner.execute(_ODD, odd)
        metered = MeteredConnection(connection)
        for whole in (True, False):  # plans and caches are warm for both
            await _once(metered, None if whole else without)
        for _ in range(pairs):
            for whole in (True, False, False, True):
                found[whole].append(await _once(metered, None if whole else without))
            print(json.dumps(_summary(found)), flush=True)
        return _summary(found)
    finally:
        await owner.close()
        await connection.close()
        await administration.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await administration.close()


def _summary(found: dict[bool, list[Spent]]) -> dict[str, object]:
    """Medians, in microseconds per span; and the median over pairs of what the rest adds."""
    summary: dict[str, object] = {"pairs": len(found[True])}
    for part in ("python_us", "postgresql_us", "total_us"):
        both = [[getattr(spent, part) for spent in found[whole]] for whole in (True, False)]
        added = statistics.median(100 * (one / other - 1) for one, other in zip(*both, strict=True))
        medians = [round(statistics.median(column), 1) for column in both]
        least = [round(min(column), 1) for column in both]
        summary[part] = {"with": medians[0], "without": medians[1], "least": least, "added_percent": round(added, 1)}
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server with or without TimescaleDB, as a user who may create databases")
    parser.add_argument("--meters", type=int, default=5_000)
    parser.add_argument("--days", type=int, default=32, help="more than late readings reach back")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--odd", type=int, default=1)
    parser.add_argument("--without", choices=sorted(WITHOUT), default="rules")
    chosen = parser.parse_args()
    gc.freeze()
    started_s = time.monotonic()
    with server(chosen.url) as url:
        asyncio.run(compare(url, chosen.meters, chosen.days, chosen.pairs, chosen.odd, chosen.without))
    print(json.dumps({"took_s": round(time.monotonic() - started_s)}))


if __name__ == "__main__":
    main()
