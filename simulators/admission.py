"""Whether the target is there, and whether its gateways know the meters that were just registered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from simulators import message
from simulators.coap import Sender
from simulators.exchange import Answer, Fate, Timers

PROBE_TIMERS = Timers(ack_timeout_s=0.5, max_retransmit=2)
PAUSE_S = 0.25
UNAUTHORISED = 0x81


class TargetError(Exception):
    """The target does not answer, or does not take the meters; the message says which and what to do."""


async def reach(host: str, port: int, patience_s: float = 5.0) -> None:
    """Return once something speaks CoAP there. Raises TargetError after `patience_s`."""
    deadline = time.monotonic() + patience_s
    try:
        async with Sender(host, port, ports=1, timers=PROBE_TIMERS) as sender:
            while (await sender.get((".well-known", "core"))).code == message.EMPTY:
                if time.monotonic() >= deadline:
                    raise TargetError(
                        f"nothing answers CoAP at {host} port {port} (UDP): is the platform running? try `nbwater up`"
                    )
    except OSError as error:
        raise TargetError(f"{host} port {port}: {error.strerror or error}") from error


async def admit(sender: Sender, device: str, tail: bytes, lane: int = 0, patience_s: float = 60.0) -> Answer:
    """Send a device's first report again and again until the gateway takes it: the registry reaches the gateway some
    moments after the database. Repeats are harmless: the report has an identity. Raises TargetError after
    `patience_s`."""
    return await admit_by(lambda: sender.post_tail(tail, lane=lane), device, patience_s)


async def admit_by(post: Callable[[], Awaitable[Answer]], device: str, patience_s: float = 60.0) -> Answer:
    """As `admit`, for whatever way of sending."""
    deadline = time.monotonic() + patience_s
    while True:
        answer = await post()
        if answer.fate is not Fate.UNKNOWN and answer.code != UNAUTHORISED:
            return answer
        if time.monotonic() >= deadline:
            said = message.code_text(answer.code) if answer.code else "nothing"
            raise TargetError(f"the gateway answered {said} to device {device} for {patience_s:.0f} s")
        await asyncio.sleep(PAUSE_S)
