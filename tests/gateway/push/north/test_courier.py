"""Commands on their way to platforms and back, over a stub that checks every signature."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.push.messages import Kind, Message
from gateway.push.north.ledger import Ledger, Open
from gateway.push.products import Platform
from metering.commands import CommandKind
from metering.model import Door
from tests.gateway.conftest import until
from tests.gateway.push.north.conftest import DEVICE, PLATFORM_ID, Make, product_of
from tests.gateway.push.north.stub import APPLICATION, StubPlatform


async def test_ctwing_is_given_the_command_when_the_device_speaks(platform: StubPlatform, open_courier: Make) -> None:
    around = open_courier(product_of(Platform.CTWING, platform))
    command = around.commands.file(1)
    await asyncio.sleep(0.05)
    assert platform.commands == []
    around.push()
    assert await around.told(1) == [("handed_over", DEVICE, command.command_id, Door.CTWING)]
    ((path, body),) = platform.commands
    assert path == "/aep_device_command_lwm_profile/commandLwm2mProfile"
    assert (body["deviceId"], body["productId"]) == (PLATFORM_ID, 10053421)
    assert body["command"] == {"serviceId": "Command", "method": "Raw", "paras": {"data": command.answer().hex()}}
    assert 3500 < body["ttl"] <= 3600
    for status in ("saved", "sent", "delivered"):
        around.news("1", status)
    around.push()
    around.news("1", "successful")
    assert (await around.told(2))[1:] == [("ended", DEVICE, command.command_id, 0, "ctwing: successful")]
    assert len(platform.commands) == 1


async def test_one_at_a_time_and_in_their_order(platform: StubPlatform, open_courier: Make) -> None:
    around = open_courier(product_of(Platform.CTWING, platform))
    around.push()
    first, second = around.commands.file(1), around.commands.file(2)
    await around.told(1)
    around.push()
    await asyncio.sleep(0.1)
    assert len(platform.commands) == 1
    around.news("1", "failed")
    assert [told[0] for told in await around.told(3)] == ["handed_over", "ended", "handed_over"]
    assert [told[2] for told in around.commands.told] == [first.command_id, first.command_id, second.command_id]
    assert around.commands.told[1][3] == 1


async def test_a_restart_forgets_no_command(platform: StubPlatform, open_courier: Make) -> None:
    around = open_courier(product_of(Platform.CTWING, platform))
    around.push()
    command = around.commands.file(7)
    await around.told(1)
    await around.stop()
    again = open_courier(around.product)
    again.commands.waits[DEVICE] = [command]
    again.push()
    again.news("1", "timeout")
    assert (await again.told(1))[0] == ("ended", DEVICE, command.command_id, 3, "ctwing: timeout")
    assert len(platform.commands) == 1


async def test_a_platform_that_takes_nothing_is_asked_at_the_next_push(
    platform: StubPlatform, open_courier: Make
) -> None:
    around = open_courier(product_of(Platform.CTWING, platform))
    platform.refuses = True
    around.push()
    around.commands.file(1)

    async def failed() -> bool:
        return around.counts.commands["east", "failed"] == 1

    await until(failed)
    platform.refuses = False
    around.push()
    await around.told(1)


async def test_a_wrong_secret_is_told_in_the_log_only(platform: StubPlatform, open_courier: Make) -> None:
    around = open_courier(product_of(Platform.CTWING, platform, secret="wrong"))
    around.push()
    around.commands.file(1)

    async def failed() -> bool:
        return around.counts.commands["east", "failed"] == 1

    await until(failed)
    assert platform.unsigned
    assert around.commands.told == []


@pytest.mark.parametrize("api", [{}, {"token": "a-token", "application": "", "secret": ""}])
async def test_iotda_with_a_signature_or_a_token(
    platform: StubPlatform, open_courier: Make, api: dict[str, str]
) -> None:
    around = open_courier(product_of(Platform.IOTDA, platform, project_id="p1", **api))
    around.push()
    around.commands.file(1, kind=CommandKind.RAW)
    await around.told(1)
    ((path, body),) = platform.commands
    assert path == f"/v5/iot/p1/devices/{PLATFORM_ID}/async-commands"
    assert (body["send_strategy"], body["paras"]) == ("delay", {"data": "6816"})
    around.news("iotda-1", "expired")
    assert (await around.told(2))[1][3] == 3


async def test_oceanconnect_with_a_login_that_is_used_again(platform: StubPlatform, open_courier: Make) -> None:
    around = open_courier(product_of(Platform.OCEANCONNECT, platform, callback_url="https://here/push/x"))
    around.push()
    for number in (1, 2):
        around.commands.file(number)
        await around.told(2 * number - 1)
        around.news(f"ocean-{number}", "successful")
        await around.told(2 * number)
    assert platform.logins == 1
    assert platform.commands[0][0] == f"/iocm/app/cmd/v1.4.0/deviceCommands?appId={APPLICATION}"
    assert platform.commands[0][1]["callbackUrl"] == "https://here/push/x"


async def test_news_before_the_call_is_answered_are_kept(platform: StubPlatform, open_courier: Make) -> None:
    around = open_courier(product_of(Platform.CTWING, platform))
    around.news("1", "successful")
    around.push()
    command = around.commands.file(1)
    assert (await around.told(2))[1][:4] == ("ended", DEVICE, command.command_id, 0)


def test_the_ledger_holds_what_is_open_only(tmp_path: Path) -> None:
    now_s = int(time.time())
    ledger = Ledger(tmp_path)
    entries = [Open("east", str(number), f"d{number}", bytes(8), now_s + 100) for number in range(4)]
    for entry in entries:
        ledger.sent(entry)
    ledger.ended(entries[1])
    ledger.sent(Open("east", "old", "d9", bytes(8), now_s - 90_000))
    with (tmp_path / "commands.jsonl").open("a") as file:
        file.write('{"product": "east"}\n{"half a li')
    again = Ledger(tmp_path)
    again.load(now_s)
    assert len(again) == 3
    assert again.find("east", "1") is None
    assert again.of_device("d2") == entries[2]
    assert len((tmp_path / "commands.jsonl").read_text().splitlines()) == 3


async def test_a_product_the_device_is_not_bound_to_is_handed_nothing(
    platform: StubPlatform, open_courier: Make
) -> None:
    """Its way was learned while it was bound, or came with a file of aliases."""
    around = open_courier(product_of(Platform.CTWING, platform))
    around.push()
    for products in ((), ("west",)):
        around.bind(*products)
        around.commands.file(1)
        around.push()
        await asyncio.sleep(0.1)
    assert platform.commands == []
    around.bind("west", "east")
    around.push()
    await around.told(1)


async def test_news_of_another_device_end_no_command(platform: StubPlatform, open_courier: Make) -> None:
    around = open_courier(product_of(Platform.CTWING, platform))
    around.news("1", "successful", device="another")  # before the call is answered, too
    around.push()
    command = around.commands.file(1)
    await around.told(1)
    around.news("1", "successful", device="another")
    assert around.counts.commands["east", "foreign"] == 1
    around.news("1", "successful")
    assert (await around.told(2))[1][:4] == ("ended", DEVICE, command.command_id, 0)


async def test_a_device_that_moved_is_handed_its_command_by_its_new_platform(
    platform: StubPlatform, open_courier: Make
) -> None:
    around = open_courier(product_of(Platform.CTWING, platform))
    around.push()
    command = around.commands.file(1)
    await around.told(1)
    west = around.product.model_copy(update={"name": "west"})
    around.courier.use([around.product, west])
    around.bind("west")
    around.aliases.learn("w1", DEVICE, "west", "7")
    around.courier.heard(west, DEVICE, Message(Kind.DATA, (DEVICE,), "w1", "7", b"{}"))
    assert [told[:3] for told in await around.told(3)] == [
        ("handed_over", DEVICE, command.command_id),
        ("recalled", DEVICE, command.command_id),  # the platform that it has left would still deliver it
        ("handed_over", DEVICE, command.command_id),
    ]
    around.news("1", "failed")
    assert platform.commands[-1][1]["deviceId"] == "w1"
    assert len(around.commands.told) == 3
