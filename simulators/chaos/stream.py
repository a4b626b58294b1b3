"""The report stream as its administrator sees it: asked now and then, on a connection of its own that does not wait."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from metering.mqtt_streams import MQTT_STREAM
from metering.stream_connection import connect
from metering.streams import UP_STREAM

ATTEMPTS = 2
PAUSE_S = 0.2
ANSWER_S = 10.0


@asynccontextmanager
async def administrator(nats_url: str) -> AsyncIterator[JetStreamContext]:
    """Raises nats.errors.Error, OSError or TimeoutError soon when the server is not there."""
    async with _connected(nats_url) as client:
        yield client.jetstream(timeout=ANSWER_S)


@asynccontextmanager
async def _connected(nats_url: str) -> AsyncIterator[Client]:
    client = await connect(
        nats_url, "admin", allow_reconnect=False, max_reconnect_attempts=ATTEMPTS, reconnect_time_wait=PAUSE_S
    )
    try:
        yield client
    finally:
        await client.close()


def partition_of(subject: str) -> int:
    """`up.3`: 3."""
    return int(subject.rpartition(".")[2])


async def last_sequences(nats_url: str) -> dict[int, int]:
    """Of each partition that ever got a report: the stream sequence of its last message."""
    async with administrator(nats_url) as js:
        subjects = (await js.stream_info(UP_STREAM, subjects_filter=">")).state.subjects or {}
        found = {}
        for subject in subjects:
            try:
                found[partition_of(subject)] = (await js.get_last_msg(UP_STREAM, subject)).seq or 0
            except NotFoundError:
                continue
        return found


async def server_time_s(nats_url: str) -> float:
    """What nats-server takes the time for, unix."""
    async with _connected(nats_url) as client:
        answer = await client.request(f"$JS.API.STREAM.INFO.{UP_STREAM}", timeout=ANSWER_S)
        return datetime.fromisoformat(json.loads(answer.data)["ts"]).timestamp()


async def mqtt_waiting(nats_url: str) -> int:
    """Reports that the MQTT listener has acknowledged to meters and no gateway has taken yet."""
    async with administrator(nats_url) as js:
        try:
            return (await js.stream_info(MQTT_STREAM)).state.messages
        except NotFoundError:
            return 0
