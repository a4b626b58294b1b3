"""Runs a replay: meter after meter, each batch of meters in one transaction that holds up ingest for its length.

Bounded: at most MAX_REPORTS reports are in memory. What is done is in the row of `replays`, in the same transaction, so
that a replay that was cut off goes on where it was. A dry run reads and changes nothing, and holds nobody up.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from asyncpg.pgproto.pgproto import UUID

from metering.errors import ConflictError, NotFoundError
from metering.model import Outcome
from metering.settings import IngestSettings

from ..accounting import Tally
from ..classify import Decoded, Refused, decode_report
from ..decoders import Decoders
from ..dialects import decoders_of
from ..gate import close_gate
from ..installations import Installations
from ..lateness import Earlier, earlier_lateness
from ..placing import Placed, place_report
from ..readings import newest_readings, tabulate
from ..report_rows import Ended, Row, ended_row, ended_values, instant, latest_values
from ..report_updates import update_reports
from ..writer import upsert_latest
from .plan import Plan, Stretch, claims_of, plan
from .rows import (
    CHOSEN,
    COUNT,
    READABLE,
    StoredReport,
    apply,
    devices_of,
    other_stretches,
    same_row,
    stored_readings,
    stored_report,
)

METERS_PER_BATCH = 50
MAX_REPORTS = 2_000
"""Read at once. A meter with more is read in slices, in the order of receipt; at their seams readings that two slices
may have delivered stay as they are."""
PAUSE_S = 0.02
"""Between two batches, for those who were held up."""
LOCK = 0x6E62777265706C00
"""Advisory lock of the one replay that may run ("nbwrepl" in ASCII)."""

_BEGIN = (
    "INSERT INTO replays (choice, until_at) VALUES ($1::jsonb, $2) RETURNING replay_id, until_at, last_meter, counts"
)
_RESUME = """
    SELECT replay_id, until_at, last_meter, counts FROM replays
    WHERE finished_at IS NULL AND choice = $1::jsonb ORDER BY replay_id DESC LIMIT 1
"""
_PROGRESS = "UPDATE replays SET last_meter = $2, counts = $3::jsonb WHERE replay_id = $1"
_FINISH = "UPDATE replays SET finished_at = now() WHERE replay_id = $1"
_AUDIT = "INSERT INTO audit_log (actor, action, object, detail) VALUES ($1, $2, 'readings', $3::jsonb)"
_METERS = """
    SELECT meter_id, serial FROM meters
    WHERE meter_id > $1 AND ($2::text[] IS NULL OR serial = ANY ($2)) ORDER BY meter_id LIMIT $3
"""
_UNKNOWN = "SELECT serial FROM unnest($1::text[]) AS serial WHERE serial NOT IN (SELECT serial FROM meters)"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which reports: received from `since` to before `until` (None: until now), of these meters' serials (None: all),
    last read by this decoder (None: any)."""

    since: datetime
    until: datetime | None = None
    meters: tuple[str, ...] | None = None
    decoder: str | None = None

    def as_json(self) -> str:
        until = self.until.isoformat() if self.until else None
        meters = sorted(self.meters) if self.meters else None
        return json.dumps(
            {"since": self.since.isoformat(), "until": until, "meters": meters, "decoder": self.decoder}, sort_keys=True
        )


@dataclass(slots=True)
class Difference:
    """What a replay finds of one meter. Readings, but for `reports`, `undecodable` and `without_bytes`."""

    serial: str
    reports: int = 0
    added: int = 0
    changed: int = 0
    withdrawn: int = 0
    contradicted: int = 0
    unchanged: int = 0
    undecodable: Counter[str] = field(default_factory=Counter)
    """Reports that today's decoders refuse, by reason: they and their readings stay as they are."""
    without_bytes: int = 0

    @property
    def differs(self) -> bool:
        return bool(self.added or self.changed or self.withdrawn or self.contradicted or self.undecodable)

    def counts(self) -> dict[str, int]:
        return {
            "meters": 1, "meters_that_differ": int(self.differs), "reports": self.reports, "added": self.added,
            "changed": self.changed, "withdrawn": self.withdrawn, "contradicted": self.contradicted,
            "unchanged": self.unchanged, "undecodable": self.undecodable.total(), "without_bytes": self.without_bytes,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Progress:
    """After a batch of meters: what it found, and the sums since the replay began, earlier runs included."""

    differences: list[Difference]
    totals: Counter[str]
    resumed: bool


class Replay:
    """One run, on a connection of the tables' owner that nobody else uses meanwhile."""

    def __init__(self, connection: Any, settings: IngestSettings, zone: ZoneInfo, actor: str) -> None:
        self._connection, self._settings, self._zone, self._actor = connection, settings, zone, actor
        self._known, self._decoders = Installations(), decoders_of(settings)

    async def run(self, choice: Choice, dry: bool) -> AsyncIterator[Progress]:
        """Raises NotFoundError for unknown meters, ConflictError while another replay runs."""
        connection = self._connection
        if choice.meters and (unknown := await connection.fetch(_UNKNOWN, list(choice.meters))):
            raise NotFoundError(f"no meter {', '.join(row['serial'] for row in unknown)}")
        if dry:
            async for progress in self._walk(choice, None, datetime.now(UTC)):
                yield progress
            return
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            raise ConflictError("another replay runs")
        try:
            async for progress in self._resumed(choice):
                yield progress
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)

    async def _resumed(self, choice: Choice) -> AsyncIterator[Progress]:
        connection = self._connection
        begun = await connection.fetchrow(_RESUME, choice.as_json())
        if begun is None:
            begun = await connection.fetchrow(_BEGIN, choice.as_json(), choice.until or datetime.now(UTC))
            await connection.execute(_AUDIT, self._actor, "replay_begin", choice.as_json())
        totals: Counter[str] = Counter()
        async for progress in self._walk(choice, begun, begun["until_at"]):
            totals = progress.totals
            yield progress
        await connection.execute(_FINISH, begun["replay_id"])
        detail = {"replay_id": begun["replay_id"]} | totals
        await connection.execute(_AUDIT, self._actor, "replay_end", json.dumps(detail))

    async def _walk(self, choice: Choice, begun: Any, until: datetime) -> AsyncIterator[Progress]:
        after = begun["last_meter"] if begun else 0
        totals = Counter(json.loads(begun["counts"])) if begun else Counter()
        resumed = after > 0
        until = choice.until or until
        while meters := await self._connection.fetch(_METERS, after, choice.meters, METERS_PER_BATCH):
            found: list[Difference] = []
            async for group in self._groups([row["meter_id"] for row in meters], choice, until):
                found += await self._take(group, meters, (choice, until), begun, totals)
            after = meters[-1]["meter_id"]
            yield Progress(found, totals, resumed)
            await asyncio.sleep(PAUSE_S)

    async def _groups(self, meters: list[int], choice: Choice, until: datetime) -> AsyncIterator[list[int]]:
        """The meters in portions of at most MAX_REPORTS reports, or of one meter."""
        devices = await devices_of(self._connection, meters)
        rows = await self._connection.fetch(COUNT, meters, devices, choice.since, until, choice.decoder)
        reports = {row["meter_id"]: row["reports"] for row in rows}
        for portion in _portions(meters, reports):
            yield portion

    async def _take(
        self, group: list[int], meters: Sequence[Any], when: tuple[Choice, datetime], begun: Any, totals: Counter[str]
    ) -> list[Difference]:
        """One group of meters, slice by slice, each in one transaction."""
        differences = {row["meter_id"]: Difference(row["serial"]) for row in meters if row["meter_id"] in set(group)}
        connection = self._connection
        cursor: Row = (instant(0), UUID(bytes(16)))
        while True:
            async with connection.transaction():
                if begun:
                    await close_gate(connection)
                await self._known.follow(connection)
                devices = await devices_of(connection, group)
                choice, until = when
                records = await connection.fetch(
                    CHOSEN, group, devices, choice.since, until, choice.decoder, *cursor, MAX_REPORTS
                )
                batch = _Batch(group, devices, [stored_report(record) for record in records])
                await self._slice(batch, differences, begun)
                last = len(records) < MAX_REPORTS
                if last:
                    for difference in differences.values():
                        totals.update(difference.counts())
                if last and begun:
                    await connection.execute(_PROGRESS, begun["replay_id"], group[-1], json.dumps(totals))
            if last:
                return list(differences.values())
            cursor = (batch.reports[-1].column("received_at"), batch.reports[-1].column("report_id"))

    async def _slice(self, batch: _Batch, differences: dict[int, Difference], begun: Any) -> None:
        connection = self._connection
        await self._known.load(connection, {stored.column("device") for stored in batch.reports})
        batch.decode(self._decoders)
        earlier = await earlier_lateness(self._connection, batch.decoded, self._known)
        batch.place(self._known, self._settings.meter_mismatch == "dead_letter", earlier)
        made = await _planned(connection, batch)
        batch.describe(made, differences)
        if begun:
            await apply(connection, begun["replay_id"], made, batch.ids, self._zone)
            await self._rewrite(batch, made)

    async def _rewrite(self, batch: _Batch, made: Plan) -> None:
        """The rows of the reports themselves, where they say something else now, and the accounts."""
        tally, rows, ends = Tally(self._zone), [], []
        for stored, end in batch.ended(made):
            row = ended_row(end, stored.sequence)
            if not same_row(stored.row, row):
                rows.append(row)
                ends.append(end)
                if stored.outcome is not end.outcome:
                    report = end.placed.report
                    tally.move(report.door, report.received_at_us, stored.outcome, end.outcome)
        await update_reports(self._connection, rows, READABLE)
        placed = [end.placed for end in ends]
        newest = newest_readings(tabulate(placed), [p.meter_id for p in placed])
        await upsert_latest(self._connection, latest_values([ended_values(end, None) for end in ends], *newest))
        await tally.add_to_accounts(self._connection)


class _Batch:
    """Reports of some meters, as they are stored and as they are read today."""

    def __init__(self, meters: list[int], devices: list[str], reports: list[StoredReport]) -> None:
        self.meters, self.devices, self.reports = meters, devices, reports
        self._steps: list[tuple[StoredReport, Decoded | Placed | Refused]] = []
        self.placed: list[Placed] = []
        self.sources: list[StoredReport] = []
        """The stored report of each of `placed`."""
        self.refused: list[tuple[StoredReport, Refused]] = []

    @property
    def ids(self) -> list[UUID]:
        return [stored.column("report_id") for stored in self.sources]

    def decode(self, decoders: Decoders) -> None:
        self._steps = [(of, decode_report(of.report, decoders)) for of in self.reports if of.report is not None]

    @property
    def decoded(self) -> list[Decoded]:
        return [step for _, step in self._steps if isinstance(step, Decoded)]

    def place(self, known: Installations, mismatch_refuses: bool, earlier: Earlier) -> None:
        for stored, step in self._steps:
            if isinstance(step, Decoded):
                report, late = step.report, earlier.get(step.report.report_id, ())
                step = place_report(step, known.get(report.device), mismatch_refuses, late)
            if isinstance(step, Placed):
                self.placed.append(step)
                self.sources.append(stored)
            else:
                assert isinstance(step, Refused)  # noqa: S101 - for the type checker
                self.refused.append((stored, step))

    def stretches(self) -> list[Stretch]:
        return [stored.stretch for stored in self.sources if stored.stretch is not None]

    def describe(self, made: Plan, differences: dict[int, Difference]) -> None:
        """Add what the plan says to the figures of each meter."""
        for stored in self.reports:
            differences[stored.column("meter_id")].reports += 1
            differences[stored.column("meter_id")].without_bytes += stored.report is None
        for stored, refused in self.refused:
            differences[stored.column("meter_id")].undecodable[refused.reason] += 1
        for contradiction in made.contradictions:
            owner = self.sources[contradiction.report].column("meter_id")
            differences[owner].contradicted += 1
        for kind, keys in (("added", made.added), ("changed", made.changed), ("withdrawn", made.withdrawn)):
            for meter_id, number in Counter(key[0] for key in keys).items():
                if difference := differences.get(meter_id):
                    setattr(difference, kind, getattr(difference, kind) + number)
        for meter_id, number in made.unchanged.items():
            if difference := differences.get(meter_id):
                difference.unchanged += number

    def ended(self, made: Plan) -> Iterator[tuple[StoredReport, Ended]]:
        """How each report ends now. Where no reading of its meters changed, it keeps its number of new readings."""
        touched = made.touched
        conflicting = Counter(contradiction.report for contradiction in made.contradictions)
        contradicted = {(c.key, c.report) for c in made.contradictions}
        for position, (stored, placed) in enumerate(zip(self.sources, self.placed, strict=True)):
            delivered = stored.column("readings_stored")
            if touched.keys() & {placed.meter_id, *(segment.meter_id for segment in placed.segments)}:
                keys = {key for key, _ in claims_of(placed)}
                delivered = sum(
                    made.first_claims[key].report == position and (key, position) not in contradicted for key in keys
                )
            reason = "conflict" if conflicting[position] else placed.reason
            yield stored, Ended(placed, Outcome.PARTIAL if reason else Outcome.STORED, reason, delivered)


async def _planned(connection: Any, batch: _Batch) -> Plan:
    reach: dict[int, tuple[int, int]] = {}

    def extend(meter_id: int, first_s: int, last_s: int) -> None:
        known = reach.get(meter_id, (first_s, last_s))
        reach[meter_id] = (min(known[0], first_s), max(known[1], last_s))

    for stretch in batch.stretches():
        extend(*stretch)
    for placed in batch.placed:
        for segment in placed.segments:
            extend(segment.meter_id, segment.first_s, segment.last_s)
    if not reach:
        return Plan()
    first_s, last_s = min(first for first, _ in reach.values()), max(last for _, last in reach.values())
    asked = [placed.report.report_id for placed in batch.placed]
    others = await other_stretches(connection, batch.meters, batch.devices, asked, first_s, last_s)
    stored = await stored_readings(connection, reach)
    return plan(batch.placed, batch.stretches(), others, stored)


def _portions(meters: list[int], reports: dict[int, int]) -> Iterator[list[int]]:
    portion: list[int] = []
    size = 0
    for meter in meters:
        if portion and size + reports.get(meter, 0) > MAX_REPORTS:
            yield portion
            portion, size = [], 0
        portion.append(meter)
        size += reports.get(meter, 0)
    if portion:
        yield portion
