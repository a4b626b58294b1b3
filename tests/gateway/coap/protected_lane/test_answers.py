"""OSCORE on the CoAP port in this process: what is taken, what the answer says, and under which nonce."""

from __future__ import annotations

import aiocoap
import cbor2
import pytest

from gateway.coap import message as coap
from metering.errors import StreamFullError
from metering.model import Authentication
from simulators import message
from simulators.oscore import Opened
from tests.gateway.coap.protected import CLOSE, DEVICE, OTHER, SERIAL, Client, Desk, OpenDesk, own_number, plainly
from tests.gateway.conftest import OpenSender


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


async def test_until_the_registry_is_there_meters_are_told_to_come_again(desk: Desk, meter: Client) -> None:
    number, datagram = meter.datagram()
    desk.devices.ready = False
    assert plainly(await meter.sender.ask(datagram)) == (coap.SERVICE_UNAVAILABLE, b"")
    desk.devices.ready = True
    assert (await meter.send(number, datagram)).code == message.CHANGED


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
