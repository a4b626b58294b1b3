"""LwM2M clients against a gateway process on real NATS: register, observe, notify, send, restart, expire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial

import cbor2
import pytest
from nats.js import JetStreamContext

from metering.streams import StreamSizes, ensure
from simulators.lwm2m import Lwm2mMeter
from simulators.lwm2m_client import ANJAY, BC66, WAKAAMA, Client, Style
from tests.gateway.conftest import ENTRIES, IMEI, GatewayProcess, StartGateway, stored, until, write_snapshot

FRAME = bytes.fromhex("681002390745404358811d1f90a702390745404350172309010220a6090000024836090015000000db16")
SENML = bytes.fromhex("81a321662f342f302f3222fb41dac0ec65ed1a2e02384b")
ANOTHER = "861234567890124"
OpenMeter = Callable[..., "asyncio.Future[Lwm2mMeter]"]


def client(style: Style = WAKAAMA, endpoint: str = f"urn:imei:{IMEI}", **fields: object) -> Client:
    format_of_objects = 112 if style is ANJAY else 11542
    values = {
        "/19/0/0": (42, b"\x00"),
        "/3424/0": (format_of_objects, b"\xc1\x01\x05"),
        "/3/0": (format_of_objects, b"\xc1\x09\x64"),
    }  # fmt: skip
    return Client(endpoint, style, values, **fields)


@pytest.fixture
async def open_meter() -> AsyncIterator[Callable[..., object]]:
    async with AsyncExitStack() as stack:

        async def make(gateway: GatewayProcess, played: Client) -> Lwm2mMeter:
            return await stack.enter_async_context(Lwm2mMeter("127.0.0.1", gateway.port, played, ack_timeout_s=3))

        yield make


@pytest.fixture
def lwm2m(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_settings(**settings: object) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(f"NBWATER_LWM2M_{name.upper()}", value if isinstance(value, str) else json.dumps(value))

    return set_settings


async def items(js: JetStreamContext, count: int) -> list[list[object]]:
    """What the reports in the stream hold, once there are as many."""

    async def enough() -> object:
        reports = await stored(js)
        return reports if len(reports) >= count else None

    reports = await until(enough)
    assert {(report.content_format, report.door) for report in reports} == {(65100, "lwm2m")}
    return [item for report in reports for item in cbor2.loads(report.payload)]


async def test_clients_register_are_observed_and_their_notifications_are_reports(
    gateway: GatewayProcess, js: JetStreamContext, open_meter: OpenMeter
) -> None:
    for style in (WAKAAMA, ANJAY, BC66):
        meter = await open_meter(gateway, client(style))
        answer = await meter.ask(meter.client.register())
        assert (answer.code, meter.client.location[0]) == (0x41, "rd")
        await meter.until(lambda c: "/19/0/0" in c.observed)
        assert len(meter.client.observed["/19/0/0"]) == 8
        frame = FRAME + style.query[0].encode()
        notification = meter.client.notify("/19/0/0", frame)
        if style.notifies_confirmably:
            assert (await meter.ask(notification)).code == 0
        else:
            meter.tell(notification)

        async def arrived(item: list[object]) -> bool:
            return item in await items(js, 1)

        await until(partial(arrived, ["/19/0/0", 42, frame]))
        assert (await meter.ask(meter.client.update())).code == 0x44
        assert (await meter.ask(meter.client.deregister())).code == 0x42
        assert (await meter.ask(meter.client.update())).code == 0x84
    assert {report.device for report in await stored(js)} == {IMEI}


async def test_a_send_is_a_report_also_with_an_empty_token_and_after_a_restart(
    gateway: GatewayProcess, js: JetStreamContext, start_gateway: StartGateway, open_meter: OpenMeter
) -> None:
    meter = await open_meter(gateway, client(ANJAY))
    await meter.ask(meter.client.register())
    assert (await meter.ask(meter.client.send(SENML))).code == 0x44
    assert ["/", 112, SENML] in await items(js, 1)
    gateway.process.kill()
    await gateway.process.wait()
    await start_gateway(port=gateway.port)
    assert (await meter.ask(meter.client.send(SENML + b"\x00"))).code == 0x44
    assert ["/", 112, SENML + b"\x00"] in await items(js, 2)
    stranger = await open_meter(gateway, client(ANJAY))
    assert (await stranger.ask(stranger.client.send(SENML))).code == 0x84


async def test_a_killed_gateway_forgets_nobody(
    gateway: GatewayProcess, js: JetStreamContext, start_gateway: StartGateway, open_meter: OpenMeter
) -> None:
    """Between registration and notification; the meter's address changes as well."""
    meter = await open_meter(gateway, client(ANJAY))
    await meter.ask(meter.client.register())
    await meter.until(lambda c: {"/19/0/0", "/3424/0"} <= set(c.observed))
    gateway.process.kill()
    await gateway.process.wait()
    await start_gateway(port=gateway.port)
    await meter.rebind()
    assert (await meter.ask(meter.client.notify("/19/0/0", FRAME))).code == 0
    assert ["/19/0/0", 42, FRAME] in await items(js, 1)
    asked = len(meter.client.asked)
    assert (await meter.ask(meter.client.update())).code == 0x44
    await asyncio.sleep(0.5)
    assert "GET /19/0/0" not in meter.client.asked[asked:]  # still observed


async def test_an_expired_registration_is_told_to_register_again_and_its_observations_are_reset(
    js: JetStreamContext, start_gateway: StartGateway, open_meter: OpenMeter, lwm2m: Callable[..., None]
) -> None:
    lwm2m(grace_s=0)
    await write_snapshot(js, ENTRIES)
    gateway = await start_gateway()
    meter = await open_meter(gateway, client(WAKAAMA, lifetime_s=2))
    await meter.ask(meter.client.register())
    await meter.until(lambda c: "/19/0/0" in c.observed)
    await asyncio.sleep(3.5)
    resets = meter.resets
    assert (await meter.ask(meter.client.notify("/19/0/0", FRAME, confirmable=True))).type == 3
    meter.tell(meter.client.notify("/19/0/0", FRAME, confirmable=False))

    async def reset() -> bool:
        return meter.resets == resets + 2

    await until(reset)
    assert (await meter.ask(meter.client.update())).code == 0x84
    assert (await meter.ask(meter.client.register())).code == 0x41
    await meter.until(lambda c: "/19/0/0" in c.observed)
    assert (await meter.ask(meter.client.update())).code == 0x44


WHO = {
    f"urn:imei:{IMEI}": 0x41, f"urn:imei-imsi:{IMEI}-460012345678901": 0x41, IMEI: 0x41,
    f"{IMEI};460012345678901": 0x41, "44403907450243": 0x41, "urn:imei:999999999999999": 0x83,
    "keyed": 0x83, "elsewhere": 0x83, "": 0x83,
}  # fmt: skip


async def test_who_may_register(gateway: GatewayProcess, open_meter: OpenMeter) -> None:
    for endpoint, code in WHO.items():
        meter = await open_meter(gateway, client(WAKAAMA, endpoint))
        assert (await meter.ask(meter.client.register())).code == code, endpoint


async def test_nobody_speaks_for_another(gateway: GatewayProcess, js: JetStreamContext, open_meter: OpenMeter) -> None:
    """A registration by its location alone is worth no more than its sender's network."""
    meter = await open_meter(gateway, client())
    await meter.ask(meter.client.register())
    for location in (("rd", "0" * 14), ("rd", "zz"), ("rd", "é"), ("rd", meter.client.location[1][:-2])):
        meter.client.location = location
        assert (await meter.ask(meter.client.update())).code == 0x84


async def test_the_older_direct_coap_binds_reports_and_binds_again(
    gateway: GatewayProcess, js: JetStreamContext, start_gateway: StartGateway, open_meter: OpenMeter
) -> None:
    played = Client(ANOTHER, BC66, {"/t/d": (42, b"")})
    meter = await open_meter(gateway, played)
    assert (await meter.ask(played.bind())).code == 0x44
    await meter.until(lambda c: "/t/d" in c.observed)
    meter.tell(played.notify("/t/d", FRAME, confirmable=False))

    async def arrived() -> object:
        return await stored(js)

    (report,) = await until(arrived)
    assert (report.device, report.content_format, report.payload, report.door) == (ANOTHER, 42, FRAME, "coap")
    gateway.process.kill()
    await gateway.process.wait()
    await start_gateway(port=gateway.port)
    assert (await meter.ask(played.notify("/t/d", FRAME + b"\x16", confirmable=True))).code == 0
    assert [each.payload for each in await stored(js)] == [FRAME, FRAME + b"\x16"]


async def test_a_notification_is_not_acknowledged_while_the_stream_is_full(
    js: JetStreamContext, start_gateway: StartGateway, open_meter: OpenMeter
) -> None:
    await write_snapshot(js, ENTRIES)
    gateway = await start_gateway()
    meter = await open_meter(gateway, client(ANJAY))
    await meter.ask(meter.client.register())
    await meter.until(lambda c: {"/19/0/0", "/3424/0"} <= set(c.observed))
    await items(js, 3)
    await ensure(js, StreamSizes(1024, registry_max_bytes=64 << 20))
    notification = meter.client.notify("/19/0/0", FRAME * 20, confirmable=True)
    waiting = asyncio.create_task(meter.ask(notification))
    assert (await meter.ask(meter.client.send(b"\x80" + bytes(600)))).code == 0xA3
    assert not waiting.done()
    await ensure(js, StreamSizes(64 << 20, registry_max_bytes=64 << 20))
    assert (await waiting).code == 0
    assert ["/19/0/0", 42, FRAME * 20] in await items(js, 4)
