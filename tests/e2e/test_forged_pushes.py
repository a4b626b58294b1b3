"""Issue 4, seen from outside: whoever has the token of one product can say nothing of another's meters, over HTTPS."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.cluster.bed import certificates
from ingest.worker import FOLLOW_EVERY_S
from simulators import payloads
from tests.e2e.city import City, Meter, open_city, until
from tests.e2e.knocks import by_plain, ctwing_push
from tests.gateway.push.north.stub import StubPlatform

OURS, THEIRS, KEYED, PLAIN, NOBODYS, LEAVER = map(Meter, range(100, 106))
LEAKED, GENUINE = "ctwing", "oceanconnect"
DAY_S = int(time.time()) // 86_400 * 86_400 - 86_400
_seq = iter(range(1, 1 << 20))

pytestmark = pytest.mark.skipif(not certificates.available(), reason="openssl is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("tls") / "certificates"
    certificates.make(found, {"server": "127.0.0.1"})
    return found


@pytest.fixture(scope="module")
def city(stub: StubPlatform, folder: Path) -> Iterator[City]:
    tls = {"CERTIFICATE": str(folder / "server.pem"), "KEY": str(folder / "server.key")}
    with open_city(stub, **{f"NBWATER_PUSH_TLS_{name}": value for name, value in tls.items()}) as made:
        made.import_meters([OURS, LEAVER], LEAKED)
        made.import_meters([THEIRS], GENUINE)
        made.import_meters([KEYED, PLAIN, NOBODYS], "-")
        made.import_keys([KEYED])
        yield made


@pytest.fixture
def push(city: City, folder: Path) -> Any:
    """POST a body to a product's path; the status."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))

    async def post(product: str, body: bytes) -> int:
        url = city.push_url.replace("http:", "https:") + city.paths[product]
        async with httpx.AsyncClient(verify=context, timeout=60) as client:
            return (await client.post(url, content=body)).status_code

    return post


def report(litres: int = 1_000, *results: str) -> bytes:
    said = {"results": [[bytes.fromhex(command_id), 0] for command_id in results]} if results else {}
    return payloads.encode_cbor(payloads.Report(next(_seq), [(DAY_S + 60 * next(_seq), litres)], said))


def oceanconnect(meter: Meter, payload: bytes) -> bytes:
    service = {"serviceId": "Raw", "data": {"rawData": payload.hex()}, "eventTime": "20261101T034000Z"}
    push = {"notifyType": "deviceDataChanged", "deviceId": f"oc-{meter.serial}", "service": service}
    return json.dumps(push | {"deviceInfo": {"nodeId": meter.imei}}).encode()


def iotda(meter: Meter, payload: bytes) -> bytes:
    header = {"device_id": f"i-{meter.serial}", "node_id": meter.imei, "product_id": "1"}
    body = {"topic": "up", "content": base64.b64encode(payload).decode()}
    push = {"resource": "device.message", "event": "report", "notify_data": {"header": header, "body": body}}
    return json.dumps(push).encode()


SHAPES = {"ctwing": ctwing_push, "oceanconnect": oceanconnect, "iotda": iotda}


async def ends(city: City, meter: Meter, count: int) -> list[tuple[str, str, str | None]]:
    """How the meter's reports ended, once there are so many."""

    async def all_in() -> list[Any]:
        rows = await city.rows(
            "SELECT outcome, authentication, reason FROM reports WHERE device = $1 ORDER BY received_at", meter.imei
        )
        return rows if len(rows) >= count else []

    return [tuple(row) for row in await until(all_in, f"{count} reports of {meter.imei}")]


async def readings(city: City, meter: Meter) -> int:
    (row,) = await city.rows(
        "SELECT count(*) AS readings FROM readings JOIN meters USING (meter_id) WHERE serial = $1", meter.serial
    )
    return int(row["readings"])


async def metric(city: City, name: str) -> float:
    port = city.up.instance["programs"]["gateway"]["metrics_port"]
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics", timeout=60)).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


FORGED = ("dead_lettered", "pusher", "foreign_device")


async def test_a_leaked_token_says_nothing_of_other_meters(city: City, push: Any) -> None:
    """Of another product's, of one with a key, of one that speaks plain CoAP, of one nobody was bound to."""
    await city.until_keyed(KEYED)
    for meter in (THEIRS, KEYED, PLAIN, NOBODYS):
        (knocks,) = await city.rows("SELECT count(*) AS taken FROM reports WHERE device = $1", meter.imei)
        assert await push(LEAKED, ctwing_push(meter, report())) == 200
        assert (await ends(city, meter, knocks["taken"] + 1))[knocks["taken"] :] == [FORGED]
        assert await readings(city, meter) == 0
    assert await push(LEAKED, ctwing_push(OURS, report())) == 200
    assert await ends(city, OURS, 1) == [("stored", "pusher", None)]
    assert await metric(city, "nbwater_gateway_push_foreign_total") == 4
    heard = await city.rows("SELECT device FROM device_latest JOIN devices USING (device_id)")
    assert {row["device"] for row in heard} - {KEYED.imei} == {OURS.imei}  # that one's knocks may have been taken


async def test_the_genuine_report_of_the_same_words_is_taken(city: City, push: Any) -> None:
    """First the thief, then, within the memory for repeats, the meter's own platform, and by CoAP the meter itself."""
    payload = report()
    assert await push(LEAKED, ctwing_push(THEIRS, payload)) == 200
    assert await push(GENUINE, oceanconnect(THEIRS, payload)) == 200
    assert (await ends(city, THEIRS, 3))[-1] == ("stored", "pusher", None)
    payload = report()
    assert await push(LEAKED, ctwing_push(PLAIN, payload)) == 200
    await by_plain(city, PLAIN, payload)
    assert (await ends(city, PLAIN, 3))[-1] == ("stored", "claimed", None)
    assert await readings(city, THEIRS) == await readings(city, PLAIN) == 1


async def test_a_thief_is_handed_no_command_and_ends_none(city: City, push: Any, stub: StubPlatform) -> None:
    who = await city.token("engineer")
    command_id = await city.file(THEIRS, "report_now", who)
    before = len(await ends(city, THEIRS, 1))
    assert await push(LEAKED, ctwing_push(THEIRS, report())) == 200
    assert await push(LEAKED, ctwing_push(THEIRS, report(1_001, command_id))) == 200
    told = {"messageType": "commandResponse", "deviceId": f"ct-{THEIRS.serial}", "IMEI": THEIRS.imei, "taskId": 1}
    told["result"] = {"resultCode": "SUCCESSFUL", "resultDetail": ""}
    assert await push(LEAKED, json.dumps(told).encode()) == 200
    assert set((await ends(city, THEIRS, before + 3))[before:]) == {FORGED}
    assert [path for path, _ in stub.commands if "aep" in path] == []

    async def handed_over() -> bool:
        return await city.states(command_id) == ["handed_over"]

    await push(GENUINE, oceanconnect(THEIRS, report()))
    await until(handed_over, "its own platform has the command")
    assert [body["deviceId"] for path, body in stub.commands] == [f"oc-{THEIRS.serial}"]


MOVED_S = FOLLOW_EVERY_S + 0.5
"""Ingest looks for changes of the registry so seldom: until then the product that a meter has left is still heard."""


async def test_each_platform_is_heard_in_its_own_shape(city: City, push: Any) -> None:
    """And the meter moves from one to the next by an operator's act; what it said twice is there once."""
    said, count = report(), 0
    for product in SHAPES:
        city.nbwater("push", "bind", product, LEAVER.serial)
        await asyncio.sleep(MOVED_S)
        for other, shape in SHAPES.items():
            count += 1
            assert await push(other, shape(LEAVER, said) + b" " * count) == 200  # no repeat for the gateway
        await ends(city, LEAVER, count)
    found = await ends(city, LEAVER, count)
    assert sorted({outcome for outcome, *_ in found}) == ["dead_lettered", "duplicate", "stored"]
    assert [outcome for outcome, *_ in found].count("stored") == 1
    assert found.count(FORGED) == 6, found
    assert await readings(city, LEAVER) == 1


async def test_a_binding_that_ends_is_over_within_seconds(city: City, push: Any) -> None:
    city.nbwater("push", "bind", LEAKED, OURS.serial)  # bound already
    count, began = len(await ends(city, OURS, 1)), time.monotonic()
    city.nbwater("push", "unbind", OURS.serial, "--reason", "token leaked")
    assert await push(LEAKED, ctwing_push(OURS, report())) == 200
    assert (await ends(city, OURS, count + 1))[-1] == FORGED
    foreign = await metric(city, "nbwater_gateway_push_foreign_total")

    async def known() -> bool:
        assert await push(LEAKED, ctwing_push(OURS, report())) == 200
        return await metric(city, "nbwater_gateway_push_foreign_total") > foreign

    await until(known, "the gateway knows it too")
    print(f"the end of a binding was known to the gateway {time.monotonic() - began:.2f} s after the command began")
    assert "token leaked" in city.nbwater("push", "bindings", "--device", OURS.serial, "--all")
    done = city.up.nbwater("dead-letters", "list", "--reason", "foreign_device")
    assert (done.returncode, "foreign_device" in done.stdout) == (0, True), done.stderr


async def test_everything_is_accounted_for(city: City) -> None:
    (row,) = await city.rows(
        "SELECT sum(received) AS received, sum(stored + partial + duplicate + dead_lettered) AS ended, "
        "coalesce(sum(dead_lettered), 0) AS letters FROM accounting"
    )
    (letters,) = await city.rows("SELECT count(*) AS letters FROM dead_letters")
    assert row["received"] == row["ended"]
    assert row["letters"] == letters["letters"]
    done = city.up.nbwater("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
