"""What MQTT meters send while no gateway takes it fills the listener's own stream, and nothing else."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import aiomqtt
import nats
from nats.js import JetStreamContext
from nats.js.api import Header

from gateway.mqtt.topics import down, up
from metering.command_feed import DeviceCommands, encode_waiting
from metering.commands import CommandKind, WaitingCommand
from metering.envelope import decode
from metering.mqtt_streams import MQTT_STREAM
from metering.streams import UP_STREAM, StreamSizes, ensure, up_subject, waiting_subject
from tests.conftest import TEST_STREAM_BYTES
from tests.gateway.conftest import StartGateway, until
from tests.gateway.mqtt.conftest import METERS, Listener, listener_of, make_server, open_gateway

BOUND_BYTES = 1 << 20
LARGE_REPORT = bytes(16_000)
BESIDE = b"custody takes what others bring"


async def test_a_full_listener_gives_no_puback_and_harms_nothing_else(
    tmp_path: Path, start_gateway: StartGateway
) -> None:
    server = make_server(tmp_path / "nats")
    server.start()
    async with listener_of(server, mqtt_max_bytes=BOUND_BYTES) as listener:
        gateway = await open_gateway(start_gateway, listener)
        async with listener.meter(METERS[0]) as meter:
            await meter.publish(up(METERS[0]), b"\xa1\x00\x01", qos=1)
        await _command_for(METERS[0], listener)
        acknowledged = [b"\xa1\x00\x01"]
        async with listener.meter(METERS[1], timeout=5) as other:
            async with listener.meter(METERS[0], timeout=5) as meter:
                gateway.process.send_signal(signal.SIGSTOP)
                acknowledged += await _publish_until_refused(meter)
            assert 0 < len(acknowledged) < BOUND_BYTES // len(LARGE_REPORT) + 2
            await listener.js.publish(up_subject(0), BESIDE)
            gateway.process.send_signal(signal.SIGCONT)

            async def all_taken() -> bool:
                return (await listener.js.stream_info(MQTT_STREAM)).state.messages == 0

            await until(all_taken)
            await other.publish(up(METERS[1]), b"\xa1\x00\x02", qos=1)
        async with listener.meter(METERS[0]) as meter:
            await meter.subscribe(down(METERS[0]), qos=1)
            await meter.publish(up(METERS[0]), b"\xa1\x00\x03", qos=1)
            assert (await anext(aiter(meter.messages))).payload == COMMAND.answer()
        acknowledged += [b"\xa1\x00\x02", b"\xa1\x00\x03"]
        await until(lambda: _holds(listener.js, acknowledged))
    server.kill()


async def test_what_nats_server_made_without_a_bound_gets_one_and_loses_nothing(tmp_path: Path) -> None:
    server = make_server(tmp_path / "nats")
    server.start()
    connection = await nats.connect(server.url)
    js = connection.jetstream(timeout=10)
    assert server.mqtt is not None
    gateway = aiomqtt.Client(
        "127.0.0.1", server.mqtt.port, username="mqtt", password=server.mqtt.password, identifier="gateway",
        clean_session=False,
    )  # fmt: skip
    async with gateway:
        await gateway.subscribe(up("+"), qos=1)
    for _ in range(20):
        await js.publish("$MQTT.msgs.nbwater.v1.1.up", LARGE_REPORT)
    before = await js.stream_info(MQTT_STREAM)
    assert (before.config.max_bytes, before.state.messages) == (-1, 20)
    sizes = StreamSizes(TEST_STREAM_BYTES, registry_max_bytes=TEST_STREAM_BYTES, mqtt_max_bytes=1 << 16)
    for _ in range(2):
        await ensure(js, sizes)
    after = await js.stream_info(MQTT_STREAM)
    assert (after.config.max_bytes, str(after.config.discard), after.state.messages) == (1 << 16, "new", 20)
    others = {info.config.name: info.config for info in await js.streams_info() if info.config.name != MQTT_STREAM}
    assert all(config.max_bytes and config.max_bytes > 0 for config in others.values()), others
    await connection.close()
    server.kill()


async def _publish_until_refused(meter: aiomqtt.Client) -> list[bytes]:
    """What got its PUBACK."""
    acknowledged: list[bytes] = []
    try:
        while len(acknowledged) < 200:
            report = len(acknowledged).to_bytes(2) + LARGE_REPORT
            await meter.publish(up(METERS[0]), report, qos=1)
            acknowledged.append(report)
    except aiomqtt.MqttError:
        return acknowledged
    raise AssertionError("everything was acknowledged")


COMMAND = WaitingCommand(b"to-meter", CommandKind.REPORT_NOW, {}, int(time.time()) + 3_600)


async def _command_for(device: str, listener: Listener) -> None:
    body = encode_waiting(DeviceCommands(device, (COMMAND,)))
    await listener.js.publish(waiting_subject(device), body, headers={Header.EXPECTED_LAST_SEQUENCE: "0"})


async def _holds(js: JetStreamContext, wanted: list[bytes]) -> bool:
    """What custody was given beside is no batch, and is left out."""
    state = (await js.stream_info(UP_STREAM)).state
    bodies = [(await js.get_msg(UP_STREAM, n)).data or b"" for n in range(state.first_seq, state.last_seq + 1)]
    held = {report.payload for body in bodies if body != BESIDE for report in decode(body).reports}
    return set(wanted) <= held
