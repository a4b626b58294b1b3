"""Leases of Partial IVs on real NATS: no two processes get the same, and a server that is away is waited for."""

from __future__ import annotations

import asyncio

from nats.js import JetStreamContext

from deploy.embedded.nats import NatsServer
from gateway.coap.leases import keep_numbers
from gateway.coap.oscore.numbers import LEASE, LOW, SenderNumbers
from gateway.link import StreamLink
from tests.gateway.conftest import until


async def test_processes_share_one_sequence(js: JetStreamContext, nats_server: NatsServer) -> None:
    link = StreamLink()
    await link.connect(nats_server.url_for("gateway"))
    keepers, taken = [], []
    for _ in range(3):
        numbers, wanted = SenderNumbers(), asyncio.Event()
        keepers.append(asyncio.create_task(keep_numbers(numbers, wanted, link)))
        await until(lambda numbers=numbers: asyncio.sleep(0, numbers.spare))
        taken += [numbers.take() for _ in range(LEASE - LOW + 1)]
        wanted.set()
        await until(lambda numbers=numbers: asyncio.sleep(0, not numbers.low))
        taken += [numbers.take() for _ in range(LEASE)]
    assert None not in taken
    assert len(set(taken)) == len(taken)
    for keeper in keepers:
        keeper.cancel()
    await asyncio.wait(keepers)
    await link.close()


async def test_a_server_that_is_away_is_waited_for(js: JetStreamContext, nats_server: NatsServer) -> None:
    link, numbers = StreamLink(), SenderNumbers()
    keeper = asyncio.create_task(keep_numbers(numbers, asyncio.Event(), link))
    await asyncio.sleep(0)
    assert (numbers.spare, keeper.done()) == (0, False)
    await link.connect(nats_server.url_for("gateway"))
    await until(lambda: asyncio.sleep(0, numbers.spare))
    keeper.cancel()
    await asyncio.wait({keeper})
    await link.close()
