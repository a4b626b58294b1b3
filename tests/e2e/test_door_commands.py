"""Issue 4, seen from outside: commands reach meters that sleep, by every door and over gateways that are killed."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiomqtt
import cbor2
import pytest

from gateway.mqtt.topics import down
from gateway.mqtt.topics import up as up_topic
from simulators import payloads
from simulators.lwm2m import Lwm2mMeter
from simulators.lwm2m_client import CHANGED, CREATED
from tests.e2e.city import APPLICATION_DATA, STYLE, City, Meter, open_city, until
from tests.e2e.knocks import by_ctwing
from tests.e2e.tunnel import Tunnel
from tests.gateway.push.north.stub import StubPlatform

PLAIN, OSCORE, DTLS, LWM2M, LWM2M_DTLS, MQTT, PUSHED, AWAKE, EAGER = map(Meter, range(50, 59))
KEYED = (OSCORE, DTLS, LWM2M_DTLS, MQTT)
CLOSE = {"arguments": {"valve": "close"}, "reason": "burst behind the meter"}
HISTORY = {"arguments": {"from_s": 1_767_225_600, "to_s": 1_767_312_000}}
DOWNLINK = "/19/1/0"
ROUNDS = 3

_seq = iter(range(1, 1 << 20))


@pytest.fixture(scope="module")
def city(stub: StubPlatform) -> Iterator[City]:
    with open_city(stub, NBWATER_LWM2M_AWAKE_S="2") as made:
        made.import_meters([PLAIN, LWM2M, PUSHED, AWAKE, EAGER, *KEYED])
        made.import_keys(KEYED)
        yield made


def report(*results: str) -> bytes:
    """A report that says that these commands are done. Each is another."""
    said = {"results": [[bytes.fromhex(command_id), 0] for command_id in results]} if results else {}
    return payloads.encode_cbor(payloads.Report(next(_seq), [(1_767_225_600, 1_000)], said))


def id_in(answer: bytes) -> str:
    """The command in an answer; empty when there is none."""
    return str(cbor2.loads(answer)[0].hex()) if answer else ""


Speak = Callable[..., Awaitable[str]]
"""Report once, with these results; the id of the command that came with the answer."""


async def by_plain(city: City, *results: str, meter: Meter = PLAIN) -> str:
    return id_in((await city.post(meter, report(*results))).payload)


async def by_oscore(city: City, *results: str) -> str:
    return id_in((await city.post(OSCORE, report(*results), protected=True)).payload)


async def by_dtls(city: City, *results: str) -> str:
    file = city.directory / "answer"
    file.unlink(missing_ok=True)
    await city.libcoap("coap-client-openssl", DTLS, report(*results), answer=str(file))
    return id_in(file.read_bytes() if file.exists() else b"")


async def by_mqtt(city: City, *results: str) -> str:
    """Empty when nothing comes within a moment."""
    login = aiomqtt.Client(
        "127.0.0.1", city.mqtt_port, username=MQTT.imei, password=MQTT.password, identifier=MQTT.imei
    )
    try:
        async with login as meter, asyncio.timeout(5):
            await meter.subscribe(down(MQTT.imei), qos=1)
            await meter.publish(up_topic(MQTT.imei), report(*results), qos=1)
            async for message in meter.messages:
                return id_in(bytes(message.payload))  # type: ignore[arg-type]
    except (TimeoutError, aiomqtt.MqttError):
        pass
    return ""


BY_ANSWER: dict[Meter, Speak] = {PLAIN: by_plain, OSCORE: by_oscore, DTLS: by_dtls, MQTT: by_mqtt}


@asynccontextmanager
async def registered(city: City, meter: Meter) -> AsyncIterator[Lwm2mMeter]:
    """An LwM2M client in queue mode; one with a key speaks through DTLS."""
    async with AsyncExitStack() as stack:
        port = await _port(city, meter, stack)
        device = await stack.enter_async_context(Lwm2mMeter("127.0.0.1", port, meter.client()))

        async def taken() -> bool:
            return (await device.ask(device.client.register())).code == CREATED

        await until(taken, "the registration is taken")
        await device.until(lambda client: APPLICATION_DATA in client.observed)
        yield device


async def _port(city: City, meter: Meter, stack: AsyncExitStack) -> int:
    if meter not in KEYED:
        return city.coap_port
    tunnel = Tunnel(city.coaps_port, f"urn:imei:{meter.imei}", meter.psk.encode())
    return (await stack.enter_async_context(tunnel)).port


async def update(device: Lwm2mMeter) -> None:
    async def taken() -> bool:
        return (await device.ask(device.client.update())).code == CHANGED

    await until(taken, "the update is taken")


async def notify(device: Lwm2mMeter, payload: bytes) -> None:
    async def taken() -> bool:
        answer = await device.ask(device.client.notify(APPLICATION_DATA, payload, confirmable=True))
        return answer.code == 0 and device.resets == 0

    await until(taken, "the notification is taken")


async def filed_for_all(city: City, filing: str, approving: str) -> tuple[dict[Meter, str], str]:
    """A command for each meter, by two persons' tokens; and the one that must never be handed over: a closing for the
    meter that speaks in plain."""
    filed = {
        PLAIN: await city.file(PLAIN, "set_clock", filing),
        LWM2M: await city.file(LWM2M, "read_history", filing, **HISTORY),
        PUSHED: await city.file(PUSHED, "report_now", filing),
    }
    for meter in (*KEYED, PLAIN):
        closing = await city.file(meter, "valve", filing, **CLOSE)
        await city.approve(closing, approving)
        filed.setdefault(meter, closing)
    return filed, closing


async def test_commands_reach_sleeping_meters_by_every_door(city: City, stub: StubPlatform) -> None:
    for meter in KEYED:
        await city.until_keyed(meter)
    first, second = await city.token("first"), await city.token("second")
    async with registered(city, LWM2M) as lwm2m, AsyncExitStack() as secure:
        await secure.enter_async_context(registered(city, LWM2M_DTLS))
        lwm2m.sleep()
        await by_ctwing(city, PUSHED, report())
        await asyncio.sleep(3)  # out of the awake window
        filed, never = await filed_for_all(city, first, second)
        await until(lambda: at_platform(stub), "the platform has the command of the pushed meter")
        await city.kill_gateway()

        for meter, speak in BY_ANSWER.items():

            async def told(meter: Meter = meter, speak: Speak = speak) -> bool:
                return await speak(city) == filed[meter]

            await until(told, f"{meter.imei} is told")
        lwm2m.wake()
        await update(lwm2m)
        await lwm2m.until(lambda client: bool(written(lwm2m)))
        assert written(lwm2m)[-1] == filed[LWM2M]
        await secure.aclose()
        await handed_over(city, *(filed[meter] for meter in (PLAIN, OSCORE, DTLS, MQTT, LWM2M)))
        await city.kill_gateway()

        for meter, speak in BY_ANSWER.items():
            await speak_until_confirmed(city, speak, filed[meter])
        await update(lwm2m)
        await notify(lwm2m, report(filed[LWM2M]))
        async with registered(city, LWM2M_DTLS) as lwm2m_dtls:
            await lwm2m_dtls.until(lambda client: bool(written(lwm2m_dtls)))
            assert written(lwm2m_dtls)[-1] == filed[LWM2M_DTLS]
            await notify(lwm2m_dtls, report(filed[LWM2M_DTLS]))
        assert await platform_says(city, "1", "SUCCESSFUL") == "200"
        await confirmed(city, *filed.values())

    assert await by_plain(city, never) == ""  # nor does its word count
    await asyncio.sleep(1)
    rows = await city.rows("SELECT state, handovers FROM commands WHERE command_id = $1", int(never, 16))
    assert [tuple(row) for row in rows] == [("queued", 0)]


def written(device: Lwm2mMeter) -> list[str]:
    return [id_in(one.payload) for one in device.client.written if one.path == DOWNLINK]


async def at_platform(stub: StubPlatform) -> bool:
    return len(stub.commands) == 1


async def platform_says(city: City, task: str, code: str) -> str:
    push = {"messageType": "commandResponse", "taskId": task, "result": {"resultCode": code}, "IMEI": PUSHED.imei}
    return await city.curl("ctwing", json.dumps({**push, "deviceId": "x", "timestamp": 1_790_000_000_000}).encode())


async def handed_over(city: City, *command_ids: str) -> None:
    async def seen() -> bool:
        return set(await city.states(*command_ids)) == {"handed_over"}

    await until(seen, f"{await city.states(*command_ids)} are handed over")


async def confirmed(city: City, *command_ids: str) -> None:
    async def seen() -> bool:
        return set(await city.states(*command_ids)) == {"confirmed"}

    await until(seen, f"{command_ids} are confirmed")


async def speak_until_confirmed(city: City, speak: Speak, command_id: str) -> None:
    async def seen() -> bool:
        await speak(city, command_id)
        return await city.states(command_id) == ["confirmed"]

    await until(seen, f"{command_id} is confirmed")


async def test_how_long_it_takes_from_filing_to_confirmation(city: City) -> None:
    """Printed with -s. A meter that reports ten times a second, and one that listens always."""
    who = await city.token("timed")
    awake = AWAKE.client()
    awake.style = STYLE._replace(query=("lwm2m=1.1", "ep={endpoint}", "lt={lifetime}", "b=U"))
    times: dict[str, list[float]] = {}
    async with Lwm2mMeter("127.0.0.1", city.coap_port, awake) as device:
        assert (await device.ask(awake.register())).code == CREATED
        await device.until(lambda client: APPLICATION_DATA in client.observed)
        for _ in range(ROUNDS):
            began = time.monotonic()
            command_id = await city.file(EAGER, "report_now", who)

            async def told(wanted: str = command_id) -> bool:
                return await by_plain(city, meter=EAGER) == wanted

            await until(told, "the meter is told", pause_s=0.1)
            note(times, "in the answer to a plain report", began)
            await by_plain(city, command_id, meter=EAGER)
            await confirmed_soon(city, command_id)
            note(times, "confirmed, plain", began)
            began = time.monotonic()
            command_id = await city.file(AWAKE, "read_history", who, **HISTORY)
            await device.until(lambda client: command_id in written(device))  # noqa: B023 - waited for at once
            note(times, "at an LwM2M client that listens", began)
            await device.ask(awake.notify(APPLICATION_DATA, report(command_id), confirmable=True))
            await confirmed_soon(city, command_id)
            note(times, "confirmed, LwM2M", began)
    for what, seconds in times.items():
        print(f"{what}: median {statistics.median(seconds):.2f} s of", *(f"{each:.2f}" for each in seconds))


def note(times: dict[str, list[float]], what: str, began: float) -> None:
    times.setdefault(what, []).append(time.monotonic() - began)


async def confirmed_soon(city: City, command_id: str) -> None:
    async def seen() -> Any:
        return await city.states(command_id) == ["confirmed"]

    await until(seen, f"{command_id} is confirmed", pause_s=0.05)
