"""A meter whose clock is three hours behind, over the real database: known after some days, whatever waits between."""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from ingest import classify
from ingest.classify import Decoded
from ingest.device_clock import ALIKE, LOOK_BACK_S, behind_s
from ingest.installations import Installations
from ingest.lateness import LAST_DAYS, MAX_OF_DAY, earlier_lateness
from ingest.pipeline import Pipeline
from metering.envelope import Report
from metering.model import Authentication, ContentFormat, DecodedReport, DeviceState, Door
from tests.integration.ingest_town import HOUR_S, ZONE, install, native, settings

DAY_S = 86_400
T0 = 1_790_035_200
"""00:00 UTC."""
BEHIND_S = 3 * HOUR_S + 40


@pytest.fixture
async def connection(any_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(any_database_url)
    yield connection
    await connection.close()


def report_of(day: int, waited_s: int = 5, behind_s: int = BEHIND_S, door: Door = Door.COAP) -> Report:
    """Of 24 hours up to 06:00 of that day by the meter's clock, sent at once."""
    sent_s = T0 + day * DAY_S + 6 * HOUR_S
    received_us = (sent_s + behind_s + waited_s) * 1_000_000
    litres = list(range(1_000 + 24 * day, 1_024 + 24 * day))
    payload = native(day, sent_s - 23 * HOUR_S, litres, k11=sent_s)
    return Report(
        day.to_bytes(16, "big"), received_us, door, Authentication.CLAIMED, "1001", ContentFormat.CBOR, payload, ""
    )


async def take(connection: Any, *batches: Sequence[Report]) -> None:
    pipeline = Pipeline(settings(), ZONE, use_copy=False)
    for batch in batches:
        async with connection.transaction():
            taken = await pipeline.take(connection, classify.prepare_reports(batch, pipeline.decoders))
        pipeline.remember(taken)


async def offsets(connection: Any) -> list[int]:
    """What was added to the times of each report, by receipt."""
    rows = await connection.fetch(
        "SELECT COALESCE((extra->>'clock_offset_s')::bigint, 0) AS by_s FROM reports ORDER BY received_at"
    )
    return [row["by_s"] for row in rows]


async def test_it_is_put_forward_once_it_is_known_and_no_longer_when_it_is_set(connection: Any) -> None:
    await install(connection, "1001")
    days = [report_of(day) for day in range(6)] + [report_of(6, waited_s=9 * HOUR_S), report_of(7)]
    await take(connection, *([report] for report in days))
    known = ALIKE - 1
    assert await offsets(connection) == [0] * known + [3 * HOUR_S] * (8 - known)
    last_s = await connection.fetchval("SELECT extract(epoch FROM max(ts))::bigint FROM readings")
    assert last_s == T0 + 7 * DAY_S + 9 * HOUR_S
    await take(connection, [report_of(8, behind_s=0)], [report_of(9, behind_s=0, waited_s=2 * HOUR_S)])
    assert (await offsets(connection))[-2:] == [0, 0]


async def test_one_batch_of_many_days_gives_what_a_batch_a_day_gives(connection: Any) -> None:
    await install(connection, "1001")
    days = [report_of(day, waited_s=60 * (day % 3)) for day in range(7)]
    await take(connection, days[:2], days[2:])
    assert await offsets(connection) == [0] * (ALIKE - 1) + [3 * HOUR_S] * (8 - ALIKE)


async def test_nothing_is_asked_where_nothing_seems_late() -> None:
    decoded = classify.prepare_reports([report_of(0, behind_s=0)]).decoded
    assert await earlier_lateness(None, decoded, Installations()) == {}


async def test_a_flush_after_an_outage_is_not_a_clock_and_a_platforms_wait_neither(connection: Any) -> None:
    await install(connection, "1001")
    flushed = [report_of(day, behind_s=0, waited_s=(9 - day) * DAY_S + 60 * day) for day in range(10)]
    await take(connection, flushed)
    assert set(await offsets(connection)) == {0}
    await connection.execute("TRUNCATE reports, readings")
    await take(connection, [report_of(day, door=Door.CTWING) for day in range(20, 28)])
    assert set(await offsets(connection)) == {0}


class Said(tuple[bytes, str, int, int]):
    """Report id, device, received and sent (Unix seconds)."""

    __slots__ = ()

    @property
    def late_s(self) -> int:
        return self[2] - self[3]


def said(device: str, received_s: int, late_s: int) -> Said:
    return Said((uuid.uuid4().bytes, device, received_s, received_s - late_s))


class Counting:
    """A connection that counts what it is asked and what it brings."""

    def __init__(self, connection: Any) -> None:
        self._connection, self.rows, self.statements = connection, 0, 0

    async def fetch(self, *arguments: Any) -> Any:
        rows = await self._connection.fetch(*arguments)
        self.rows += len(rows)
        self.statements += 1
        return rows


async def keep(connection: Any, reports: Sequence[Said]) -> None:
    """As if they had been taken."""
    rows = [
        (
            datetime.fromtimestamp(received_s, UTC),
            uuid.UUID(bytes=report_id),
            device,
            datetime.fromtimestamp(sent_s, UTC),
        )
        for report_id, device, received_s, sent_s in reports
    ]
    await connection.execute(
        """
        INSERT INTO reports (received_at, report_id, device, meter_id, door, authentication, source, content_format,
                             payload_bytes, decoder, outcome, identity, device_time)
        SELECT r.received_at, r.report_id, r.device, meter_id, 'coap', 'claimed', '', 60, 0, 'native_cbor', 'stored', 0,
               r.device_time
        FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::timestamptz[])
            AS r (received_at, report_id, device, device_time)
        JOIN devices d ON d.device = r.device JOIN installations USING (device_id)
        """,
        *map(list, zip(*rows, strict=True)),
    )


def taken(reports: Sequence[Said]) -> list[Decoded]:
    decoded = []
    for report_id, device, received_s, sent_s in reports:
        report = Report(
            report_id, received_s * 1_000_000, Door.COAP, Authentication.CLAIMED, device, ContentFormat.CBOR, b"", ""
        )
        content = DecodedReport(DeviceState(device_time_s=sent_s), [sent_s], [1])
        decoded.append(Decoded(report, "native_cbor", content, None))
    return decoded


async def asked(connection: Any, reports: Sequence[Said]) -> tuple[dict[bytes, int], Counting]:
    """How far behind each late report's clock seems, and what that cost."""
    decoded, known = taken(reports), Installations()
    await known.load(connection, {report[1] for report in reports})
    counting = Counting(connection)
    earlier = await earlier_lateness(counting, decoded, known)
    return {
        report[0]: behind_s(report.late_s, earlier[report[0]]) for report in reports if report[0] in earlier
    }, counting


async def test_after_an_outage_a_row_a_device_is_read_whatever_waited(connection: Any) -> None:
    devices = [str(number) for number in range(2001, 2006)]
    for device in devices:
        await install(connection, device)
    hours = range(10 * 24)
    await keep(connection, [said(device, T0 + hour * HOUR_S, 3) for device in devices for hour in hours])
    for backlog_h in (1, 24, 72):
        now_s = T0 + 10 * DAY_S + 7 * HOUR_S
        flushed = [said(device, now_s, hour * HOUR_S) for device in devices for hour in range(1, backlog_h + 1)]
        found, cost = await asked(connection, flushed)
        assert set(found.values()) == {0}
        assert len(found) == len(flushed)
        assert (cost.rows, cost.statements) == (len(devices), 1)


async def test_of_those_that_came_late_before_too_a_bounded_number_of_rows_is_read(connection: Any) -> None:
    await install(connection, "2001")
    quarters = range(0, 10 * DAY_S, 900)
    await keep(connection, [said("2001", T0 + at_s, BEHIND_S) for at_s in quarters])
    found, cost = await asked(connection, [said("2001", T0 + 10 * DAY_S + HOUR_S, BEHIND_S)])
    assert list(found.values()) == [3 * HOUR_S]
    assert cost.rows == 1 + LAST_DAYS + 10 * MAX_OF_DAY


def expected(report: Said, everything: Sequence[Said]) -> int:
    """By the rule alone."""
    day = report[2] // DAY_S
    of_day: dict[int, list[Said]] = defaultdict(list)
    for other in sorted(everything, key=lambda one: (one[2], one[0]), reverse=True):
        its_day = other[2] // DAY_S
        if other[1] == report[1] and day - LOOK_BACK_S // DAY_S <= its_day < day and len(of_day[its_day]) < MAX_OF_DAY:
            of_day[its_day].append(other)
    days = [min(other.late_s for other in of_day[one]) for one in sorted(of_day, reverse=True) if of_day[one]]
    return behind_s(report.late_s, days)


async def test_the_rule_holds_however_reports_are_parted_into_stored_and_batch(connection: Any) -> None:
    drawn = random.Random(20260928)
    devices = [str(number) for number in range(3001, 3007)]
    for device in devices:
        await install(connection, device)
    behind = 0
    for _ in range(25):
        await connection.execute("TRUNCATE reports")
        everything = []
        for device in devices:
            clock_s = drawn.choice([0, 0, BEHIND_S, 8 * HOUR_S])
            live_share = drawn.choice([0.5, 0.9, 1])
            for day in range(20):
                for _ in range(drawn.choice([0, 1, 1, 2, 9])):
                    waited_s = drawn.randrange(60) if drawn.random() < live_share else drawn.randrange(2 * DAY_S)
                    everything.append(said(device, T0 + day * DAY_S + drawn.randrange(DAY_S), clock_s + waited_s))
        drawn.shuffle(everything)
        stored = drawn.randrange(1, len(everything))
        await keep(connection, everything[:stored])
        batch = everything[stored:]
        found, _ = await asked(connection, batch)
        assert found == {report[0]: expected(report, everything) for report in batch if report.late_s > 300}
        behind += sum(by_s > 0 for by_s in found.values())
    assert behind > 100
