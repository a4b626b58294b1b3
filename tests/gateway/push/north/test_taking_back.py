"""Commands that were taken back here, fetched back from the platforms."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.push.counts import Counts
from gateway.push.north import courier, taking_back
from gateway.push.north.ledger import Ledger, Open
from gateway.push.north.recalls import NO_CALL
from gateway.push.products import Platform, Product
from metering.errors import UnavailableError
from metering.model import Door
from tests.gateway.push.north.conftest import DEVICE, PLATFORM_ID, FakeCommands, Make, product_of
from tests.gateway.push.north.stub import APPLICATION, StubPlatform


async def test_what_is_cancelled_is_fetched_back_from_ctwing(platform: StubPlatform, open_courier: Make) -> None:
    around = open_courier(product_of(Platform.CTWING, platform))
    around.push()
    first, second = around.commands.file(1), around.commands.file(2)
    await around.told(1)
    around.commands.cancel(first)
    told = await around.told(3)
    assert told[1] == ("recalled", DEVICE, first.command_id, "ctwing: taken back from its queue", Door.CTWING)
    assert told[2] == ("handed_over", DEVICE, second.command_id, Door.CTWING)
    asked = {"commandId": "1", "productId": 10053421, "deviceId": PLATFORM_ID}
    assert platform.recalled == [("/aep_device_command/cancelCommand", asked)]
    assert platform.unsigned == []


async def test_what_is_cancelled_is_fetched_back_from_oceanconnect(platform: StubPlatform, open_courier: Make) -> None:
    around = open_courier(product_of(Platform.OCEANCONNECT, platform))
    around.push()
    command = around.commands.file(1)
    await around.told(1)
    around.commands.cancel(command)
    assert (await around.told(2))[1][0] == "recalled"
    path = f"/iocm/app/cmd/v1.4.0/deviceCommands/ocean-1?appId={APPLICATION}"
    assert platform.recalled == [(path, {"status": "CANCELED"})]


async def test_what_iotda_cannot_give_back_is_told_and_its_end_is_heard(
    platform: StubPlatform, open_courier: Make
) -> None:
    around = open_courier(product_of(Platform.IOTDA, platform, project_id="p1"))
    around.push()
    first, second = around.commands.file(1), around.commands.file(2)
    await around.told(1)
    around.commands.cancel(first)
    told = await around.told(3)
    assert told[1][:4] == ("not_recalled", DEVICE, first.command_id, f"iotda: {NO_CALL}")
    assert told[2][:3] == ("handed_over", DEVICE, second.command_id)
    around.news("iotda-1", "successful")
    assert (await around.told(4))[3][:4] == ("ended", DEVICE, first.command_id, 0)


async def test_a_platform_that_keeps_it_says_so(platform: StubPlatform, open_courier: Make) -> None:
    around = open_courier(product_of(Platform.CTWING, platform))
    around.push()
    command = around.commands.file(1)
    await around.told(1)
    platform.keeps = True
    around.commands.cancel(command)
    assert (await around.told(2))[1][:4] == ("not_recalled", DEVICE, command.command_id, "ctwing: 1604 it is over")


async def test_a_platform_that_is_away_is_asked_again(
    platform: StubPlatform, open_courier: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "LOOK_EVERY_S", 0.05)
    around = open_courier(product_of(Platform.CTWING, platform))
    around.push()
    command = around.commands.file(1)
    await around.told(1)
    platform.refuses = True
    around.commands.cancel(command)
    assert (await around.told(2))[1][:4] == (
        "not_recalled",
        DEVICE,
        command.command_id,
        "ctwing: 127.0.0.1 answered 503",
    )
    assert around.courier.asked_again == 1
    platform.refuses = False
    assert (await around.told(3))[2][:3] == ("recalled", DEVICE, command.command_id)
    assert around.courier.asked_again == 0


async def test_what_was_cancelled_while_the_gateway_was_away_is_fetched_back(
    platform: StubPlatform, open_courier: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the gateway knows what waits, and not before; without a push that says what the device is called there."""
    monkeypatch.setattr(courier, "LOOK_EVERY_S", 0.05)
    around = open_courier(product_of(Platform.CTWING, platform))
    around.push()
    command = around.commands.file(1)
    await around.told(1)
    await around.stop()
    again = open_courier(around.product)
    again.commands.knows = False
    again.push()
    await asyncio.sleep(0.3)
    assert again.commands.told == []
    again.commands.knows = True
    assert (await again.told(1))[0][:3] == ("recalled", DEVICE, command.command_id)


async def test_the_platforms_word_that_it_is_cancelled_ends_nothing_twice(
    platform: StubPlatform, open_courier: Make
) -> None:
    around = open_courier(product_of(Platform.IOTDA, platform, project_id="p1"))
    around.push()
    command = around.commands.file(1)
    await around.told(1)
    around.commands.cancel(command)
    await around.told(2)
    around.news("iotda-1", "cancelled")
    assert (await around.told(3))[2][:4] == ("recalled", DEVICE, command.command_id, "iotda: cancelled")
    around.news("iotda-1", "cancelled")
    await asyncio.sleep(0.1)
    assert len(around.commands.told) == 3


def test_the_ledger_remembers_who_waits_for_nobody(tmp_path: Path) -> None:
    now_s = int(time.time())
    ledger = Ledger(tmp_path)
    kept, second = (Open("east", number, "d1", bytes(8), now_s + 100, "id", "7") for number in ("1", "2"))
    ledger.sent(kept)
    ledger.left(kept)
    for _ in range(2):
        again = Ledger(tmp_path)
        again.load(now_s)
        assert (again.of_device("d1"), again.find("east", "1")) == (None, kept)
    again.sent(second)
    assert (again.of_device("d1"), again.here(), len(again)) == (second, [second], 2)


async def test_who_is_asked_again_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking_back, "MAX_AGAIN", 1)

    async def away(_: Product, __: Open) -> bytes | None:
        raise UnavailableError("away")

    stub, commands, ledger, expires_s = StubPlatform(), FakeCommands(), Ledger(tmp_path), int(time.time()) + 100
    product = product_of(Platform.CTWING, stub)
    back = taking_back.TakingBack(commands, ledger, Counts(), lambda _: product, away)
    for number in range(3):
        there = Open("east", str(number), f"d{number}", number.to_bytes(8), expires_s)
        ledger.sent(there)
        await back.take_back(there)
    await back.try_again()
    assert (len(back), [told[0] for told in commands.told]) == (1, ["not_recalled"] * 3)
    monkeypatch.setattr(taking_back.time, "time", lambda: expires_s + 1)
    await back.try_again()
    assert len(back) == 0
    stub.close()


async def test_a_command_at_two_platforms_is_asked_for_at_both(tmp_path: Path) -> None:
    """Of a device that moved while its first platform was away."""
    asked: list[str] = []

    async def away(_: Product, there: Open) -> bytes | None:
        asked.append(there.product)
        raise UnavailableError("away")

    stub, ledger, expires_s = StubPlatform(), Ledger(tmp_path), int(time.time()) + 100
    product = product_of(Platform.CTWING, stub)
    back = taking_back.TakingBack(FakeCommands(), ledger, Counts(), lambda _: product, away)
    for name in ("east", "west"):
        there = Open(name, "1", "d1", bytes(8), expires_s)
        ledger.sent(there)
        await back.take_back(there)
    await back.try_again()
    assert (len(back), asked) == (2, ["east", "west"] * 2)
    stub.close()
