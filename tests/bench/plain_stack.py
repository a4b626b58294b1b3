"""The baseline: a plain aiocoap server that decodes each report and writes it with asyncpg before it answers.

What a careful team would write first with the same libraries: a pool, one transaction per report, one statement for
all its readings, duplicates ignored. ``python -m tests.bench.plain_stack PORT [DATABASE_URL]``; without a database it
only answers, as aiocoap's own limit.
"""

from __future__ import annotations

import asyncio
import datetime
import sys

import aiocoap
import asyncpg
import cbor2
from aiocoap import resource
from aiocoap.numbers.codes import Code

SCHEMA = """
CREATE TABLE IF NOT EXISTS plain_readings (
    device text, ts timestamptz, index_ml bigint, PRIMARY KEY (device, ts)
)"""
INSERT = """
INSERT INTO plain_readings SELECT $1, ts, index_ml FROM unnest($2::timestamptz[], $3::bigint[]) AS r(ts, index_ml)
ON CONFLICT DO NOTHING"""


class Reports(resource.Resource, resource.PathCapable):
    """POST /r/{device}."""

    def __init__(self, pool: asyncpg.Pool | None) -> None:
        super().__init__()
        self._pool = pool

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        if self._pool is not None:
            times, indices = _readings(request.payload)
            await self._pool.execute(INSERT, request.opt.uri_path[-1], times, indices)
        return aiocoap.Message(code=Code.CHANGED)


def _readings(payload: bytes) -> tuple[list[datetime.datetime], list[int]]:
    times, indices = [], []
    for first, interval, index, deltas in cbor2.loads(payload)[2]:
        for step, delta in enumerate([0, *deltas]):
            index += delta
            times.append(datetime.datetime.fromtimestamp(first + step * interval, datetime.UTC))
            indices.append(index * 1000)
    return times, indices


async def main(port: int, url: str | None) -> None:
    pool = None
    if url:
        pool = await asyncpg.create_pool(url, min_size=8, max_size=8)
        await pool.execute(SCHEMA)
    site = resource.Site()
    site.add_resource(["r"], Reports(pool))
    await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", port))
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
