"""Fetches leases of Partial IVs from the stream: each is a sequence number of it, on disk before it is told."""

from __future__ import annotations

import asyncio

import nats.errors
import nats.js.errors
import structlog

from gateway.coap.oscore.numbers import SenderNumbers
from gateway.link import StreamLink
from metering.streams import OSCORE_STREAM, OSCORE_SUBJECT

RETRY_PAUSE_S = 1.0
PUBLISH_TIMEOUT_S = 5.0
_log = structlog.get_logger()


async def keep_numbers(numbers: SenderNumbers, wanted: asyncio.Event, link: StreamLink) -> None:
    """Take a lease whenever fewer numbers are left than may be needed soon, until cancelled.

    A lease whose acknowledgement is lost is lost with it: the next one is another.
    """
    while True:
        while numbers.low:
            try:
                taken = await link.js.publish(OSCORE_SUBJECT, timeout=PUBLISH_TIMEOUT_S, stream=OSCORE_STREAM)
                numbers.add(taken.seq)
            except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError, ValueError) as error:
                _log.warning("no lease of Partial IVs, trying again", error=repr(error), left=numbers.spare)
                await asyncio.sleep(RETRY_PAUSE_S)
        wanted.clear()
        await wanted.wait()
