"""Gateway processes on real NATS and OSCORE: what a kill, a restart and another worker must not change."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from nats.js import JetStreamContext

from metering.model import Authentication
from metering.streams import OSCORE_STREAM
from simulators import message
from tests.gateway.coap.protected import DEVICE, KID, OTHER, OTHER_KID, REPLAY, Client, entries, own_number, plainly
from tests.gateway.conftest import (
    GatewayProcess,
    OpenSender,
    Sender,
    StartGateway,
    stored,
    until,
    write_snapshot,
)

SENDERS = 200
"""Source ports tried until each worker has one."""


@pytest.fixture(autouse=True)
async def master_key(js: JetStreamContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)  # noqa: ASYNC240 - a directory of this machine
    monkeypatch.setenv("NBWATER_KEYS_MASTER", bytes(range(32)).hex())
    monkeypatch.setenv("NBWATER_OSCORE_DIRECTORY", str(tmp_path))
    await write_snapshot(js, entries())


async def has_numbers(gateway: GatewayProcess) -> bool:
    return await gateway.metric("nbwater_gateway_oscore_spare_numbers") > 0


async def kill(gateway: GatewayProcess) -> None:
    gateway.process.kill()
    await gateway.process.wait()


async def test_killed_gateways_repeat_no_number_and_take_no_replay(
    js: JetStreamContext, start_gateway: StartGateway, open_sender: OpenSender
) -> None:
    numbers: set[bytes] = set()
    meter = Client(await open_sender(1))
    taken = []
    for life in range(3):
        gateway = await start_gateway()
        await until(lambda gateway=gateway: has_numbers(gateway))
        meter.sender = await open_sender(gateway.port)
        if life == 0:
            await meter.greet()
        for _, datagram in taken[-2:]:
            assert plainly(await meter.sender.ask(datagram)) == REPLAY
        report = meter.datagram(b"life %d" % life)
        raw = await meter.sender.ask(report[1])
        assert (own_number(raw), meter.context.open(report[0], message.decode(raw)).code) == (b"", message.CHANGED)
        assert await meter.sender.ask(report[1]) == raw
        taken.append(report)
        for _ in range(3):  # refusals of a meter's own mistakes take numbers of ours
            number, datagram = meter.datagram(name=OTHER)
            refused = await meter.sender.ask(datagram)
            assert meter.context.open(number, message.decode(refused)).code == 0x81
            numbers.add(own_number(refused))
        await kill(gateway)
    assert len(numbers) == 9
    reports = await stored(js)
    assert [(each.device, each.authentication, each.payload) for each in reports] == [
        (DEVICE, Authentication.OSCORE, payload) for payload in (b"first", b"life 0", b"life 1", b"life 2")
    ]
    assert (await js.stream_info(OSCORE_STREAM)).state.last_seq * 1024 > 2**32  # begins at the second it was made


async def workers_of(start_gateway: StartGateway, tmp_path: Path) -> list[GatewayProcess]:
    shared = {"workers": 2, "workers_directory": tmp_path, "publish_timeout_s": 20}
    first = await start_gateway(**shared, worker=0)
    workers = [first, await start_gateway(**shared, worker=1, port=first.port)]
    for worker in workers:
        await until(lambda worker=worker: has_numbers(worker))
    return workers


async def senders_by_worker(workers: list[GatewayProcess], open_sender: OpenSender) -> list[Sender]:
    """A source port whose datagrams the kernel gives to the first worker, and one for the second."""
    found: dict[int, Sender] = {}
    for _ in range(SENDERS):
        before = [await worker.metric("nbwater_gateway_datagrams_total") for worker in workers]
        sender = await open_sender(workers[0].port)
        await sender.ask(bytes.fromhex("40000001"))  # a ping
        after = [await worker.metric("nbwater_gateway_datagrams_total") for worker in workers]
        found.setdefault(next(n for n, (a, b) in enumerate(zip(before, after, strict=True)) if b > a), sender)
        if len(found) == len(workers):
            return [found[number] for number in range(len(workers))]
    raise AssertionError("the kernel gives one worker nothing")


async def test_a_context_has_one_owner_and_a_replay_to_the_other_worker_is_refused(
    js: JetStreamContext, start_gateway: StartGateway, open_sender: OpenSender, tmp_path: Path
) -> None:
    workers = await workers_of(start_gateway, tmp_path)
    senders = await senders_by_worker(workers, open_sender)
    for kid, name in ((KID, DEVICE), (OTHER_KID, OTHER)):
        owner = zlib.crc32(kid) % 2
        meter, thief = Client(senders[owner], kid), senders[1 - owner]
        asked = await meter.ask(name=name)
        meter.sender = thief  # the proof comes by way of the other worker
        assert (await meter.ask(name=name, echo=asked.echo)).code == message.CHANGED
        meter.sender = senders[owner]
        first, second = (meter.datagram(payload, name) for payload in (b"one", b"two"))
        answers = [await meter.sender.ask(datagram) for _, datagram in (first, second)]
        assert await thief.ask(second[1]) == answers[1]  # a retransmission after a NAT rebound
        for number, datagram in (first, second):
            assert plainly(await thief.ask(datagram[:2] + b"\xbe\xef" + datagram[4:])) == REPLAY
            assert number > 0
        assert (await meter.ask(b"three", name=name)).code == message.CHANGED
    reports = [(each.device, each.payload) for each in await stored(js)]
    assert sorted(reports) == sorted(
        (name, payload) for name in (DEVICE, OTHER) for payload in (b"report", b"one", b"two", b"three")
    )
    passed = sum([await worker.metric("nbwater_gateway_passed_on_datagrams_total") for worker in workers])
    assert passed == sum([await worker.metric("nbwater_gateway_taken_over_datagrams_total") for worker in workers]) > 0
    await kill(workers[zlib.crc32(KID) % 2])
    meter = Client(await open_sender(workers[0].port), KID)
    gone = meter.datagram()

    async def owner_is_away() -> bool:
        return plainly(await meter.sender.ask(gone[1])) == (message.SERVICE_UNAVAILABLE, b"")

    await until(owner_is_away)


async def test_without_a_master_key_the_option_is_not_understood(
    js: JetStreamContext, start_gateway: StartGateway, open_sender: OpenSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NBWATER_KEYS_MASTER")
    gateway = await start_gateway()
    meter = Client(await open_sender(gateway.port))
    assert plainly(await meter.sender.ask(meter.datagram()[1])) == (0x82, b"option 9")
