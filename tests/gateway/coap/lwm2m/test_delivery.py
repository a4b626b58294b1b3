"""Commands reach a client while it listens, in their order, and their end is told."""

from __future__ import annotations

import asyncio
import time

import cbor2
import pytest

from metering.commands import CommandKind, WaitingCommand
from metering.errors import StreamFullError
from simulators.lwm2m_client import ANJAY, BC66, WAKAAMA, Client, Written
from tests.gateway.coap.lwm2m.conftest import DEVICE, KEYED, Desk, OpenDesk, OpenMeter
from tests.gateway.conftest import until

FAR = 4_000_000_000


def command(number: int, kind: CommandKind, arguments: dict[int, object]) -> WaitingCommand:
    return WaitingCommand(number.to_bytes(8, "big"), kind, arguments, FAR)


CLOSE = command(1, CommandKind.VALVE, {0: 1})
CLOCK = command(2, CommandKind.SET_CLOCK, {0: 1})
RAW = command(3, CommandKind.RAW, {0: b"\x68\x10raw\x16"})
NOW = command(4, CommandKind.REPORT_NOW, {})
FIRMWARE = command(5, CommandKind.FIRMWARE, {0: "coap://files/1.bin", 1: b"sha", 2: 1000})
PLAN = command(6, CommandKind.REPORTING_PLAN, {0: 3600, 1: 60, 2: 900})


def anjay(endpoint: str = DEVICE) -> Client:
    values = {"/19/0/0": (42, b"\x00"), "/3424/0": (112, b"\x80"), "/3/0": (112, b"\x80")}
    return Client(f"urn:imei:{endpoint}", ANJAY, values)


async def told(desk: Desk, count: int) -> list[object]:
    async def enough() -> bool:
        return len(desk.commands.told) >= count

    await until(enough)
    return desk.commands.told


async def test_what_waits_for_a_sleeping_client_goes_out_when_it_is_heard(
    open_desk: OpenDesk, open_meter: OpenMeter
) -> None:
    desk = await open_desk(vouched=True, awake_s=1.0)
    meter = await open_meter(desk.port, anjay(KEYED))
    await meter.ask(meter.client.register())
    await meter.until(lambda c: {"/19/0/0", "/3424/0"} <= set(c.observed))
    await asyncio.sleep(1.5)  # the window closes
    for each in (CLOSE, CLOCK, RAW):
        desk.commands.file(each, KEYED)
    await asyncio.sleep(0.3)
    assert meter.client.written == []
    before = int(time.time())
    assert (await meter.ask(meter.client.update())).code == 0x44
    await meter.until(lambda c: len(c.written) == 3)
    valve, clock, raw = meter.client.written
    assert valve == Written(3, "/19/1/0", 42, CLOSE.answer())
    assert cbor2.loads(valve.payload)[0] == CLOSE.command_id
    assert (clock.path, clock.content_format) == ("/3/0/13", 0)
    assert before <= int(clock.payload) <= time.time()
    assert raw == Written(3, "/19/1/0", 42, b"\x68\x10raw\x16")
    assert await told(desk, 5) == [
        ("handed over", CLOSE.command_id),  # how that ended the meter says itself
        ("handed over", CLOCK.command_id), ("ended", CLOCK.command_id, 0, ""),
        ("handed over", RAW.command_id), ("ended", RAW.command_id, 0, ""),
    ]  # fmt: skip
    assert desk.commands.filed == [CLOSE]


async def test_a_client_that_listens_gets_a_new_command_at_once(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk()
    meter = await open_meter(desk.port, Client(DEVICE, WAKAAMA, {"/3/0": (11542, b"\xc1\x09\x64")}))
    await meter.ask(meter.client.register())
    await meter.until(lambda c: "GET /3/0" in c.asked)
    desk.commands.file(CLOCK)
    await meter.until(lambda c: c.written)
    assert (await told(desk, 2))[1] == ("ended", CLOCK.command_id, 0, "")


async def test_one_that_only_its_network_vouches_for_gets_no_valve_command(
    open_desk: OpenDesk, open_meter: OpenMeter
) -> None:
    desk = await open_desk()
    meter = await open_meter(desk.port, anjay())
    desk.commands.file(CLOSE)
    desk.commands.file(CLOCK)
    await meter.ask(meter.client.register())
    await meter.until(lambda c: c.written)
    await told(desk, 2)
    assert [each.path for each in meter.client.written] == ["/3/0/13"]


async def test_a_client_that_falls_asleep_in_the_middle_gets_the_rest_next_time(
    open_desk: OpenDesk, open_meter: OpenMeter
) -> None:
    desk = await open_desk(ack_timeout_s=0.05)
    meter = await open_meter(desk.port, anjay())
    await meter.ask(meter.client.register())
    await meter.until(lambda c: {"/19/0/0", "/3424/0"} <= set(c.observed))
    meter.sleep()
    desk.commands.file(CLOCK)
    await told(desk, 1)
    await asyncio.sleep(2.0)  # 0.05 s to 0.075 s, and three times twice as long
    assert desk.commands.filed == [CLOCK]
    meter.wake()
    assert (await meter.ask(meter.client.update())).code == 0x44
    await told(desk, 3)
    assert desk.commands.told == [
        ("handed over", CLOCK.command_id), ("handed over", CLOCK.command_id), ("ended", CLOCK.command_id, 0, ""),
    ]  # fmt: skip
    assert len(meter.client.written) == 1


async def test_another_process_hands_over_what_a_killed_one_did_not(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    first, second = await open_desk(), await open_desk()
    meter = await open_meter(first.port, anjay())
    await meter.ask(meter.client.register())
    await meter.until(lambda c: {"/19/0/0", "/3424/0"} <= set(c.observed))

    async def kept() -> bool:
        record = await first.store.get(bytes.fromhex(meter.client.location[1]))
        return record is not None and len(record.established) == 2

    await until(kept)
    asked = len(meter.client.asked)
    second.commands.file(CLOCK)
    await meter.rebind(second.port)
    assert (await meter.ask(meter.client.update())).code == 0x44
    await meter.until(lambda c: c.written)
    assert meter.client.asked[asked:] == ["PUT /3/0/13"]
    assert (await meter.ask(meter.client.notify("/19/0/0", b"there"))).code == 0
    assert ["/19/0/0", 42, b"there"] in second.custody.items()


async def test_report_now_reads_what_is_observed(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk()
    values = {"/19/0/0": (42, b"\x01"), "/3424/0": (11542, b"\x02"), "/3/0": (11542, b"\x03")}
    meter = await open_meter(desk.port, Client(DEVICE, WAKAAMA, values))
    await meter.ask(meter.client.register())
    await meter.until(lambda c: {"/19/0/0", "/3424/0"} <= set(c.observed))
    values["/19/0/0"] = (42, b"\x0a")
    desk.commands.file(NOW)
    assert (await told(desk, 2))[1] == ("ended", NOW.command_id, 0, "")
    assert desk.custody.items()[-2:] == [["/19/0/0", 42, b"\x0a"], ["/3424/0", 11542, b"\x02"]]
    composite = await open_meter(desk.port, anjay())
    await composite.ask(composite.client.register())
    await composite.until(lambda c: {"/19/0/0", "/3424/0"} <= set(c.observed))
    desk.commands.file(NOW)
    assert (await told(desk, 4))[3] == ("ended", NOW.command_id, 0, "")
    assert desk.custody.items()[-1] == ["/", 112, b"\x80"]
    assert "FETCH /" in composite.client.asked


async def test_firmware_is_pulled_and_its_states_are_followed(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk(vouched=True)
    client = anjay(KEYED)
    client.values |= {"/5/0/3": (0, b"0"), "/5/0/5": (0, b"0")}
    meter = await open_meter(desk.port, client)
    desk.commands.file(FIRMWARE, KEYED)
    await meter.ask(client.register())
    await meter.until(lambda c: {"/5/0/3", "/5/0/5"} <= set(c.observed))
    assert Written(3, "/5/0/1", 0, b"coap://files/1.bin") in client.written
    await meter.ask(client.notify("/5/0/3", b"1"))
    await meter.ask(client.notify("/5/0/3", b"2"))  # downloaded
    await meter.until(lambda c: Written(2, "/5/0/2", None, b"") in c.written)
    await meter.ask(client.notify("/5/0/5", b"1"))
    assert await told(desk, 2) == [("handed over", FIRMWARE.command_id), ("ended", FIRMWARE.command_id, 0, "")]


async def test_a_model_may_have_its_own_valve_and_plan(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk(
        vouched=True, models={"Maker M1": {"valve": "/10300/0/1", "plan": "attributes", "awake_s": 15}}
    )
    client = anjay(KEYED)
    client.writable |= {"/10300/0/1"}
    meter = await open_meter(desk.port, client)
    for each in (CLOSE, PLAN):
        desk.commands.file(each, KEYED)
    await meter.ask(client.register())
    await told(desk, 4)
    assert client.written[0] == Written(3, "/10300/0/1", 0, b"1")
    assert {(each.path, each.query) for each in client.written[1:]} == {
        ("/19/0/0", ("pmin=1800", "pmax=3600")), ("/3424/0", ("pmin=1800", "pmax=3600"))
    }  # fmt: skip
    assert [each[0] for each in desk.commands.told] == ["handed over", "ended"] * 2


@pytest.mark.parametrize(
    ("filed", "expected"),
    [(CLOCK, (1, "4.04 to /3/0/13")), (PLAN, (2, "the device offers no object 19"))],
)
async def test_what_a_client_cannot_do_ends(
    open_desk: OpenDesk, open_meter: OpenMeter, filed: WaitingCommand, expected: tuple[int, str]
) -> None:
    desk = await open_desk()
    style = BC66._replace(links="</1/0>,</3/0>")
    meter = await open_meter(desk.port, Client(DEVICE, style, {}, writable=frozenset()))
    desk.commands.file(filed)
    await meter.ask(meter.client.register())

    async def ended() -> bool:
        return not desk.commands.filed

    await until(ended)
    assert desk.commands.told[-1] == ("ended", filed.command_id, *expected)


async def test_the_older_direct_coap_gets_its_commands_at_t_d(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk()
    meter = await open_meter(desk.port, Client(DEVICE, BC66, {"/t/d": (42, b"")}))
    desk.commands.file(CLOCK)
    await meter.ask(meter.client.bind())
    await meter.until(lambda c: c.written)
    assert meter.client.written == [Written(2, "/t/d", 42, CLOCK.answer())]


async def test_what_the_stream_does_not_take_is_asked_for_again(open_desk: OpenDesk, open_meter: OpenMeter) -> None:
    desk = await open_desk()
    desk.custody.failure = StreamFullError("full")
    meter = await open_meter(desk.port, anjay())
    await meter.ask(meter.client.register())
    await meter.until(lambda c: {"/19/0/0", "/3424/0"} <= set(c.observed))
    desk.custody.failure = None
    await meter.ask(meter.client.update())

    async def taken() -> bool:
        return {item[0] for item in desk.custody.items()} >= {"/19/0/0", "/3424/0"}

    await until(taken)
