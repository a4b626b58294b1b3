"""Foreign clients (libcoap on OpenSSL and on GnuTLS, Mbed TLS) against the DTLS port of a running gateway."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from nats.js import JetStreamContext

from simulators.exchange import Timers
from tests.gateway.conftest import SERIAL, GatewayProcess, stored
from tests.gateway.dtls.conftest import (
    FRAME,
    IDENTITY,
    KEY,
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
    file.write_bytes(FRAME)
    process = await asyncio.create_subprocess_exec(
        client, "-v", "6", "-m", "post", "-t", "42", "-f", str(file), "-B", "20", "-u", identity, "-k", key.decode(),
        *extra, f"coaps://127.0.0.1:{gateway.said['dtls_port']}/{path}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return out.decode("utf-8", "replace")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("extra", [[], ["-b", "16"], ["-N"]], ids=["one datagram", "blocks", "non"])
async def test_libcoap_posts_a_report(
    js: JetStreamContext, start_dtls: StartDtls, tmp_path: Path, client: str, extra: list[str]
) -> None:
    gateway = await start_dtls()
    said = await post(installed(client), gateway, f"r/{METER}", IDENTITY, KEY, tmp_path / "frame", *extra)
    assert "2.04" in said
    (report,) = await stored(js)
    assert (report.device, report.content_format, report.payload) == (METER, 42, FRAME)
    assert (report.door, report.authentication) == ("coap", "dtls")
    assert report.source.startswith("127.0.0.1:")
    assert report.source.endswith(f" as {IDENTITY}")


@pytest.mark.parametrize("client", CLIENTS)
async def test_libcoap_is_refused(js: JetStreamContext, start_dtls: StartDtls, tmp_path: Path, client: str) -> None:
    gateway, file = await start_dtls(), tmp_path / "frame"
    installed(client)
    for identity, key in [(IDENTITY, OTHER_KEY), ("urn:imei:861000000000009", KEY), (OTHER_IDENTITY, KEY)]:
        assert "2.04" not in await post(client, gateway, f"r/{METER}", identity, key, file)
    assert "4.01" in await post(client, gateway, f"r/{OTHER}", IDENTITY, KEY, file)
    assert "4.01" in await post(client, gateway, f"r/{SERIAL}", IDENTITY, KEY, file)
    assert await stored(js) == []
    assert await gateway.metric("nbwater_gateway_dtls_handshakes_failed") == 3
