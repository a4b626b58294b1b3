"""What every door tells of keys and of strangers, and that a key that is gone is refused on its own door."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from nats.aio.client import Client as Nats
from nats.js import JetStreamContext
from nats.js.api import Header

from deploy.embedded.nats import NatsServer
from metering.credentials import CredentialKind
from metering.key_uses import KEYS_USED_SUBJECT, decode_uses
from metering.model import Door
from metering.registry import ENABLED, HAS_KEY, RegistryEntry, encode_entries
from metering.strangers import STRANGERS_SUBJECT, decode_knocks
from metering.stream_connection import connect
from metering.streams import REGISTRY_STREAM, REGISTRY_SUBJECT
from simulators import message
from simulators.dtls import DtlsMeter, HandshakeError
from simulators.exchange import Fate, Timers
from simulators.lwm2m import Lwm2mMeter
from simulators.lwm2m_client import ANJAY
from simulators.lwm2m_client import Client as Lwm2mClient
from tests.gateway.coap.protected import DEVICE, KID, LOOPBACK, MASTER_KEYS, Client, credential
from tests.gateway.conftest import GatewayProcess, OpenSender, StartGateway, until, write_snapshot

IDENTITY, KEY = f"urn:imei:{DEVICE}", b"0123456789abcdef"
PSK = MASTER_KEYS.seal(CredentialKind.PSK, IDENTITY.encode(), KEY)
OTHER_PSK = MASTER_KEYS.seal(CredentialKind.PSK, b"another", b"fedcba9876543210")
STRANGER = "861000000000009"
TIMERS = Timers(ack_timeout_s=1.0)
NO_CONTEXT = 0x81


def entry(*keys: object) -> RegistryEntry:
    return RegistryEntry(DEVICE, (DEVICE,), LOOPBACK, ENABLED | HAS_KEY, keys)  # type: ignore[arg-type]


async def change(js: JetStreamContext, changed: RegistryEntry) -> None:
    """As ingest tells it."""
    last = (await js.stream_info(REGISTRY_STREAM)).state.last_seq
    headers = {Header.EXPECTED_LAST_SEQUENCE.value: str(last)}
    await js.publish(REGISTRY_SUBJECT, encode_entries([changed]), headers=headers)


@pytest.fixture
async def gateway(
    js: JetStreamContext, start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> GatewayProcess:
    """The device has two keys for each door: each is being replaced by the other."""
    tmp_path.chmod(0o700)  # noqa: ASYNC240 - a directory of this machine
    monkeypatch.setenv("NBWATER_KEYS_MASTER", bytes(range(32)).hex())
    monkeypatch.setenv("NBWATER_OSCORE_DIRECTORY", str(tmp_path))
    await write_snapshot(js, [entry(PSK, OTHER_PSK, credential(KID), credential(b"\x0f"))])
    gateway = await start_gateway()

    async def has_numbers() -> bool:
        return await gateway.metric("nbwater_gateway_oscore_spare_numbers") > 0

    await until(has_numbers)
    return gateway


async def heard(nats_server: NatsServer, subject: str, act: Callable[[Nats], Awaitable[None]]) -> bytes:
    """The first message on the subject after `act`."""
    client = await connect(nats_server.url_for("ingest"), "ingest")
    messages = await client.subscribe(subject)
    await client.flush()
    await act(client)
    try:
        return (await messages.next_msg(timeout=60)).data
    finally:
        await client.close()


async def test_oscore_tells_its_key_and_a_context_ends_with_it(
    js: JetStreamContext, nats_server: NatsServer, gateway: GatewayProcess, open_sender: OpenSender
) -> None:
    meter = Client(await open_sender(gateway.port))

    async def speak(_: Nats) -> None:
        await meter.greet()

    uses = decode_uses(await heard(nats_server, KEYS_USED_SUBJECT, speak))
    assert uses == [(CredentialKind.OSCORE, KID)]
    begun = time.monotonic()
    await change(js, entry(PSK))

    async def refused() -> bool:
        raw = message.decode(await meter.sender.ask(meter.datagram(b"after")[1]))
        return (raw.code, raw.payload) == (NO_CONTEXT, b"Security context not found")

    await until(refused)
    print(f"refused {time.monotonic() - begun:.2f} s after the key was revoked")


async def test_dtls_tells_its_key_and_a_session_ends_with_it(
    js: JetStreamContext, nats_server: NatsServer, gateway: GatewayProcess
) -> None:
    async with DtlsMeter("127.0.0.1", gateway.said["dtls_port"], IDENTITY, KEY, TIMERS) as meter:

        async def speak(_: Nats) -> None:
            assert (await meter.post(("r", DEVICE), 42, b"frame")).fate is Fate.ANSWERED

        uses = decode_uses(await heard(nats_server, KEYS_USED_SUBJECT, speak))
        assert uses == [(CredentialKind.PSK, IDENTITY.encode())]
        begun = time.monotonic()
        await change(js, entry(OTHER_PSK))

        async def ended() -> bool:
            return await gateway.metric("nbwater_gateway_dtls_sessions") == 0

        await until(ended)  # without a word from the meter
        print(f"no session {time.monotonic() - begun:.2f} s after the key was revoked")
        with pytest.raises(HandshakeError):
            await meter.shake_hands()


async def test_dtls_and_lwm2m_tell_strangers(nats_server: NatsServer, gateway: GatewayProcess) -> None:
    async def by_dtls(_: Nats) -> None:
        async with DtlsMeter("127.0.0.1", gateway.said["dtls_port"], f"urn:imei:{STRANGER}", KEY, TIMERS) as stranger:
            with pytest.raises(HandshakeError):
                await stranger.shake_hands()

    (knock,) = decode_knocks(await heard(nats_server, STRANGERS_SUBJECT, by_dtls))
    assert (knock.name, knock.door, knock.source, knock.reason) == (
        STRANGER, Door.DTLS, "127.0.0.1", "unknown_identity",
    )  # fmt: skip

    async def by_lwm2m(_: Nats) -> None:
        client = Lwm2mClient(f"urn:imei:{STRANGER}", ANJAY, {})
        async with Lwm2mMeter("127.0.0.1", gateway.port, client) as stranger:
            assert (await stranger.ask(client.register())).code == 0x83

    (knock,) = decode_knocks(await heard(nats_server, STRANGERS_SUBJECT, by_lwm2m))
    assert knock == (STRANGER, Door.LWM2M, "127.0.0.1", "unknown_device", 1)
