"""The audit on a real stream and a real database into which faults were planted: it finds each, and nothing else."""

import uuid
from datetime import UTC, datetime

import asyncpg
import pytest

from metering import envelope
from metering.model import Authentication, Door
from metering.streams import up_subject
from simulators.chaos.accounts import audit, read_stream

AT_US = 1_790_000_000_000_000
ZONE = "Asia/Shanghai"


def report(number: int) -> envelope.Report:
    at_us = AT_US + number
    return envelope.Report(
        envelope.mint_report_id(at_us), at_us, Door.COAP, Authentication.CLAIMED, "900000000001", 60, b"x", "127.0.0.1"
    )


@pytest.fixture
async def sound(js, database_url):
    """Five reports in two messages of the stream, and as many rows."""
    reports = [report(number) for number in range(5)]
    await js.publish(up_subject(0), envelope.encode(reports[:3]))
    acknowledged = await js.publish(up_subject(0), envelope.encode(reports[3:]))
    connection = await asyncpg.connect(database_url)
    for one in reports:
        await put_row(connection, one.report_id, one.received_at_us)
    await connection.execute("INSERT INTO watermarks (partition, sequence) VALUES (0, $1)", acknowledged.seq)
    await connection.execute("INSERT INTO accounting (door, day, received, stored) VALUES ('coap', $1, 5, 5)", DAY)
    yield connection, reports
    await connection.close()


DAY = datetime.fromtimestamp(AT_US / 1e6, UTC).date()


async def put_row(connection, report_id, at_us=AT_US, outcome="stored"):
    await connection.execute(
        """INSERT INTO reports (received_at, report_id, device, door, authentication, source, content_format,
                                payload_bytes, outcome, identity)
           VALUES ($1, $2, '900000000001', 'coap', 'claimed', '', 60, 1, $3, 0)""",
        datetime.fromtimestamp(at_us / 1e6, UTC), uuid.UUID(bytes=report_id), outcome,
    )  # fmt: skip


async def books(connection, nats_url):
    return await audit(connection, await read_stream(nats_url), ZONE)


async def test_sound_books_add_up(sound, nats_url):
    found = await books(sound[0], nats_url)
    assert (found.received, found.outcomes, found.unaccounted, found.examples()) == (5, {"stored": 5}, 0, [])


async def test_an_empty_platform_adds_up(database_url, nats_url):
    connection = await asyncpg.connect(database_url)
    assert (await books(connection, nats_url)).unaccounted == 0
    await connection.close()


async def test_a_report_without_a_row_is_found(sound, nats_url):
    connection, reports = sound
    await connection.execute("DELETE FROM reports WHERE report_id = $1", uuid.UUID(bytes=reports[2].report_id))
    found = await books(connection, nats_url)
    assert found.without_row == [reports[2].report_id.hex()]
    assert len(found.days_amiss) == 2  # what the rows say, and what the table says


async def test_a_row_without_a_report_is_found(sound, nats_url):
    connection, _ = sound
    alien = report(9)
    await put_row(connection, alien.report_id)
    found = await books(connection, nats_url)
    assert found.without_message == [alien.report_id.hex()]


async def test_a_report_with_two_rows_is_found(sound, nats_url):
    connection, reports = sound
    await put_row(connection, reports[0].report_id, AT_US + 77)
    assert (await books(connection, nats_url)).rows_twice == [reports[0].report_id.hex()]


async def test_a_sum_that_is_wrong_is_found(sound, nats_url):
    connection, _ = sound
    await connection.execute("UPDATE accounting SET stored = 4, duplicate = 1")
    found = await books(connection, nats_url)
    assert len(found.days_amiss) == 2
    assert found.unaccounted == 2
    assert "accounting differs" in found.examples()[0]


async def test_a_dead_letter_that_nobody_counted_is_found(sound, nats_url):
    connection, reports = sound
    await connection.execute(
        """INSERT INTO dead_letters (report_id, received_at, device, door, authentication, source, content_format,
                                     payload, reason, message)
           VALUES ($1, now(), '', 'coap', '', '', 0, '', 'x', '')""",
        uuid.UUID(bytes=reports[1].report_id),
    )
    assert (await books(connection, nats_url)).letters_amiss == [reports[1].report_id.hex()]


async def test_what_ingest_has_not_taken_is_in_flight(sound, nats_url):
    connection, _ = sound
    await connection.execute("UPDATE watermarks SET sequence = sequence - 1")
    found = await books(connection, nats_url)
    assert (found.in_flight, found.unaccounted) == (1, 1)


async def test_a_copy_in_the_stream_is_harmless_and_counted(sound, nats_url, js):
    connection, reports = sound
    acknowledged = await js.publish(up_subject(0), envelope.encode(reports[:1]))
    await connection.execute("UPDATE watermarks SET sequence = $1", acknowledged.seq)
    found = await books(connection, nats_url)
    assert (found.stream_copies, found.unaccounted) == (1, 0)


async def test_a_stream_that_forgot_its_beginning_proves_nothing(sound, nats_url, js):
    await js.purge_stream("UP", seq=2)
    found = await books(sound[0], nats_url)
    assert found.trimmed == 1
    assert found.unaccounted > 0
