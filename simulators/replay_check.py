"""Recomputes from a recording what the database must hold: each reading exactly once with its value, and settled days
that telescope, so that their sum is the index difference of the recording to the millilitre.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import asyncpg

from simulators.local_time import DAY_S, UTC_OFFSET_S
from simulators.reconcile import EXAMPLES, ML_PER_LITRE, connect
from simulators.recording import Recording

POLL_S = 1.0
QUIET_S = 30.0


@dataclass(slots=True)
class ReplayCheck:
    """Counts; `examples` name a few of each difference."""

    readings_expected: int = 0
    readings_stored_once: int = 0
    readings_missing: int = 0
    readings_doubled: int = 0
    readings_altered: int = 0
    readings_unsent: int = 0
    days_expected: int = 0
    days_settled: int = 0
    days_wrong: int = 0
    """Settled days whose ends are not those of their neighbours, or not the recorded index at that midnight."""
    midnights_set_aside: int = 0
    """Midnights whose recorded index validation set aside as a spike, so that the settled one differs by right."""
    meters_with_wrong_sum: int = 0
    """Settled days do not sum up to last minus first recorded index."""
    consumption_ml: int = 0
    excluded_ml: int = 0
    index_difference_ml: int = 0
    spans_left: int = 0
    waited_s: float = 0.0
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        wrong = self.readings_missing + self.readings_doubled + self.readings_altered + self.readings_unsent
        wrong += self.days_wrong + self.meters_with_wrong_sum + abs(self.days_settled - self.days_expected)
        return not wrong and self.consumption_ml + self.excluded_ml == self.index_difference_ml

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}

    def fault(self, kind: str, where: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        named = self.examples.setdefault(kind, [])
        if len(named) < EXAMPLES:
            named.append(where)


async def check_replay(database_url: str, recordings: Sequence[Recording], max_wait_s: float) -> ReplayCheck:
    """Wait until everything is stored and settled, or nothing moves any more, or `max_wait_s` has passed; compare."""
    check = ReplayCheck(readings_expected=sum(len(one.ts_s) for one in recordings))
    connection = await connect(database_url)
    try:
        meters = {
            row["serial"]: row["meter_id"]
            for row in await connection.fetch(
                "SELECT serial, meter_id FROM meters WHERE serial = ANY($1)", [one.serial for one in recordings]
            )
        }
        await _await_settled(connection, list(meters.values()), check, max_wait_s)
        for recording in recordings:
            await _compare(connection, recording, meters.get(recording.serial, -1), check)
    finally:
        await connection.close()
    return check


async def _await_settled(
    connection: asyncpg.Connection, meters: list[int], check: ReplayCheck, max_wait_s: float
) -> None:
    started = moved = time.monotonic()
    last: tuple[int, int] | None = None
    while (now := time.monotonic()) - started < max_wait_s:
        stored = await connection.fetchval("SELECT count(*) FROM readings WHERE meter_id = ANY($1)", meters)
        left = await connection.fetchval("SELECT count(*) FROM touched_spans WHERE meter_id = ANY($1)", meters)
        check.spans_left = left
        if stored >= check.readings_expected and not left:
            break
        if (stored, left) != last:
            last, moved = (stored, left), now
        elif now - moved > QUIET_S:
            break
        await asyncio.sleep(POLL_S)
    check.waited_s = round(time.monotonic() - started, 2)


async def _compare(connection: asyncpg.Connection, recording: Recording, meter_id: int, check: ReplayCheck) -> None:
    rows = await connection.fetch(
        "SELECT extract(epoch FROM ts)::bigint AS ts, index_ml FROM readings WHERE meter_id = $1", meter_id
    )
    sent = {ts: litres * ML_PER_LITRE for ts, litres in zip(recording.ts_s, recording.index_l, strict=True)}
    seen: set[int] = set()
    for ts, index_ml in rows:
        where = f"{recording.meter_id}/{ts}"
        if ts not in sent:
            check.fault("readings_unsent", where)
        elif ts in seen:
            check.fault("readings_doubled", where)
        elif sent[ts] != index_ml:
            check.fault("readings_altered", where)
        else:
            check.readings_stored_once += 1
        seen.add(ts)
    for ts in sent.keys() - seen:
        check.fault("readings_missing", f"{recording.meter_id}/{ts}")
    await _compare_days(connection, recording, meter_id, sent, check)


async def _compare_days(
    connection: asyncpg.Connection, recording: Recording, meter_id: int, sent: dict[int, int], check: ReplayCheck
) -> None:
    rows = await connection.fetch(
        """SELECT day - date '1970-01-01' AS day, start_index_ml, end_index_ml, consumption_ml, excluded_ml,
                  'spike' = ANY(reasons) AS spike
           FROM settled_days WHERE meter_id = $1 ORDER BY day""",
        meter_id,
    )
    first_ml, last_ml = sent[recording.ts_s[0]], sent[recording.ts_s[-1]]
    check.days_expected += expected_days(recording.ts_s[0], recording.ts_s[-1])
    check.days_settled += len(rows)
    check.index_difference_ml += last_ml - first_ml
    total, before_ml, spike_before = 0, first_ml, False
    for day, start_ml, end_ml, consumption_ml, excluded_ml, spike in rows:
        recorded = sent.get(day * DAY_S - UTC_OFFSET_S, start_ml) == start_ml
        check.midnights_set_aside += not recorded and (spike or spike_before)
        telescopes = start_ml == before_ml and end_ml - start_ml == consumption_ml + excluded_ml
        if not telescopes or not (recorded or spike or spike_before):
            check.fault("days_wrong", f"{recording.meter_id}/day {day}")
        before_ml, spike_before = end_ml, spike
        total += consumption_ml + excluded_ml
        check.consumption_ml += consumption_ml
        check.excluded_ml += excluded_ml
    if total != last_ml - first_ml or before_ml != last_ml:
        check.fault("meters_with_wrong_sum", recording.meter_id)


def expected_days(first_s: int, last_s: int) -> int:
    """Local days that have water in them: from the day of the first reading to that in which the last interval ends;
    a last reading at midnight belongs to the day before it."""
    if first_s == last_s:
        return 0
    return (last_s - 1 + UTC_OFFSET_S) // DAY_S - (first_s + UTC_OFFSET_S) // DAY_S + 1
