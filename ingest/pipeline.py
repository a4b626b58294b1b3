"""What happens to reports, as a list of verbs: place → drop repeats → store readings → conclude → write down.

Everything runs inside one transaction that the caller opens, ends with the watermark, and commits; only then may the
caller say `remember`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from asyncpg.pgproto.pgproto import UUID

from metering.envelope import Report
from metering.model import Outcome
from metering.settings import IngestSettings

from . import metrics, writer
from .accounting import Tally
from .classify import Decoded, Prepared, Refused, Repeats
from .commands.ledger import write_down
from .commands.life import results_of
from .dialects import decoders_of
from .first_contact import bind_first
from .identity import RepeatMemory
from .installations import Installations
from .lateness import earlier_lateness
from .leaks.alarms import AlarmEvent, record_alarms
from .placing import Placed, place
from .readings import Bools, HighWaterMarks, Int64s, ReadingTable, Verdict, judge, newest_readings, tabulate
from .report_rows import (
    DEAD_LETTER_COLUMNS,
    RAW_COLUMNS,
    REPORT_COLUMNS,
    Ended,
    Row,
    dead_letter_values,
    ended_values,
    instant,
    latest_values,
    raw_values,
    refused_values,
)


@dataclass(frozen=True, slots=True)
class Taken:
    """How every report of a batch ended."""

    ended: list[Ended]
    """First those that were no repeats, in the order of `table.report`."""
    rows: list[Row]
    """The row of `reports` of each of `ended`."""
    refused: list[Refused]
    repeats: list[Repeats]
    table: ReadingTable
    verdict: Verdict
    sequences: dict[bytes, int]
    """As `Prepared.sequences`."""

    @property
    def ends(self) -> Iterator[tuple[Report, Outcome]]:
        """Every report and how it ended."""
        yield from ((end.placed.report, end.outcome) for end in self.ended)
        yield from ((refused.report, Outcome.DEAD_LETTERED) for refused in self.refused)

    @property
    def kept(self) -> list[Ended]:
        """The reports that were not repeats."""
        return [end for end in self.ended if end.outcome is not Outcome.DUPLICATE]


class Pipeline:
    """Turns prepared reports into rows. Remembers the registry, recent reports and high-water marks, all bounded.

    Raises SettingsError for files of decoders that cannot be used.
    """

    def __init__(self, settings: IngestSettings, zone: ZoneInfo, use_copy: bool = True) -> None:
        self._settings, self._zone, self._use_copy = settings, zone, use_copy
        self._repeat_window_us = 1_000_000 * settings.repeat_window_s
        self._sequence_window_us = 1_000_000 * settings.sequence_window_s
        self._repeats = RepeatMemory()
        self._marks = HighWaterMarks()
        self._alarmed: set[int] | None = None
        """Meters that have an alarm alert which is not over; None: to be read. At most the meters of the city."""
        self.installations = Installations()
        self.decoders = decoders_of(settings)
        """What is to prepare the reports that come here."""

    def forget(self) -> None:
        """Others may have written: trust nothing but the database."""
        self._repeats.clear()
        self._marks.clear()
        self._alarmed = None
        self.installations.clear()

    async def take(self, connection: Any, prepared: Prepared, careful: bool = False) -> Taken:
        """Store what the reports say and write down how each ended. Raises UniqueViolationError when not `careful`
        and something that seemed new was there already."""
        copy = self._use_copy and not careful
        if not copy:
            prepared = await _without_copies(connection, prepared)
        taken = await self.store(connection, prepared, copy)
        await self._write_reports(connection, taken, copy)
        await self._write_accounts(connection, taken)
        return taken

    async def store(self, connection: Any, prepared: Prepared, copy: bool) -> Taken:
        """All that follows from what the reports say, but not yet the reports themselves."""
        await self.installations.load(connection, prepared.devices)
        await bind_first(connection, (decoded.report for decoded in prepared.decoded), self.installations)
        earlier = await earlier_lateness(connection, prepared.decoded, self.installations)
        refuses = self._settings.meter_mismatch == "dead_letter"
        placed, refused = place(prepared, self.installations, refuses, earlier)
        fresh, repeated = await self._part_repeats(connection, placed, trust_marks=copy)
        table = tabulate(fresh)
        verdict = await self._store_readings(connection, table, copy)
        ended = conclude(fresh, table, verdict)
        ended += [Ended(p, Outcome.DUPLICATE, "repeat", 0) for p in repeated]
        sequence = prepared.sequences.get
        rows = [ended_values(end, sequence(end.placed.report.report_id)) for end in ended]
        taken = Taken(ended, rows, refused, prepared.repeats, table, verdict, prepared.sequences)
        await self._write_effects(connection, taken, copy)
        return taken

    def remember(self, taken: Taken) -> None:
        """The transaction is committed."""
        for end in taken.kept:
            report = end.placed.report
            self._repeats.add(end.placed.device.name, end.placed.identity, report.received_at_us)
        if self._alarmed is not None:
            self._alarmed |= {end.placed.meter_id for end in taken.kept if end.placed.content.state.alarms}
        stored = taken.verdict.stored
        self._marks.raise_to(taken.table.meter_id[stored], taken.table.ts_s[stored])
        metrics.KNOWN_DEVICES.set(len(self.installations))
        metrics.REMEMBERED_REPORTS.set(len(self._repeats))
        _count(taken)

    async def _part_repeats(
        self, connection: Any, placed: list[Placed], trust_marks: bool
    ) -> tuple[list[Placed], list[Placed]]:
        """Reports that say something new, and repeats of reports taken before or earlier in this batch."""
        certainly_new = (
            await self._certainly_new(connection, placed) if trust_marks else np.zeros(len(placed), np.bool_)
        )
        batch: dict[tuple[str, int], int] = {}
        repeats: set[int] = set()
        asked: list[int] = []
        for position, (p, new) in enumerate(zip(placed, certainly_new.tolist(), strict=True)):
            key, at_us, window_us = (p.device.name, p.identity), p.report.received_at_us, self._window_us(p)
            before_us = batch.get(key)
            again = before_us is not None and abs(at_us - before_us) <= window_us
            if again or self._repeats.has(*key, at_us, window_us):
                repeats.add(position)
            else:
                batch[key] = at_us
                if not new:
                    asked.append(position)
        keys = [self._repeat_key(placed[position]) for position in asked]
        repeats |= {asked[n] for n in await writer.repeated(connection, keys)}
        fresh = [p for position, p in enumerate(placed) if position not in repeats]
        return fresh, [placed[position] for position in sorted(repeats)]

    def _window_us(self, placed: Placed) -> int:
        return self._repeat_window_us if placed.content.seq is None else self._sequence_window_us

    def _repeat_key(self, placed: Placed) -> tuple[Any, ...]:
        at_us, window_us = placed.report.received_at_us, self._window_us(placed)
        return (placed.device.name, placed.identity, instant(at_us - window_us), instant(at_us + window_us))

    async def _certainly_new(self, connection: Any, placed: list[Placed]) -> Bools:
        """Reports all of whose readings are later than everything stored of their meter: they repeat nothing."""
        plain = [bool(p.content.ts_s) and len(p.segments) == 1 for p in placed]
        meters = np.array([p.meter_id for p in placed], np.int64)
        first_s = np.array([p.segments[0].first_s if ok else 0 for p, ok in zip(placed, plain, strict=True)], np.int64)
        await self._learn_marks(connection, meters)
        return np.array(plain, np.bool_) & self._marks.certainly_new(meters, first_s)

    async def _learn_marks(self, connection: Any, meter_id: Int64s) -> None:
        unknown = self._marks.unknown(meter_id)
        if len(unknown):
            self._marks.set(unknown, await writer.newest_times(connection, unknown))

    async def _store_readings(self, connection: Any, table: ReadingTable, copy: bool) -> Verdict:
        leaders = np.flatnonzero(table.leader)
        if copy:
            meters, times = table.meter_id[leaders], table.ts_s[leaders]
            await self._learn_marks(connection, meters)
            new = self._marks.certainly_new(meters, times)
            existing, existing_ml = await writer.copy_readings(connection, table, leaders, new)
        else:
            existing, existing_ml = await writer.insert_readings(connection, table, leaders)
        return judge(table, leaders, existing, existing_ml)

    async def _write_effects(self, connection: Any, taken: Taken, copy: bool) -> None:
        kept = taken.kept
        await writer.insert_conflicts(connection, taken.table, taken.verdict, [end.placed.report for end in kept])
        await writer.insert_spans(connection, taken.table, taken.verdict.stored, copy)
        newest = newest_readings(taken.table, [end.placed.meter_id for end in kept])
        await writer.upsert_latest(connection, latest_values(taken.rows[: len(kept)], *newest), copy)
        await self._record_alarms(connection, kept)
        await _end_commands(connection, kept)

    async def _record_alarms(self, connection: Any, ended: list[Ended]) -> None:
        """Alarms of the reports, and their absence where one is thought to last."""
        if self._alarmed is None:
            self._alarmed = await writer.alarmed_meters(connection)
        events = [
            AlarmEvent(
                end.placed.meter_id,
                end.placed.report.report_id,
                end.placed.report.received_at_us // 1_000_000,
                end.placed.content.state.alarms,
            )
            for end in ended
            if end.placed.content.state.alarms or end.placed.meter_id in self._alarmed
        ]
        if events:
            await record_alarms(connection, events)

    async def _write_reports(self, connection: Any, taken: Taken, copy: bool) -> None:
        """Raw bytes are kept of every report but repeats, whose first copy has them."""
        sequence = taken.sequences.get
        rows = taken.rows + [refused_values(refused, sequence(refused.report.report_id)) for refused in taken.refused]
        raw = [end.placed.report for end in taken.kept] + [refused.report for refused in taken.refused]
        await writer.insert(connection, "reports", REPORT_COLUMNS, rows, copy)
        await writer.insert(connection, "raw_reports", RAW_COLUMNS, [raw_values(report) for report in raw], copy)
        letters = [dead_letter_values(refused) for refused in taken.refused]
        await writer.insert(connection, "dead_letters", DEAD_LETTER_COLUMNS, letters, copy=False)

    async def _write_accounts(self, connection: Any, taken: Taken) -> None:
        tally = Tally(self._zone)
        tally.end(taken.ends)
        tally.repeats(taken.repeats)
        await tally.add_to_accounts(connection)


async def _end_commands(connection: Any, ended: list[Ended]) -> None:
    """What the reports say of commands: only of those of the very device that speaks."""
    said = []
    for end in ended:
        report, content, device = end.placed.report, end.placed.content, end.placed.device
        if "results" in content.extra:
            at, report_id = instant(report.received_at_us), str(UUID(report.report_id))
            said += results_of(content.extra, device.name, at, report.authentication, report_id)
    if said:
        await write_down(connection, said)


def conclude(fresh: Sequence[Placed], table: ReadingTable, verdict: Verdict) -> list[Ended]:
    """How each report ended: partial when a reading was rejected or contradicts a stored one, else stored."""
    stored = np.bincount(table.report[verdict.stored], minlength=len(fresh)).tolist()
    conflicts = np.bincount(table.report[verdict.conflicting], minlength=len(fresh)).tolist()
    ended = []
    for placed, new, contradicting in zip(fresh, stored, conflicts, strict=True):
        reason = "conflict" if contradicting else placed.reason
        ended.append(Ended(placed, Outcome.PARTIAL if reason else Outcome.STORED, reason, new))
    return ended


async def _without_copies(connection: Any, prepared: Prepared) -> Prepared:
    """Without reports that the database has under the same id: the stream had them twice. They count as repeats."""
    steps: list[Decoded | Refused] = [*prepared.decoded, *prepared.refused]
    keys = [(instant(step.report.received_at_us), UUID(step.report.report_id)) for step in steps]
    there = await writer.existing_reports(connection, keys)
    if not there:
        return prepared
    copies = [step.report for step in steps if step.report.report_id in there]
    return replace(
        prepared,
        decoded=[d for d in prepared.decoded if d.report.report_id not in there],
        refused=[r for r in prepared.refused if r.report.report_id not in there],
        repeats=prepared.repeats + [Repeats(report.door, report.received_at_us, 1) for report in copies],
    )


def _count(taken: Taken) -> None:
    for (door, outcome), count in Counter((report.door, outcome) for report, outcome in taken.ends).items():
        metrics.REPORTS.labels(str(door), str(outcome)).inc(count)
    for reason, count in Counter(refused.reason for refused in taken.refused).items():
        metrics.REFUSED.labels(reason).inc(count)
    stored = int(taken.verdict.stored.sum())
    conflicting = int(taken.verdict.conflicting.sum())
    metrics.READINGS.labels("stored").inc(stored)
    metrics.READINGS.labels("conflicting").inc(conflicting)
    metrics.READINGS.labels("repeated").inc(len(taken.table) - stored - conflicting)
