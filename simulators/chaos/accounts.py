"""Accounting by sets: every report in the stream has exactly one row, every row was in the stream, the sums agree.

received = stored + partial + duplicate + dead-lettered + in flight: read from the stream's own messages, from the rows
and from the table `accounting`, which must say the same (DESIGN section 3.6).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import asyncpg
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from metering import envelope
from metering.streams import UP_STREAM
from simulators.chaos.stream import administrator, partition_of

FETCH = 500
FETCH_S = 5.0
EXAMPLES = 5
_ROWS = "SELECT report_id, outcome FROM reports"
_BY_DAY = """
    SELECT door, (received_at AT TIME ZONE $1)::date AS day, count(*) AS received,
           count(*) FILTER (WHERE outcome = 'stored') AS stored,
           count(*) FILTER (WHERE outcome = 'partial') AS partial,
           count(*) FILTER (WHERE outcome = 'duplicate') AS duplicate,
           count(*) FILTER (WHERE outcome = 'dead_lettered') AS dead_lettered
    FROM reports GROUP BY 1, 2 ORDER BY 1, 2
"""
_ACCOUNTS = """
    SELECT door, day, received, stored, partial, duplicate, dead_lettered FROM accounting
    WHERE received > 0 ORDER BY 1, 2
"""
_LETTERS = "SELECT report_id FROM dead_letters"


@dataclass(slots=True)
class Received:
    """What the stream holds."""

    reports: Counter[bytes] = field(default_factory=Counter)
    """Identity, and in how many messages it is."""
    messages: int = 0
    trimmed: int = 0
    """Messages that are gone from its beginning: they cannot be compared."""
    last: dict[int, int] = field(default_factory=dict)
    """Sequence of each partition's last message."""


@dataclass(slots=True)
class Books:
    """What is wrong with the accounts; all empty or zero when they add up."""

    received: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    stream_copies: int = 0
    """Reports that are in the stream twice or more: harmless, and counted as repeats."""
    trimmed: int = 0
    in_flight: int = 0
    without_row: list[str] = field(default_factory=list)
    without_message: list[str] = field(default_factory=list)
    rows_twice: list[str] = field(default_factory=list)
    letters_amiss: list[str] = field(default_factory=list)
    """Dead letters without a report that says so, or the other way round."""
    days_amiss: list[str] = field(default_factory=list)
    """Doors and days on which `accounting` and the rows differ."""

    @property
    def unaccounted(self) -> int:
        """Reports and days of which something is wrong."""
        lists = (self.without_row, self.without_message, self.rows_twice, self.letters_amiss, self.days_amiss)
        return self.trimmed + self.in_flight + sum(map(len, lists))

    def examples(self) -> list[str]:
        named = {
            "in the stream and in no row": self.without_row,
            "in a row and not in the stream": self.without_message,
            "in two rows": self.rows_twice,
            "dead letters amiss": self.letters_amiss,
            "accounting differs from the rows": self.days_amiss,
        }
        return [f"{what}: {', '.join(found[:EXAMPLES])}" for what, found in named.items() if found]


async def read_stream(nats_url: str) -> Received:
    """Every message of the report stream, from the first that it still has to the last that it has now."""
    async with administrator(nats_url) as js:
        state = (await js.stream_info(UP_STREAM)).state
        received = Received(trimmed=max(0, state.first_seq - 1) if state.messages else state.last_seq)
        consumer = ConsumerConfig(
            deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, mem_storage=True, inactive_threshold=60
        )
        made = await js.add_consumer(UP_STREAM, consumer)
        subscription = await js.pull_subscribe_bind(made.name, UP_STREAM)
        while received.messages < state.messages:
            try:
                messages = await subscription.fetch(min(FETCH, state.messages - received.messages), timeout=FETCH_S)
            except NatsTimeoutError:
                break
            for message in messages:
                received.messages += 1
                received.last[partition_of(message.subject)] = message.metadata.sequence.stream
                received.reports.update(report.report_id for report in envelope.decode(message.data).reports)
        await js.delete_consumer(UP_STREAM, made.name)
        return received


async def audit(connection: asyncpg.Connection, received: Received, timezone: str) -> Books:
    """Compare the stream with rows and sums. Nothing may move meanwhile."""
    books = Books(received=len(received.reports), trimmed=received.trimmed)
    books.stream_copies = sum(count - 1 for count in received.reports.values())
    watermarks = {row["partition"]: row["sequence"] for row in await connection.fetch("SELECT * FROM watermarks")}
    books.in_flight = sum(abs(last - watermarks.get(one, 0)) for one, last in received.last.items())
    rows: Counter[bytes] = Counter()
    dead: set[bytes] = set()
    for report_id, outcome in await connection.fetch(_ROWS):
        rows[report_id.bytes] += 1
        books.outcomes[outcome] = books.outcomes.get(outcome, 0) + 1
        if outcome == "dead_lettered":
            dead.add(report_id.bytes)
    books.without_row = _names(received.reports.keys() - rows.keys())
    books.without_message = _names(rows.keys() - received.reports.keys())
    books.rows_twice = _names({report for report, count in rows.items() if count > 1})
    books.letters_amiss = _names({row["report_id"].bytes for row in await connection.fetch(_LETTERS)} ^ dead)
    counted = {tuple(row) for row in await connection.fetch(_BY_DAY, timezone)}
    kept = {tuple(row) for row in await connection.fetch(_ACCOUNTS)}
    books.days_amiss = sorted(f"{door} {day}: {counts}" for door, day, *counts in counted ^ kept)
    return books


def _names(reports: set[bytes]) -> list[str]:
    return sorted(report.hex() for report in reports)
