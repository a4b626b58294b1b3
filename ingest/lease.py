"""One writer per partition (DESIGN sections 3.4 and 3.5): a lease with a fencing number, in the row of the watermark.

Taking the lease raises the fence; the last statement of each ingest transaction moves the watermark only under the
same fence and from the same place, so a worker that lost its lease without noticing cannot commit.

Until when a lease lasts is told by the database's clock, which may be stepped. Forward, every lease looks as if it had
run out: whoever stands by takes over at once, and the fence keeps the other from committing. Backward, the lease of one
who has died would last until the clock is there again: so whoever stands by also takes one that has not been renewed
for the length of a lease by its own monotonic clock.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from metering.errors import FencedError

log = structlog.get_logger()

_CREATE = "INSERT INTO watermarks (partition) VALUES ($1) ON CONFLICT DO NOTHING"
_HELD = "SELECT holder, lease_until FROM watermarks WHERE partition = $1"
_TAKE = """
    UPDATE watermarks
    SET fence = fence + 1, holder = $2, lease_until = clock_timestamp() + make_interval(secs => $3)
    WHERE partition = $1
      AND (holder IS NULL OR holder = $2 OR holder = $4 OR lease_until IS NULL OR lease_until < clock_timestamp()
           OR lease_until = $5)
    RETURNING fence, sequence, stream_created
"""
_RENEW = """
    UPDATE watermarks SET lease_until = clock_timestamp() + make_interval(secs => $3)
    WHERE partition = $1 AND fence = $2
"""
_RELEASE = "UPDATE watermarks SET holder = NULL, lease_until = NULL WHERE partition = $1 AND fence = $2"
_ADVANCE = """
    UPDATE watermarks
    SET sequence = $4, stream_created = $5, lease_until = clock_timestamp() + make_interval(secs => $6), behind_s = $7
    WHERE partition = $1 AND fence = $2 AND sequence = $3
"""


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far ingest has come, and in which life of the stream; None before the first report ever."""

    sequence: int
    stream_created: datetime | None


def new_holder() -> str:
    """A name for this worker: machine, process namespace, process, when it started, and a random part."""
    return "/".join((*_place(), str(os.getpid()), _started(os.getpid()) or "", secrets.token_hex(4)))


def _place() -> tuple[str, str]:
    """Boot and process-id namespace, where Linux tells them; only where both agree can a process id be judged."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return boot, os.readlink("/proc/self/ns/pid")
    except OSError:
        return "", secrets.token_hex(8)


def _started(pid: int) -> str | None:
    """Start time of a running process in clock ticks since boot (proc(5), stat, field 22)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def is_dead(holder: str) -> bool:
    """Whether the worker of this name ran on this machine and is gone. False when that cannot be known."""
    parts = holder.split("/")
    if len(parts) != 5 or tuple(parts[:2]) != _place() or not parts[2].isdecimal():
        return False
    return _started(int(parts[2])) != parts[3]


class Lease:
    """The lease of one partition, `seconds` long, for all its workers alike. `pool` is an asyncpg pool, `clock` never
    goes back."""

    def __init__(
        self,
        pool: Any,
        partition: int,
        seconds: float,
        holder: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool, self._partition, self._seconds, self._clock = pool, partition, seconds, clock
        self._holder = holder or new_holder()
        self._fence = 0
        self._seen_until: datetime | None = None
        self._seen_at = 0.0

    async def take(self) -> Watermark | None:
        """The watermark, when the lease is ours now; None while another worker holds it."""
        async with self._pool.acquire() as connection:
            await connection.execute(_CREATE, self._partition)
            other, until = await connection.fetchrow(_HELD, self._partition)
            dead = other if other and is_dead(other) else None
            unrenewed = until if self._stands_still(until) else None
            row = await connection.fetchrow(_TAKE, self._partition, self._holder, self._seconds, dead, unrenewed)
        if row is None:
            return None
        self._fence = row["fence"]
        log.info("lease_taken", partition=self._partition, fence=self._fence, sequence=row["sequence"])
        return Watermark(row["sequence"], row["stream_created"])

    def _stands_still(self, until: datetime | None) -> bool:
        """Whether this has been seen for the length of a lease."""
        if until != self._seen_until:
            self._seen_until, self._seen_at = until, self._clock()
        return self._clock() - self._seen_at >= self._seconds

    async def keep(self) -> None:
        """Renew until cancelled. Raises FencedError when another worker has taken over; an absent database is waited
        for, since then nobody can commit."""
        while True:
            await asyncio.sleep(self._seconds / 3)
            try:
                done = await self._pool.execute(_RENEW, self._partition, self._fence, self._seconds)
            except Exception as error:  # the next attempt may find the database again; the fence guards meanwhile
                log.warning("lease_not_renewed", error=type(error).__name__)
                continue
            self._check(done)

    async def advance(self, connection: Any, before: Watermark, after: Watermark, behind_s: float = 0.0) -> None:
        """The last statement of a transaction. `behind_s`: how old what is taken was, 0 when nothing more waits. Raises
        FencedError when this worker may not commit it."""
        done = await connection.execute(
            _ADVANCE, self._partition, self._fence, before.sequence, after.sequence, after.stream_created,
            self._seconds, behind_s,
        )  # fmt: skip
        self._check(done)

    async def release(self) -> None:
        """Let the next worker begin at once."""
        await self._pool.execute(_RELEASE, self._partition, self._fence)

    def _check(self, done: str) -> None:
        if done != "UPDATE 1":
            raise FencedError(f"partition {self._partition}: another worker holds the lease (our fence {self._fence})")
