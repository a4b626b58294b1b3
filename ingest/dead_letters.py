"""The replay of reports that could not be stored through today's decoders and registry.

A replay writes readings beside the running worker and without its lease: it inserts the careful way only, and the
worker's own COPY finds out by itself. The report's row and the accounts move in the same transaction, so that
received = stored + partial + duplicate + dead-lettered holds at every instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import asyncpg
from asyncpg.pgproto.pgproto import UUID

from metering import envelope
from metering.envelope import Report
from metering.errors import EnvelopeError
from metering.model import Authentication, Door, Outcome
from metering.settings import IngestSettings

from .accounting import Tally
from .classify import Message, prepare, prepare_reports
from .gate import pass_gate
from .pipeline import Pipeline, Taken
from .report_rows import MAX_MESSAGE_CHARACTERS, Row, ended_row, refused_row, storable_text
from .report_updates import update_reports

LETTERS_PER_TRANSACTION = 200
ENVELOPE_REASON = "envelope"

_NEWEST = "SELECT coalesce(max(dead_letter_id), 0) FROM dead_letters"
_TAKE = """
    SELECT * FROM dead_letters
    WHERE replayed_at IS NULL AND dead_letter_id > $1 AND dead_letter_id <= $4 AND ($2::text IS NULL OR reason = $2)
      AND ($3::bigint[] IS NULL OR dead_letter_id = ANY ($3))
    ORDER BY dead_letter_id LIMIT $5
    FOR UPDATE SKIP LOCKED
"""
_OPEN = "SELECT dead_letter_id FROM dead_letters WHERE replayed_at IS NULL AND dead_letter_id = ANY ($1::bigint[])"
_DONE = "UPDATE dead_letters SET replayed_at = now(), attempts = attempts + 1 WHERE report_id = ANY ($1::uuid[])"
_AGAIN = """
    UPDATE dead_letters SET attempts = attempts + 1, reason = again.reason, message = again.message
    FROM unnest($1::uuid[], $2::text[], $3::text[]) AS again (report_id, reason, message)
    WHERE dead_letters.report_id = again.report_id
"""
_WITHDRAW = "DELETE FROM reports WHERE received_at = $1 AND report_id = $2 AND outcome = 'dead_lettered'"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of the dead letters of one replay."""

    stored: int = 0
    partial: int = 0
    duplicate: int = 0
    dead_lettered: int = 0

    def __add__(self, other: Replayed) -> Replayed:
        return Replayed(
            self.stored + other.stored,
            self.partial + other.partial,
            self.duplicate + other.duplicate,
            self.dead_lettered + other.dead_lettered,
        )


async def open_ids(pool: Any, ids: Sequence[int]) -> list[int]:
    """Those of `ids` that belong to open dead letters."""
    found = await pool.fetch(_OPEN, [number for number in ids if number < 2**63])
    return [row["dead_letter_id"] for row in found]


async def replay(
    pool: Any, settings: IngestSettings, zone: ZoneInfo, reason: str | None = None, ids: Sequence[int] | None = None
) -> Replayed:
    """Take all open dead letters, or those of a reason or with these ids, as if they came in now.

    Each is tried once, in transactions of LETTERS_PER_TRANSACTION. One that still cannot be stored keeps its place
    with the new reason.
    """
    pipeline = Pipeline(settings, zone, use_copy=False)
    newest = await pool.fetchval(_NEWEST)
    total, after = Replayed(), 0
    while True:
        done, last = await _replay_some(pool, pipeline, zone, (after, reason, ids, newest))
        if last is None:
            return total
        total, after = total + done, last


async def _replay_some(pool: Any, pipeline: Pipeline, zone: ZoneInfo, choice: Row) -> tuple[Replayed, int | None]:
    """One transaction's worth; when the data of one letter stops it, each letter has a transaction of its own."""
    async with pool.acquire() as connection:
        try:
            async with connection.transaction():
                await pass_gate(connection)
                letters = await connection.fetch(_TAKE, *choice, LETTERS_PER_TRANSACTION)
                done = await _replay_letters(connection, pipeline, zone, letters)
                return done, letters[-1]["dead_letter_id"] if letters else None
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError):
            pipeline.installations.clear()  # it may know what was bound in the transaction that was rolled back
        try:
            async with connection.transaction():
                await pass_gate(connection)
                letters = await connection.fetch(_TAKE, *choice, 1)
                done = await _replay_letters(connection, pipeline, zone, letters)
                return done, letters[-1]["dead_letter_id"] if letters else None
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError) as error:
            pipeline.installations.clear()
            failed = letters[0]
            await _again(connection, [(failed["report_id"], "write_error", f"{type(error).__name__}: {error}")])
            return Replayed(dead_lettered=1), failed["dead_letter_id"]


async def _replay_letters(connection: Any, pipeline: Pipeline, zone: ZoneInfo, letters: Sequence[Any]) -> Replayed:
    tally = Tally(zone)
    whole = [letter for letter in letters if letter["reason"] == ENVELOPE_REASON]
    opened = Replayed()
    for letter in whole:
        opened += await _replay_message(connection, pipeline, tally, letter)
    reports = [_report(letter) for letter in letters if letter["reason"] != ENVELOPE_REASON]
    prepared = prepare_reports(reports, pipeline.decoders)
    taken = await pipeline.store(connection, prepared, copy=False)
    await _write(connection, tally, taken)
    await tally.add_to_accounts(connection)
    return opened + _summary(taken)


async def _write(connection: Any, tally: Tally, taken: Taken) -> None:
    rows = [ended_row(end, None) for end in taken.ended] + [refused_row(refused, None) for refused in taken.refused]
    await update_reports(connection, rows, [Outcome.DEAD_LETTERED])
    for end in taken.ended:
        tally.move(end.placed.report.door, end.placed.report.received_at_us, Outcome.DEAD_LETTERED, end.outcome)
    await connection.execute(_DONE, [UUID(end.placed.report.report_id) for end in taken.ended])
    await _again(connection, [(UUID(r.report.report_id), r.reason, r.message) for r in taken.refused])


async def _again(connection: Any, failed: Sequence[tuple[Any, str, str]]) -> None:
    ids = [report_id for report_id, _, _ in failed]
    messages = [storable_text(message)[:MAX_MESSAGE_CHARACTERS] for _, _, message in failed]
    await connection.execute(_AGAIN, ids, [reason for _, reason, _ in failed], messages)


async def _replay_message(connection: Any, pipeline: Pipeline, tally: Tally, letter: Any) -> Replayed:
    """A whole stream message that was no envelope. If it is one now, its reports come in as new, and the row that
    stood for the message goes."""
    at_us = _unix_us(letter["received_at"])
    try:
        envelope.decode(letter["payload"])
    except EnvelopeError as error:
        await _again(connection, [(letter["report_id"], ENVELOPE_REASON, str(error))])
        return Replayed(dead_lettered=1)
    prepared = prepare([Message(0, at_us, letter["payload"])], pipeline.decoders)
    taken = await pipeline.take(connection, prepared, careful=True)
    await connection.execute(_WITHDRAW, letter["received_at"], letter["report_id"])
    tally.withdraw(letter["door"], at_us, Outcome.DEAD_LETTERED)
    await connection.execute(_DONE, [letter["report_id"]])
    return _summary(taken)


def _report(letter: Any) -> Report:
    return Report(
        letter["report_id"].bytes, _unix_us(letter["received_at"]), cast(Door, letter["door"]),
        cast(Authentication, letter["authentication"]), letter["device"], letter["content_format"],
        letter["payload"], letter["source"],
    )  # fmt: skip


def _unix_us(instant: datetime) -> int:
    since = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _summary(taken: Taken) -> Replayed:
    counts = dict.fromkeys(Outcome, 0)
    for end in taken.ended:
        counts[end.outcome] += 1
    return Replayed(
        counts[Outcome.STORED], counts[Outcome.PARTIAL], counts[Outcome.DUPLICATE], len(taken.refused)
    )  # fmt: skip
