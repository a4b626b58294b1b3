"""Both lanes on one socket in this process, with a custody that answers when the test says so."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import aiocoap
import pytest
from prometheus_client import CollectorRegistry

from gateway.coap import message as coap
from gateway.coap.aiocoap_lane import AiocoapLane, PeerAddress, RecentMessages
from gateway.coap.fast_lane import FastLane, Limits
from gateway.coap.message import Message, encode
from gateway.coap.port import Hosts, bind
from gateway.custody import Settle
from gateway.devices import Devices
from gateway.intake import Intake
from gateway.metrics import Counters, GatewayCollector
from gateway.refusals import RefusalLimiter
from metering.errors import CustodyBusyError, CustodyError, StartError, StreamFullError
from metering.registry import ENABLED, RegistryEntry
from tests.gateway.conftest import OpenSender, until


class SlowCustody:
    """Settles after `delay_s` with `failure`; raises at once when `busy`."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.failure: CustodyError | None = None
        self.busy = False
        self.payloads: list[bytes] = []

    def take(self, *arguments: object) -> None:
        if self.busy:
            raise CustodyBusyError("busy")
        settle: Settle = arguments[-1]
        self.payloads.append(arguments[4])
        asyncio.get_running_loop().call_later(self.delay_s, settle, self.failure)


class Desk:
    def __init__(self, max_messages: int = 100) -> None:
        devices = Devices()
        devices.ready = devices.complete = True
        devices.apply(RegistryEntry("dev", ("dev",), ("127.0.0.0/8",), ENABLED))
        self.socket = bind("::", 0)
        self.port: int = self.socket.getsockname()[1]
        self.custody = SlowCustody()
        self.counters = Counters(CollectorRegistry())
        intake = Intake(devices, self.custody)
        limiter = RefusalLimiter(1000)
        self.fast = FastLane(self.socket, intake, limiter, self.counters, Limits(256, 30), time.monotonic)
        self.slow = AiocoapLane(intake, 30, self.fast.send, max_messages)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    await made.slow.start()
    made.fast.start(made.slow)
    yield made
    made.fast.stop_reading()
    await made.slow.stop()
    made.socket.close()


@pytest.fixture
async def client() -> AsyncIterator[aiocoap.Context]:
    context = await aiocoap.Context.create_client_context()
    yield context
    await context.shutdown()


async def post(client: aiocoap.Context, port: int, payload: bytes) -> aiocoap.Message:
    message = aiocoap.Message(
        code=aiocoap.POST, uri=f"coap://127.0.0.1:{port}/r/dev", payload=payload, content_format=42
    )  # fmt: skip
    return await asyncio.wait_for(client.request(message).response, 20)


async def test_a_slow_custody_gets_a_separate_response_and_its_acknowledgement(
    desk: Desk, client: aiocoap.Context
) -> None:
    desk.custody.delay_s = 0.5  # longer than aiocoap waits before it sends an empty acknowledgement
    long = bytes(3000)
    assert (await post(client, desk.port, long)).code == aiocoap.CHANGED
    assert desk.custody.payloads == [long]
    exchanges = desk.slow._interface.manager._active_exchanges
    await until(lambda: asyncio.sleep(0, not exchanges))


@pytest.mark.parametrize("payload", [b"one datagram", bytes(3000)], ids=["fast", "slow"])
async def test_back_pressure_is_said_in_both_lanes(desk: Desk, client: aiocoap.Context, payload: bytes) -> None:
    desk.custody.failure = StreamFullError("full")
    answer = await post(client, desk.port, payload)
    assert (answer.code, answer.opt.max_age) == (aiocoap.SERVICE_UNAVAILABLE, 30)
    desk.custody.busy = True
    answer = await post(client, desk.port, payload + b"2")
    assert (answer.code, answer.opt.max_age) == (aiocoap.SERVICE_UNAVAILABLE, 30)
    desk.custody.failure, desk.custody.busy = None, False
    assert (await post(client, desk.port, payload)).code == aiocoap.CHANGED


async def test_one_source_prefix_leaves_half_of_aiocoaps_memory_to_others(open_sender: OpenSender) -> None:
    desk = Desk(max_messages=10)
    await desk.slow.start()
    desk.fast.start(desk.slow)
    sender = await open_sender(desk.port)
    core = [(coap.URI_PATH, b".well-known"), (coap.URI_PATH, b"core")]
    codes = [(await sender.ask(encode(Message(0, coap.GET, n, b"", core, b""))))[1] for n in range(20)]
    assert codes == [0x45] * 5 + [coap.SERVICE_UNAVAILABLE] * 15
    assert desk.slow.messages == 5
    loopback, neighbour, elsewhere = (Hosts().read(host)[0] for host in ("127.0.0.1", "127.0.0.9", "127.9.0.1"))
    assert [desk.slow.has_room(address) for address in (loopback, neighbour, elsewhere)] == [False, False, True]
    desk.fast.stop_reading()
    await desk.slow.stop()
    desk.socket.close()


async def test_too_large_for_one_datagram_says_what_would_be_taken(desk: Desk, open_sender: OpenSender) -> None:
    sender = await open_sender(desk.port)
    options = [(coap.URI_PATH, b"r"), (coap.URI_PATH, b"dev"), (coap.CONTENT_FORMAT, b"\x2a")]
    for size in (257, 1024, 8000):  # the last is cut by the receive buffer
        answer = coap.parse(await sender.ask(encode(Message(0, coap.POST, size, b"", options, bytes(size)))))
        assert isinstance(answer, Message)
        assert (answer.code, answer.options) == (coap.REQUEST_ENTITY_TOO_LARGE, [(coap.SIZE1, b"\x01\x00")])
    assert (await sender.ask(encode(Message(0, coap.POST, 1, b"", options, bytes(256)))))[1] == coap.CHANGED


def block(number: int, more: bool, payload: bytes, message_id: int) -> bytes:
    """One block of 16 bytes of a report."""
    options = [(coap.URI_PATH, b"r"), (coap.URI_PATH, b"dev"), (coap.CONTENT_FORMAT, b"\x2a")]
    options.append((coap.BLOCK1, coap.uint(number << 4 | more << 3)))
    return encode(Message(coap.CON, coap.POST, message_id, b"t", options, payload))


async def test_a_report_in_blocks_is_taken_though_its_message_ids_come_again(
    desk: Desk, open_sender: OpenSender
) -> None:
    """A module that counts from the start after each sleep; a retransmission still gets the answer it had."""
    sender = await open_sender(desk.port)
    for content in (b"a", b"b"):
        first, last = block(0, True, content * 16, 1), block(1, False, content, 2)
        answers = [await sender.ask(datagram) for datagram in (first, last, last)]
        assert [answer[1] for answer in answers] == [0x5F, coap.CHANGED, coap.CHANGED]
    assert desk.custody.payloads == [b"a" * 17, b"b" * 17]
    assert desk.slow.messages == 4  # all count against the bound


def test_a_namesake_waits_for_the_answer_of_the_first() -> None:
    recent = RecentMessages()
    first, second = block(0, False, b"a", 1), block(0, False, b"b", 1)
    key = (PeerAddress(("::1", 1), 0, lambda *_: None, True), 1)
    assert recent.admits(key, first)
    recent[key] = None  # as aiocoap does: no answer yet
    recent.note(key, first)
    assert recent.admits(key, first)
    assert not recent.admits(key, second)
    recent[key] = "answered"
    assert recent.admits(key, second)
    assert key not in recent
    assert recent.timers == 1
    recent.pop(key)
    assert recent.timers == 0


async def test_a_gap_between_blocks_is_told(desk: Desk, open_sender: OpenSender) -> None:
    sender = await open_sender(desk.port)
    answers = [await sender.ask(block(number, True, bytes(16), number)) for number in (0, 2, 0)]
    assert [answer[1] for answer in answers] == [0x5F, 0x88, 0x5F]
    assert (await sender.ask(block(9, False, b"x", 9)))[1] == 0x88


async def test_what_deserves_silence_gets_it(desk: Desk, open_sender: OpenSender) -> None:
    sender = await open_sender(desk.port)
    bad_option = [(9, b""), (coap.URI_PATH, b"r"), (coap.URI_PATH, b"dev"), (coap.CONTENT_FORMAT, b"\x2a")]
    silent = [
        bytes.fromhex("16030100"), bytes.fromhex("50000001"), bytes.fromhex("60000001"),
        bytes.fromhex("70000001"), bytes.fromhex("500200011d"), bytes.fromhex("50450001"),
        encode(Message(coap.NON, coap.POST, 5, b"", bad_option, b"x")),
    ]  # fmt: skip
    for datagram in silent:
        sender.send(datagram)
    for reset in ("40001234", "40021234ff", "40451234", "40201234"):
        assert await sender.ask(bytes.fromhex(reset)) == bytes.fromhex("70001234")
    assert sender.pending() == 0
    assert desk.counters.datagrams == len(silent) + 4


async def test_a_defect_does_not_close_the_port(desk: Desk, open_sender: OpenSender) -> None:
    sender = await open_sender(desk.port)
    options = [(coap.URI_PATH, b"r"), (coap.URI_PATH, b"dev"), (coap.CONTENT_FORMAT, b"\x2a")]
    take, desk.custody.take = desk.custody.take, None
    sender.send(encode(Message(0, coap.POST, 1, b"", options, b"x")))
    await until(lambda: asyncio.sleep(0, desk.counters.ignored["defect"] == 1))
    desk.custody.take = take
    assert (await sender.ask(encode(Message(0, coap.POST, 2, b"", options, b"x"))))[1] == coap.CHANGED
    families = {family.name: family for family in GatewayCollector(desk.counters, {"x": ("x", lambda: 3)}).collect()}
    assert families["nbwater_gateway_datagrams"].samples[0].value == 2
    assert families["nbwater_gateway_x"].samples[0].value == 3


def test_processes_share_a_port_only_when_all_say_so() -> None:
    first = bind("127.0.0.1", 0, reuse_port=True)
    port = first.getsockname()[1]
    second = bind("127.0.0.1", port, reuse_port=True)
    with pytest.raises(StartError, match="taken"):
        bind("127.0.0.1", port)
    first.close()
    second.close()
    with pytest.raises(StartError, match="CoAP address"):
        bind("no.such.host.invalid", 0)


def test_hosts_as_128_bits_and_as_text() -> None:
    hosts = Hosts()
    loopback = 0xFFFF << 32 | int.from_bytes(socket.inet_aton("127.0.0.1"), "big")
    assert hosts.read("::ffff:127.0.0.1") == hosts.read("127.0.0.1") == (loopback, "127.0.0.1")
    assert hosts.read("::1") == (1, "[::1]")
    assert hosts.read("fe80::1%eth0")[0] == 0xFE80 << 112 | 1
