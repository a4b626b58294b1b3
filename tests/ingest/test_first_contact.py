"""Whose pushes are believed, against a real database: bound, bound to another, to none, and the first report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from deploy.push_bindings import bind_devices, unbind_devices
from ingest import classify
from ingest.dead_letters import replay
from ingest.first_contact import BOUND_BY
from ingest.pipeline import Pipeline
from metering.clock import now_us
from metering.envelope import Report
from metering.model import Authentication
from tests.integration.ingest_town import FIRST_S, ZONE, accounts_hold, install, native, open_pool, report, settings

BOUND, UNBOUND, FIRST = Authentication.PUSHER, Authentication.UNBOUND_PUSHER, Authentication.FIRST_PUSHER
STORED, FOREIGN = ("stored", None), ("dead_lettered", "foreign_device")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Any]:
    async with open_pool(database_url) as pool:
        yield pool


class Numbers:
    next = 0


def pushed(device: str, product: str = "east", stamp: Authentication = BOUND, at_us: int | None = None) -> Report:
    Numbers.next += 1
    payload = native(Numbers.next, FIRST_S + 3600 * Numbers.next % 86_400, [Numbers.next])
    return report(device, payload, at_us)._replace(authentication=stamp, source=f"{product} 10.0.0.1")


async def take(pool: Any, *reports: Report, pipeline: Pipeline | None = None) -> list[tuple[str, str | None]]:
    """How they ended, with ingest's own rights."""
    pipeline = pipeline or Pipeline(settings(), ZONE)
    prepared = classify.prepare_reports(reports)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ROLE nbwater_ingest")
        await pipeline.installations.follow(connection)
        taken = await pipeline.take(connection, prepared)
    pipeline.remember(taken)
    ended = {end.placed.report.report_id: (str(end.outcome), end.reason) for end in taken.ended}
    ended |= {refused.report.report_id: ("dead_lettered", refused.reason) for refused in taken.refused}
    return [ended[one.report_id] for one in reports]


async def bind(pool: Any, product: str, device: str, ago_s: int = 3600, ended_ago_s: int | None = None) -> None:
    await pool.execute(
        "INSERT INTO pusher_bindings (device_id, product, bound_by, bound_at, ended_at) SELECT device_id, $1, 'test', "
        "now() - make_interval(secs => $3), now() - make_interval(secs => $4) FROM devices WHERE device = $2",
        product, device, float(ago_s), None if ended_ago_s is None else float(ended_ago_s),
    )  # fmt: skip


async def bound_to(pool: Any, device: str) -> list[tuple[str, str]]:
    rows = await pool.fetch(
        "SELECT product, bound_by FROM pusher_bindings JOIN devices USING (device_id) WHERE device = $1 AND ended_at "
        "IS NULL", device,
    )  # fmt: skip
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("stamp", [BOUND, UNBOUND, FIRST])
async def test_a_product_speaks_for_its_own_devices_only(pool: Any, stamp: Authentication) -> None:
    for device in ("mine", "theirs"):
        await install(pool, device)
    await bind(pool, "east", "mine")
    await bind(pool, "west", "theirs")
    assert await take(pool, pushed("mine", stamp=stamp), pushed("theirs", stamp=stamp)) == [STORED, FOREIGN]
    kept = await pool.fetch("SELECT device, authentication FROM reports WHERE outcome = 'stored'")
    assert [tuple(row) for row in kept] == [("mine", "pusher")]
    assert await pool.fetchval("SELECT count(*) FROM device_latest") == 1
    message = await pool.fetchval("SELECT message FROM dead_letters")
    assert message == "east pushed it; device theirs is bound to west"
    assert await bound_to(pool, "theirs") == [("west", "test")]
    assert (await accounts_hold(pool))["dead_lettered"] == 1


async def test_a_device_bound_to_none_is_as_its_product_has_it(pool: Any) -> None:
    for device in ("a", "b", "c"):
        await install(pool, device)
    assert await take(pool, pushed("a")) == [FOREIGN]
    assert await take(pool, pushed("b", stamp=UNBOUND)) == [STORED]
    assert await pool.fetchval("SELECT authentication FROM reports WHERE outcome = 'stored'") == "unbound_pusher"
    assert await bound_to(pool, "b") == []
    assert await take(pool, pushed("c", stamp=FIRST)) == [STORED]
    assert await bound_to(pool, "c") == [("east", BOUND_BY)]
    assert await take(pool, pushed("c", "west", stamp=FIRST), pushed("c", stamp=FIRST)) == [FOREIGN, STORED]


async def test_the_first_of_a_batch_binds(pool: Any) -> None:
    await install(pool, "a")
    both = [pushed("a", product, FIRST) for product in ("east", "west", "east")]
    assert await take(pool, *both) == [STORED, FOREIGN, STORED]


async def test_a_first_report_binds_nobody_who_was_heard_or_keyed_or_bound_before(pool: Any) -> None:
    for device in ("plain", "keyed", "held", "marked"):
        await install(pool, device)
    assert await take(pool, report("plain", native(1, FIRST_S, [1]))) == [STORED]
    await pool.execute(
        "INSERT INTO credentials (device_id, kind, key_id, sealed, created_by, revoked_at) "
        "SELECT device_id, 1, '\\x01', '\\x00', 'test', now() FROM devices WHERE device = 'keyed'"
    )
    await pool.execute("UPDATE devices SET has_key = true WHERE device = 'marked'")
    await bind(pool, "west", "held", ended_ago_s=60)
    devices = ("plain", "keyed", "held", "marked")
    assert await take(pool, *(pushed(device, stamp=FIRST) for device in devices)) == [FOREIGN] * 4
    assert await take(pool, *(pushed(device, stamp=UNBOUND) for device in devices[1:])) == [FOREIGN] * 3
    assert await pool.fetchval("SELECT count(*) FROM pusher_bindings") == 1


async def test_an_undecodable_report_of_a_foreign_device_is_foreign_first(pool: Any) -> None:
    await install(pool, "a")
    garbled = pushed("a")._replace(payload=b"\xff")
    assert await take(pool, garbled) == [FOREIGN]
    await bind(pool, "east", "a")
    ((outcome, reason),) = await take(pool, pushed("a")._replace(payload=b"\xff"))
    assert (outcome, reason != "foreign_device") == ("dead_lettered", True)


async def test_a_device_that_moves_loses_nothing(pool: Any, database_url: str) -> None:
    """What the former product brought in its time and was under way is taken; what it brings later is foreign. What the
    new one brought too early comes in by a replay."""
    await install(pool, "a")
    pipeline = Pipeline(settings(), ZONE)
    await bind_devices(database_url, "east", [(0, "a")], beside=False)
    under_way, early = pushed("a", at_us=now_us() + 1), pushed("a", "west")
    assert await take(pool, early, pipeline=pipeline) == [FOREIGN]
    await asyncio.sleep(0.01)
    assert await bind_devices(database_url, "west", [(0, "a")], beside=False) == 1
    late = pushed("a", at_us=now_us() + 1_000_000)
    assert await take(pool, under_way, late, pushed("a", "west"), pipeline=pipeline) == [STORED, FOREIGN, STORED]
    assert await bound_to(pool, "a") == [("west", "command line")]
    replayed = await replay(pool, settings(), ZONE, reason="foreign_device")
    assert (replayed.stored, replayed.dead_lettered) == (1, 1)
    assert await unbind_devices(database_url, [(0, "a")], None, "left") == 1
    assert await take(pool, pushed("a", "west", UNBOUND, now_us() + 1_000_000), pipeline=pipeline) == [FOREIGN]
    actions = await pool.fetch("SELECT action, object FROM audit_log ORDER BY at")
    assert [tuple(row) for row in actions] == [("pushers.bind", "a")] * 2 + [("pushers.unbind", "a")]


async def test_what_is_rolled_back_binds_nobody(pool: Any) -> None:
    await install(pool, "a")
    pipeline = Pipeline(settings(), ZONE)
    prepared = classify.prepare_reports([pushed("a", stamp=FIRST)])
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await pipeline.take(connection, prepared)
        await transaction.rollback()
    assert await bound_to(pool, "a") == []
    assert await take(pool, pushed("a", "west", FIRST), pipeline=pipeline) == [STORED]
    assert await bound_to(pool, "a") == [("west", BOUND_BY)]


async def test_a_city_of_before_is_bound_by_its_newest_reports(database_url: str, pool: Any) -> None:
    """What the migration does; the table is made anew from the file that is shipped."""
    from importlib import resources

    for device in ("a", "b", "keyed"):
        await install(pool, device)
        await bind(pool, "east" if device != "b" else "west", device)
    await take(pool, pushed("a"), pushed("b", "west"), pushed("keyed"))
    await pool.execute("UPDATE devices SET has_key = true WHERE device = 'keyed'")
    await pool.execute("DROP TABLE pusher_bindings")
    script = (resources.files("ingest.schema.migrations") / "0011_pushers.sql").read_text("utf-8")
    connection = await asyncpg.connect(database_url)
    await connection.execute("DELETE FROM outbox")
    await connection.execute(script)
    assert await bound_to(connection, "a") == [("east", "migration")]
    assert await bound_to(connection, "b") == [("west", "migration")]
    assert await bound_to(connection, "keyed") == []
    assert {row["device"] for row in await connection.fetch("SELECT device FROM outbox")} == {"a", "b"}
    await connection.close()
