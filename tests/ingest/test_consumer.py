from __future__ import annotations

import nats.errors
import pytest

from ingest.consumer import UpConsumer


class SilentSubscription:
    """A stream with nothing new."""

    def __init__(self, raised: Exception) -> None:
        self._raised = raised

    async def fetch(self, *_: object, **__: object) -> list[object]:
        raise self._raised

    async def unsubscribe(self) -> None: ...


class OneSubscription:
    """A JetStream context with just this."""

    def __init__(self, subscription: SilentSubscription) -> None:
        self._subscription = subscription

    async def delete_consumer(self, *_: object) -> None: ...

    async def add_consumer(self, *_: object) -> None: ...

    async def pull_subscribe_bind(self, *_: object, **__: object) -> SilentSubscription:
        return self._subscription


@pytest.mark.parametrize("raised", [TimeoutError(), nats.errors.TimeoutError()], ids=["plain", "of NATS"])
async def test_a_silent_stream_costs_nobody_the_lease(raised: Exception) -> None:
    consumer = UpConsumer(OneSubscription(SilentSubscription(raised)), partition=0, batch=8)
    await consumer.open(after=0)
    assert await consumer.fetch() == []
