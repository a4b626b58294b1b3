"""The live leak stage: takes meters whose settled readings changed, looks at their days, and tells what it found.

A batch is one transaction: states, alerts and "due no more" are written together or not at all, and what changes
meanwhile stays due. A meter on which the detector fails is put aside alone and learned anew when it is due again.

Learning a meter from months of readings takes as long as a hundred new days. Where many must be, after an upgrade or an
import of history, they are put off: the others come first.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import structlog

from ingest.leaks.closed_by_platform import take_over
from ingest.leaks.habits import States
from ingest.meter_rows import meters_of
from metering.consumption import Bools, Ints
from metering.leak_settings import LeakSettings

from . import checkpoints, metrics, states
from .local_hours import day_of, midnight_s
from .readings import read
from .slices import Slice, found, meter_days
from .states import UNKNOWN, Due
from .telling import Alerts

MAX_METERS = 5_000
"""Of one transaction."""
MAX_KNOWN = 1_250
"""Of them so many are gone on with at a time: their states stay in the processor's cache, a fifth of the CPU less."""
MAX_LEARNED = 250
"""Of them so many are learned from the past at a time; more are put off."""
MAX_PUT_OFF = 1_000
"""Of those that were put off, of one transaction: the others wait for it."""
MAX_READINGS = 1_000_000
MAX_METER_DAYS = 75_000
"""Of a slice of meters that are looked at together; one that is larger is halved. A meter of its own has no bound."""
LOCK = 7_310_188_003
"""Advisory lock, of its own (settlement's batches share `metering.billing.CLOSING_LOCK`): a stage that lost the lead
without knowing it must not write states that are older."""
PASSING = (
    OSError, asyncpg.InternalClientError, asyncpg.PostgresConnectionError, asyncpg.TransactionRollbackError,
    asyncpg.InsufficientResourcesError, asyncpg.OperatorInterventionError,
)  # fmt: skip
"""Errors that are no meter's fault: the batch is rolled back and tried again."""

ABANDONED_S = 120
"""A process that is frozen, not dead, loses the lock when it has been silent for so long within a transaction."""
_BEGIN = f"""
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL idle_in_transaction_session_timeout = '{ABANDONED_S}s'"""
"""A plan for readings of any time would open every chunk."""


class LeakStage:
    """Runs until cancelled."""

    def __init__(self, pool: asyncpg.Pool, zone: ZoneInfo, settings: LeakSettings) -> None:
        self._pool, self._zone, self._settings = pool, zone, settings
        self._log = structlog.get_logger().bind(stage="leaks")

    async def run(self) -> None:
        while True:
            try:
                while await self.look_at_batch() >= MAX_METERS:
                    pass
                await self._measure_backlog()
                await self._learn(time.monotonic() + self._settings.every_s)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, *PASSING) as error:
                metrics.FAILURES.inc()
                self._log.warning("a batch of the leak stage failed", error=str(error))
                await asyncio.sleep(self._settings.every_s)

    async def _learn(self, until: float) -> None:
        """Those that were put off, until the others have their turn again."""
        while time.monotonic() < until and await self.look_at_batch(put_off=True) >= MAX_PUT_OFF:
            pass
        await asyncio.sleep(until - time.monotonic())

    async def look_at_batch(self, put_off: bool = False) -> int:
        """Looks at the MAX_METERS that were due first, in one transaction; returns how many there were. `put_off`: at
        the first MAX_PUT_OFF of those that such a look put off."""
        begun = time.monotonic()
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_BEGIN)
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
                return 0
            due = await states.due(connection, MAX_PUT_OFF if put_off else MAX_METERS, put_off)
            if not len(due.meter_id):
                return 0
            later = await self._look_at(connection, due, MAX_PUT_OFF if put_off else MAX_LEARNED)
            if len(later):
                await states.put_off(connection, later)
            await states.done(connection, due.only(~np.isin(due.meter_id, later)))
        metrics.BATCH_SECONDS.observe(time.monotonic() - begun)
        return len(due.meter_id)

    async def _look_at(self, connection: Any, due: Due, most: int) -> Ints:
        """All of them; of those on which something fails, all but the ones whose fault it is. Returns the meters that
        are to be put off: those to be learned, where these are more than `most`."""
        try:
            async with connection.transaction():
                return await self._look(connection, due, most)
        except PASSING:
            raise
        except Exception as error:
            if connection.is_closed():
                raise
            if len(due.meter_id) > 1:
                half = len(due.meter_id) // 2
                halves = due.only(slice(half)), due.only(slice(half, None))
                return np.concatenate([await self._look_at(connection, part, most) for part in halves])
            metrics.SET_ASIDE.inc()
            self._log.exception("the leak detector failed on a meter", meter_id=int(due.meter_id[0]), error=str(error))
            await states.forget(connection, due.meter_id)
            return due.meter_id[:0]

    async def _look(self, connection: Any, due: Due, most: int) -> Ints:
        """Those whose states can be gone on from, those that have an earlier one, and those to be learned anew."""
        meters = await meters_of(connection, due.meter_id)
        due = due.only(np.isin(due.meter_id, meters.meter_id))
        known = await states.load(connection, due.meter_id)
        begin_s = midnight_s(self._zone, np.where(known.usable, known.day, 0))
        goes_on = known.usable & (due.from_s >= begin_s)
        moved = await states.moved(connection, due.meter_id, self._zone)
        moved_day = np.array([moved.get(meter, UNKNOWN) for meter in due.meter_id.tolist()], np.int64)
        goes_on &= _of_here(known.states, moved_day, meters.q3_l_h)
        resumed = await self._resumed(connection, due, known.states, ~goes_on, moved_day, meters.q3_l_h)
        seen_before = known.day != UNKNOWN
        from_day = np.where(seen_before, known.day, day_of(self._zone, due.from_s)) - self._settings.history_days
        from_day = np.where(goes_on | resumed, known.states["day"], np.maximum(from_day, moved_day))
        from_s = midnight_s(self._zone, from_day)
        since_s = np.where(goes_on | ~seen_before, 0, due.from_s)
        everything = Slice(meters, known.states, goes_on | resumed, from_day, since_s)
        learned = ~goes_on & ~resumed
        later = learned & (np.count_nonzero(learned) > most)
        learned &= ~later
        for how, which, limit in (
            ("known", goes_on, MAX_KNOWN), ("resumed", resumed, MAX_KNOWN), ("learned", learned, MAX_LEARNED),
        ):  # fmt: skip
            at = np.flatnonzero(which)
            metrics.METERS.labels(how).inc(len(at))
            for part in np.split(at, range(limit, len(at), limit)):
                if len(part):
                    await self._slice(connection, everything.only(part), from_s[part])
        return due.meter_id[later]

    async def _resumed(
        self, connection: Any, due: Due, known: States, late: Bools, moved_day: Ints, q3_l_h: Ints
    ) -> Bools:  # fmt: skip
        """Which of the late have an earlier state; it takes the place of the one in `known`."""
        at = np.flatnonzero(late)
        there, found = await checkpoints.before(connection, due.meter_id[at], day_of(self._zone, due.from_s[at]))
        there &= _of_here(found, moved_day[at], q3_l_h[at])
        known[at[there]] = found[there]
        resumed = np.zeros(len(late), np.bool_)
        resumed[at[there]] = True
        return resumed

    async def _slice(self, connection: Any, of: Slice, from_s: Ints) -> None:
        alone = len(of.known) == 1
        limit = np.iinfo(np.int64).max - 1 if alone else MAX_READINGS
        readings = await read(connection, of.meters.meter_id, from_s, int(limit))
        if readings is None or (not alone and meter_days(of, readings, self._zone) > MAX_METER_DAYS):
            half = len(of.known) // 2
            await self._slice(connection, of.only(slice(half)), from_s[:half])
            await self._slice(connection, of.only(slice(half, None)), from_s[half:])
            return
        with metrics.LOOK_SECONDS.time():
            result = await asyncio.to_thread(found, of, readings, self._zone, self._settings)
        if result is not None:
            await states.save(connection, result.meter_id, result.states)
            before = np.where(of.known, of.states["day"], UNKNOWN)[np.isin(of.meters.meter_id, result.meter_id)]
            await checkpoints.keep(connection, result.meter_id, result.states, before)
            await Alerts(connection, self._zone).tell(result, of.meters)
            if not self._settings.vendor_rules:
                await take_over(connection, result.meter_id.tolist())

    async def _measure_backlog(self) -> None:
        async with self._pool.acquire() as connection:
            waiting = await states.waiting(connection)
        metrics.BACKLOG.set(waiting.meters)
        metrics.TO_LEARN.set(waiting.put_off)
        metrics.OLDEST.set(waiting.oldest_s)


def _of_here(known: States, moved_day: Ints, q3_l_h: Ints) -> Bools:
    """Which states were learned where the meter is now, and under the size it has."""
    here: Bools = (known["day"] - known["days"] >= moved_day) & (known["q3_l_h"] == q3_l_h)
    return here
