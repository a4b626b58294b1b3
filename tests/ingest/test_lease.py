"""Who may write a partition, on a real PostgreSQL: when its clock is stepped, somebody can always, and only one does.

What a step does to a lease is brought about in its row: an end that lies an hour further off, or an hour ago.
"""

import asyncpg
import pytest

from ingest.lease import Lease, Watermark
from metering.errors import FencedError

LEASE_S = 10.0
BEFORE, AFTER = Watermark(0, None), Watermark(7, None)


class Clock:
    """A monotonic clock that goes when told to."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
async def pool(database_url):
    async with asyncpg.create_pool(database_url, min_size=1, max_size=3) as pool:
        yield pool


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lease(pool, clock):
    """Makes one of a worker on another machine, of which nobody can know whether it lives."""
    return lambda name: Lease(pool, 0, LEASE_S, f"elsewhere/{name}", clock)


async def database_clock_steps(pool, seconds):
    """As seen from the row: with the clock an hour ahead the lease ends an hour earlier."""
    await pool.execute("UPDATE watermarks SET lease_until = lease_until - make_interval(secs => $1)", float(seconds))


async def renew(pool):
    """What the holder does each third of a lease; its end moves with whatever clock the database has."""
    await pool.execute("UPDATE watermarks SET lease_until = lease_until + INTERVAL '3 s'")


async def test_one_at_a_time(lease):
    assert await lease("a").take() is not None
    assert await lease("b").take() is None


@pytest.mark.parametrize("step_s", [-3600, -86_400])
async def test_a_dead_workers_lease_ends_though_the_clock_went_back(lease, pool, clock, step_s):
    await lease("dead").take()
    await database_clock_steps(pool, step_s)
    standing_by = lease("b")
    assert await standing_by.take() is None
    clock.now_s += LEASE_S - 1
    assert await standing_by.take() is None, "not before the lease's length has passed"
    clock.now_s += 1
    assert await standing_by.take() == BEFORE


async def test_a_lease_that_is_renewed_is_not_taken_however_far_off_its_end_is(lease, pool, clock):
    await lease("a").take()
    await database_clock_steps(pool, -3600)
    standing_by = lease("b")
    for _ in range(8):
        assert await standing_by.take() is None
        clock.now_s += LEASE_S / 3
        await renew(pool)


@pytest.mark.parametrize("step_s", [3600, 86_400])
async def test_a_clock_that_went_ahead_changes_the_worker_and_the_fence_holds(lease, pool, step_s):
    first, second = lease("a"), lease("b")
    await first.take()
    await database_clock_steps(pool, step_s)
    assert await second.take() == BEFORE
    async with pool.acquire() as connection:
        with pytest.raises(FencedError):
            await first.advance(connection, BEFORE, AFTER)
        await second.advance(connection, BEFORE, AFTER)
    assert await first.take() is None
    assert await pool.fetchval("SELECT sequence FROM watermarks") == AFTER.sequence
