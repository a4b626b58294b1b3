"""The push door of a real gateway process, with curl and httpx as the platform."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import shutil
from pathlib import Path

import httpx
import pytest
from nats.js import JetStreamContext

from deploy.cluster.bed import certificates
from deploy.embedded.nats import NatsServer
from gateway.push.messages import MAX_MESSAGES
from metering.model import Authentication, ContentFormat, Door
from metering.registry import ENABLED, HAS_KEY, WAS_PUSHED, RegistryEntry
from metering.strangers import STRANGERS_SUBJECT, decode_knocks
from metering.stream_connection import connect
from simulators.http_line import Receiver
from simulators.push import PushPlatform
from tests.gateway.conftest import ENTRIES, IMEI, LOOPBACK, StartGateway, stored, until, write_snapshot
from tests.gateway.push.conftest import StartPush, body_of, curl, product

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
needs_openssl = pytest.mark.skipif(not certificates.available(), reason="openssl is not installed")


async def test_a_push_is_in_the_stream_as_it_was_posted(js: JetStreamContext, start_push: StartPush) -> None:
    push = await start_push()
    body = body_of(1).replace(b'"tenantId": "1"', b'"tenantId":   1.50')
    assert await push.post(body) == 200
    (report,) = await stored(js)
    assert (report.device, report.payload, report.door) == (IMEI, body, Door.CTWING)
    assert (report.authentication, report.content_format) == (Authentication.PUSHER, ContentFormat.CTWING)
    assert report.source == "east 127.0.0.1"


async def test_a_repeat_is_answered_and_not_stored_again(js: JetStreamContext, start_push: StartPush) -> None:
    push = await start_push()
    assert await asyncio.gather(*(push.post(body_of(1)) for _ in range(4))) == [200] * 4
    assert await push.post(body_of(1)) == 200
    assert len(await stored(js)) == 1


async def test_a_burst_is_taken_whole(js: JetStreamContext, start_push: StartPush) -> None:
    """From a platform that opens many connections at once and keeps them."""
    push = await start_push()
    async with PushPlatform(Receiver(push.url), connections=50) as platform:
        for number in range(1000):
            platform.push(body_of(number))
    assert platform.counts.answers == {"200": 1000}
    assert {report.payload for report in await stored(js)} == {body_of(number) for number in range(1000)}


async def test_an_array_is_as_many_reports(js: JetStreamContext, start_push: StartPush) -> None:
    push = await start_push()
    one, two = body_of(1), body_of(2, IMEI="861234567890124")
    assert await push.post(b" [ " + one + b" ,\n" + two + b"]") == 200
    assert [(report.device, report.payload) for report in await stored(js)] == [
        (IMEI, one),
        ("861234567890124", two),
    ]


async def test_unknown_devices_and_bad_payloads_get_200_and_are_kept(
    js: JetStreamContext, start_push: StartPush
) -> None:
    push = await start_push()
    bombs = [
        body_of(1, IMEI="869999999999999", deviceId="nobody"),
        b"no json",
        b"\xff\xfe\x00",
        b"",
        b"[" * 30_000,
        b'{"a":' * 10_000,
        b"1" * 60_000,
        b'{"IMEI": "\\ud800", "messageType": [1]}',
        b"[]",
        b"null",
    ]
    for bomb in bombs:
        assert await push.post(bomb) == 200
    assert await push.post(body_of(3)) == 200
    assert await push.post(body_of(4, IMEI="869999999999999")) == 200  # at the platform where another one was
    *reports, _, stranger = await stored(js)
    assert stranger.device == "869999999999999"
    assert [report.payload for report in reports] == bombs
    assert reports[0].device == "869999999999999"
    assert {report.authentication for report in reports} == {Authentication.PUSHER}
    assert await push.post(body_of(2)) == 200


async def test_remarks_about_unknown_devices_are_counted_only(js: JetStreamContext, start_push: StartPush) -> None:
    """A platform says when each device comes and goes, by its own name for it."""
    push = await start_push()
    online = {"messageType": "deviceOnlineOfflineReport", "eventType": 1, "productId": "1", "deviceId": "44d0"}
    assert await push.post(json.dumps(online).encode()) == 200
    assert await stored(js) == []
    assert await push.metric('unplaced_total{became="counted",product="east"}') == 1
    assert await push.post(body_of(1, deviceId="44d0")) == 200
    assert await push.post(json.dumps(online).encode()) == 200
    assert [report.device for report in await stored(js)] == [IMEI, IMEI]


@pytest.mark.parametrize("target", ["/push/wrong", "/push/", "/", "/push/%00"])
async def test_a_wrong_path_is_not_found(start_push: StartPush, target: str) -> None:
    push = await start_push()
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{push.port}{target}", content=body_of(1))
    assert answer.status_code == 404
    assert await push.metric('refused_total{reason="path"}') == 1


async def test_the_header_token_and_the_network_are_asked_for(start_push: StartPush) -> None:
    secrets = [f"a-secret-of-{number}-long" for number in range(2)]
    push = await start_push(
        product("east", secret=secrets[0], token_header="X-Token", token="t0ken")
        + product("far", secret=secrets[1], networks=["10.9.0.0/16"])
    )
    east, far = (f"http://127.0.0.1:{push.port}/push/{secret}" for secret in secrets)
    async with httpx.AsyncClient() as client:
        assert (await client.post(east, content=body_of(1))).status_code == 401
        assert (await client.post(east, content=body_of(1), headers={"X-Token": "other"})).status_code == 401
        assert (await client.post(east, content=body_of(1), headers={"X-Token": "t0ken"})).status_code == 200
        assert (await client.post(far, content=body_of(1))).status_code == 404
        assert (await client.get(east, headers={"X-Token": "t0ken"})).status_code == 405


async def test_refusals_are_rate_limited_per_prefix(start_push: StartPush) -> None:
    push = await start_push(gateway={"refusals_per_second": 1})
    outcomes = []
    for _ in range(12):
        async with httpx.AsyncClient() as client:
            try:
                answer = await client.post(f"http://127.0.0.1:{push.port}/push/guess", content=b"{}")
                outcomes.append(answer.status_code)
            except httpx.TransportError:
                outcomes.append(0)
    assert 404 in outcomes
    assert 0 in outcomes
    assert await push.post(body_of(1)) == 200


async def test_what_is_too_long_is_refused_unread(start_push: StartPush) -> None:
    push = await start_push()
    assert await push.post(b"x" * 65_537) == 413
    assert await push.post(body_of(1), headers={"X-Long": "y" * 1_000_000}) == 431

    async def endless() -> object:
        while True:
            yield b"x" * 10_000

    async with httpx.AsyncClient() as client:
        with contextlib.suppress(httpx.TransportError):  # it may still be writing when the connection is closed
            assert (await client.post(push.url, content=endless())).status_code == 413
    assert await push.post(b"x" * 65_536) == 200


async def test_too_many_connections_do_not_keep_a_pusher_out(start_push: StartPush) -> None:
    push = await start_push(max_connections=20)
    idle = [await asyncio.open_connection("127.0.0.1", push.port) for _ in range(60)]
    assert await push.post(body_of(1)) == 200
    assert await push.metric("connections") <= 20
    for _, writer in idle:
        writer.close()


@needs_curl
@needs_openssl
async def test_curl_pushes_over_tls(js: JetStreamContext, start_push: StartPush, tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    certificates.make(folder, {"server": "127.0.0.1"})
    push = await start_push(tls_certificate=folder / "server.pem", tls_key=folder / "server.key")
    assert await curl("--cacert", str(folder / "ca.pem"), "-d", body_of(1).decode(), push.url) == ("200", "")
    assert (await curl("-d", body_of(2).decode(), push.url))[0] == "000"
    assert (await curl("-d", body_of(2).decode(), push.url.replace("https", "http")))[0] == "000"
    assert len(await stored(js)) == 1


@needs_curl
@needs_openssl
async def test_mutual_tls_keeps_out_who_has_no_certificate(
    js: JetStreamContext, start_push: StartPush, tmp_path: Path
) -> None:
    ours, others = tmp_path / "ours", tmp_path / "others"
    certificates.make(ours, {"server": "127.0.0.1", "platform": "127.0.0.1"})
    certificates.make(others, {"platform": "127.0.0.1"})
    push = await start_push(
        tls_certificate=ours / "server.pem", tls_key=ours / "server.key", client_ca=ours / "ca.pem"
    )  # fmt: skip
    known = ("--cacert", str(ours / "ca.pem"), "-d", body_of(1).decode(), push.url)
    assert (await curl(*known))[0] == "000"
    for folder, status in ((others, "000"), (ours, "200")):
        shown = ("--cert", str(folder / "platform.pem"), "--key", str(folder / "platform.key"))
        assert (await curl(*shown, *known))[0] == status
    assert len(await stored(js)) == 1


async def test_products_are_read_again_when_their_file_changes(start_push: StartPush, tmp_path: Path) -> None:
    push = await start_push()
    assert await push.post(body_of(1)) == 200
    other = "another-secret-of-the-product"
    (tmp_path / "products.toml").write_text("nonsense")
    (tmp_path / "products.toml").write_text(product("east", secret=other))

    async def moved() -> bool:
        return await push.post(body_of(2)) == 404

    await until(moved)
    async with httpx.AsyncClient() as client:
        assert (await client.post(f"http://127.0.0.1:{push.port}/push/{other}", content=b"{}")).status_code == 200


async def test_secrets_are_not_in_the_log(
    start_push: StartPush, start_gateway: StartGateway, capfd: pytest.CaptureFixture[str]
) -> None:
    push = await start_push()
    await push.post(body_of(1))
    await push.post(b"x" * 70_000)
    async with httpx.AsyncClient() as client:
        await client.post(f"{push.url}x", content=b"{}")
    await push.gateway.stop()
    out, err = capfd.readouterr()
    assert push.secret not in out + err
    assert err


async def test_unknown_devices_are_told(nats_server: NatsServer, start_push: StartPush) -> None:
    pushed = await start_push()
    client = await connect(nats_server.url_for("ingest"), "ingest")
    knocks = await client.subscribe(STRANGERS_SUBJECT)
    await client.flush()
    assert await pushed.post(body_of(1, IMEI="861000000000009")) == 200
    (knock,) = decode_knocks((await knocks.next_msg(timeout=60)).data)
    assert knock == ("861000000000009", Door.CTWING, "east 127.0.0.1", "unknown_device", 1)
    await client.close()


OF_WEST, OF_NOBODY, KEYED, HELD = "861000000000021", "861000000000022", "861000000000023", "861000000000024"
TWO = product("east", secret="secret-path-of-east") + product("west", secret="secret-path-of-west")
BOUND = [
    *ENTRIES,
    RegistryEntry(OF_WEST, (OF_WEST,), LOOPBACK, ENABLED | WAS_PUSHED, pushers=("west",)),
    RegistryEntry(OF_NOBODY, (OF_NOBODY,), LOOPBACK, ENABLED),
    RegistryEntry(KEYED, (KEYED,), (), ENABLED | HAS_KEY),
    RegistryEntry(HELD, (HELD,), LOOPBACK, ENABLED | WAS_PUSHED),
]


async def test_a_foreign_push_gets_200_and_is_believed_nothing(js: JetStreamContext, start_push: StartPush) -> None:
    await write_snapshot(js, BOUND)
    push = await start_push(TWO)
    east = f"http://127.0.0.1:{push.port}/push/secret-path-of-east"
    async with httpx.AsyncClient(timeout=60) as client:
        for number, device in enumerate((OF_WEST, OF_NOBODY, KEYED, HELD)):
            assert (await client.post(east, content=body_of(number, IMEI=device, deviceId="44"))).status_code == 200
        assert (await client.post(east, content=body_of(9))).status_code == 200
    assert await push.metric('foreign_total{product="east"}') == 4
    assert await push.metric("aliases") == 1
    assert [report.device for report in await stored(js)] == [OF_WEST, OF_NOBODY, KEYED, HELD, IMEI]


async def test_a_forged_push_does_not_pass_for_the_genuine_one(js: JetStreamContext, start_push: StartPush) -> None:
    """The very same text, first by who may not: the genuine one goes into custody all the same."""
    await write_snapshot(js, BOUND)
    push = await start_push(TWO)
    body = body_of(1, IMEI=OF_WEST)
    async with httpx.AsyncClient(timeout=60) as client:
        for name in ("east", "west", "east", "west"):
            url = f"http://127.0.0.1:{push.port}/push/secret-path-of-{name}"
            assert (await client.post(url, content=body)).status_code == 200
    assert [report.source.split()[0] for report in await stored(js)] == ["east", "west"]


@pytest.mark.parametrize(
    ("setting", "stamp"), [("accept", Authentication.UNBOUND_PUSHER), ("bind_first", Authentication.FIRST_PUSHER)]
)
async def test_a_product_says_what_becomes_of_unbound_devices(
    js: JetStreamContext, start_push: StartPush, setting: str, stamp: Authentication
) -> None:
    await write_snapshot(js, BOUND)
    push = await start_push(product("east", secret="secret-path-of-east", unbound_devices=setting))
    east = f"http://127.0.0.1:{push.port}/push/secret-path-of-east"
    async with httpx.AsyncClient(timeout=60) as client:
        for number, device in enumerate((OF_NOBODY, KEYED, HELD, OF_WEST, IMEI)):
            assert (await client.post(east, content=body_of(number, IMEI=device, deviceId=device))).status_code == 200
    assert {report.authentication for report in await stored(js)} == {stamp}
    assert await push.metric('foreign_total{product="east"}') == 3
    assert await push.metric("aliases") == 2


async def test_whoever_has_a_token_costs_what_he_sends(js: JetStreamContext, start_push: StartPush) -> None:
    """An array of scraps, a bomb that nobody unpacks, a device named twice, another platform's words."""
    await write_snapshot(js, BOUND)
    push = await start_push(TWO)
    east = f"http://127.0.0.1:{push.port}/push/secret-path-of-east"
    scraps = b"[" + b",".join(b"%d" % number for number in range(10_000)) + b"]"
    bomb = gzip.compress(bytes(50_000_000))
    twice = body_of(1)[:-1] + b', "IMEI": "%s"}' % OF_WEST.encode()
    huawei = json.dumps({"notifyType": "deviceDataChanged", "deviceInfo": {"nodeId": OF_WEST}}).encode()
    async with httpx.AsyncClient(timeout=60) as client:
        for body in (scraps, bomb, twice, huawei, body_of(2)):
            answer = await client.post(east, content=body, headers={"Content-Encoding": "gzip"})
            assert answer.status_code == 200
    *first, packed, named, foreign_words, genuine = await stored(js)
    assert len(first) == MAX_MESSAGES + 1
    assert (packed.payload, named.device, foreign_words.device) == (bomb, OF_WEST, "")
    assert genuine.device == IMEI
    assert await push.metric('foreign_total{product="east"}') == 1
