"""GET /fw by Block2: who gets which image, and which block."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiocoap
import pytest
from nats.js import JetStreamContext
from nats.js.api import Header

from gateway.coap import message as coap
from gateway.coap.firmware import (
    Block,
    FirmwareBehindOscore,
    FirmwareLane,
    FirmwareOnPort,
    Transfers,
    accepts_bytes,
    read_block,
)
from gateway.coap.lanes import Conversations
from gateway.coap.message import Message
from gateway.coap.remote import Vouched
from gateway.firmware import Images
from metering.command_feed import DeviceCommands, encode_waiting
from metering.commands import CommandKind, WaitingCommand
from metering.model import Authentication
from metering.streams import waiting_subject
from tests.gateway.coap.protected import DEVICE, OTHER, OTHER_KID, Client, Desk
from tests.gateway.coap.test_protected_with_clients import MakeContext, client, make_context  # noqa: F401 - fixtures
from tests.gateway.conftest import OpenSender, until
from tests.gateway.dtls.conftest import IDENTITY, KEY, METER, OTHER_IDENTITY, OTHER_KEY, StartDtls, start_dtls  # noqa: F401 - a fixture

IMAGE = os.urandom(100_003)
DIGEST = hashlib.sha256(IMAGE).digest()
PREFIX = DIGEST.hex()[:16]
UPDATE = WaitingCommand(b"firmware", CommandKind.FIRMWARE, {0: "coaps://gw", 1: DIGEST, 2: len(IMAGE)}, 4_000_000_000)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "firmware"
    made.mkdir()
    (made / DIGEST.hex()).write_bytes(IMAGE)
    return made


class _NoConversations(Conversations):
    def serves(self, path: list[bytes]) -> bool:
        return False

    def answer(self, message: Message, datagram: bytes, peer: object, address: int, passed: bool) -> bool:
        return False


class FirmwareDesk(Desk):
    """The CoAP port with OSCORE, and firmware for DEVICE."""

    def __init__(self, directory: Path, max_transfers: int = 10) -> None:
        super().__init__()
        self.images = Images(directory)
        self.lane = FirmwareLane(self.images, self, self.counters, max_transfers, 30)  # type: ignore[arg-type]

    def waiting(self, device: str, authentication: Authentication) -> list[WaitingCommand]:
        return [UPDATE] if device == DEVICE else []

    async def start(self) -> None:
        await self.slow.start()
        self.protected.start(self.fast, FirmwareBehindOscore(self.lane, self.slow, lambda: 0.0))
        self.fast.start(self.slow, self.protected, FirmwareOnPort(self.lane, _NoConversations(), self.fast.send))


@pytest.fixture
async def desk(directory: Path) -> AsyncIterator[FirmwareDesk]:
    made = FirmwareDesk(directory)
    await made.start()
    yield made
    await made.stop()
    made.images.close()


async def get(asking: aiocoap.Context, desk: Desk, path: str, **options: object) -> aiocoap.Message:
    request = aiocoap.Message(code=aiocoap.GET, uri=f"coap://127.0.0.1:{desk.port}/fw/{path}", **options)
    return await asyncio.wait_for(asking.request(request).response, 60)


async def test_aiocoap_fetches_over_oscore(
    desk: FirmwareDesk,
    client: aiocoap.Context,  # noqa: F811 - the fixture
    make_context: MakeContext,  # noqa: F811 - the fixture
) -> None:
    everything = f"coap://127.0.0.1:{desk.port}/*"
    client.client_credentials[everything] = make_context()
    answer = await get(client, desk, PREFIX)
    assert (answer.code, answer.payload, answer.opt.etag) == (aiocoap.CONTENT, IMAGE, DIGEST[:8])
    assert desk.lane.totals()["firmware_blocks"][1]() == -(-len(IMAGE) // 512)
    assert desk.lane.gauges()["firmware_transfers"][1]() == 1
    assert (await get(client, desk, DIGEST.hex())).payload == IMAGE
    assert (await get(client, desk, PREFIX[:15])).code == aiocoap.NOT_FOUND
    assert (await get(client, desk, PREFIX[:-1] + "x")).code == aiocoap.NOT_FOUND
    assert (await get(client, desk, PREFIX, accept=50)).code == aiocoap.NOT_ACCEPTABLE
    client.client_credentials[everything] = make_context(OTHER_KID)
    assert (await get(client, desk, PREFIX)).code == aiocoap.NOT_FOUND
    del client.client_credentials[everything]
    assert (await get(client, desk, PREFIX)).code == aiocoap.UNAUTHORIZED


async def test_a_transfer_goes_on_at_any_block_from_anywhere(desk: FirmwareDesk, open_sender: OpenSender) -> None:
    meter = Client(await open_sender(desk.port))
    await meter.greet()
    for number, szx in ((100, 5), (3, 6), (195, 5), (0, 0)):
        meter.sender = await open_sender(desk.port)
        options = [(11, b"fw"), (11, PREFIX.encode()), (23, coap.uint(number << 4 | szx))]
        tail = coap.encode(Message(coap.CON, coap.GET, 0, b"", options, b""))[4:]
        answer = await meter.send(*meter.wrapped(tail, code=coap.GET))
        block = Block(number, szx)
        assert answer.payload == IMAGE[block.offset : block.offset + block.bytes]
        more = block.offset + block.bytes < len(IMAGE)
        assert dict(answer.options)[23] == coap.uint(number << 4 | more << 3 | szx)
    for wrong in (196 << 4 | 5, 7):
        options = [(11, b"fw"), (11, PREFIX.encode()), (23, coap.uint(wrong))]
        tail = coap.encode(Message(coap.CON, coap.GET, 0, b"", options, b""))[4:]
        assert (await meter.send(*meter.wrapped(tail, code=coap.GET))).code == coap.BAD_REQUEST
    tail = coap.encode(Message(coap.CON, coap.POST, 0, b"", [(11, b"fw"), (11, PREFIX.encode())], b""))[4:]
    assert (await meter.send(*meter.wrapped(tail))).code == coap.METHOD_NOT_ALLOWED


async def test_a_missing_image_is_said_to_be_away(
    desk: FirmwareDesk, directory: Path, client: aiocoap.Context, make_context: MakeContext  # noqa: F811 - fixtures
) -> None:  # fmt: skip
    (directory / DIGEST.hex()).unlink()
    client.client_credentials[f"coap://127.0.0.1:{desk.port}/*"] = make_context()
    answer = await get(client, desk, PREFIX)
    assert (answer.code, answer.opt.max_age) == (aiocoap.SERVICE_UNAVAILABLE, 30)
    assert desk.counters.refused["firmware_image"] == 1


async def test_transfers_are_bounded_and_end_by_silence() -> None:
    transfers = Transfers(2)
    assert [transfers.admits(device, 0.0) for device in ("a", "b", "c", "a")] == [True, True, False, True]
    assert transfers.admits("b", 50.0)
    assert transfers.admits("c", 61.0)
    assert not transfers.admits("a", 61.0)
    assert len(transfers) == 2


async def test_beyond_the_bound_a_device_is_told_to_come_again(directory: Path) -> None:
    desk = FirmwareDesk(directory, max_transfers=1)
    desk.lane._transfers.admits(OTHER, 0.0)
    request = Message(coap.CON, coap.GET, 1, b"", [(11, b"fw"), (11, PREFIX.encode())], b"")
    who = Vouched(DEVICE, Authentication.DTLS)
    refusal = desk.lane.request(request, coap.read_request(request.options), who, lambda _: None, 1.0)
    assert refusal is not None
    assert (refusal.code, refusal.option) == (coap.SERVICE_UNAVAILABLE, (coap.MAX_AGE, b"\x1e"))
    desk.socket.close()


def test_options() -> None:
    assert read_block([]) == Block(0, 5)
    assert read_block([(23, b"\x16")]) == Block(1, 6)
    assert read_block([(23, b"\x07")]) is None
    assert accepts_bytes([(17, b"\x2a")])
    assert not accepts_bytes([(17, b"\x32")])


async def libcoap(scheme: str, port: int, out: Path, *extra: str) -> str:
    """What the client says; what it got is in `out`."""
    out.unlink(missing_ok=True)  # noqa: ASYNC240 - a file of this machine
    process = await asyncio.create_subprocess_exec(
        "coap-client-openssl", "-v", "6", "-m", "get", "-B", "60", "-o", str(out), *extra,
        f"{scheme}://127.0.0.1:{port}/fw/{PREFIX}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 90)
    return said.decode("utf-8", "replace")


async def test_libcoap_fetches_over_dtls(
    js: JetStreamContext, start_dtls: StartDtls, directory: Path, tmp_path: Path,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A whole gateway: the command from its stream, the image from its directory."""
    if shutil.which("coap-client-openssl") is None:
        pytest.skip("NOT RUN: coap-client-openssl (Debian libcoap3-bin) is not installed")
    monkeypatch.setenv("NBWATER_FIRMWARE_DIRECTORY", str(directory))
    waiting = encode_waiting(DeviceCommands(METER, (UPDATE,)))
    await js.publish(waiting_subject(METER), waiting, headers={Header.EXPECTED_LAST_SEQUENCE: "0"})
    gateway = await start_dtls()

    async def known() -> bool:
        return await gateway.metric("nbwater_gateway_commands_waiting_devices") == 1

    await until(known)
    port, out = gateway.said["dtls_port"], tmp_path / "got"
    mine = ("-u", IDENTITY, "-k", KEY.decode())
    for size in ("512", "1024", "64"):
        said = await libcoap("coaps", port, out, "-b", size, *mine)
        assert out.read_bytes() == IMAGE, said[-2000:]
    said = await libcoap("coaps", port, out, *mine)
    assert out.read_bytes() == IMAGE, said[-2000:]
    assert "4.04" in await libcoap("coaps", port, out, "-u", OTHER_IDENTITY, "-k", OTHER_KEY.decode())
    assert "4.01" in await libcoap("coap", gateway.port, out)
    assert await gateway.metric("nbwater_gateway_firmware_blocks_total") >= 100_003 / 512
