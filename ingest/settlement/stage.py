"""Settlement: recomputes the local days that new readings touch, and looks for leaks on the way (DESIGN section 3.7).

Ingest appends a span per meter to `touched_spans`; this stage takes spans in bounded batches, and for each batch in one
transaction: takes the spans away → reads what they reach → computes → writes days and alerts. A batch that fails leaves
everything as it was; computing a day twice gives the same row, whatever came in between.

How far a new reading reaches is a number of readings, not a time. First as much is read as is enough for hourly
readings (nearly all are), then, for the spans for which that did not suffice, as much as for daily ones, and for the
last few it is found out by counting.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import structlog

from ingest.districts import late_hours
from ingest.leaks import stage as leaks
from ingest.leaks.live.states import known_meters, note_due
from ingest.meter_rows import bulk_meters, meters_of
from ingest.meters import Meters
from metering.billing import CLOSING_LOCK
from metering.consumption import HOUR_S, Bools, Readings, Rules, curve_of
from metering.leak_settings import LeakSettings
from metering.settings import SettlementSettings

from . import day_edits, days, frozen, habits, metrics, reading
from .reading import Read, ReadingTable
from .spans import DAY_S, Reached, Spans, joined, merged, reached, sliced, window

DEFAULT_RULES = Rules()
DEFAULT_LEAKS = LeakSettings()  # type: ignore[call-arg] # the mypy plugin of pydantic is not in use
MAX_SPANS = 5_000
"""Spans of one transaction."""
SPACINGS = {"hourly": HOUR_S, "daily": DAY_S}
"""How far apart readings are taken to be, one after the other."""
BACKLOG_EVERY_S = 10.0
"""Counting what waits costs the more the more it is."""
LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a database or a connection that fails raises; the client's internal one when it is cut between two messages."""
BEHIND_S = 30.0
"""Ingest that is so far behind the stream catches up and needs the machine; live reports are taken within a second."""
HOLD_S = 60.0
"""It is left to ingest for so long at a time. Spans of a meter that gather meanwhile are settled as one, which
costs less than one by one."""
_BEHIND = "SELECT max(behind_s) FROM watermarks WHERE lease_until > clock_timestamp()"
_BEGIN = f"SET LOCAL plan_cache_mode = force_custom_plan; SELECT pg_advisory_xact_lock_shared({CLOSING_LOCK})"
"""A plan for readings of any time would open every chunk. No billing period is closed while a batch is under way: it
would not know what that writes, nor the batch that there is something to correct."""


class SettlementStage:
    """Works on the one connection that holds the lock: with the connection the lock is gone, and so is the batch."""

    def __init__(
        self, connection: Any, settings: SettlementSettings, zone: ZoneInfo, rules: Rules = DEFAULT_RULES,
        leak_settings: LeakSettings = DEFAULT_LEAKS,
    ) -> None:  # fmt: skip
        self._connection, self._settings, self._zone, self._rules = connection, settings, zone, rules
        self._leaks = leak_settings
        self._pause_s = min(settings.every_s, settings.lease_s / 3)
        """A round is a sign of life, too: the server closes a connection that is silent for the length of the lease."""
        self._table = ReadingTable(connection)
        self._edits = day_edits.NO_EDITS
        self._closed_until: date | None = None
        self._before_later: list[Spans] = []
        """Spans of the batch in hand that have readings after them."""
        self._stop = asyncio.Event()
        self._measured_at = -BACKLOG_EVERY_S
        self._held_since: float | None = None
        self._log = structlog.get_logger().bind(stage="settlement")

    async def run(self) -> None:
        """Until `stop`, or until the connection is lost. A failed batch is logged, counted and tried again after the
        usual pause."""
        while not self._stop.is_set() and not self._connection.is_closed():
            try:
                taken = 0 if await self.holds_back() else await self.settle_batch()
                await self._measure_backlog()
                if taken >= MAX_SPANS:
                    continue
                if taken:
                    self._held_since = None
            except LOST as error:
                metrics.FAILURES.inc()
                self._log.warning("settlement batch failed", error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._pause_s)

    async def holds_back(self) -> bool:
        """Whether ingest is catching up, and settlement has not yet waited long enough."""
        behind_s = await self._connection.fetchval(_BEHIND)
        if behind_s is None or behind_s < BEHIND_S:
            self._held_since = None
            metrics.HELD_BACK.set(0)
            return False
        if self._held_since is None:
            self._held_since = time.monotonic()
        held = time.monotonic() - self._held_since < HOLD_S
        metrics.HELD_BACK.set(held)
        return held

    def stop(self) -> None:
        """After the batch in hand."""
        self._stop.set()

    async def settle_batch(self) -> int:
        """Settles the oldest MAX_SPANS touched spans in one transaction; returns how many it took."""
        with metrics.BATCH_SECONDS.time():
            async with self._connection.transaction():
                with metrics.step("take"):
                    await self._connection.execute(_BEGIN)
                    taken = await reading.take(self._connection, MAX_SPANS)
                if len(taken.meter_id):
                    await self._settle_all(merged(taken))
        if len(taken.meter_id):
            metrics.BATCH_SPANS.observe(len(taken.meter_id))
        return len(taken.meter_id)

    async def _settle_all(self, spans: Spans) -> None:
        meters = await meters_of(self._connection, np.unique(spans.meter_id))
        await self._table.prepare(meters.meter_id)
        self._edits = await day_edits.in_force(self._connection, meters.meter_id, self._zone)
        self._closed_until = await days.closed_until(self._connection)
        known = np.isin(spans.meter_id, meters.meter_id)
        metrics.SPANS.labels("unknown_meter").inc(int((~known).sum()))
        spans = spans.only(known)
        await note_due(self._connection, spans.meter_id, spans.from_s)
        await late_hours.note(self._connection, spans.from_s, spans.to_s, int(time.time()))
        self._before_later = []
        await self._settle_spans(spans, meters)
        amended = spans.only(self._table.were_amended(spans))
        if len(amended.meter_id):
            await days.forget_unreached(self._connection, np.unique(amended.meter_id), self._zone)
            await days.recheck_billed(self._connection, amended, self._closed_until, self._zone)
        later = await habits.later_gaps(self._connection, joined(self._before_later), self._zone)
        if len(later.meter_id):
            await self._settle_spans(later, meters)

    async def _settle_spans(self, spans: Spans, meters: Meters) -> None:
        for name, spacing_s in SPACINGS.items():
            before = len(spans.meter_id)
            spans = await self._settle_sure(spans, window(spans, self._zone, spacing_s), meters)
            metrics.SPANS.labels(name).inc(before - len(spans.meter_id))
        if len(spans.meter_id):
            stretches = await self._table.exact_stretches(spans, self._zone)
            await self._settle_sure(spans, stretches, meters, exact=True)
            metrics.SPANS.labels("counted").inc(len(spans.meter_id))

    async def _settle_sure(self, spans: Spans, stretches: Spans, meters: Meters, exact: bool = False) -> Spans:
        """Settles those spans for which it suffices to read these stretches; returns the others."""
        others = []
        for part in sliced(stretches):
            of = spans.only(part)
            with metrics.step("read"):
                read = await self._table.read(stretches.only(part))
                found = reached(of, stretches.only(part), read.readings, self._zone)
                sure = found.early_enough | exact
                if not exact:
                    sure = await self._is_sure(found, stretches.only(part), read)
            metrics.READINGS.inc(len(read.readings.ts_s))
            others.append(of.only(~sure))
            self._before_later.append(of.only(sure & (found.has_later | ~read.is_newest)))
            await self._settle(_of(read.readings, sure), found.changed, meters.of(of.meter_id))
        return joined(others)

    async def _is_sure(self, found: Reached, stretches: Spans, read: Read) -> Bools:
        """Whether more readings than those of the stretches could not change the result: by their number, or because
        there are no more."""
        early, late = found.early_enough.copy(), found.late_enough | read.is_newest
        meter_id = stretches.meter_id
        several = np.isin(meter_id, meter_id[1:][np.diff(meter_id) == 0])
        asked = np.flatnonzero(~early)
        early[asked] = ~await self._table.is_earlier(
            meter_id[asked], stretches.from_s[asked], several[asked], self._zone
        )
        asked = np.flatnonzero(early & ~late)
        late[asked] = ~await self._table.is_later(meter_id[asked], stretches.to_s[asked], several[asked], self._zone)
        return early & late

    async def _settle(self, readings: Readings, changed: Spans, meters: Meters) -> None:
        with metrics.step("compute"):
            curve = curve_of(readings, meters.limits)
            bridge_s = self._rules.bridge_s(meters.dn_mm)
            spread = await habits.with_gaps_filled(self._table, curve, changed, meters, bridge_s, self._zone)
            settled = days.days_of(spread, changed, self._zone)
            settled = await frozen.compared(self._connection, settled, meters, self._zone, self._rules.settlement_day)
        with metrics.step("write"):
            await days.write(self._connection, day_edits.laid_over(settled, self._edits), self._zone)
            await days.recheck_billed(self._connection, changed, self._closed_until, self._zone)
        with metrics.step("leaks"):
            chosen, watched = self._leaks.vendor_rules, frozenset[int]()
            if not chosen:
                watched = await known_meters(self._connection, meters.meter_id, self._leaks.first_days)
            bulk = await bulk_meters(self._connection, meters.meter_id)
            await leaks.find_continuous_flow(self._connection, curve, meters, chosen, watched, bulk)

    async def _measure_backlog(self) -> None:
        if time.monotonic() - self._measured_at >= BACKLOG_EVERY_S:
            backlog, oldest_s = await reading.waiting(self._connection)
            metrics.BACKLOG.set(backlog)
            metrics.OLDEST.set(oldest_s)
            self._measured_at = time.monotonic()


def _of(readings: Readings, sure: Bools) -> Readings:
    """The readings of these spans; positions stay."""
    if sure.all():
        return readings
    kept = sure[readings.meter]
    return readings._replace(meter=readings.meter[kept], ts_s=readings.ts_s[kept], index_ml=readings.index_ml[kept])
