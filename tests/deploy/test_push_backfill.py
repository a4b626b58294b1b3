"""What a platform did not push comes from its history through our own door."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from api.queries.push_gaps import MissedMeter
from deploy.push_backfill import Door, backfill, product_of
from gateway.push import ctwing, huawei
from gateway.push.north.history import MAX_PAGES, PAGE_ROWS
from gateway.push.products import Platform, Product
from metering.errors import NotFoundError, RequestError, UnavailableError
from tests.gateway.push.conftest import body_of
from tests.gateway.push.north.stub import APPLICATION, MASTER_KEY, SECRET, StubPlatform

SINCE, UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, 6, tzinfo=UTC)
IMEI = "861234567890123"


@pytest.fixture
def platform() -> Iterator[StubPlatform]:
    stub = StubPlatform()
    yield stub
    stub.close()


class OurDoor(StubPlatform):
    """Takes pushes and keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.pushes: list[bytes] = []

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, object]]:
        if self.refuses or path != "/push/0123456789abcdef" or headers.get("X-Token") != "t":
            return 503, {}
        self.pushes.append(body)
        return 200, {}


@pytest.fixture
def door() -> Iterator[OurDoor]:
    stub = OurDoor()
    yield stub
    stub.close()


def product_at(stub: StubPlatform, platform: Platform = Platform.CTWING) -> Product:
    api = {"url": stub.url, "application": APPLICATION, "secret": SECRET, "master_key": MASTER_KEY}
    return Product.model_validate(
        {"name": "east", "platform": platform, "secret_path": "0123456789abcdef", "token_header": "X-Token",
         "token": "t", "commands": api}
    )  # fmt: skip


def history(count: int) -> list[dict[str, object]]:
    start = int(SINCE.timestamp() * 1000)
    return [{"timestamp": start + n * 1000, "APPdata": base64.b64encode(b"%d" % n).decode()} for n in range(count)]


async def test_all_pages_of_ctwing_are_pushed_as_it_would_have(platform: StubPlatform, door: OurDoor) -> None:
    platform.history = history(2 * PAGE_ROWS + 5)
    missed = [
        MissedMeter(IMEI, "220000000001", body_of(1)),
        MissedMeter("861234567890124", "220000000002", None),
        MissedMeter("861234567890125", "220000000003", b"nonsense"),
    ]
    filled = await backfill(product_at(platform), Door(door.url), missed, SINCE, UNTIL)
    assert (filled.pushed, filled.meters) == (2 * PAGE_ROWS + 5, 1)
    assert filled.without == ["220000000002", "220000000003"]
    assert sum(filled.failures.values()) == 2
    frames = set()
    for body in door.pushes:
        (message,) = ctwing.read(body)
        assert message.names[0] == IMEI
        frames.add(base64.b64decode(json.loads(body)["payload"]["APPdata"]))
    assert frames == {b"%d" % n for n in range(2 * PAGE_ROWS + 5)}
    assert platform.unsigned == []


async def test_an_endless_history_ends(platform: StubPlatform, door: OurDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.push_backfill.MAX_PAGES", 2)
    assert MAX_PAGES > 2
    platform.history = history(5 * PAGE_ROWS)
    filled = await backfill(product_at(platform), Door(door.url), [MissedMeter(IMEI, "1", body_of(1))], SINCE, UNTIL)
    assert filled.pushed == 2 * PAGE_ROWS


async def test_oceanconnect_has_a_history_too(platform: StubPlatform, door: OurDoor) -> None:
    row = {"deviceId": "8ae9", "serviceId": "Meter", "data": {"raw": "6810"}, "timestamp": "20260301T010000Z"}
    platform.history = [row]
    pushed = b'{"notifyType":"deviceDataChanged","deviceId":"8ae9"}'
    product = product_at(platform, Platform.OCEANCONNECT)
    filled = await backfill(product, Door(door.url), [MissedMeter(IMEI, "1", pushed)], SINCE, UNTIL)
    assert filled.pushed == 1
    (message,) = huawei.read_oceanconnect(door.pushes[0])
    assert message.names == ("8ae9",)
    assert json.loads(door.pushes[0])["service"]["data"] == {"raw": "6810"}


async def test_iotda_has_none_and_a_closed_door_is_an_error(platform: StubPlatform, door: OurDoor) -> None:
    with pytest.raises(RequestError, match="read_history"):
        await backfill(product_at(platform, Platform.IOTDA), Door(door.url), [], SINCE, UNTIL)
    platform.history, door.refuses = history(1), True
    with pytest.raises(UnavailableError):
        await backfill(product_at(platform), Door(door.url), [MissedMeter(IMEI, "1", body_of(1))], SINCE, UNTIL)
    with pytest.raises(NotFoundError):
        product_of([product_at(platform)], "west")
