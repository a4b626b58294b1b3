"""The MQTT door in the gateway's own process, at nats-server's listener: what meters may do, and what is kept."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiomqtt
import pytest

from gateway.mqtt.topics import ROOT, down, up
from metering.commands import CommandKind, WaitingCommand
from metering.credentials import CredentialKind
from metering.key_uses import KEYS_USED_SUBJECT, decode_uses
from metering.model import Authentication, ContentFormat, Door
from metering.strangers import STRANGERS_SUBJECT, decode_knocks
from metering.stream_connection import connect
from tests.gateway.conftest import GatewayProcess, StartGateway, stored, until
from tests.gateway.mqtt.conftest import METERS, PLAIN_PASSWORD, Listener, entry, is_open, open_gateway
from tests.gateway.test_command_mirror import let_wait, reached

JSON, CBOR, FRAME = b'{"v":1,"seq":1}', bytes.fromhex("a2000101191267"), bytes.fromhex("fefe6810")
REPORTS = (JSON, CBOR, FRAME)


async def test_reports_are_stored_as_their_first_byte_says(listener: Listener, gateway: GatewayProcess) -> None:
    async with listener.meter(METERS[0]) as meter:
        for payload in REPORTS:
            await meter.publish(up(METERS[0]), payload, qos=1)
    await until(lambda: acknowledged(gateway, 3))
    found = await stored(listener.js)
    formats = [ContentFormat.JSON, ContentFormat.CBOR, ContentFormat.OCTET_STREAM]
    assert [(report.payload, report.content_format) for report in found] == list(zip(REPORTS, formats, strict=True))
    assert {(report.door, report.authentication, report.device) for report in found} == {
        (Door.MQTT, Authentication.MQTT, METERS[0])
    }


async def test_a_command_comes_once_and_not_after_its_result(listener: Listener, gateway: GatewayProcess) -> None:
    """The stream still says that it waits when the result is in the gateway: ingest has not read it yet."""
    first = WaitingCommand(b"first-01", CommandKind.REPORT_NOW, {}, 2_000_000_000)
    second = first._replace(command_id=b"second-2")
    await reached(gateway, await let_wait(listener.js, first, device=METERS[0]))
    async with listener.meter(METERS[0]) as meter, asyncio.timeout(60):
        await meter.subscribe(down(METERS[0]), qos=1)
        await meter.publish(up(METERS[0]), JSON, qos=1)
        assert (await anext(meter.messages)).payload == first.answer()
        await meter.publish(up(METERS[0]), b"\xa1\x01" + first.command_id, qos=1)
        await until(lambda: acknowledged(gateway, 2))
        await let_wait(listener.js, first, second, device=METERS[0])
        assert (await anext(meter.messages)).payload == second.answer()


async def test_the_process_ends_when_it_is_told_to(gateway: GatewayProcess) -> None:
    """Its session is closed and its tasks cancelled in the same moment."""
    assert await gateway.stop() == 0


async def acknowledged(gateway: GatewayProcess, count: int) -> bool:
    return await gateway.metric("nbwater_gateway_mqtt_acknowledged") >= count


async def test_a_stock_client(listener: Listener, gateway: GatewayProcess) -> None:
    program = shutil.which("mosquitto_pub")
    if program is None:
        pytest.skip("NOT RUN: mosquitto_pub (mosquitto-clients) is not installed")
    meter = METERS[1]
    process = await asyncio.create_subprocess_exec(
        program, "-p", str(listener.port), "-u", meter, "-P", PLAIN_PASSWORD, "-i", meter, "-q", "1",
        "-t", up(meter), "-m", JSON.decode(),
    )  # fmt: skip
    assert await asyncio.wait_for(process.wait(), 60) == 0
    await until(lambda: acknowledged(gateway, 1))
    assert [report.device for report in await stored(listener.js)] == [meter]


async def test_strangers_are_refused(listener: Listener, gateway: GatewayProcess) -> None:
    meter, other = METERS[:2]
    logins = [
        listener.meter(meter, "wrong"),
        listener.meter("unknown"),
        listener.meter(meter, identifier=other),
        listener.meter(meter, identifier="nbwater-gateway"),
        aiomqtt.Client("127.0.0.1", listener.port),
    ]
    for login in logins:
        with pytest.raises(aiomqtt.MqttCodeError, match=r"code:13[45]"):
            async with login:
                pass
    assert await gateway.metric("nbwater_gateway_mqtt_connected") == 1
    async with listener.meter(meter):
        pass


async def test_a_guesser_is_refused_even_the_right_password(listener: Listener, gateway: GatewayProcess) -> None:
    for password in ("1", "2", "3", "4", "5", PLAIN_PASSWORD):
        with pytest.raises(aiomqtt.MqttCodeError):
            async with listener.meter(METERS[3], password):
                pass
    async with listener.meter(METERS[2]):
        pass


FOREIGN = (up(METERS[1]), down(METERS[0]), f"{ROOT}/*/up", "$MQTT/msgs/x", "up/0", "registry/change")
UNHEARD = ("#", f"{ROOT}/+/up", f"{ROOT}/+/down", down(METERS[1]), "$MQTT/sub/#", "$SYS/#", "+/+")


async def test_what_is_published_elsewhere_is_never_stored(listener: Listener, gateway: GatewayProcess) -> None:
    for topic in FOREIGN:
        # nats-server may acknowledge what it drops, or end the connection
        with suppress(aiomqtt.MqttError, TimeoutError):
            async with listener.meter(METERS[0]) as meter:
                await asyncio.wait_for(meter.publish(topic, FRAME, qos=1), 5)
    async with listener.meter(METERS[0]) as meter:
        await meter.publish(up(METERS[0]), JSON, qos=1)
    await until(lambda: acknowledged(gateway, 1))
    assert [report.payload for report in await stored(listener.js)] == [JSON]


async def test_nobody_listens_to_others(listener: Listener, gateway: GatewayProcess) -> None:
    async with listener.meter(METERS[0]) as meter:
        for topic in UNHEARD:
            answer = await meter.subscribe(topic, qos=1)
            assert all(code.is_failure for code in answer), topic  # type: ignore[union-attr]  # MQTT 5
        assert not any(code.is_failure for code in await meter.subscribe(down(METERS[0]), qos=1))  # type: ignore[union-attr]  # MQTT 5


@asynccontextmanager
async def until_disconnected() -> AsyncIterator[None]:
    """What is done inside ends because the broker ends the connection."""
    with pytest.raises(aiomqtt.MqttError):
        async with asyncio.timeout(60):
            yield


async def test_a_connection_ends_when_its_key_is_revoked(listener: Listener, gateway: GatewayProcess) -> None:
    meter = METERS[0]
    async with until_disconnected(), listener.meter(meter) as client:
        await client.subscribe(down(meter), qos=1)
        await listener.change(entry(meter, None))
        await anext(client.messages)
    with pytest.raises(aiomqtt.MqttCodeError):
        async with listener.meter(meter):
            pass


@pytest.mark.parametrize("client_id", ["44403907450243", "rotated~2"])
async def test_a_revoked_key_ends_the_session_under_any_client_id(
    listener: Listener, start_gateway: StartGateway, client_id: str
) -> None:
    """Any name of the device, or the user name, which a rotation makes: it need not fit into a topic."""
    serial, user = "44403907450243", "rotated~2"
    keyed = entry(METERS[0], user=user)._replace(names=(METERS[0], serial))
    gateway = await open_gateway(start_gateway, listener)
    await listener.change(keyed)

    async def admitted() -> bool:
        with suppress(aiomqtt.MqttError):
            async with listener.meter(METERS[0], user=user, identifier=client_id):
                return True
        return False

    await until(admitted)
    async with until_disconnected(), listener.meter(METERS[0], user=user, identifier=client_id) as client:
        await client.subscribe(down(METERS[0]), qos=1)
        await listener.change(keyed._replace(credentials=(), names=(METERS[0],)))
        await anext(client.messages)
    assert await gateway.metric("nbwater_gateway_mqtt_connected") == 1


async def test_logins_tell_keys_and_strangers(listener: Listener, gateway: GatewayProcess) -> None:
    meter = METERS[0]
    old, new = entry(meter).credentials[0], entry(meter, "newer", "newer").credentials[0]
    await listener.change(entry(meter)._replace(credentials=(old, new)))

    async def rotating() -> bool:
        return await gateway.metric("nbwater_gateway_registry_keys") == len(METERS) + 1

    await until(rotating)
    client = await connect(listener.server.url_for("ingest"), "ingest")
    uses, knocks = [await client.subscribe(subject) for subject in (KEYS_USED_SUBJECT, STRANGERS_SUBJECT)]
    await client.flush()
    async with listener.meter(meter, "newer", "newer"):
        pass
    with pytest.raises(aiomqtt.MqttCodeError):
        async with listener.meter("861000000000009"):
            pass
    assert decode_uses((await uses.next_msg(timeout=60)).data) == [(CredentialKind.MQTT, b"newer")]
    (knock,) = decode_knocks((await knocks.next_msg(timeout=60)).data)
    assert knock == ("861000000000009", Door.MQTT, "127.0.0.1", "unknown_user", 1)
    await client.close()


async def test_a_connection_lasts_as_long_as_its_token(listener: Listener, start_gateway: StartGateway) -> None:
    await open_gateway(start_gateway, listener, NBWATER_MQTT_SESSION_S="5")
    async with until_disconnected(), listener.meter(METERS[0]) as client:
        await anext(client.messages)


async def test_what_came_while_no_gateway_was_there_is_stored(listener: Listener, start_gateway: StartGateway) -> None:
    first = await open_gateway(start_gateway, listener)
    async with listener.meter(METERS[0]) as meter:
        await meter.publish(up(METERS[0]), b"\x01", qos=1)
        await until(lambda: acknowledged(first, 1))
        first.process.kill()
        await first.process.wait()
        await meter.publish(up(METERS[0]), b"\x02", qos=1)
    await open_gateway(start_gateway, listener)

    async def both() -> bool:
        return {report.payload for report in await stored(listener.js)} == {b"\x01", b"\x02"}

    await until(both)


async def test_of_two_gateways_one_holds_the_session_and_the_other_takes_it_over(
    listener: Listener, start_gateway: StartGateway
) -> None:
    first = await open_gateway(start_gateway, listener)
    second = await start_gateway(nats=listener.server, environment=listener.settings)
    async with listener.meter(METERS[0]) as meter:  # whichever of them is asked
        for payload in (b"\x01", b"\x02"):
            await meter.publish(up(METERS[0]), payload, qos=1)
    await until(lambda: acknowledged(first, 2))
    assert not await is_open(second)
    first.process.kill()
    await until(lambda: is_open(second))
    async with listener.meter(METERS[0]) as meter:
        await meter.publish(up(METERS[0]), b"\x03", qos=1)
    await until(lambda: acknowledged(second, 1))
    assert sorted(report.payload for report in await stored(listener.js)) == [b"\x01", b"\x02", b"\x03"]


@pytest.mark.parametrize("qos", [1, 2])
async def test_no_retained_message_or_will_of_one_meter_reaches_another(
    listener: Listener, gateway: GatewayProcess, qos: int
) -> None:
    """Ways around a publish that is refused: what the broker keeps for later subscribers, and what it says for the
    dead."""
    meter, other = METERS[2:]
    will = aiomqtt.Will(down(other), b"will", qos=qos, retain=True)
    with suppress(aiomqtt.MqttError):
        async with listener.meter(meter, will=will) as attacker:
            await attacker.publish(down(other), b"retained", qos=qos, retain=True)
            await attacker.publish(up(other), b"retained", qos=qos, retain=True)
            attacker._client._sock_close()  # no DISCONNECT: the broker says the will
            await asyncio.sleep(1)
    with suppress(aiomqtt.MqttError):
        async with listener.meter(meter) as attacker:
            await attacker.publish(down(other), b"retained", qos=qos, retain=True)
            await attacker.publish(up(meter), b"mine", qos=1)
    await until(lambda: acknowledged(gateway, 1))
    async with listener.meter(other) as victim:
        await victim.subscribe(down(other), qos=1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(victim.messages), 2)
    assert {report.device for report in await stored(listener.js)} == {meter}


async def test_a_gateway_whose_door_is_open_ends_in_good_order(gateway: GatewayProcess) -> None:
    assert await gateway.stop() == 0
