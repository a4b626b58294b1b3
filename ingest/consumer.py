"""Where a report enters ingest: the durable pull consumer of one partition of the stream (DESIGN section 3.3)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from metering.errors import CustodyError
from metering.streams import UP_STREAM, up_durable, up_subject

from . import metrics
from .classify import Message

ACK_WAIT_S = 30.0
FETCH_TIMEOUT_S = 1.0
MAX_WAITING_BYTES = 128 * 1024 * 1024


class DeliveryGapError(CustodyError):
    """A delivery is missing or the stream is another one: the consumer must be made anew from the watermark."""

    label = "delivery_gap"


@dataclass(frozen=True, slots=True)
class StreamLife:
    """`created` tells one life of the stream from the next."""

    created: datetime
    first_sequence: int
    last_sequence: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """`waiting`: messages of the partition that the stream had not delivered yet."""

    message: Message
    handle: Msg
    waiting: int = 0


class UpConsumer:
    """Delivers a partition's messages in order, each until it is acknowledged."""

    def __init__(self, js: JetStreamContext, partition: int, batch: int) -> None:
        self._js, self._partition, self._batch = js, partition, batch
        self._durable = up_durable(partition)
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._delivered = 0

    async def life(self) -> StreamLife:
        info = await self._js.stream_info(UP_STREAM)
        if info.created is None:
            raise DeliveryGapError(f"stream {UP_STREAM} does not say when it was created")
        return StreamLife(info.created, info.state.first_seq, info.state.last_seq)

    async def open(self, after: int) -> None:
        """Make the durable consumer anew, to deliver what comes after this stream sequence."""
        await self.close()
        with contextlib.suppress(NotFoundError):
            await self._js.delete_consumer(UP_STREAM, self._durable)
        await self._js.add_consumer(
            UP_STREAM,
            ConsumerConfig(
                durable_name=self._durable,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=after + 1,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_deliver=-1,
                max_ack_pending=4 * self._batch,
                filter_subject=up_subject(self._partition),
            ),
        )
        self._subscription = await self._js.pull_subscribe_bind(
            self._durable, UP_STREAM, pending_bytes_limit=MAX_WAITING_BYTES
        )
        self._delivered = 0

    async def close(self) -> None:
        """Stop receiving; the durable stays."""
        if self._subscription is not None:
            with contextlib.suppress(Exception):  # the connection it belonged to may be gone
                await self._subscription.unsubscribe()
            self._subscription = None

    async def fetch(self) -> list[Delivery]:
        """The next deliveries, none when there are none within a second. Raises DeliveryGapError when one is missing:
        taking what follows it would move the watermark over it."""
        if self._subscription is None:
            raise DeliveryGapError("the consumer is closed")
        try:
            handles = await self._subscription.fetch(self._batch, timeout=FETCH_TIMEOUT_S)
        except TimeoutError:  # nats-py raises its own kind or, when the time ends between two requests, the plain one
            return []
        return [self._delivery(handle) for handle in handles]

    def _delivery(self, handle: Msg) -> Delivery:
        metadata = handle.metadata
        self._delivered += 1
        if metadata.sequence.consumer != self._delivered:
            raise DeliveryGapError(f"delivery {metadata.sequence.consumer} came instead of {self._delivered}")
        metrics.BACKLOG_MESSAGES.set(metadata.num_pending)
        stored_at_us = int(metadata.timestamp.timestamp() * 1_000_000)
        return Delivery(Message(metadata.sequence.stream, stored_at_us, handle.data), handle, metadata.num_pending)


async def acknowledge(deliveries: Iterable[Delivery]) -> None:
    """Only after COMMIT."""
    for delivery in deliveries:
        await delivery.handle.ack()


async def ask_for_time(deliveries: Sequence[Delivery]) -> None:
    """Keep the stream from delivering these again while a long write is under way."""
    for delivery in deliveries:
        await delivery.handle.in_progress()


@contextlib.asynccontextmanager
async def kept_waiting(deliveries: Sequence[Delivery]) -> AsyncIterator[None]:
    """The stream is asked for more time for as long as this lasts."""

    async def ask() -> None:
        while True:
            await asyncio.sleep(ACK_WAIT_S / 3)
            with contextlib.suppress(Exception):  # an absent stream delivers nothing again either
                await ask_for_time(deliveries)

    asking = asyncio.create_task(ask(), name="ask_for_time")
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
