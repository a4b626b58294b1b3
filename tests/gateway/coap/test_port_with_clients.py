"""libcoap's and aiocoap's clients against both lanes of a running gateway (differential: neither is ours)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator

import aiocoap
import pytest
from nats.js import JetStreamContext

from tests.gateway.conftest import IMEI, SERIAL, GatewayProcess, stored

FRAME = bytes.fromhex("68104433221100337881161f90000077665 52c007766552c31012211051520218413 16".replace(" ", ""))

libcoap = pytest.mark.skipif(
    shutil.which("coap-client-notls") is None,
    reason="NOT RUN: coap-client-notls (Debian libcoap3-bin) is not installed",
)


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


@libcoap
async def test_libcoap_reads_the_directory_and_is_refused_what_is_not_there(gateway: GatewayProcess) -> None:
    out, _ = await coap_client("-m", "get", f"coap://127.0.0.1:{gateway.port}/.well-known/core")
    assert out.strip() == '</r>;rt="nbwater.report";ct="42 50 60"'
    for method, path, expected in [("get", "nowhere", "4.04"), ("get", f"r/{SERIAL}", "4.05"), ("put", "r/x", "4.05")]:
        out, err = await coap_client("-m", method, f"coap://127.0.0.1:{gateway.port}/{path}")
        assert err.startswith(expected), (method, path, out, err)


async def request(client: aiocoap.Context, gateway: GatewayProcess, path: str, **fields: object) -> aiocoap.Message:
    fields.setdefault("code", aiocoap.POST)
    message = aiocoap.Message(uri=f"coap://127.0.0.1:{gateway.port}/{path}", **fields)
    return await asyncio.wait_for(client.request(message).response, 20)


@pytest.fixture
async def client() -> AsyncIterator[aiocoap.Context]:
    context = await aiocoap.Context.create_client_context()
    yield context
    await context.shutdown()


async def test_aiocoap_posts_in_every_format(
    gateway: GatewayProcess, js: JetStreamContext, client: aiocoap.Context
) -> None:
    for content_format, payload in [(60, b"\xa1\x00\x01"), (42, FRAME), (50, b'{"v":1}')]:
        answer = await request(client, gateway, f"r/{IMEI}", payload=payload, content_format=content_format)
        assert answer.code == aiocoap.CHANGED
    assert [(report.content_format, report.payload) for report in await stored(js)] == [
        (60, b"\xa1\x00\x01"), (42, FRAME), (50, b'{"v":1}'),
    ]  # fmt: skip


async def test_aiocoap_sends_blocks_and_several_requests_in_flight(
    gateway: GatewayProcess, js: JetStreamContext, client: aiocoap.Context
) -> None:
    long = bytes(range(256)) * 12
    answers = await asyncio.gather(
        request(client, gateway, f"r/{IMEI}", payload=long, content_format=42),
        *(request(client, gateway, f"r/{IMEI}", payload=b"%d" % n, content_format=50) for n in range(10)),
    )
    assert {answer.code for answer in answers} == {aiocoap.CHANGED}
    assert sorted(report.payload for report in await stored(js)) == sorted([long, *(b"%d" % n for n in range(10))])


REFUSALS: list[tuple[str, dict[str, object], str]] = [
    ("r/nobody", {"content_format": 60, "payload": b"x"}, "4.01"),
    ("r/keyed", {"content_format": 60, "payload": b"x"}, "4.01"),
    ("r/elsewhere", {"content_format": 60, "payload": b"x"}, "4.01"),
    ("r/closed", {"content_format": 60, "payload": b"x"}, "4.01"),
    ("r/nobody", {"content_format": 60, "payload": b"x" * 3000}, "4.01"),  # before any block is kept
    (f"r/{IMEI}", {"content_format": 0, "payload": b"x"}, "4.15"),
    (f"r/{IMEI}", {"payload": b"x"}, "4.15"),
    (f"r/{IMEI}", {"content_format": 42, "payload": b"x" * 70_000}, "4.13"),
    (f"r/{IMEI}/more", {"content_format": 60, "payload": b"x"}, "4.04"),
    ("", {"content_format": 60, "payload": b"x"}, "4.04"),
    (f"r/{IMEI}", {"code": aiocoap.PUT, "content_format": 60, "payload": b"x"}, "4.05"),
    (f"r/{IMEI}", {"content_format": 60, "payload": b"x", "if_none_match": True}, "4.02"),
    (".well-known/core", {"code": aiocoap.DELETE}, "4.05"),
]


async def test_refusals(gateway: GatewayProcess, js: JetStreamContext, client: aiocoap.Context) -> None:
    for path, fields, code in REFUSALS:
        answer = await request(client, gateway, path, **fields)
        assert answer.code.dotted == code, (path, fields)
        if code == "4.13":
            assert answer.opt.size1 == 65536
    assert await stored(js) == []
