"""Foreign clients (libcoap on OpenSSL and on GnuTLS, Mbed TLS) against the DTLS port of a running gateway."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry

from gateway.devices import Devices
from gateway.dtls.door import DtlsDoor, open_dtls
from gateway.metrics import Counters
from metering.credentials import MasterKeys
from metering.errors import StartError
from metering.settings import DtlsSettings
from simulators.dtls import DtlsClient, DtlsMeter, HandshakeError
from simulators.exchange import Fate, Timers
from simulators.message import request_tail
from tests.gateway.conftest import IMEI, SERIAL, GatewayProcess, OpenSender, stored, until
from tests.gateway.dtls.conftest import (
    FRAME,
    IDENTITY,
    KEY,
    MASTER_KEYS,
    METER,
    OTHER,
    OTHER_IDENTITY,
    OTHER_KEY,
    StartDtls,
)

TIMERS = Timers(ack_timeout_s=5.0)
CLIENTS = ["coap-client-openssl", "coap-client-gnutls"]


def installed(client: str) -> str:
    if shutil.which(client) is None:
        pytest.skip(f"NOT RUN: {client} (Debian libcoap3-bin) is not installed")
    return client


async def post(
    client: str, gateway: GatewayProcess, path: str, identity: str, key: bytes, file: Path, *extra: str
) -> str:
    """What the client says; a report posted as a file."""
    file.write_bytes(FRAME)  # noqa: ASYNC240 - forty bytes
    process = await asyncio.create_subprocess_exec(
        client, "-v", "6", "-m", "post", "-t", "42", "-f", str(file), "-B", "20", "-u", identity, "-k", key.decode(),
        *extra, f"coaps://127.0.0.1:{gateway.said['dtls_port']}/{path}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return out.decode("utf-8", "replace")


async def test_libcoap_posts_reports_and_is_refused(
    js: JetStreamContext, start_dtls: StartDtls, tmp_path: Path
) -> None:
    gateway, file = await start_dtls(), tmp_path / "frame"
    for number, client in enumerate(map(installed, CLIENTS)):
        for extra in ([], ["-b", "16"], ["-N"]):
            said = await post(client, gateway, f"r/{METER}", IDENTITY, KEY, file, *extra)
            assert "2.04" in said, (client, extra, said)
        for identity, key in [(IDENTITY, OTHER_KEY), ("urn:imei:861000000000009", KEY), (OTHER_IDENTITY, KEY)]:
            assert "2.04" not in await post(client, gateway, f"r/{METER}", identity, key, file)
        assert "4.01" in await post(client, gateway, f"r/{OTHER}", IDENTITY, KEY, file)
        assert "4.01" in await post(client, gateway, f"r/{SERIAL}", IDENTITY, KEY, file)
        assert await gateway.metric("nbwater_gateway_dtls_handshakes_failed") == 3 * (number + 1)
    (report,) = await stored(js)  # the others are repeats of it
    assert (report.device, report.content_format, report.payload) == (METER, 42, FRAME)
    assert (report.door, report.authentication) == ("dtls", "dtls")
    assert report.source.startswith("127.0.0.1:")
    assert report.source.endswith(f" as {IDENTITY}")


def meter(gateway: GatewayProcess, identity: str = IDENTITY, key: bytes = KEY) -> DtlsMeter:
    return DtlsMeter("127.0.0.1", gateway.said["dtls_port"], identity, key, TIMERS)


async def reports(meter: DtlsMeter, *payloads: bytes, path: str = METER) -> list[Fate]:
    return [(await meter.post(("r", path), 42, payload)).fate for payload in payloads]


async def test_a_meter_of_the_simulators(js: JetStreamContext, start_dtls: StartDtls) -> None:
    gateway = await start_dtls()
    async with meter(gateway) as first, meter(gateway, OTHER_IDENTITY, OTHER_KEY) as second:
        assert await reports(first, b"one", b"two") == [Fate.ANSWERED] * 2
        assert await reports(second, b"three", path=OTHER) == [Fate.ANSWERED]
        assert await reports(second, b"not mine") == [Fate.REFUSED]
        assert await reports(first, b"x" * 900) == [Fate.ANSWERED]
        assert await reports(first, b"x" * 1025) == [Fate.REFUSED]  # 4.13, as on the plain port
        assert (first.handshakes, second.handshakes) == (1, 1)
    assert await gateway.metric("nbwater_gateway_dtls_sessions") == 2
    short = Timers(ack_timeout_s=0.3, max_retransmit=1)
    async with DtlsMeter("127.0.0.1", gateway.said["dtls_port"], IDENTITY, KEY, short) as rebound:
        await rebound.shake_hands()
        await rebound.rebind()  # a NAT gave it another port
        assert await reports(rebound, b"four") == [Fate.UNKNOWN]

        async def answered() -> bool:
            return await reports(rebound, b"five") == [Fate.ANSWERED]

        await until(answered)
    assert {(report.device, report.payload[:5]) for report in await stored(js)} == {
        (METER, b"one"), (METER, b"two"), (OTHER, b"three"), (METER, b"xxxxx"),
        (METER, b"five"),
    }  # fmt: skip
    with pytest.raises(HandshakeError):
        async with meter(gateway, IDENTITY, OTHER_KEY) as stranger:
            await stranger.shake_hands()


async def test_a_restart_costs_no_handshake(js: JetStreamContext, start_dtls: StartDtls) -> None:
    """Nor a kill, the second time from what the first restart left."""
    gateway = await start_dtls()
    port = gateway.said["dtls_port"]
    async with meter(gateway) as one:
        for number, killed in enumerate((False, True)):
            assert await reports(one, b"%d" % number) == [Fate.ANSWERED]

            async def written(of: GatewayProcess = gateway) -> bool:
                return await of.metric("nbwater_gateway_dtls_sessions_unwritten") == 0

            await until(written)
            if killed:
                await asyncio.sleep(0.5)  # what was given out is on its way to the file
                gateway.process.kill()
                await gateway.process.wait()
            else:
                await gateway.stop()
            gateway = await start_dtls(port=port)
            assert await gateway.metric("nbwater_gateway_dtls_known_prefixes") == 1
        assert await reports(one, b"last") == [Fate.ANSWERED]
        assert one.handshakes == 1
    assert [report.payload for report in await stored(js)] == [b"0", b"1", b"last"]


async def test_a_new_session_is_on_disk_before_the_next_second(start_dtls: StartDtls) -> None:
    gateway = await start_dtls()
    async with meter(gateway) as one:
        assert await reports(one, b"first") == [Fate.ANSWERED]
        await asyncio.sleep(0.2)  # ample for a row, and too short for what is written once a second
        gateway.process.kill()
        await gateway.process.wait()
        await start_dtls(port=gateway.said["dtls_port"])
        assert await reports(one, b"second") == [Fate.ANSWERED]
        assert one.handshakes == 1


async def test_datagrams_played_again_and_garbage(
    js: JetStreamContext, start_dtls: StartDtls, open_sender: OpenSender
) -> None:
    gateway = await start_dtls()
    sender = await open_sender(gateway.said["dtls_port"])
    client = DtlsClient(IDENTITY, KEY)
    client.proceed()
    while not client.is_open:
        for datagram in client.outgoing:
            sender.send(datagram)
        client.outgoing.clear()
        client.receive(await sender.receive())
    client.send(bytes.fromhex("40021234") + request_tail(("r", METER), 42, b"once"))
    (recorded,) = client.outgoing
    assert client.receive(await sender.ask(recorded)) == bytes.fromhex("60441234")
    for _ in range(3):
        sender.send(recorded)

    async def ignored() -> bool:
        return await gateway.metric("nbwater_gateway_dtls_ignored") == 3

    await until(ignored)
    for size in (0, 1, 12, 13, 14, 100, 1400):
        sender.send(b"\x16\xfe\xfd" + bytes(max(0, size - 3)))
        sender.send(bytes(range(256)) * 6)
        sender.send(request_tail(("r", METER), 42, b"plain CoAP"))
    async with meter(gateway) as good:
        assert await reports(good, b"more") == [Fate.ANSWERED]
    assert sender.pending() == 0
    assert [report.payload for report in await stored(js)] == [b"once", b"more"]


class Flood:
    """A stranger at 127.0.1.1: ClientHellos that never go on, and handshakes with wrong keys, about 1,000 a second."""

    PAUSE_S, BURST = 0.02, 20

    def __init__(self, port: int) -> None:
        self.sent = 0
        self._to = ("127.0.0.1", port)
        hello = DtlsClient(IDENTITY, OTHER_KEY)
        hello.proceed()
        self._hello = hello.outgoing[0]

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
                bound.bind(("127.0.1.1", 0))
                bound.setblocking(False)
                client = DtlsClient(IDENTITY, OTHER_KEY)
                with contextlib.suppress(HandshakeError, TimeoutError, OSError):
                    client.proceed()
                    for _ in range(3):
                        for datagram in (*client.outgoing, *[self._hello] * self.BURST):
                            bound.sendto(datagram, self._to)
                            self.sent += 1
                        client.outgoing.clear()
                        async with asyncio.timeout(self.PAUSE_S):
                            client.receive(await loop.sock_recv(bound, 2048))
                await asyncio.sleep(0)


async def test_a_stranger_who_floods_harms_nobody(
    js: JetStreamContext, start_dtls: StartDtls, open_sender: OpenSender
) -> None:
    gateway = await start_dtls(max_handshakes=32)
    flood = Flood(gateway.said["dtls_port"])
    flooding = asyncio.create_task(flood.run())
    plain = await open_sender(gateway.port)
    for number in range(10):
        async with meter(gateway) as good:
            assert await reports(good, b"dtls %d" % number) == [Fate.ANSWERED]
        head = bytes((0x40, 2)) + number.to_bytes(2, "big")
        answer = await plain.ask(head + request_tail(("r", IMEI), 42, b"plain %d" % number))
        assert answer[1] == 0x44

    async def enough() -> bool:
        return flood.sent > 2000

    await until(enough)
    flooding.cancel()
    assert len(await stored(js)) == 20
    assert await gateway.metric("nbwater_gateway_dtls_handshakes_open") <= 32
    assert await gateway.metric("nbwater_gateway_dtls_handshakes_completed") == 10


def opened(gateway_port: int, worker: int, keys: MasterKeys | None, **settings: Any) -> DtlsDoor | None:
    dtls = DtlsSettings(host="127.0.0.1", **settings)
    return open_dtls(gateway_port, worker, dtls, Devices(), keys, Counters(CollectorRegistry()), lambda *_: None)


async def test_where_the_port_is_open() -> None:
    assert opened(5683, 0, None) is None
    assert opened(5683, 1, MASTER_KEYS) is None
    assert opened(5683, 0, MASTER_KEYS, enabled=False) is None
    first = opened(0, 0, MASTER_KEYS)
    assert first is not None
    port = first.ports()["dtls_port"]
    assert port > 0
    with pytest.raises(StartError, match="NBWATER_DTLS_PORT"):
        opened(0, 0, MASTER_KEYS, port=port)
    await first.stop()
