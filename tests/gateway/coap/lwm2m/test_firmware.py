"""Firmware by object 5: fetched or pushed, as the client can; a push goes on where it was."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from gateway.coap.lwm2m import formats, package
from gateway.coap.lwm2m.exchange import CONTINUE, Reply
from gateway.coap.lwm2m.package import Progress, Way, way_of
from metering.commands import CommandKind, WaitingCommand
from simulators.lwm2m import Lwm2mMeter
from simulators.lwm2m_client import Client, Written
from tests.gateway.coap.lwm2m.conftest import KEYED, Desk, OpenDesk, OpenMeter
from tests.gateway.coap.lwm2m.test_delivery import anjay, told

IMAGE = bytes(range(256)) * 39 + b"end"
DIGEST = hashlib.sha256(IMAGE).digest()
COMMAND = WaitingCommand(
    b"firmware", CommandKind.FIRMWARE, {0: "coaps://gw/fw/12", 1: DIGEST, 2: len(IMAGE)}, 4_000_000_000
)
HANDED = ("handed over", COMMAND.command_id)


def pushed(client: Client) -> list[bytes]:
    return [each.payload for each in client.written if each.path == package.PACKAGE]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / DIGEST.hex()).write_bytes(IMAGE)
    return tmp_path


def client_that_is_sent(szx: int = 6) -> Client:
    client = anjay(KEYED)
    client.block1_szx = szx
    client.values |= {"/5/0/3": (0, b"0"), "/5/0/5": (0, b"0"), "/5/0/9": (0, b"1")}
    return client


async def update(meter: Lwm2mMeter, result: bytes) -> None:
    """What a client does once it has the image."""
    client = meter.client
    await meter.until(lambda c: {"/5/0/3", "/5/0/5"} <= set(c.observed))
    await meter.ask(client.notify("/5/0/3", b"2"))
    await meter.until(lambda c: Written(2, "/5/0/2", None, b"") in c.written)
    await meter.ask(client.notify("/5/0/5", result))


@pytest.mark.parametrize("szx", [6, 2])
async def test_a_client_that_does_not_fetch_is_sent_the_image(
    open_desk: OpenDesk, open_meter: OpenMeter, directory: Path, szx: int
) -> None:
    desk = await open_desk(vouched=True, images=directory)
    meter = await open_meter(desk.port, client_that_is_sent(szx))
    desk.commands.file(COMMAND, KEYED)
    await meter.ask(meter.client.register())
    await meter.until(pushed)
    assert pushed(meter.client) == [IMAGE]
    await update(meter, b"1")
    assert await told(desk, 2) == [HANDED, ("ended", COMMAND.command_id, 0, "")]


async def test_a_push_goes_on_at_the_next_block(open_desk: OpenDesk, open_meter: OpenMeter, directory: Path) -> None:
    desk = await open_desk(vouched=True, images=directory, ack_timeout_s=0.05)
    meter = await open_meter(desk.port, client_that_is_sent())
    desk.commands.file(COMMAND, KEYED)
    await meter.ask(meter.client.register())
    await meter.until(lambda c: len(c.package) >= 2048)
    meter.sleep()
    had = len(meter.client.package)

    async def gave_up(desk: Desk) -> None:
        key = bytes.fromhex(meter.client.location[1])
        while (record := await desk.store.get(key)) is None or not record.pushed:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)
        assert had - 512 <= record.pushed <= had

    await asyncio.wait_for(gave_up(desk), 60)
    other = await open_desk(vouched=True, images=directory)  # another process takes over
    other.commands.file(COMMAND, KEYED)
    meter.wake()
    asked = len(meter.client.asked)
    await meter.rebind(other.port)
    assert (await meter.ask(meter.client.update())).code == 0x44
    await meter.until(pushed)
    assert pushed(meter.client) == [IMAGE]
    writes = [each for each in meter.client.asked[asked:] if each == "PUT /5/0/0"]
    assert len(writes) <= (len(IMAGE) - had) // 512 + 2
    assert "GET /5/0/9" not in meter.client.asked[asked:]


async def test_a_client_that_lost_what_it_had_begins_anew(
    open_desk: OpenDesk, open_meter: OpenMeter, directory: Path
) -> None:
    desk = await open_desk(vouched=True, images=directory)
    meter = await open_meter(desk.port, client_that_is_sent())
    await meter.ask(meter.client.register())
    key = bytes.fromhex(meter.client.location[1])
    await meter.until(lambda c: {"/19/0/0", "/3424/0"} <= set(c.observed))
    session = desk.lane.server.sessions.get(key)
    assert session is not None
    session.record = session.record._replace(pushing=COMMAND.command_id, pushed=4096)
    desk.commands.file(COMMAND, KEYED)
    await meter.until(pushed)
    assert pushed(meter.client) == [IMAGE]
    await update(meter, b"5")
    assert (await told(desk, 2))[1] == ("ended", COMMAND.command_id, 1, "update result 5: integrity check failed")


async def test_without_an_image_nothing_is_pushed_and_the_command_waits(
    open_desk: OpenDesk, open_meter: OpenMeter, tmp_path: Path
) -> None:
    desk = await open_desk(vouched=True, images=tmp_path)
    meter = await open_meter(desk.port, client_that_is_sent())
    desk.commands.file(COMMAND, KEYED)
    await meter.ask(meter.client.register())
    await told(desk, 1)
    await meter.until(lambda c: "GET /5/0/9" in c.asked)
    await asyncio.sleep(0.3)
    assert (desk.commands.told, desk.commands.filed) == ([HANDED], [COMMAND])


async def test_a_refused_update_and_protocols_that_do_not_fit_end(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk(vouched=True)
    client = client_that_is_sent()
    client.values |= {"/5/0/9": (0, b"0"), "/5/0/8": (11542, bytes.fromhex("860841000041 0102".replace(" ", "")))}
    meter = await open_meter(desk.port, client)
    desk.commands.file(COMMAND, KEYED)
    await meter.ask(client.register())
    ended = ("ended", COMMAND.command_id, 1, "4.00 to coaps://gw/fw/12: the device fetches by other protocols")
    assert (await told(desk, 2))[1] == ended
    client.values["/5/0/8"] = (11542, bytes.fromhex("860841000041 0101".replace(" ", "")))
    client.writable -= {"/5/0/2"}
    desk.commands.file(COMMAND, KEYED)
    await meter.until(lambda c: Written(3, "/5/0/1", 0, b"coaps://gw/fw/12") in c.written)
    await meter.until(lambda c: {"/5/0/3", "/5/0/5"} <= set(c.observed))
    await meter.ask(client.notify("/5/0/3", b"2"))
    assert (await told(desk, 4))[3] == ("ended", COMMAND.command_id, 1, "4.04 to /5/0/2")


@pytest.mark.parametrize(
    ("method", "protocols", "uri", "way"),
    [
        (None, [], "coap://gw", Way.PULL), (0, [], "coaps://gw", Way.PULL), (1, [0], "coap://gw", Way.PUSH),
        (2, [0, 1], "COAPS://gw", Way.PULL), (2, [2], "coap://gw", Way.PUSH), (0, [2], "coap://gw", Way.NONE),
        (None, [3], "coap://gw", Way.PUSH),
    ],
)  # fmt: skip
def test_who_can_fetches(method: int | None, protocols: list[int], uri: str, way: Way) -> None:
    assert way_of(method, protocols, uri) is way


def test_the_size_of_blocks_is_the_clients() -> None:
    begin = Progress()
    smaller = begin.after(Reply(CONTINUE, b"", None, None, None, 0 << 4 | 8 | 3), 512)
    assert smaller == Progress(512, 3)
    assert smaller.ask(b"x" * 128, 10_000).block1 == 512 // 128 << 4 | 8 | 3
    assert begin.after(Reply(package.TOO_LARGE, b"", None, None, None, 4), 512) == Progress(0, 4)
    again: Progress | None = Progress(512)
    for _ in range(package.MAX_RESTARTS):
        assert again is not None
        again = again.after(Reply(package.INCOMPLETE, b"", None, None, None), 512)
        again = again and again._replace(offset=512)
    assert again is not None
    assert again.after(Reply(package.INCOMPLETE, b"", None, None, None), 512) is None


@pytest.mark.parametrize(
    ("content_format", "payload"),
    [
        (formats.TLV, bytes.fromhex("860841000041 0101".replace(" ", ""))),
        (formats.SENML_JSON, b'[{"bn":"/5/0/8/","n":"0","v":0},{"n":"1","v":1}]'),
        (formats.SENML_CBOR, bytes.fromhex("82a3216 72f352f302f382f0061300200a20061310201".replace(" ", ""))),
        (formats.LWM2M_CBOR, bytes.fromhex("a105a100a108a200000101")),
    ],
)
def test_a_resource_of_several_instances_is_read(content_format: int, payload: bytes) -> None:
    assert formats.read_integers(content_format, payload) == [0, 1]
    assert formats.read_integers(content_format, b"\xff") == []
