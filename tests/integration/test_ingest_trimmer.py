"""The trimmer removes only what no restore and no worker can need."""

from __future__ import annotations

from typing import Any

import pytest
from nats.js import JetStreamContext

from deploy.embedded.nats import NatsServer
from ingest import restore_points, trimmer
from ingest.trimmer import Trimmer, keep_from
from metering import clock
from metering.stream_connection import connect
from tests.integration.ingest_town import FIRST_S, HOUR_S, install, native, publish, report, take_all


@pytest.mark.parametrize(
    ("partitions", "watermarks", "points", "first_young", "first"),
    [
        (1, {0: 10}, [], 100, 11),
        (1, {0: 10}, [4, 7], 100, 5),
        (1, {0: 10}, [], 3, 3),
        (2, {0: 10, 1: 6}, [], 100, 7),
        (2, {0: 10}, [], 100, None),
        (1, {}, [], 100, None),
    ],
)
def test_the_slowest_decides(
    partitions: int, watermarks: dict[int, int], points: list[int], first_young: int, first: int | None
) -> None:
    assert keep_from(partitions, watermarks, points, first_young) == first


async def first_kept(js: JetStreamContext) -> int:
    return (await js.stream_info("UP")).state.first_seq


async def test_what_is_committed_and_old_goes(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "1001")
    for seq in range(6):
        last = await publish(js, report("1001", native(seq, FIRST_S + seq * HOUR_S, [seq])))
    old_ones = Trimmer(pool, js, 1, keep_stream_h=0)
    assert await old_ones.trim() == 1
    await take_all(pool, js, last)
    for _ in range(2):
        await publish(js, report("1001", native(9, FIRST_S + 9 * HOUR_S, [9])))

    assert await Trimmer(pool, js, 1, keep_stream_h=1).trim() == 1
    assert await Trimmer(pool, js, 2, keep_stream_h=0).trim() == 1
    await pool.execute("UPDATE watermarks SET sequence = 3")
    await restore_points.mark(pool, "night", 1)
    await pool.execute("UPDATE watermarks SET sequence = $1", last)
    assert await old_ones.trim() == 4
    await restore_points.unmark(pool, "night")
    assert await old_ones.trim() == 7
    assert await first_kept(js) == 7


async def test_a_clock_that_is_days_ahead_makes_nothing_old(
    js: JetStreamContext, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await install(pool, "1001")
    await take_all(pool, js, await publish(js, report("1001", native(1, FIRST_S, [1]))))
    monkeypatch.setattr(trimmer, "now_us", lambda: clock.now_us() + 30 * 86_400_000_000)
    assert await Trimmer(pool, js, 1, keep_stream_h=1).trim() == 1
    assert await first_kept(js) == 1
    assert await Trimmer(pool, js, 1, keep_stream_h=0).trim() == 2


async def test_it_has_the_rights_for_it(js: JetStreamContext, nats_server: NatsServer, pool: Any) -> None:
    await install(pool, "1001")
    await take_all(pool, js, await publish(js, report("1001", native(1, FIRST_S, [1]))))
    client = await connect(nats_server.url_for("ingest"), "ingest")
    assert await Trimmer(pool, client.jetstream(timeout=5), 1, keep_stream_h=0).trim() == 2
    await client.close()


async def test_a_watermark_of_another_stream_frees_nothing(js: JetStreamContext, pool: Any) -> None:
    await install(pool, "1001")
    await take_all(pool, js, await publish(js, report("1001", native(1, FIRST_S, [1]))))
    await pool.execute("UPDATE watermarks SET stream_created = '2020-01-01Z', sequence = 1000")
    assert await Trimmer(pool, js, 1, keep_stream_h=0).trim() == 1
