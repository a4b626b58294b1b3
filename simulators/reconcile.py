"""Answered ⊆ stored ⊆ sent: compares what a simulator sent with what the database holds, report by report.

Four faults are told apart: an answered report that is not stored (*lost*), one that is stored more than once
(*doubled*), one whose readings differ from those sent (*altered*), and a stored one that nobody sent (*unsent*).
A report whose answer never came may be stored or not; stored, it must be stored once and unaltered too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import numpy as np
import numpy.typing as npt
import structlog

DEVICES_A_TURN = 200
READINGS_A_TURN = 500_000
CLOCK_MARGIN = timedelta(minutes=5)
RECONNECT_PAUSE_S = 0.5
POLL_S = 1.0
EXAMPLES = 10
ML_PER_LITRE = 1000

Int64s = npt.NDArray[np.int64]
log = structlog.get_logger()


class Ledger(NamedTuple):
    """What one device sent. Row i of `seq` and `answered` is one report; `report`, `ts_s` and `index_l` are its
    readings, flat, `report` being the row they belong to. A report number occurs once; so does an instant."""

    device: str
    """Canonical name, as the database has it."""
    seq: Int64s
    answered: npt.NDArray[np.bool_]
    report: Int64s
    ts_s: Int64s
    index_l: Int64s


class Grid(NamedTuple):
    """What tells this run from others of the same meters: its readings lie at instants with this remainder, its
    reports are numbered from `first_seq` on. Others in the database are another run's."""

    modulus_s: int
    remainder_s: int
    first_seq: int = 0


@dataclass(slots=True)
class Reconciliation:
    """Counts of reports, and of readings where said; `examples` name a few of each fault as `device/seq`."""

    sent: int = 0
    answered: int = 0
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    unsent: int = 0
    readings_sent: int = 0
    readings_stored: int = 0
    unsent_readings: int = 0
    repeats_recognised: int = 0
    """Rows that ingest itself filed as duplicates: harmless copies."""
    unknown_devices: int = 0
    """Devices of the ledger that the database does not know."""
    waited_s: float = 0.0
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not (self.lost or self.doubled or self.altered or self.unsent or self.unsent_readings)

    def fault(self, kind: str, device: str, keys: Sequence[int]) -> None:
        setattr(self, kind, getattr(self, kind) + len(keys))
        if keys:
            named = self.examples.setdefault(kind, [])
            named += [f"{device}/{key}" for key in keys[: EXAMPLES - len(named)]]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}


async def connect(database_url: str, timeout_s: float = 60.0) -> asyncpg.Connection:
    """A connection, tried until `timeout_s` has passed: the server may be starting or recovering."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return await asyncpg.connect(database_url, timeout=10)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if time.monotonic() >= deadline:
                raise
            await asyncio.sleep(RECONNECT_PAUSE_S)


async def await_ingest(database_url: str, since: datetime, answered: int, max_wait_s: float, quiet_s: float) -> float:
    """Wait until at least `answered` reports are stored since `since`, or nothing has moved for `quiet_s`, or
    `max_wait_s` has passed. Returns the seconds waited. Survives a database that goes away meanwhile."""
    started = moved = time.monotonic()
    last: tuple[int, int] | None = None
    while (now := time.monotonic()) - started < max_wait_s:
        try:
            connection = await connect(database_url, max_wait_s)
            try:
                stored = await connection.fetchval(
                    "SELECT count(*) FROM reports WHERE received_at >= $1 AND outcome IN ('stored', 'partial')",
                    since - CLOCK_MARGIN,
                )
                taken = await connection.fetchval("SELECT coalesce(sum(sequence), 0)::bigint FROM watermarks")
            finally:
                await connection.close(timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("database_not_reachable", error=str(error))
            await asyncio.sleep(POLL_S)
            continue
        if stored >= answered:
            break
        if (stored, taken) != last:
            last, moved = (stored, taken), now
        elif now - moved >= quiet_s:
            break
        await asyncio.sleep(POLL_S)
    return time.monotonic() - started


async def reconcile(
    database_url: str,
    ledgers: Sequence[Ledger],
    since: datetime,
    *,
    grid: Grid | None = None,
    max_wait_s: float = 120.0,
    quiet_s: float = 20.0,
) -> Reconciliation:
    """Wait for ingest to catch up, then compare. `since`: nothing of this run was received before it.

    `ledgers` is walked several times, so that a first finding is looked at again while ingest still moves; it may
    make its items as they are asked for.
    """
    answered = sum(int(ledger.answered.sum()) for ledger in ledgers)
    started = time.monotonic()
    await await_ingest(database_url, since, answered, max_wait_s, quiet_s)
    while True:
        result = await _compare_surviving(database_url, ledgers, since, grid)
        result.waited_s = round(time.monotonic() - started, 2)
        left_s = max_wait_s - result.waited_s
        if not result.lost or left_s <= 0:
            return result
        stored_before = result.stored
        await asyncio.sleep(min(quiet_s, left_s))
        if (again := await _compare_surviving(database_url, ledgers, since, grid)).stored == stored_before:
            again.waited_s = round(time.monotonic() - started, 2)
            return again


async def _compare_surviving(
    database_url: str, ledgers: Sequence[Ledger], since: datetime, grid: Grid | None
) -> Reconciliation:
    for attempt in range(3):
        try:
            connection = await connect(database_url)
            try:
                return await _compare(connection, ledgers, since - CLOCK_MARGIN, grid)
            finally:
                await connection.close(timeout=5)
        except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError,
                asyncpg.OperatorInterventionError):  # fmt: skip
            if attempt == 2:
                raise
    raise AssertionError("unreachable")


async def _compare(
    connection: asyncpg.Connection, ledgers: Sequence[Ledger], since: datetime, grid: Grid | None
) -> Reconciliation:
    result = Reconciliation()
    for turn in _turns(ledgers):
        meters = await _meters(connection, [ledger.device for ledger in turn])
        reports = await _stored_reports(connection, [ledger.device for ledger in turn], since)
        readings = await _stored_readings(connection, turn, meters, grid)
        for ledger in turn:
            result.unknown_devices += ledger.device not in meters
            ours = [
                (seq, copy)
                for seq, copy in reports.get(ledger.device, [])
                if grid is None or seq is None or seq >= grid.first_seq
            ]
            _compare_device(result, ledger, ours, readings.get(meters.get(ledger.device, -1)))
    return result


def _turns(ledgers: Sequence[Ledger]) -> Iterator[list[Ledger]]:
    """Ledgers in groups small enough to be held with their rows."""
    turn: list[Ledger] = []
    readings = 0
    for ledger in ledgers:
        turn.append(ledger)
        readings += len(ledger.ts_s)
        if len(turn) >= DEVICES_A_TURN or readings >= READINGS_A_TURN:
            yield turn
            turn, readings = [], 0
    if turn:
        yield turn


async def _meters(connection: asyncpg.Connection, devices: list[str]) -> dict[str, int]:
    rows = await connection.fetch(
        """SELECT d.device, i.meter_id FROM devices d JOIN installations i USING (device_id)
           WHERE d.device = ANY($1) AND i.valid_to IS NULL""",
        devices,
    )
    return {row["device"]: row["meter_id"] for row in rows}


async def _stored_reports(
    connection: asyncpg.Connection, devices: list[str], since: datetime
) -> dict[str, list[tuple[int | None, bool]]]:
    """Per device (report number, whether it is a copy that ingest recognised)."""
    rows = await connection.fetch(
        """SELECT device, device_seq, outcome = 'duplicate' AS copy FROM reports
           WHERE device = ANY($1) AND received_at >= $2 AND outcome <> 'dead_lettered'""",
        devices,
        since,
    )
    found: dict[str, list[tuple[int | None, bool]]] = {}
    for device, seq, copy in rows:
        found.setdefault(device, []).append((seq, copy))
    return found


async def _stored_readings(
    connection: asyncpg.Connection, ledgers: Sequence[Ledger], meters: dict[str, int], grid: Grid | None
) -> dict[int, tuple[Int64s, Int64s]]:
    """Per meter the instants and indices stored in the span that its ledger covers, ascending."""
    spans = [(ledger.ts_s.min(), ledger.ts_s.max()) for ledger in ledgers if len(ledger.ts_s)]
    if not spans or not meters:
        return {}
    modulus, remainder, _ = grid or Grid(1, 0)
    rows = await connection.fetch(
        """SELECT meter_id, array_agg(s ORDER BY s), array_agg(index_ml ORDER BY s) FROM (
               SELECT meter_id, extract(epoch FROM ts)::bigint AS s, index_ml FROM readings
               WHERE meter_id = ANY($1) AND ts BETWEEN $2 AND $3) AS r
           WHERE s % $4 = $5 GROUP BY meter_id""",
        list(meters.values()),
        datetime.fromtimestamp(int(min(span[0] for span in spans)), UTC),
        datetime.fromtimestamp(int(max(span[1] for span in spans)), UTC),
        modulus,
        remainder,
        timeout=300,
    )
    return {meter: (np.array(ts, np.int64), np.array(index_ml, np.int64)) for meter, ts, index_ml in rows}


def _compare_device(
    result: Reconciliation,
    ledger: Ledger,
    stored_reports: list[tuple[int | None, bool]],
    stored_readings: tuple[Int64s, Int64s] | None,
) -> None:
    counted = {int(seq): 0 for seq in ledger.seq}
    foreign: list[int] = []
    for seq, copy in stored_reports:
        if copy:
            result.repeats_recognised += 1
        elif seq in counted:
            counted[seq] += 1
        else:
            foreign.append(-1 if seq is None else seq)
    times = np.array(list(counted.values()), np.int64)
    result.sent += len(times)
    result.answered += int(ledger.answered.sum())
    result.stored += int((times > 0).sum())
    result.fault("lost", ledger.device, ledger.seq[ledger.answered & (times == 0)].tolist())
    result.fault("doubled", ledger.device, ledger.seq[times > 1].tolist())
    result.fault("unsent", ledger.device, foreign)
    _compare_readings(result, ledger, times > 0, stored_readings)


def _compare_readings(
    result: Reconciliation,
    ledger: Ledger,
    stored: npt.NDArray[np.bool_],
    stored_readings: tuple[Int64s, Int64s] | None,
) -> None:
    ts_s, index_ml = stored_readings or (np.empty(0, np.int64), np.empty(0, np.int64))
    order = np.argsort(ledger.ts_s)
    sent_ts = ledger.ts_s[order]
    place = np.searchsorted(ts_s, ledger.ts_s)
    place_or_0 = np.minimum(place, max(len(ts_s) - 1, 0))
    present = (ts_s[place_or_0] == ledger.ts_s) if len(ts_s) else np.zeros(len(ledger.ts_s), bool)
    right = present & (index_ml[place_or_0] == ledger.index_l * ML_PER_LITRE) if len(ts_s) else present
    wrong = (stored[ledger.report] & ~right) | (present & ~right) if len(ledger.ts_s) else np.zeros(0, bool)
    result.readings_sent += len(sent_ts)
    result.readings_stored += int(right.sum())
    result.fault("altered", ledger.device, ledger.seq[np.unique(ledger.report[wrong])].tolist())
    if len(sent_ts):
        known = sent_ts[np.minimum(np.searchsorted(sent_ts, ts_s), len(sent_ts) - 1)] == ts_s
        inside = (ts_s >= sent_ts[0]) & (ts_s <= sent_ts[-1])
        extra = ts_s[~known & inside]
        twice = ts_s[1:][np.diff(ts_s) == 0]
        result.fault("unsent_readings", ledger.device, extra.tolist() + twice.tolist())
