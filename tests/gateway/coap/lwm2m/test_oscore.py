"""LwM2M within OSCORE: a client of ours, its own half of OSCORE written apart, with the real server; and aiocoap's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiocoap
import pytest
from aiocoap import oscore

from gateway.coap.lwm2m.registration import registration_id
from gateway.coap.oscore.windows import Windows
from gateway.coap.siblings import Passed, Siblings
from metering.commands import CommandKind, WaitingCommand
from metering.errors import StreamFullError
from simulators.lwm2m_client import ANJAY, CHANGED, CREATED, DELETED, Client
from simulators.lwm2m_oscore import ProtectedLwm2mMeter
from simulators.message import Type
from simulators.oscore import ProtectedMeter
from tests.gateway.coap.lwm2m.conftest import DEVICE, KEYED, SECRET, Desk, OpenDesk, OpenMeter
from tests.gateway.conftest import until

KID = b"\x05"
DATA = "/19/0/0"
FORBIDDEN, BAD_REQUEST = 0x83, 0x80
SENML = b"\x81\xa2\x00f/3/0/9\x02\x18\x55"
OpenProtected = Callable[..., Awaitable[ProtectedLwm2mMeter]]


def client(device: str = KEYED) -> Client:
    return Client(f"urn:imei:{device}", ANJAY, {DATA: (42, b"\x00"), "/3424/0": (112, b"\x80"), "/3/0": (112, b"\x80")})


@pytest.fixture
async def open_protected() -> AsyncIterator[OpenProtected]:
    async with AsyncExitStack() as stack:

        async def make(desk: Desk, made: Client | None = None, secret: bytes = b"") -> ProtectedLwm2mMeter:
            context = ProtectedMeter(secret or SECRET.master_secret, KID, SECRET.server_id, SECRET.master_salt)
            meter = ProtectedLwm2mMeter("127.0.0.1", desk.port, made or client(), context, ack_timeout_s=3)
            return await stack.enter_async_context(meter)

        yield make


async def registered(meter: ProtectedLwm2mMeter) -> None:
    assert (await meter.ask(meter.client.register())).code == CREATED
    await meter.until(lambda c: DATA in c.observed and "/3424/0" in c.observed)


async def in_store(desk: Desk, paths: int) -> Any:
    """The registration, once so many observations of it are written."""

    async def written() -> Any:
        record = await desk.store.get(registration_id(KEYED))
        return record if record is not None and len(record.established) == paths else None

    return await until(written)


async def test_a_client_registers_is_observed_updates_sends_and_leaves(
    open_desk: OpenDesk, open_protected: OpenProtected
) -> None:
    desk = await open_desk()
    meter = await open_protected(desk)
    await registered(meter)
    assert meter.client.location == ("rd", registration_id(KEYED).hex())
    assert (await meter.ask(meter.notification(DATA, b"frame 1"))).type == Type.ACK
    meter.tell(meter.notification(DATA, b"frame 2", confirmable=False))
    assert (await meter.ask(meter.client.send(SENML))).code == CHANGED
    assert (await meter.ask(meter.client.update())).code == CHANGED
    items = desk.custody.items()
    assert [item for item in items if item[0] in (DATA, "/")][1:] == [
        [DATA, 42, b"frame 1"], [DATA, 42, b"frame 2"], ["/", 112, SENML],
    ]  # fmt: skip
    assert ["/3/0", 112, b"\x80"] in items
    assert {device for device, _, _ in desk.custody.reports} == {KEYED}
    record = await in_store(desk, 2)
    assert (record.kid, sorted(record.bound), record.peer) == (KID, [0, 1], "")
    assert (await meter.ask(meter.client.deregister())).code == DELETED
    assert meter.unprotected == meter.resets == 0


async def test_commands_reach_it_protected(open_desk: OpenDesk, open_protected: OpenProtected) -> None:
    desk = await open_desk(models={"Maker M1": {"valve": "/10300/0/1"}})
    made = client()
    made.writable |= {"/10300/0/1"}
    meter = await open_protected(desk, made)
    await registered(meter)
    close = WaitingCommand(bytes(range(8)), CommandKind.VALVE, {0: 1}, 1_900_000_000)
    desk.commands.file(close, KEYED)
    await until(lambda: asyncio.sleep(0, desk.commands.told[1:]))
    assert desk.commands.told == [("handed over", close.command_id), ("ended", close.command_id, 0, "")]
    assert [(each.path, each.payload) for each in made.written] == [("/10300/0/1", b"1")]
    assert meter.unprotected == 0


async def test_it_must_use_its_key_and_speaks_for_itself_alone(
    open_desk: OpenDesk, open_protected: OpenProtected, open_meter: OpenMeter
) -> None:
    desk = await open_desk()
    plain = await open_meter(desk.port, client())
    assert (await plain.ask(plain.client.register())).code == FORBIDDEN
    meter = await open_protected(desk)
    await registered(meter)
    plain.client.location = meter.client.location
    assert (await plain.ask(plain.client.update())).code not in (CHANGED, 0)
    plain.client.observed = dict(meter.client.observed)
    plain.tell(plain.client.notify(DATA, b"forged", confirmable=False))
    thief = await open_protected(desk, client(DEVICE))
    thief._context.next_number = 100
    assert (await thief.ask(thief.client.register())).code == FORBIDDEN
    stranger = await open_protected(desk, None, bytes(16))
    stranger._context.next_number = 200
    answer = await super(ProtectedLwm2mMeter, stranger).ask(stranger.protected(stranger.client.register())[1])
    assert answer.code == BAD_REQUEST
    assert [DATA, 42, b"forged"] not in desk.custody.items()
    assert await desk.store.get(registration_id(DEVICE)) is None


async def test_a_notification_counts_once_and_is_acknowledged_again(
    open_desk: OpenDesk, open_protected: OpenProtected
) -> None:
    desk = await open_desk()
    meter = await open_protected(desk)
    await registered(meter)
    first = meter.notification(DATA, b"frame 1")
    desk.custody.failure = StreamFullError("full")
    meter.tell(first)
    await until(lambda: asyncio.sleep(0, sum(desk.counters.refused.values())))
    desk.custody.failure = None
    assert (await meter.ask(first)).type == Type.ACK  # what was not taken may come again
    assert (await meter.ask(first)).type == Type.ACK
    replayed = first[:2] + b"\xff\xfe" + first[4:]
    for _ in range(2):
        meter.tell(replayed)
    await until(lambda: asyncio.sleep(0, desk.counters.ignored["oscore_notification_replayed"] == 2))
    assert (await meter.ask(meter.notification(DATA, b"frame 2"))).type == Type.ACK
    assert desk.custody.items().count([DATA, 42, b"frame 2"]) == 1


@pytest.mark.parametrize("windows_kept", [True, False])
async def test_another_process_takes_its_notifications(
    open_desk: OpenDesk, open_protected: OpenProtected, windows_kept: bool
) -> None:
    """Without replay windows (a power loss) only after the client has answered an Echo."""
    windows = Windows()
    desk = await open_desk(windows=windows)
    meter = await open_protected(desk)
    await registered(meter)
    await in_store(desk, 2)
    taken = meter.notification(DATA, b"frame 1")
    assert (await meter.ask(taken)).type == Type.ACK
    other = await open_desk(windows=windows if windows_kept else None, lease=2)
    await meter.rebind(other.port)
    notification = meter.notification(DATA, b"frame 2")
    if not windows_kept:
        meter.tell(notification)
        await until(lambda: asyncio.sleep(0, other.counters.ignored["oscore_notification_replayed"]))
        assert (await meter.ask(meter.client.update())).code == CHANGED
        notification = meter.notification(DATA, b"frame 3")
    assert (await meter.ask(notification)).type == Type.ACK
    assert len(other.custody.items()) == 1
    meter.tell(taken)
    await until(lambda: asyncio.sleep(0, other.counters.ignored["oscore_notification_replayed"] >= 1))
    assert len(other.custody.items()) == 1
    other.commands.file(WaitingCommand(bytes(8), CommandKind.SET_CLOCK, {}, 1_900_000_000), KEYED)
    await until(lambda: asyncio.sleep(0, other.commands.told[1:]))
    assert meter.client.written[-1].path == "/3/0/13"


class OneOfTwo(Siblings):
    """This process is worker 0; `owner` has every context. `heard`: by whom the peer's requests were taken."""

    def __init__(self) -> None:
        self.worker, self.owner, self.heard = 0, 1, False
        self.passed: list[tuple[int, bytes]] = []

    def owner_of(self, key: bytes) -> int:
        return self.owner

    def owner_for(self, peer: tuple[Any, ...]) -> int | None:
        return self.owner if self.heard else None

    def pass_on(self, owner: int, datagram: bytes, peer: tuple[Any, ...]) -> Passed:
        self.passed.append((owner, datagram))
        return Passed.YES


async def test_a_notification_goes_to_the_worker_that_has_the_context(
    open_desk: OpenDesk, open_protected: OpenProtected
) -> None:
    windows, siblings = Windows(), OneOfTwo()
    meter = await open_protected(await open_desk(windows=windows))
    await registered(meter)
    other = await open_desk(windows=windows, lease=2)
    await in_store(other, 2)
    other.clients._siblings = siblings
    await meter.rebind(other.port)
    notification = meter.notification(DATA, b"frame 1")
    for heard in (False, True):  # by the registration's kid; by where the peer's requests went
        siblings.heard = heard
        meter.tell(notification)
        await until(lambda: asyncio.sleep(0, len(siblings.passed) == 1 + siblings.heard))
    assert siblings.passed == [(1, notification)] * 2
    assert other.custody.items() == []
    siblings.owner, siblings.heard = 0, False
    assert (await meter.ask(notification)).type == Type.ACK
    assert other.custody.items() == [[DATA, 42, b"frame 1"]]


async def test_without_a_registration_an_observation_is_reset(
    open_desk: OpenDesk, open_protected: OpenProtected
) -> None:
    desk = await open_desk()
    meter = await open_protected(desk)
    await registered(meter)
    await in_store(desk, 2)
    assert (await meter.ask(meter.client.deregister())).code == DELETED
    assert (await meter.ask(meter.notification(DATA, b"late"))).type == Type.RST
    other = await open_desk(lease=2)
    await meter.rebind(other.port)
    assert (await meter.ask(meter.notification(DATA, b"later"))).type == Type.RST
    assert [DATA, 42, b"late"] not in desk.custody.items()


async def test_aiocoap_registers_in_blocks_and_is_refused_in_plain(open_desk: OpenDesk, tmp_path: Path) -> None:
    desk = await open_desk(observe=[], read=[])
    settings = {
        "sender-id_hex": KID.hex(), "recipient-id_hex": SECRET.server_id.hex(),
        "secret_hex": SECRET.master_secret.hex(), "salt_hex": SECRET.master_salt.hex(),
    }  # fmt: skip
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    context = await aiocoap.Context.create_client_context(transports=["oscore", "udp6"])
    many = ",".join(f"</{number}/0>" for number in range(10_000, 10_200))

    async def register(links: str) -> aiocoap.Message:
        uri = f"coap://127.0.0.1:{desk.port}/rd?ep={KEYED}&lt=60&b=U&lwm2m=1.1"
        request = aiocoap.Message(code=aiocoap.POST, uri=uri, payload=links.encode(), content_format=40)
        return await asyncio.wait_for(context.request(request).response, 30)

    try:
        assert (await register("</3/0>")).code.dotted == "4.03"
        context.client_credentials[f"coap://127.0.0.1:{desk.port}/*"] = oscore.FilesystemSecurityContext(str(tmp_path))
        for links, count in (("</3/0>,</19/0>", 2), (f"</3/0>,</19/0>,{many}", 202)):
            answer = await register(links)
            assert answer.code.dotted == "2.01"
            assert answer.opt.location_path == ("rd", registration_id(KEYED).hex())
            record = await desk.store.get(registration_id(KEYED))
            assert record is not None
            assert (len(record.offer.paths), record.kid) == (count, KID)
    finally:
        await context.shutdown()
