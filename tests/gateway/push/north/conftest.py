"""A courier, commands in memory, and a platform that checks every signature."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.devices import Devices
from gateway.push.aliases import Aliases
from gateway.push.counts import Counts
from gateway.push.messages import CommandNews, Kind, Message
from gateway.push.north.courier import Courier
from gateway.push.products import Platform, Product
from metering.commands import CommandKind, WaitingCommand
from metering.model import Authentication, Door
from metering.registry import ENABLED, WAS_PUSHED, RegistryEntry
from tests.gateway.conftest import until
from tests.gateway.push.north.stub import APPLICATION, MASTER_KEY, SECRET, StubPlatform

DEVICE, PLATFORM_ID = "861234567890123", "44d0b9e4"


class FakeCommands:
    """`gateway.commands.Commands` in memory."""

    def __init__(self) -> None:
        self.waits: dict[str, list[WaitingCommand]] = {}
        self.told: list[tuple[Any, ...]] = []
        self.listener: Callable[[str], None] = lambda _: None
        self.loser: Callable[[str], None] = lambda _: None
        self.knows = True

    def file(self, number: int, device: str = DEVICE, kind: CommandKind = CommandKind.REPORT_NOW) -> WaitingCommand:
        arguments = {0: b"\x68\x16"} if kind is CommandKind.RAW else {}
        command = WaitingCommand(number.to_bytes(8, "big"), kind, arguments, int(time.time()) + 3600)
        self.waits.setdefault(device, []).append(command)
        self.listener(device)
        return command

    def cancel(self, command: WaitingCommand, device: str = DEVICE) -> None:
        self.waits[device].remove(command)
        self.loser(device)

    def waiting(self, device: str, authentication: Authentication) -> list[WaitingCommand]:
        assert authentication is Authentication.PUSHER
        return self.waits.get(device, [])

    def handed_over(self, device: str, command: WaitingCommand, door: Door) -> None:
        self.told.append(("handed_over", device, command.command_id, door))

    def ended(self, device: str, command_id: bytes, result: int, reason: str, door: Door) -> None:
        self.waits[device] = [command for command in self.waits[device] if command.command_id != command_id]
        self.told.append(("ended", device, command_id, result, reason))

    def on_new(self, listener: Callable[[str], None]) -> None:
        self.listener = listener

    def on_gone(self, listener: Callable[[str], None]) -> None:
        self.loser = listener

    def still_waits(self, device: str, command_id: bytes) -> bool | None:
        return any(c.command_id == command_id for c in self.waits.get(device, ())) if self.knows else None

    def recalled(self, device: str, command_id: bytes, succeeded: bool, reason: str, door: Door) -> None:
        self.told.append(("recalled" if succeeded else "not_recalled", device, command_id, reason, door))


@pytest.fixture
def platform() -> Iterator[StubPlatform]:
    stub = StubPlatform()
    yield stub
    stub.close()


def product_of(platform: Platform, stub: StubPlatform, **api: str) -> Product:
    given = {"url": stub.url, "application": APPLICATION, "secret": SECRET, "master_key": MASTER_KEY, **api}
    return Product.model_validate(
        {"name": "east", "platform": platform, "secret_path": "0123456789abcdef", "commands": given}
    )


class Around:
    """A courier and what it works with."""

    def __init__(self, product: Product, directory: Path) -> None:
        self.product, self.commands, self.aliases, self.counts = product, FakeCommands(), Aliases(), Counts()
        self.devices = Devices()
        self.bind("east")
        self.courier = Courier([product], self.commands, self.aliases, self.devices, directory, self.counts)
        self.task = asyncio.create_task(self.courier.run())

    def bind(self, *products: str) -> None:
        self.devices.apply(RegistryEntry(DEVICE, (DEVICE,), (), ENABLED | WAS_PUSHED, pushers=products))

    def push(self) -> None:
        self.aliases.learn(PLATFORM_ID, DEVICE, "east", "10053421")
        self.courier.heard(self.product, DEVICE, Message(Kind.DATA, (DEVICE,), PLATFORM_ID, "10053421", b"{}"))

    def news(self, number: str, status: str, device: str = DEVICE) -> None:
        news = CommandNews(number, status, "")
        self.courier.heard(self.product, device, Message(Kind.COMMAND, (DEVICE,), PLATFORM_ID, "", b"{}", news))

    async def told(self, count: int) -> list[tuple[Any, ...]]:
        async def enough() -> bool:
            return len(self.commands.told) >= count

        await until(enough)
        return self.commands.told

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def open_courier(tmp_path: Path) -> AsyncIterator[Callable[[Product], Around]]:
    opened = []

    def make(product: Product) -> Around:
        opened.append(Around(product, tmp_path))
        return opened[-1]

    yield make
    for around in opened:
        await around.stop()


Make = Callable[[Product], Around]
