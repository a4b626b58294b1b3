"""The gateway as a process, on real NATS: answers, custody, registry, start and end."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from pathlib import Path

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import Header

from deploy.embedded.nats import USERS, NatsServer
from gateway.coap import message as coap
from gateway.coap.message import Message, encode, parse
from metering.envelope import decode
from metering.registry import ENABLED, RegistryEntry, encode_entries
from metering.streams import REGISTRY_STREAM, REGISTRY_SUBJECT, UP_STREAM, StreamSizes, ensure
from tests.gateway.conftest import (
    ENTRIES,
    IMEI,
    LOOPBACK,
    GatewayProcess,
    OpenSender,
    Sender,
    StartGateway,
    stored,
    until,
    write_snapshot,
)


def report(
    message_id: int, payload: bytes, device: str = IMEI, kind: int = coap.CON, token: bytes = b"\xaa\xbb"
) -> bytes:
    options = [(coap.URI_PATH, b"r"), (coap.URI_PATH, device.encode()), (coap.CONTENT_FORMAT, b"\x2a")]
    return encode(Message(kind, coap.POST, message_id, token, options, payload))


async def change(js: JetStreamContext, *entries: RegistryEntry) -> None:
    """Publish to the registry feed as ingest does: each message names the position that it follows."""
    last = (await js.stream_info(REGISTRY_STREAM)).state.last_seq
    headers = {Header.EXPECTED_LAST_SEQUENCE.value: str(last)}
    await js.publish(REGISTRY_SUBJECT, encode_entries(entries), headers=headers)


def code(answer: bytes) -> str:
    return coap.code_name(answer[1])


async def test_con_is_answered_on_its_ack_and_non_by_a_non(gateway: GatewayProcess, open_sender: OpenSender) -> None:
    sender = await open_sender(gateway.port)
    assert await sender.ask(report(7, b"a")) == bytes.fromhex("62440007aabb")
    answer = parse(await sender.ask(report(8, b"b", kind=coap.NON)))
    assert isinstance(answer, Message)
    assert (answer.type, answer.code, answer.token, answer.payload) == (coap.NON, coap.CHANGED, b"\xaa\xbb", b"")
    sender.send(bytes.fromhex("40001234"))  # ping
    assert await sender.receive() == bytes.fromhex("70001234")


async def test_a_retransmission_gets_the_same_answer_and_is_stored_once(
    gateway: GatewayProcess, js: JetStreamContext, open_sender: OpenSender
) -> None:
    sender, rebound = await open_sender(gateway.port), await open_sender(gateway.port)
    datagram = report(7, b"once")
    sender.send(datagram)
    sender.send(datagram)  # joins the first
    assert {await sender.receive(), await sender.receive()} == {bytes.fromhex("62440007aabb")}
    assert await sender.ask(datagram) == bytes.fromhex("62440007aabb")
    assert await rebound.ask(datagram) == bytes.fromhex("62440007aabb")  # a NAT gave the meter another port
    assert await rebound.ask(report(9, b"once", kind=coap.NON))
    assert await sender.ask(report(7, b"other content, same id")) == bytes.fromhex("62440007aabb")
    assert [each.payload for each in await stored(js)] == [b"once", b"other content, same id"]
    batches = [await js.get_msg(UP_STREAM, sequence) for sequence in (1, 2)]
    assert sum(decode(batch.data).repeats.get("coap", 0) for batch in batches) == 4
    assert batches[0].headers["Nbwater-Reports"] == "1"
    assert await gateway.metric('nbwater_gateway_repeats_total{door="coap"}') == 4


async def test_a_message_id_shared_by_devices_behind_one_address_is_no_repeat(
    gateway: GatewayProcess, js: JetStreamContext, open_sender: OpenSender
) -> None:
    sender = await open_sender(gateway.port)
    for device in (IMEI, "861234567890124"):
        assert code(await sender.ask(report(7, b"same", device))) == "2.04"
    assert [each.device for each in await stored(js)] == [IMEI, "861234567890124"]


async def test_a_full_stream_is_said_aloud_and_nothing_acknowledged_is_missing(
    js: JetStreamContext, start_gateway: StartGateway, open_sender: OpenSender
) -> None:
    await ensure(js, StreamSizes(64 * 1024, registry_max_bytes=64 << 20))
    await write_snapshot(js, ENTRIES)
    gateway = await start_gateway(retry_after_s=77)
    sender = await open_sender(gateway.port)
    acknowledged, refused = [], []
    for number in range(100):
        payload = number.to_bytes(2, "big") * 500
        answer = await sender.ask(report(number, payload))
        (acknowledged if code(answer) == "2.04" else refused).append((payload, answer))
    assert refused
    assert acknowledged
    parsed = parse(refused[-1][1])
    assert isinstance(parsed, Message)
    assert (parsed.code, parsed.options) == (coap.SERVICE_UNAVAILABLE, [(coap.MAX_AGE, b"\x4d")])
    assert [each.payload for each in await stored(js)] == [payload for payload, _ in acknowledged]
    # Room again: the very datagram that was refused is taken.
    await ensure(js, StreamSizes(64 << 20, registry_max_bytes=64 << 20))
    payload = refused[0][0]
    number = int.from_bytes(payload[:2], "big")
    assert code(await sender.ask(report(number, payload))) == "2.04"


async def test_until_the_registry_is_there_nobody_is_unknown(
    js: JetStreamContext, start_gateway: StartGateway, open_sender: OpenSender
) -> None:
    gateway = await start_gateway(ready=False)
    sender = await open_sender(gateway.port)
    assert code(await sender.ask(report(1, b"x"))) == "5.03"
    assert code(await sender.ask(report(2, b"x", "nobody"))) == "5.03"
    assert (await gateway.http("/readyz"))[0] == 503
    await write_snapshot(js, ENTRIES)
    await until(gateway.is_ready)
    assert code(await sender.ask(report(3, b"x"))) == "2.04"
    assert code(await sender.ask(report(4, b"x", "nobody"))) == "4.01"


async def test_registry_changes_take_effect_without_restart(
    gateway: GatewayProcess, js: JetStreamContext, open_sender: OpenSender
) -> None:
    sender = await open_sender(gateway.port)
    message_ids = iter(range(1000))

    async def answered(device: str, expected: str) -> bool:
        number = next(message_ids)
        return code(await sender.ask(report(number, b"%d" % number, device))) == expected

    assert await answered("new", "4.01")
    await change(js, RegistryEntry("new", ("new", "n2"), LOOPBACK, ENABLED))
    await until(lambda: answered("n2", "2.04"))
    await js.publish(REGISTRY_SUBJECT, b"no entry at all")
    await js.publish(REGISTRY_SUBJECT, encode_entries([RegistryEntry("forged", ("forged",), LOOPBACK, ENABLED)]))
    await change(js, RegistryEntry("new", ("new", "n2"), (), 0))
    await until(lambda: answered("new", "4.01"))
    assert await answered("forged", "4.01"), "it did not name its position"
    assert await gateway.metric("nbwater_gateway_registry_rejected_changes") == 2


async def test_a_gap_in_the_feed_loads_the_snapshot_again(
    gateway: GatewayProcess, js: JetStreamContext, open_sender: OpenSender
) -> None:
    sender = await open_sender(gateway.port)
    message_ids = iter(range(1000))
    await js.purge_stream(REGISTRY_STREAM)
    await js.delete_stream(REGISTRY_STREAM)
    await ensure(js, StreamSizes(64 << 20, registry_max_bytes=64 << 20))
    for _ in range(3):
        await change(js)
    await js.purge_stream(REGISTRY_STREAM)  # changes 1 to 3 are gone for ever
    await write_snapshot(js, [*ENTRIES, RegistryEntry("late", ("late",), LOOPBACK, ENABLED)])

    async def taken() -> bool:
        number = next(message_ids)
        return code(await sender.ask(report(number, b"%d" % number, "late"))) == "2.04"

    await until(taken, 30)
    assert await gateway.metric("nbwater_gateway_registry_snapshots_loaded") >= 2


async def test_refusals_are_limited_per_source_prefix(
    js: JetStreamContext, start_gateway: StartGateway, open_sender: OpenSender
) -> None:
    await write_snapshot(js, ENTRIES)
    gateway = await start_gateway(refusals_per_second=5)
    sender = await open_sender(gateway.port)
    for number in range(200):
        sender.send(report(number, b"x", "nobody"))
    for number in range(200):  # a known meter in the same prefix is not hurt
        sender.send(report(1000 + number, b"%d" % number))
    good = [answer for answer in [await sender.receive() for _ in range(205)] if code(answer) == "2.04"]
    assert len(good) >= 180
    await until(lambda: asyncio.sleep(0, len(good) + sender.pending() >= 200))
    assert await gateway.metric("nbwater_gateway_silenced_total") >= 150


async def test_sigterm_answers_what_was_read_and_ends_well(
    gateway: GatewayProcess, js: JetStreamContext, open_sender: OpenSender
) -> None:
    sender = await open_sender(gateway.port)
    for number in range(50):
        sender.send(report(number, b"%d" % number))
    answers = [await sender.receive()]
    assert await gateway.stop() == 0
    answers += [await sender.receive(0.5) for _ in range(sender.pending())]
    assert {code(answer) for answer in answers} == {"2.04"}
    assert len(await stored(js)) >= len(answers)


async def start_raw(nats_server: NatsServer, **environment: str) -> tuple[int, str]:
    """Exit code and stderr of a gateway that cannot start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway",
        env={
            **os.environ,
            "NBWATER_NATS_URL": nats_server.url_for("gateway"),
            "NBWATER_GATEWAY_METRICS_PORT": "0",
            **environment,
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, err.decode()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_taken_port_is_said(nats_server: NatsServer, nats_url: str, family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as foreign:
        foreign.bind(("0.0.0.0" if family == socket.AF_INET else "::", 0))
        port = foreign.getsockname()[1]
        exit_code, err = await start_raw(nats_server, NBWATER_GATEWAY_PORT=str(port))
    assert exit_code == 1
    assert f"udp/{port}" in err
    assert "taken" in err
    assert "Traceback" not in err


async def test_a_stream_that_could_forget_is_refused(nats_server: NatsServer, js: JetStreamContext) -> None:
    config = (await js.stream_info(UP_STREAM)).config
    await js.update_stream(config.evolve(max_age=3600))
    exit_code, err = await start_raw(nats_server, NBWATER_GATEWAY_PORT="0")
    assert exit_code == 1
    assert "max_age" in err
    assert "Traceback" not in err


async def ask_until_taken(sender: Sender, datagram: bytes) -> None:
    """Retransmit as a meter does."""

    async def taken() -> bool:
        sender.send(datagram)
        try:
            return code(await sender.receive(1)) == "2.04"
        except TimeoutError:
            return False

    await until(taken, 40)


async def test_the_gateway_outlives_nats(tmp_path: Path, start_gateway: StartGateway, open_sender: OpenSender) -> None:
    server = NatsServer(tmp_path / "nats", {user: secrets.token_hex(8) for user in USERS})
    server.start()
    try:
        connection = await nats.connect(server.url)
        js = connection.jetstream()
        await ensure(js, StreamSizes(64 << 20, registry_max_bytes=64 << 20))
        await write_snapshot(js, ENTRIES)
        gateway = await start_gateway(publish_timeout_s=1, nats=server)
        sender = await open_sender(gateway.port)
        assert code(await sender.ask(report(1, b"before"))) == "2.04"
        server.kill()
        assert code(await sender.ask(report(2, b"while away"))) == "5.03"
        server.start()
        await ask_until_taken(sender, report(2, b"while away"))
        await until(gateway.is_ready, 30)
        await until(lambda: asyncio.sleep(0, connection.is_connected))
        assert [each.payload for each in await stored(js)][:2] == [b"before", b"while away"]
        await change(js, RegistryEntry("new", ("new",), LOOPBACK, ENABLED))
        await ask_until_taken(sender, report(3, b"new device", "new"))
        await connection.close()
        assert gateway.process.returncode is None
        gateway.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(gateway.process.wait(), 15) == 0
    finally:
        server.stop()
