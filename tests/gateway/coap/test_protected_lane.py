"""OSCORE on the CoAP port in this process: what is taken, refused, answered again, and under which nonce."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiocoap
import cbor2
import pytest

from gateway.coap import message as coap
from gateway.coap.oscore.echo import ASKED_PER_S
from gateway.coap.oscore.numbers import LEASE
from gateway.coap.peers import SecurePeer
from metering.credentials import CredentialKind, MasterKeys, OscoreSecret
from metering.errors import StreamFullError
from metering.model import Authentication
from metering.registry import ENABLED, HAS_KEY, RegistryEntry
from simulators import message
from simulators.oscore import OSCORE, Opened
from tests.gateway.coap.protected import (
    CLOSE,
    DEVICE,
    KID,
    LOOPBACK,
    OTHER,
    OTHER_KID,
    SERIAL,
    Client,
    Desk,
    credential,
    own_number,
    plainly,
)
from tests.gateway.conftest import OpenSender, until

OpenDesk = Callable[..., Awaitable[Desk]]
REPLAY = (coap.UNAUTHORIZED, b"Replay detected")


@pytest.fixture
async def open_desk() -> AsyncIterator[OpenDesk]:
    opened: list[Desk] = []

    async def make(**options: Any) -> Desk:
        desk = Desk(**options)
        await desk.start()
        opened.append(desk)
        return desk

    yield make
    for desk in opened:
        if desk.socket.fileno() >= 0:
            await desk.stop()


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    """Whoever speaks first is believed."""
    return await open_desk(ask_by_echo=False)


@pytest.fixture
async def meter(desk: Desk, open_sender: OpenSender) -> Client:
    return Client(await open_sender(desk.port))


@pytest.mark.parametrize("name", [DEVICE, SERIAL])
@pytest.mark.parametrize("kind", [coap.CON, coap.NON])
async def test_a_report_is_taken_and_the_usual_answer_is_protected(
    desk: Desk, meter: Client, name: str, kind: int
) -> None:
    number, datagram = meter.datagram(b"report", name, 60, kind=kind)
    answer = message.decode(await meter.sender.ask(datagram))
    assert (answer.type, answer.code, answer.token) == (coap.ACK if kind == coap.CON else coap.NON, 0x44, datagram[4:8])
    assert meter.context.open(number, answer) == Opened(message.CHANGED, [], b"")
    assert desk.custody.taken == [(Authentication.OSCORE, DEVICE, 60, b"report")]
    assert len(datagram) < 60


async def test_a_waiting_command_is_in_the_answer_under_a_number_of_ours(desk: Desk, meter: Client) -> None:
    desk.commands.filed.append(CLOSE)
    numbers = set()
    for _ in range(3):
        number, datagram = meter.datagram()
        raw = await meter.sender.ask(datagram)
        opened = meter.context.open(number, message.decode(raw))
        assert (opened.code, opened.options, cbor2.loads(opened.payload)[0]) == (
            0x44,
            [(12, b"\x3c")],
            CLOSE.command_id,
        )
        numbers.add(own_number(raw))
    assert len(numbers) == 3
    assert b"" not in numbers
    assert desk.commands.told == [(DEVICE, CLOSE.command_id)] * 3


async def test_a_retransmission_gets_the_same_bytes_though_a_command_came_meanwhile(
    desk: Desk, meter: Client, open_sender: OpenSender
) -> None:
    _, first = meter.datagram(b"one")
    answer = await meter.sender.ask(first)
    desk.commands.filed.append(CLOSE)
    elsewhere = await open_sender(desk.port)  # a NAT gave it another port
    assert await meter.sender.ask(first) == await elsewhere.ask(first) == answer
    _, second = meter.datagram(b"two")
    carrying = await meter.sender.ask(second)
    desk.commands.filed.clear()
    assert await meter.sender.ask(second) == await elsewhere.ask(second) == carrying
    assert own_number(carrying)
    assert [payload for *_, payload in desk.custody.taken] == [b"one", b"two"]
    assert len(desk.commands.told) == 1


async def test_a_retransmission_before_the_answer_moves_it_to_the_newest_address(
    desk: Desk, meter: Client, open_sender: OpenSender
) -> None:
    desk.custody.hold = True
    number, datagram = meter.datagram()
    meter.sender.send(datagram)
    await until(lambda: asyncio.sleep(0, desk.custody.held))
    elsewhere = await open_sender(desk.port)
    elsewhere.send(datagram)
    await until(lambda: asyncio.sleep(0, desk.protected.totals()["oscore_repeats"][1]() == 1))
    desk.custody.held[0](None)
    assert meter.context.open(number, message.decode(await elsewhere.receive())).code == message.CHANGED
    assert len(desk.custody.taken) == 1
    assert meter.sender.pending() == 0


async def test_replays_are_refused_and_change_nothing(desk: Desk, meter: Client, open_sender: OpenSender) -> None:
    desk.commands.filed.append(CLOSE)
    sent = [meter.datagram(b"%d" % n) for n in range(40)]
    for number, datagram in sent:
        assert (await meter.send(number, datagram)).code == message.CHANGED
    told, taken, spare = len(desk.commands.told), len(desk.custody.taken), desk.numbers.spare
    thief = await open_sender(desk.port)
    for _, datagram in (sent[0], sent[20], sent[39]):
        as_new = datagram[:2] + b"\xbe\xef" + datagram[4:]
        assert plainly(await thief.ask(as_new)) == REPLAY
        other_token = datagram[:4] + b"evil" + datagram[8:]
        assert plainly(await thief.ask(other_token)) == REPLAY
    assert (len(desk.commands.told), len(desk.custody.taken), desk.numbers.spare) == (told, taken, spare)
    assert desk.counters.refused["oscore_replay"] == 6


async def test_numbers_may_come_out_of_order_within_the_window(desk: Desk, meter: Client) -> None:
    sent = [meter.datagram(b"%d" % n) for n in range(34)]
    for at in (0, 33, 5, 2):
        assert (await meter.send(*sent[at])).code == message.CHANGED
    assert plainly(await meter.sender.ask(sent[1][1])) == REPLAY  # 32 behind the newest


async def test_refusals_in_the_words_of_the_rfc(desk: Desk, meter: Client, open_sender: OpenSender) -> None:
    stranger = Client(await open_sender(desk.port), b"\x77")
    wrong_key = Client(await open_sender(desk.port), KID, bytes(16))
    assert plainly(await stranger.sender.ask(stranger.datagram()[1])) == (0x81, b"Security context not found")
    assert plainly(await wrong_key.sender.ask(wrong_key.datagram()[1])) == (0x80, b"Decryption failed")
    _, datagram = meter.datagram()
    cut = datagram[:-1]
    assert plainly(await meter.sender.ask(cut)) == (0x80, b"Decryption failed")
    bad_option = datagram[:8] + b"\x92\xe9\x00" + datagram[datagram.index(b"\xff", 8) :]
    assert plainly(await meter.sender.ask(bad_option)) == (0x82, b"Failed to decode COSE")
    assert desk.custody.taken == []
    assert (await meter.ask()).code == message.CHANGED  # nothing of that harmed the meter


async def test_a_meter_speaks_for_itself_only(desk: Desk, meter: Client, open_sender: OpenSender) -> None:
    assert (await meter.ask(name=OTHER)).code == coap.UNAUTHORIZED
    assert (await meter.ask(name="nobody")).code == coap.NOT_FOUND
    other = Client(await open_sender(desk.port), OTHER_KID)
    assert (await other.ask(name=DEVICE)).code == coap.UNAUTHORIZED
    assert desk.custody.taken == []


async def test_a_plain_report_of_a_meter_with_a_key_is_refused(desk: Desk, meter: Client) -> None:
    tail = message.request_tail(("r", DEVICE), 42, b"plain")
    assert plainly(await meter.sender.ask(message.HEAD.pack(0x44, 2, 1, 1) + tail)) == (coap.UNAUTHORIZED, b"")
    assert desk.custody.taken == []


async def test_what_is_wrong_inside_is_refused_inside_and_said_again(desk: Desk, meter: Client) -> None:
    assert (await meter.ask(content_format=0)).code == coap.UNSUPPORTED_CONTENT_FORMAT
    assert (await meter.ask(bytes(300))).code == coap.REQUEST_ENTITY_TOO_LARGE
    assert (await meter.ask(code=1)).code == coap.METHOD_NOT_ALLOWED
    assert (await meter.ask(code=0)).code == coap.BAD_REQUEST
    assert (await meter.send(*meter.wrapped(message.request_tail(("x",))))).code == coap.NOT_FOUND
    assert (await meter.send(*meter.wrapped(b"\xdd"))).code == coap.BAD_REQUEST
    _, datagram = meter.datagram(content_format=0)
    first = await meter.sender.ask(datagram)
    assert own_number(first)
    assert await meter.sender.ask(datagram) == first
    assert desk.custody.taken == []


async def test_back_pressure_is_said_inside_and_the_same_bytes_may_come_again(desk: Desk, meter: Client) -> None:
    desk.custody.failure = StreamFullError("full")
    number, datagram = meter.datagram()
    opened = await meter.send(number, datagram)
    assert (opened.code, opened.options) == (coap.SERVICE_UNAVAILABLE, [(coap.MAX_AGE, b"\x1e")])
    desk.custody.failure, desk.custody.busy = None, True
    assert (await meter.send(number, datagram)).code == coap.SERVICE_UNAVAILABLE
    desk.custody.busy = False
    raw = await meter.sender.ask(datagram)
    assert (own_number(raw), meter.context.open(number, message.decode(raw)).code) == (b"", message.CHANGED)
    assert await meter.sender.ask(datagram) == raw


async def test_without_numbers_of_ours_reports_are_taken_and_commands_wait(
    open_desk: OpenDesk, open_sender: OpenSender
) -> None:
    desk = await open_desk(ask_by_echo=False, leases=0)
    meter = Client(await open_sender(desk.port))
    desk.commands.filed.append(CLOSE)
    assert (await meter.ask()).payload == b""
    assert desk.commands.told == []
    number, datagram = meter.datagram(name=OTHER)
    assert plainly(await meter.sender.ask(datagram)) == (coap.SERVICE_UNAVAILABLE, b"")
    assert desk.protected.numbers_wanted.is_set()
    desk.numbers.add(5)
    assert (await meter.send(number, datagram)).code == coap.UNAUTHORIZED
    assert (await meter.ask()).payload == CLOSE.answer()


async def test_a_context_without_a_window_has_to_prove_that_it_speaks_now(
    open_desk: OpenDesk, open_sender: OpenSender
) -> None:
    now = 1000.0
    desk = await open_desk(clock=lambda: now)
    meter = Client(await open_sender(desk.port))
    recorded = [meter.datagram(b"recorded %d" % n) for n in range(2)]
    asked = [await meter.send(*each) for each in recorded]
    assert [each.code for each in asked] == [coap.UNAUTHORIZED] * 2
    assert desk.custody.taken == []
    assert (await meter.ask(echo=b"made up")).code == coap.UNAUTHORIZED
    now += 700
    assert (await meter.ask(echo=asked[0].echo)).code == coap.UNAUTHORIZED  # too late
    await meter.greet()
    assert [payload for *_, payload in desk.custody.taken] == [b"first"]
    assert plainly(await meter.sender.ask(recorded[0][1])) == REPLAY
    assert (await meter.ask()).code == message.CHANGED
    other = Client(await open_sender(desk.port), OTHER_KID)
    echo = (await meter.ask(b"x", echo=b"y")).echo  # a known context is not asked
    assert echo is None
    assert (await other.ask(name=OTHER, echo=asked[0].echo)).code == coap.UNAUTHORIZED


async def test_windows_survive_a_kill_and_a_good_stop_but_not_a_power_loss(
    open_desk: OpenDesk, open_sender: OpenSender, tmp_path: Path
) -> None:
    desk = await open_desk(journal=tmp_path)
    meter = Client(await open_sender(desk.port))
    await meter.greet()
    old = meter.datagram(b"old")
    assert (await meter.send(*old)).code == message.CHANGED
    await desk.stop(cleanly=False)
    killed = await open_desk(journal=tmp_path, first_lease=1)
    meter.sender = await open_sender(killed.port)
    assert plainly(await meter.sender.ask(old[1])) == REPLAY
    newer = meter.datagram(b"newer")
    assert (await meter.send(*newer)).code == message.CHANGED
    await killed.stop()
    stopped = await open_desk(journal=tmp_path, first_lease=2, boot_id=b"c" * 16)  # rebooted in good order
    meter.sender = await open_sender(stopped.port)
    assert plainly(await meter.sender.ask(newer[1])) == REPLAY
    assert (await meter.ask()).code == message.CHANGED
    await stopped.stop(cleanly=False)
    failed = await open_desk(journal=tmp_path, first_lease=3, boot_id=b"d" * 16)
    meter.sender = await open_sender(failed.port)
    assert (await meter.send(*newer)).code == coap.UNAUTHORIZED  # asked by Echo, not taken
    assert failed.custody.taken == []
    await meter.greet()


async def test_a_report_that_was_not_answered_is_taken_again_after_a_kill(
    open_desk: OpenDesk, open_sender: OpenSender, tmp_path: Path
) -> None:
    desk = await open_desk(journal=tmp_path)
    meter = Client(await open_sender(desk.port))
    await meter.greet()
    desk.custody.hold = True
    unanswered = meter.datagram(b"unanswered")
    meter.sender.send(unanswered[1])
    await until(lambda: asyncio.sleep(0, desk.custody.held))
    await desk.stop(cleanly=False)
    again = await open_desk(journal=tmp_path, first_lease=1)
    meter.sender = await open_sender(again.port)
    assert (await meter.send(*unanswered)).code == message.CHANGED
    assert [payload for *_, payload in again.custody.taken] == [b"unanswered"]


async def test_a_replaced_or_revoked_key_is_gone_with_the_registry_entry(desk: Desk, meter: Client) -> None:
    assert (await meter.ask()).code == message.CHANGED
    fresh = bytes(range(16, 32))
    desk.devices.apply(RegistryEntry(DEVICE, (DEVICE,), LOOPBACK, ENABLED | HAS_KEY, (credential(KID, fresh),)))
    assert plainly(await meter.sender.ask(meter.datagram()[1])) == (0x80, b"Decryption failed")
    anew = Client(meter.sender, KID, fresh)
    assert (await anew.ask()).code == message.CHANGED  # number 0 once more, under another key
    desk.devices.apply(RegistryEntry(DEVICE, (DEVICE,), LOOPBACK, ENABLED | HAS_KEY, ()))
    assert plainly(await anew.sender.ask(anew.datagram()[1])) == (0x81, b"Security context not found")
    foreign = MasterKeys({0: bytes(32)}).seal(CredentialKind.OSCORE, KID, OscoreSecret(fresh).encode())
    desk.devices.apply(RegistryEntry(DEVICE, (DEVICE,), LOOPBACK, ENABLED | HAS_KEY, (foreign,)))
    assert plainly(await anew.sender.ask(anew.datagram()[1])) == (0x81, b"Security context not found")
    assert desk.protected.gauges()["oscore_unopened_keys"][1]() == 1


async def test_until_the_registry_is_there_meters_are_told_to_come_again(desk: Desk, meter: Client) -> None:
    number, datagram = meter.datagram()
    desk.devices.ready = False
    assert plainly(await meter.sender.ask(datagram)) == (coap.SERVICE_UNAVAILABLE, b"")
    desk.devices.ready = True
    assert (await meter.send(number, datagram)).code == message.CHANGED


async def test_unprotected_refusals_are_limited(desk: Desk, open_sender: OpenSender) -> None:
    stranger = Client(await open_sender(desk.port), b"\x77")
    desk.limiter._per_second, desk.limiter._burst = 0.001, 3.0
    for _ in range(20):
        stranger.sender.send(stranger.datagram()[1])
    await until(lambda: asyncio.sleep(0, desk.counters.refused["oscore_context"] == 20))
    assert desk.counters.silenced == 17


def test_an_endpoint_without_a_master_key_does_not_know_the_option() -> None:
    assert coap.read_request([(OSCORE, b"\x09\x00\x0a")]).bad_option == OSCORE


async def test_blocks_and_other_paths_go_to_aiocoap_and_come_back_protected(desk: Desk, meter: Client) -> None:
    core = await meter.send(*meter.wrapped(message.request_tail((".well-known", "core")), code=message.GET))
    assert (core.code, core.payload.startswith(b"</r>")) == (aiocoap.CONTENT, True)
    desk.commands.filed.append(CLOSE)
    chunks = [b"%d" % n * 16 for n in range(3)]
    for at, chunk in enumerate(chunks):
        block1 = coap.uint(at << 4 | (at < 2) << 3)
        options = [(11, b"r"), (11, DEVICE.encode()), (12, b"\x2a"), (27, block1)]
        number, datagram = meter.wrapped(message.encode_options(options) + b"\xff" + chunk)
        raw = await meter.sender.ask(datagram)
        opened = meter.context.open(number, message.decode(raw))
        assert opened.code == (0x5F if at < 2 else message.CHANGED)
        again = await meter.sender.ask(datagram)  # under another number, never the same nonce
        assert own_number(again) != own_number(raw) != b""
        assert meter.context.open(number, message.decode(again)) == opened
    assert opened.payload == CLOSE.answer()
    assert desk.custody.taken == [(Authentication.OSCORE, DEVICE, 42, b"".join(chunks))]
    number, datagram = meter.wrapped(
        message.encode_options([(11, b"r"), (11, OTHER.encode()), (12, b"\x2a"), (27, b"\x08")])
    )
    assert (await meter.send(number, datagram)).code == coap.UNAUTHORIZED


async def test_a_recorded_request_played_over_and_over_takes_few_numbers(
    open_desk: OpenDesk, open_sender: OpenSender
) -> None:
    desk = await open_desk(clock=lambda: 1000.0)
    meter = Client(await open_sender(desk.port))
    _, recorded = meter.datagram(b"recorded")
    for _ in range(200):
        meter.sender.send(recorded)

    async def silenced() -> bool:
        return desk.counters.silenced == 200 - ASKED_PER_S

    await until(silenced)
    assert desk.numbers.spare == LEASE - ASKED_PER_S


async def test_no_context_is_served_by_a_process_that_does_not_own_it(
    open_desk: OpenDesk, open_sender: OpenSender
) -> None:
    """A secure session is one process's, also when what comes through it belongs to another, which has the window."""
    desk = await open_desk(ask_by_echo=False)

    class Elsewhere:
        worker = 0

        def owner_of(self, kid: bytes) -> int:
            return 1

    desk.protected._siblings = Elsewhere()  # type: ignore[assignment]
    meter = Client(await open_sender(desk.port))
    _, datagram = meter.datagram(b"recorded")
    said: list[bytes] = []
    peer = SecurePeer(
        "127.0.0.1", 40_000, ("127.0.0.1", 40_000), OTHER, "identity", Authentication.DTLS, lambda d, _: said.append(d)
    )
    desk.fast.receive(datagram, peer)
    await asyncio.sleep(0)
    assert desk.custody.taken == []
    assert [message.decode(answer).code for answer in said] == [coap.UNAUTHORIZED]
