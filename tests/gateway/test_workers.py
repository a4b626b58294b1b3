"""Several gateway processes on one port, on real NATS: a meter's next datagram may come to any of them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from nats.js import JetStreamContext

from gateway.coap import message as coap
from gateway.coap.message import Message, encode
from gateway.coap.siblings import Siblings
from metering.errors import StartError
from tests.gateway.conftest import (
    ENTRIES,
    IMEI,
    GatewayProcess,
    OpenSender,
    Sender,
    StartGateway,
    stored,
    write_snapshot,
)

WORKERS = 2
SENDERS = 200
"""Source ports tried until each worker has one: that all miss one is as good as impossible."""

PATH = [(coap.URI_PATH, b"r"), (coap.URI_PATH, IMEI.encode()), (coap.CONTENT_FORMAT, b"\x2a")]
StartWorkers = Callable[[], Awaitable[list[GatewayProcess]]]


def report(payload: bytes, message_id: int) -> bytes:
    return encode(Message(coap.CON, coap.POST, message_id, b"t", PATH, payload))


def block(number: int, more: bool, payload: bytes, message_id: int) -> bytes:
    """One block of 16 bytes of a report."""
    options = [*PATH, (coap.BLOCK1, coap.uint(number << 4 | more << 3))]
    return encode(Message(coap.CON, coap.POST, message_id, b"t", options, payload))


@pytest.fixture
async def start_workers(js: JetStreamContext, start_gateway: StartGateway, tmp_path: Path) -> StartWorkers:
    directory = tmp_path / ("long" * 30)  # longer than the address of a Unix socket may be
    directory.mkdir(mode=0o700)

    async def start() -> list[GatewayProcess]:
        await write_snapshot(js, ENTRIES)
        shared = {"workers": WORKERS, "workers_directory": directory, "publish_timeout_s": 20}
        first = await start_gateway(**shared, worker=0)
        more = [start_gateway(**shared, worker=n, port=first.port) for n in range(1, WORKERS)]
        return [first, *await asyncio.gather(*more)]

    return start


async def sender_of_each(workers: list[GatewayProcess], open_sender: OpenSender) -> list[Sender]:
    """A source port whose datagrams the kernel gives to the first worker, one for the second, …"""
    found: dict[int, Sender] = {}
    for number in range(SENDERS):
        before = [await worker.metric("nbwater_gateway_datagrams_total") for worker in workers]
        sender = await open_sender(workers[0].port)
        assert (await sender.ask(report(b"probe %d" % number, 1)))[1] == coap.CHANGED
        after = [await worker.metric("nbwater_gateway_datagrams_total") for worker in workers]
        found.setdefault(next(n for n, (a, b) in enumerate(zip(before, after, strict=True)) if b > a), sender)
        if len(found) == len(workers):
            return [found[number] for number in range(len(workers))]
    raise AssertionError("the kernel gives one worker nothing")


async def passed_on(workers: list[GatewayProcess]) -> float:
    return sum([await worker.metric("nbwater_gateway_passed_on_datagrams_total") for worker in workers])


async def test_blocks_from_several_ports_come_together_in_one_worker(
    start_workers: StartWorkers, js: JetStreamContext, open_sender: OpenSender
) -> None:
    workers = await start_workers()
    senders = await sender_of_each(workers, open_sender)
    already = len(await stored(js))
    blocks = [b"%d" % n * 16 for n in range(5)]
    for number, payload in enumerate(blocks):
        datagram = block(number, number < 4, payload, 100 + number)
        expected = coap.CHANGED if number == 4 else 0x5F  # 2.31
        assert (await senders[number % WORKERS].ask(datagram))[1] == expected
        # Retransmitted by way of another port: the same answer, and nothing is appended twice.
        assert (await senders[(number + 1) % WORKERS].ask(datagram))[1] == expected
    (taken,) = (await stored(js))[already:]
    assert taken.payload == b"".join(blocks)
    assert await passed_on(workers) == sum(
        [await worker.metric("nbwater_gateway_taken_over_datagrams_total") for worker in workers]
    )
    assert await passed_on(workers) > 0


async def test_a_killed_worker_leaves_the_others_serving_and_its_share_to_them(
    start_workers: StartWorkers, js: JetStreamContext, open_sender: OpenSender
) -> None:
    workers = await start_workers()
    for worker in workers:
        assert await worker.metric("nbwater_gateway_registry_devices") == len(ENTRIES)
    senders = await sender_of_each(workers, open_sender)
    victim = workers.pop(zlib.crc32(IMEI.encode()) % WORKERS)
    victim.process.kill()
    await victim.process.wait()
    for number, sender in enumerate(senders):  # the kernel gives the killed one's ports to the other
        assert (await sender.ask(report(b"after %d" % number, 2)))[1] == coap.CHANGED
        answer = coap.parse(await sender.ask(block(0, True, bytes(16), 50)))
        assert isinstance(answer, Message)
        assert (answer.code, answer.options) == (coap.SERVICE_UNAVAILABLE, [(coap.MAX_AGE, b"\x3c")])
    assert {b"after 0", b"after 1"} <= {each.payload for each in await stored(js)}
    assert await workers[0].is_ready()


def test_the_directory_of_the_workers_is_theirs_alone(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="No such file"):
        Siblings(tmp_path / "none", 0, 2)
    tmp_path.chmod(0o755)
    with pytest.raises(StartError, match="0700"):
        Siblings(tmp_path, 0, 2)
