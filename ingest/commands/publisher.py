"""Carries what waits for each device from the database to the gateways, and ends what is overdue.

Filing a command, and whatever ends one, leaves a row in the outbox. Each device named there is told anew, whole, in a
message that the stream keeps in the place of the one before. Rows are deleted after the PubAck: a crash between the two
repeats a message that says the same. What a critical customer takes back is cancelled before its device is told.

One worker publishes, as with the registry: who holds an advisory lock on the connection it reads with, and each message
names the position it expects to follow, so that one that lost its lock unknowingly is refused.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog
from nats.js import JetStreamContext
from nats.js.api import Header
from prometheus_client import Counter, Gauge

from ingest.commands.campaigns import stop_failing
from ingest.commands.critical import take_back
from ingest.commands.ledger import expire
from ingest.publishing import publish_alone
from metering.command_feed import MAX_WAITING_PER_DEVICE, DeviceCommands, encode_waiting
from metering.commands import CommandKind, WaitingCommand, arguments_from_json, travelling_id
from metering.streams import COMMANDS_STREAM, waiting_subject

LOCK = 0x6E6277636D64
"""Advisory lock of the one who publishes ("nbwcmd" in ASCII)."""

POLL_S = 0.25
PUBLISH_TIMEOUT_S = 10.0
ROWS_PER_ROUND = 500
EXPIRE_EVERY_S = 5.0
NOTHING_WAITS_S = 3600
"""How long the stream keeps the message that nothing waits; see gateway.command_mirror.STALE_AFTER_S."""

_ALL_WAITING = """
    INSERT INTO command_outbox (device_id)
    SELECT DISTINCT device_id FROM commands WHERE state IN ('queued', 'handed_over')
"""
_OUTBOX = "SELECT outbox_id, device_id FROM command_outbox ORDER BY outbox_id LIMIT $1"
_WAITING = """
    SELECT device, command_id, kind, arguments, ceil(extract(epoch FROM expires_at))::bigint AS expires_s
    FROM devices LEFT JOIN commands
        ON commands.device_id = devices.device_id AND state IN ('queued', 'handed_over')
    WHERE devices.device_id = ANY($1::bigint[]) ORDER BY device, position
"""
_log = structlog.get_logger()
_published = Counter("nbwater_ingest_commands_published_total", "Devices told anew what waits for them")
_backlog = Gauge("nbwater_ingest_commands_backlog_rows", "Rows of the outbox taken into the latest round (bounded)")
_unreadable = Counter("nbwater_ingest_commands_unreadable_total", "Commands whose arguments cannot be sent")


class CommandPublisher:
    """A stage of the ingest worker. Keeps one connection of `pool` while it publishes. `now`: the clock commands
    expire by."""

    def __init__(self, pool: Any, js: JetStreamContext, now: Callable[[], datetime]) -> None:
        self._pool, self._js, self._now = pool, js, now

    async def run(self) -> None:
        """Until cancelled. What is away (database, NATS) is waited for."""
        await publish_alone(self._pool, LOCK, "command", self._publish)

    async def _publish(self, connection: Any) -> None:
        """Return when the stream was made anew."""
        term = CommandTerm(connection, self._js, self._now)
        await term.begin()
        expired_at = float("-inf")
        while True:
            if time.monotonic() - expired_at >= EXPIRE_EVERY_S:
                if await term.is_another_stream():
                    return
                await expire(connection, self._now())
                await stop_failing(connection, self._now())
                expired_at = time.monotonic()
            if not await term.round():
                await asyncio.sleep(POLL_S)


class CommandTerm:
    """The work of one holder of the lock."""

    def __init__(self, connection: Any, js: JetStreamContext, now: Callable[[], datetime]) -> None:
        self._connection, self._js, self._now = connection, js, now
        self._last, self._created = 0, ""

    async def begin(self) -> None:
        """All that waits is told once more: the stream may have been made anew, or the database restored."""
        info = await self._js.stream_info(COMMANDS_STREAM)
        self._last, self._created = info.state.last_seq, str(info.created)
        await self._connection.execute(_ALL_WAITING)

    async def is_another_stream(self) -> bool:
        return str((await self._js.stream_info(COMMANDS_STREAM)).created) != self._created

    async def round(self) -> int:
        """Tell one portion of the outbox; how many rows it had."""
        rows = await self._connection.fetch(_OUTBOX, ROWS_PER_ROUND)
        _backlog.set(len(rows))
        if rows:
            devices = list({row["device_id"] for row in rows})
            await take_back(self._connection, devices, self._now())
            for waiting in await waiting_of(self._connection, devices):
                await self._publish(waiting)
            await self._connection.execute(
                "DELETE FROM command_outbox WHERE outbox_id = ANY($1::bigint[])", [row["outbox_id"] for row in rows]
            )
        return len(rows)

    async def _publish(self, waiting: DeviceCommands) -> None:
        headers = {Header.EXPECTED_LAST_SEQUENCE.value: str(self._last)}
        if not waiting.commands:
            headers["Nats-TTL"] = f"{NOTHING_WAITS_S}s"
        ack = await self._js.publish(
            waiting_subject(waiting.device),
            encode_waiting(waiting),
            timeout=PUBLISH_TIMEOUT_S,
            stream=COMMANDS_STREAM,
            headers=headers,
        )
        self._last = ack.seq
        _published.inc()


async def waiting_of(connection: Any, device_ids: list[int]) -> list[DeviceCommands]:
    """What waits for each of these devices, oldest first."""
    by_device: dict[str, list[WaitingCommand]] = defaultdict(list)
    for row in await connection.fetch(_WAITING, device_ids):
        commands = by_device[row["device"]]
        if row["command_id"] is not None and (command := _command(row)) and len(commands) < MAX_WAITING_PER_DEVICE:
            commands.append(command)
    return [DeviceCommands(device, tuple(commands)) for device, commands in by_device.items()]


def _command(row: Any) -> WaitingCommand | None:
    try:
        return WaitingCommand(
            travelling_id(row["command_id"]), CommandKind(row["kind"]),
            arguments_from_json(json.loads(row["arguments"])), row["expires_s"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _unreadable.inc()
        _log.error("a command cannot be sent", command_id=row["command_id"], error=repr(error))
        return None
