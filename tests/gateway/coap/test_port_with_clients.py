"""libcoap's and aiocoap's clients against both lanes of a running gateway (differential: neither is ours)."""

from __future__ import annotations

import asyncio
import shutil

import aiocoap
import pytest
from nats.js import JetStreamContext

from metering.envelope import Report, decode
from tests.gateway.conftest import IMEI, SERIAL, GatewayProcess, StartGateway

CBOR_REPORT = bytes.fromhex("a3000101181902811a6955b900")
FRAME = bytes.fromhex("681044332211003378811 61f90000077665 52c007766552c310122110515202184 13 16".replace(" ", ""))

libcoap = pytest.mark.skipif(
    shutil.which("coap-client-notls") is None,
    reason="NOT RUN: coap-client-notls (Debian libcoap3-bin) is not installed",
)


async def stored(js: JetStreamContext) -> list[Report]:
    """Every report in the stream."""
    state = (await js.stream_info("UP")).state
    messages = (
        [await js.get_msg("UP", seq) for seq in range(state.first_seq, state.last_seq + 1)] if state.messages else []
    )
    return [report for message in messages for report in decode(message.data).reports]


async def coap_client(*arguments: str, stdin: bytes = b"") -> tuple[str, str]:
    process = await asyncio.create_subprocess_exec(
        "coap-client-notls",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 20)
    return out.decode(), err.decode()


@libcoap
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
@pytest.mark.parametrize("extra", [[], ["-N"], ["-b", "64"]], ids=["con", "non", "blocks"])
async def test_libcoap_posts_a_meter_frame(
    gateway: GatewayProcess, js: JetStreamContext, host: str, extra: list[str]
) -> None:
    frame = FRAME * 4  # more than one block of 64
    uri = f"coap://{host}:{gateway.port}/r/{SERIAL}"
    out, err = await coap_client("-v", "7", "-m", "post", "-t", "42", "-f", "-", "-B", "5", *extra, uri, stdin=frame)
    assert "2.04" in out + err
    (report,) = await stored(js)
    assert (report.device, report.content_format, report.payload) == (IMEI, 42, frame)
    assert (report.door, report.authentication) == ("coap", "claimed")
    assert report.source.startswith(f"{host}:")
