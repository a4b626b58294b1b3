"""Foreign OSCORE clients against the CoAP port: aiocoap's own, and libcoap's where its build has OSCORE."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiocoap
import cbor2
import pytest
from aiocoap import oscore

from metering.errors import StreamFullError
from metering.model import Authentication
from tests.gateway.coap.protected import CLOSE, DEVICE, KID, OTHER, OTHER_KID, SECRET, Desk

PATIENCE_S = 60
MakeContext = Callable[..., oscore.FilesystemSecurityContext]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A server that asks every context by Echo first."""
    made = Desk()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def client() -> AsyncIterator[aiocoap.Context]:
    # Named, since aiocoap leaves OSCORE out where ge25519 is missing, which only group communication needs.
    context = await aiocoap.Context.create_client_context(transports=["oscore", "udp6"])
    yield context
    await context.shutdown()


@pytest.fixture
def make_context(tmp_path: Path) -> MakeContext:
    def make(kid: bytes = KID, secret: bytes = SECRET) -> oscore.FilesystemSecurityContext:
        directory = tmp_path / kid.hex()
        directory.mkdir(exist_ok=True)
        settings = {"sender-id_hex": kid.hex(), "recipient-id_hex": "", "secret_hex": secret.hex()}
        (directory / "settings.json").write_text(json.dumps(settings))
        return oscore.FilesystemSecurityContext(str(directory))

    return make


async def post(
    client: aiocoap.Context, desk: Desk, payload: bytes, device: str = DEVICE, content_format: int = 60
) -> aiocoap.Message:
    uri = f"coap://127.0.0.1:{desk.port}/r/{device}"
    request = aiocoap.Message(code=aiocoap.POST, uri=uri, payload=payload, content_format=content_format)
    return await asyncio.wait_for(client.request(request).response, PATIENCE_S)


async def test_aiocoap_posts_reports_and_gets_commands(
    desk: Desk, client: aiocoap.Context, make_context: MakeContext
) -> None:
    client.client_credentials[f"coap://127.0.0.1:{desk.port}/*"] = make_context()
    for number in range(3):  # the first is asked by Echo and repeated by aiocoap itself
        answer = await post(client, desk, b"report %d" % number)
        assert (answer.code, answer.payload) == (aiocoap.CHANGED, b"")
    assert desk.protected.totals()["oscore_echo_challenges"][1]() == 1
    desk.commands.filed.append(CLOSE)
    answer = await post(client, desk, b"report 3")
    assert (answer.code, answer.opt.content_format) == (aiocoap.CHANGED, 60)
    assert cbor2.loads(answer.payload) == {0: CLOSE.command_id, 1: 2, 2: {0: 1}, 3: CLOSE.expires_s}
    assert desk.custody.taken == [(Authentication.OSCORE, DEVICE, 60, b"report %d" % n) for n in range(4)]


async def test_aiocoap_posts_a_report_of_many_blocks(
    desk: Desk, client: aiocoap.Context, make_context: MakeContext
) -> None:
    client.client_credentials[f"coap://127.0.0.1:{desk.port}/*"] = make_context()
    desk.commands.filed.append(CLOSE)
    desk.custody.delay_s = 0.5  # longer than aiocoap's server waits before its empty acknowledgement
    long = bytes(range(255, -1, -1)) * 12  # the id of CLOSE is not in it
    answer = await post(client, desk, long)
    assert (answer.code, answer.payload) == (aiocoap.CHANGED, CLOSE.answer())
    assert [payload for *_, payload in desk.custody.taken] == [long]


async def test_aiocoap_reads_refusals(desk: Desk, client: aiocoap.Context, make_context: MakeContext) -> None:
    client.client_credentials[f"coap://127.0.0.1:{desk.port}/*"] = make_context()
    assert (await post(client, desk, b"x", OTHER)).code == aiocoap.UNAUTHORIZED
    assert (await post(client, desk, b"x", content_format=0)).code == aiocoap.UNSUPPORTED_CONTENT_FORMAT
    desk.custody.failure = StreamFullError("full")
    answer = await post(client, desk, b"x")
    assert (answer.code, answer.opt.max_age) == (aiocoap.SERVICE_UNAVAILABLE, 30)
    client.client_credentials[f"coap://127.0.0.1:{desk.port}/*"] = make_context(OTHER_KID, bytes(16))
    with pytest.raises(oscore.NotAProtectedMessage):
        await post(client, desk, b"x", OTHER)
    assert desk.counters.refused["oscore_decryption"] == 1


async def test_aiocoap_reads_well_known_core(desk: Desk, client: aiocoap.Context, make_context: MakeContext) -> None:
    client.client_credentials[f"coap://127.0.0.1:{desk.port}/*"] = make_context()
    request = aiocoap.Message(code=aiocoap.GET, uri=f"coap://127.0.0.1:{desk.port}/.well-known/core")
    answer = await asyncio.wait_for(client.request(request).response, PATIENCE_S)
    assert b'rt="nbwater.report"' in answer.payload
    assert desk.protected.totals()["oscore_echo_challenges"][1]() == 1  # it was protected


@pytest.fixture
def libcoap_client() -> str:
    """A coap-client whose build has OSCORE."""
    for binary in filter(None, (shutil.which(f"coap-client{kind}") for kind in ("", "-openssl", "-notls"))):
        usage = subprocess.run([binary], capture_output=True, text=True, check=False).stderr
        if "-E oscore_conf_file" in usage:
            return str(binary)
    pytest.skip("NOT RUN: no coap-client of libcoap with OSCORE (-E) is installed")


async def test_libcoap_posts_a_report(desk: Desk, tmp_path: Path, libcoap_client: str) -> None:
    configuration = tmp_path / "oscore.conf"
    configuration.write_text(
        f'master_secret,hex,"{SECRET.hex()}"\nsender_id,hex,"{KID.hex()}"\n'
        'recipient_id,ascii,""\nreplay_window,integer,30\n'
    )
    (tmp_path / "report").write_bytes(b"by libcoap")
    client = await asyncio.create_subprocess_exec(
        libcoap_client, "-E", f"{configuration},{tmp_path / 'sequence'}", "-m", "post", "-t", "42", "-B", "20",
        "-f", str(tmp_path / "report"), f"coap://127.0.0.1:{desk.port}/r/{DEVICE}",
    )  # fmt: skip
    await asyncio.wait_for(client.wait(), PATIENCE_S)
    assert [payload for *_, payload in desk.custody.taken] == [b"by libcoap"]
