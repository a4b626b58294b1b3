"""Commands in the answers of a gateway process, on real NATS; and the whole way from filing to confirmation."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import aiocoap
import cbor2
import pytest
from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg

from gateway.coap import message as coap
from gateway.coap.message import Message, encode, parse
from gateway.command_mirror import VALVE_KNOWN_S, CommandMirror
from gateway.command_telling import CommandTelling
from gateway.link import StreamLink
from ingest.commands.critical import REASON
from ingest.commands.publisher import CommandPublisher
from ingest.commands.told import CommandsTold
from metering.command_feed import DeviceCommands, Told, decode_told, encode_waiting
from metering.commands import CommandKind, WaitingCommand
from metering.firmware_settings import FirmwareAddresses
from metering.model import Authentication, Door
from metering.settings import FirmwareSettings
from metering.streams import COMMANDS_STREAM, TOLD_STREAM, waiting_subject
from tests.gateway.conftest import IMEI, GatewayProcess, OpenSender, Sender, StartGateway, until
from tests.integration.ingest_town import (
    FIRST_S,
    file_command,
    install,
    native,
    new_worker,
    open_pool,
    running,
    state_of,
)

SOON_S = int(time.time()) + 3600
CLOCK = WaitingCommand(b"clock-01", CommandKind.SET_CLOCK, {0: 1}, SOON_S)
CLOSE = WaitingCommand(b"close-01", CommandKind.VALVE, {0: 1}, SOON_S)


def report(message_id: int, payload: bytes, content_format: bytes = b"\x2a", device: str = IMEI) -> bytes:
    options = [(coap.URI_PATH, b"r"), (coap.URI_PATH, device.encode()), (coap.CONTENT_FORMAT, content_format)]
    return encode(Message(coap.CON, coap.POST, message_id, b"\xaa\xbb", options, payload))


async def let_wait(js: JetStreamContext, *commands: WaitingCommand, device: str = IMEI) -> int:
    """As ingest does: each message names the position that it follows."""
    last = (await js.stream_info(COMMANDS_STREAM)).state.last_seq
    headers = {Header.EXPECTED_LAST_SEQUENCE.value: str(last)}
    body = encode_waiting(DeviceCommands(device, commands))
    return (await js.publish(waiting_subject(device), body, headers=headers)).seq


async def reached(gateway: GatewayProcess, position: int) -> None:
    async def read() -> bool:
        return await gateway.metric("nbwater_gateway_commands_position") >= position

    await until(read)


async def told(js: JetStreamContext, count: int) -> list[Told]:
    async def enough() -> list[Told]:
        state = (await js.stream_info(TOLD_STREAM)).state
        if not state.messages:
            return []
        bodies = [(await js.get_msg(TOLD_STREAM, at)).data for at in range(state.first_seq, state.last_seq + 1)]
        found = [one for body in bodies for one in decode_told(body or b"")]
        return found if len(found) >= count else []

    found: list[Told] = await until(enough)
    return found


def carried(answer: bytes) -> bytes | None:
    """The id of the command in an answer."""
    message = parse(answer)
    assert isinstance(message, Message)
    assert message.code == coap.CHANGED
    return cbor2.loads(message.payload)[0] if message.payload else None


async def test_a_command_is_in_the_answer_and_told_on(
    gateway: GatewayProcess, js: JetStreamContext, open_sender: OpenSender
) -> None:
    sender = await open_sender(gateway.port)
    await reached(gateway, await let_wait(js, CLOCK))
    answer = await sender.ask(report(1, b"a"))
    assert answer == bytes.fromhex("62440001aabbc13cff") + CLOCK.answer()
    assert await sender.ask(report(1, b"a")) == answer  # the answer was lost on its way
    assert carried(await sender.ask(report(2, b"b"))) == CLOCK.command_id  # the meter said nothing of it yet
    news = await told(js, 3)
    assert {(n.device, n.command_id, n.result, n.door) for n in news} == {(IMEI, b"clock-01", None, Door.COAP)}
    assert len({n.event_id for n in news}) == len(news)


async def test_a_report_that_names_the_command_gets_the_next(
    gateway: GatewayProcess, js: JetStreamContext, open_sender: OpenSender
) -> None:
    sender, second = await open_sender(gateway.port), CLOCK._replace(command_id=b"clock-02")
    await reached(gateway, await let_wait(js, CLOCK, second))
    assert carried(await sender.ask(report(1, b"a"))) == b"clock-01"
    assert carried(await sender.ask(report(2, b"done: clock-01"))) == b"clock-02"
    as_json = b'{"results": [["%s", 0], ["%s", 0]]}' % (b"clock-01".hex().encode(), b"clock-02".hex().encode())
    assert carried(await sender.ask(report(3, as_json))) is None


async def test_a_plain_report_is_never_handed_a_valve_command(
    gateway: GatewayProcess, js: JetStreamContext, open_sender: OpenSender
) -> None:
    sender = await open_sender(gateway.port)
    frame = CLOSE._replace(command_id=b"frame-01", kind=CommandKind.RAW, arguments={0: b"\x68"})
    await reached(gateway, await let_wait(js, CLOSE, frame))
    assert carried(await sender.ask(report(1, b"a"))) is None
    await reached(gateway, await let_wait(js, CLOSE, frame, CLOCK))
    assert carried(await sender.ask(report(2, b"b"))) == CLOCK.command_id


@pytest.mark.skipif(shutil.which("coap-client-notls") is None, reason="NOT RUN: libcoap3-bin is not installed")
async def test_libcoap_and_aiocoap_hear_what_they_may(gateway: GatewayProcess, js: JetStreamContext) -> None:
    """Neither client is ours: one by the fast lane, one in blocks by the slow lane."""
    await reached(gateway, await let_wait(js, CLOSE))
    uri = f"coap://127.0.0.1:{gateway.port}/r/{IMEI}"

    async def libcoap(payload: bytes) -> bytes:
        process = await asyncio.create_subprocess_exec(
            "coap-client-notls", "-m", "post", "-t", "42", "-f", "-", "-B", "20", uri,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return (await process.communicate(payload))[0].strip(b"\n")

    client = await aiocoap.Context.create_client_context()

    async def blocks(payload: bytes) -> aiocoap.Message:
        request = aiocoap.Message(code=aiocoap.POST, uri=uri, content_format=42, payload=payload * 500)
        return await client.request(request).response

    assert await libcoap(b"first") == b""
    assert (await blocks(b"second")).payload == b""
    await reached(gateway, await let_wait(js, CLOSE, CLOCK))
    assert await libcoap(b"third") == CLOCK.answer()
    answer = await blocks(b"fourth")
    assert (answer.payload, answer.opt.content_format) == (CLOCK.answer(), 60)
    await client.shutdown()


async def test_a_gateway_that_starts_knows_what_waits_and_not_what_did(
    gateway: GatewayProcess, js: JetStreamContext, start_gateway: StartGateway, open_sender: OpenSender
) -> None:
    await let_wait(js, CLOCK)
    await let_wait(js, CLOCK, device="861234567890124")
    last = await let_wait(js)
    await let_wait(js, CLOCK._replace(expires_s=1), device="861234567890124")
    gateway.process.kill()
    other = await start_gateway()
    await reached(other, last)
    sender = await open_sender(other.port)
    assert carried(await sender.ask(report(1, b"a"))) is None
    assert carried(await sender.ask(report(2, b"a", device="861234567890124"))) is None  # it is expired


async def test_what_ingest_did_not_write_counts_nothing(
    gateway: GatewayProcess, js: JetStreamContext, open_sender: OpenSender
) -> None:
    copy = await js.publish(waiting_subject(IMEI), encode_waiting(DeviceCommands(IMEI, (CLOCK,))))
    await reached(gateway, copy.seq)
    sender = await open_sender(gateway.port)
    assert carried(await sender.ask(report(1, b"a"))) is None
    assert await gateway.metric("nbwater_gateway_commands_rejected") == 1


async def test_a_stream_made_anew_takes_back_what_waited(
    gateway: GatewayProcess, js: JetStreamContext, open_sender: OpenSender
) -> None:
    await reached(gateway, await let_wait(js, CLOCK))
    config = (await js.stream_info(COMMANDS_STREAM)).config
    await js.delete_stream(COMMANDS_STREAM)
    await js.add_stream(config)

    async def gone() -> bool:
        return await gateway.metric("nbwater_gateway_commands_waiting_devices") == 0

    await until(gone)


def new_mirror(max_devices: int = 10) -> CommandMirror:
    return CommandMirror(StreamLink(), CommandTelling(StreamLink(), lambda: 0, 4), lambda: 100.0, max_devices)


def said(position: int, device: str, *commands: WaitingCommand) -> RawStreamMsg:
    headers = {Header.EXPECTED_LAST_SEQUENCE.value: str(position - 1)}
    return RawStreamMsg(seq=position, data=encode_waiting(DeviceCommands(device, commands)), headers=headers)


async def test_the_mirror_is_bounded_and_tells_doors_of_what_is_new() -> None:
    mirror, new = new_mirror(max_devices=1), []
    mirror.on_new(new.append)
    mirror.apply(said(1, "a", CLOCK))
    mirror.apply(said(2, "a", CLOCK))
    mirror.apply(said(3, "b", CLOCK))
    mirror.apply(said(4, "a", CLOCK, CLOSE))
    assert (new, len(mirror), mirror.rejected) == (["a", "b", "a"], 1, 2)  # once known and once fresh
    mirror._finish()
    mirror.apply(said(5, "a", CLOCK, CLOSE))
    assert list(mirror.waiting("a", Authentication.OSCORE)) == [CLOCK, CLOSE]
    assert list(mirror.waiting("a", Authentication.CLAIMED)) == [CLOCK]
    mirror.ended("a", CLOCK.command_id, 0, "", Door.LWM2M)
    assert list(mirror.waiting("a", Authentication.DTLS)) == [CLOSE]
    assert not mirror.waiting("b", Authentication.OSCORE)


async def test_what_waits_no_more_is_told_to_doors_that_left_it_elsewhere() -> None:
    mirror, gone = new_mirror(), []
    mirror.on_gone(gone.append)
    assert mirror.still_waits("a", CLOSE.command_id) is None
    mirror.apply(said(1, "a", CLOCK, CLOSE))
    assert mirror.still_waits("a", CLOSE.command_id) is True
    mirror._finish()
    mirror.apply(said(2, "a", CLOCK))
    mirror.apply(said(3, "a", CLOCK))
    assert gone == ["a"]
    assert [mirror.still_waits("a", c.command_id) for c in (CLOCK, CLOSE)] == [True, False]
    full = new_mirror(max_devices=1)
    full.apply(said(1, "b", CLOCK))
    full._finish()
    assert full.still_waits("a", CLOSE.command_id) is None


async def test_firmware_is_fetched_from_where_a_meter_of_the_door_can() -> None:
    update = WaitingCommand(b"firmware", CommandKind.FIRMWARE, {0: "coap://gw/fw/12", 1: bytes(32), 2: 9}, SOON_S)
    addresses = FirmwareAddresses(FirmwareSettings(uri_base="coap://gw"), {"coap": 5683, "coaps": 5684})
    link = StreamLink()
    mirror = CommandMirror(link, CommandTelling(link, lambda: 0, 4), lambda: 100.0, address=addresses.of)
    mirror.apply(said(1, "a", update))
    assert mirror.waiting("a", Authentication.OSCORE)[0] == update
    assert mirror.waiting("a", Authentication.DTLS)[0].arguments == {**update.arguments, 0: "coaps://gw/fw/12"}


async def test_a_close_is_handed_over_only_while_the_stream_is_known_to_its_end() -> None:
    """It may have been taken back, and the mirror is cut off or far behind."""
    now = [100.0]
    mirror = CommandMirror(StreamLink(), CommandTelling(StreamLink(), lambda: 0, 4), lambda: now[0], 10)
    mirror.apply(said(1, "a", CLOSE, CLOCK))
    assert list(mirror.waiting("a", Authentication.OSCORE)) == [CLOCK]
    mirror._finish()
    assert list(mirror.waiting("a", Authentication.OSCORE)) == [CLOSE, CLOCK]
    now[0] += VALVE_KNOWN_S + 1
    assert list(mirror.waiting("a", Authentication.OSCORE)) == [CLOCK]


async def test_a_close_is_taken_back_when_the_customer_becomes_critical(
    platform: Any, gateway: GatewayProcess, js: JetStreamContext
) -> None:
    """From the flag in the database to the gateway's own memory, and written down with its reason."""
    close = await file_command(platform, IMEI, CommandKind.VALVE, {0: 1})

    async def waiting_devices(count: int) -> bool:
        return await gateway.metric("nbwater_gateway_commands_waiting_devices") == count

    await until(lambda: waiting_devices(1))
    await platform.execute("UPDATE service_points SET critical = true")
    await until(lambda: waiting_devices(0))
    assert await state_of(platform, close) == "cancelled"
    event = await platform.fetchrow("SELECT actor, detail FROM command_events ORDER BY event_id DESC LIMIT 1")
    assert (event["actor"], event["detail"]) == ("platform", REASON)


async def test_news_are_bounded_and_how_commands_ended_matters_most() -> None:
    telling = CommandTelling(StreamLink(), lambda: 0, 4)
    for _ in range(4):
        telling.handed_over("a", CLOCK.command_id, Door.COAP)
    telling.ended("a", CLOCK.command_id, 0, "", Door.LWM2M)
    assert (len(telling), telling.dropped) == (3, 2)


@pytest.fixture
async def platform(database_url: str, js: JetStreamContext) -> AsyncIterator[Any]:
    """The database with the meter, and ingest: its worker and both stages of commands."""
    async with open_pool(database_url) as pool, AsyncExitStack() as stack:
        await install(pool, IMEI)
        await stack.enter_async_context(running(new_worker(pool, js)))
        stages = [CommandPublisher(pool, js, lambda: datetime.now(UTC)), CommandsTold(pool, js)]
        tasks = [asyncio.create_task(stage.run()) for stage in stages]
        yield pool
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Meter:
    """Reports, does what it is told once, and says so in its next report."""

    def __init__(self, sender: Sender) -> None:
        self._sender, self._seq, self.done = sender, 0, []

    async def report(self) -> bytes | None:
        self._seq += 1
        results = {"k13": [[one, 0] for one in self.done[-1:]]} if self.done else {}
        payload = native(self._seq, FIRST_S + 3600 * self._seq, [self._seq], **results)
        command_id = carried(await self._sender.ask(report(self._seq, payload, b"\x3c")))
        if command_id is not None and command_id not in self.done:
            self.done.append(command_id)
        return command_id


async def test_from_filing_to_confirmation_whatever_gateway_is_killed(
    platform: Any, gateway: GatewayProcess, start_gateway: StartGateway, open_sender: OpenSender
) -> None:
    command = await file_command(platform, IMEI, CommandKind.REPORTING_PLAN, {0: 86_400, 1: 7, 2: 3600})
    meter = Meter(await open_sender(gateway.port))
    await until(meter.report)
    gateway.process.kill()  # it had no time to tell
    await gateway.process.wait()
    other = await start_gateway()
    meter._sender = await open_sender(other.port)

    async def confirmed() -> bool:
        await meter.report()
        return await state_of(platform, command) == "confirmed"

    await until(confirmed)
    assert meter.done == [command]
    assert await other.metric("nbwater_gateway_commands_untold") == 0
    events = [row["state"] for row in await platform.fetch("SELECT state FROM command_events ORDER BY event_id")]
    assert events.count("confirmed") == 1


async def test_the_word_of_a_plain_meter_does_not_close_a_valve(
    platform: Any, gateway: GatewayProcess, open_sender: OpenSender
) -> None:
    valve = await file_command(platform, IMEI, CommandKind.VALVE, {0: 1})
    clock = await file_command(platform, IMEI, CommandKind.SET_CLOCK, {0: 1})
    sender = await open_sender(gateway.port)
    payload = native(1, FIRST_S, [1], k13=[[valve, 0], [clock, 0]])
    await sender.ask(report(1, payload, b"\x3c"))

    async def confirmed() -> bool:
        return await state_of(platform, clock) == "confirmed"

    await until(confirmed)
    assert await state_of(platform, valve) == "queued"
