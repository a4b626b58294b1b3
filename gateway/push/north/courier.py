"""Brings waiting commands to the platforms of pushed devices, and back what became of them.

A command goes to the platform when it is filed and the device has pushed before, else right after the device's next
push: it is awake then, and the platform delivers at once. One command of a device is at a platform at a time. A
platform that takes none is asked again at the device's next push. A product hears only of commands for devices that are
bound to it, and only it says how they ended.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import structlog

from gateway.commands import Commands
from gateway.devices import Devices
from gateway.push.aliases import Aliases, Way
from gateway.push.counts import Counts
from gateway.push.messages import CommandNews, Kind, Message
from gateway.push.north.calls import PLATFORM_STATES, command_call, login_call, login_token, platform_command_id
from gateway.push.north.client import send
from gateway.push.north.ledger import MAX_OPEN, Ledger, Open
from gateway.push.products import CommandApi, Platform, Product
from metering.commands import WaitingCommand
from metering.errors import NbwaterError
from metering.model import Authentication, Door

AT_ONCE = 4
"""Calls to platforms at the same time."""

MAX_DUE = 10_000
"""Devices whose command is to be brought; further ones wait for their next push."""

MAX_EARLY_NEWS = 1_000
"""News of commands whose call has not been answered yet: the oldest are forgotten."""

TOKEN_SPARE_S = 60
_log = structlog.get_logger()


class Courier:
    """`run` works until cancelled."""

    def __init__(
        self,
        products: Sequence[Product],
        commands: Commands,
        aliases: Aliases,
        devices: Devices,
        directory: Path,
        counts: Counts,
        ca: str = "",
    ) -> None:
        self._products = {product.name: product for product in products}
        self._commands, self._aliases, self._counts, self._ca = commands, aliases, counts, ca
        self._devices = devices
        self._ledger = Ledger(directory)
        self._ledger.load(time.time())
        self._due: asyncio.Queue[str] = asyncio.Queue(MAX_DUE)
        self._queued: set[str] = set()
        self._early: OrderedDict[tuple[str, str, str], CommandNews] = OrderedDict()
        self._tokens: dict[str, tuple[str, float]] = {}
        self._writes: asyncio.Queue[Open] = asyncio.Queue(MAX_OPEN)
        commands.on_new(self._filed)

    def __len__(self) -> int:
        return len(self._ledger)

    def use(self, products: Sequence[Product]) -> None:
        self._products = {product.name: product for product in products}

    def heard(self, product: Product, device: str, message: Message) -> None:
        """A push of a device that is bound to the product. Costs next to nothing when no command waits for it."""
        if message.news is not None:
            self._news(product, device, message.news)
        if product.commands is not None and message.kind is not Kind.COMMAND:
            self._look(device)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(self._bring(), name=f"push commands {number}")
            group.create_task(self._note_ends(), name="push command ends")

    def _filed(self, device: str) -> None:
        if self._aliases.way_to(device) is not None:
            self._look(device)

    def _look(self, device: str) -> None:
        if device in self._queued or not self._commands.waiting(device, Authentication.PUSHER):
            return
        if not self._due.full():
            self._queued.add(device)
            self._due.put_nowait(device)

    async def _bring(self) -> None:
        while True:
            device = await self._due.get()
            try:
                await self._bring_one(device)
            except (NbwaterError, OSError) as error:
                way = self._aliases.way_to(device)
                product = way.product if way else ""
                self._counts.commands[product, "failed"] += 1
                _log.warning("push_command_not_taken", device=device, product=product, error=str(error))
            except Exception:
                _log.exception("a command met a defect", device=device)
            finally:
                self._queued.discard(device)

    async def _bring_one(self, device: str) -> None:
        """Raises UnavailableError when the platform takes nothing."""
        way, waiting = self._aliases.way_to(device), self._commands.waiting(device, Authentication.PUSHER)
        product = self._products.get(way.product) if way else None
        if way is None or product is None or product.commands is None or not waiting or not self._ledger.has_room():
            return
        if (known := self._devices.find(device)) is None or product.name not in known[1].pushers:
            return  # bound to another product, or to none, since it was heard
        self._ledger.expire(time.time())
        if (there := self._ledger.of_device(device)) is not None:
            is_open = any(command.command_id == there.command_id for command in waiting)
            if is_open and there.product == product.name:
                return  # the platform still has it
            # It ended otherwise: cancelled, told by the meter, or with a platform that the device has left.
            await asyncio.to_thread(self._ledger.ended, there)
        await self._hand_over(product, product.commands, way, device, waiting[0])

    async def _hand_over(
        self, product: Product, api: CommandApi, way: Way, device: str, command: WaitingCommand
    ) -> None:
        token = await self._token(product, api) if product.platform is Platform.OCEANCONNECT else ""
        call = command_call(product, api, way, command, token, time.time())
        number = platform_command_id(product.platform, await send(call, api, self._ca))
        entry = Open(product.name, number, device, command.command_id, command.expires_s)
        await asyncio.to_thread(self._ledger.sent, entry)
        self._counts.commands[product.name, "taken"] += 1
        self._commands.handed_over(device, command, _door(product))
        if (news := self._early.pop((product.name, number, device), None)) is not None:
            self._news(product, device, news)

    async def _token(self, product: Product, api: CommandApi) -> str:
        token, until_s = self._tokens.get(product.name, ("", 0.0))
        if time.monotonic() >= until_s:
            token, lasts_s = login_token(await send(login_call(api), api, self._ca))
            self._tokens[product.name] = token, time.monotonic() + lasts_s - TOKEN_SPARE_S
        return token

    def _news(self, product: Product, device: str, news: CommandNews) -> None:
        """News of another device's command are nobody's."""
        entry = self._ledger.find(product.name, news.platform_command_id)
        if entry is not None and entry.device != device:
            self._counts.commands[product.name, "foreign"] += 1
            return
        self._counts.commands[product.name, news.status if news.status in PLATFORM_STATES else "unknown"] += 1
        if entry is None:
            self._early[product.name, news.platform_command_id, device] = news
            if len(self._early) > MAX_EARLY_NEWS:
                self._early.popitem(last=False)
            return
        result = PLATFORM_STATES.get(news.status)
        if result is not None:
            reason = f"{product.platform}: {news.status}" + (f" ({news.detail})" if news.detail else "")
            self._commands.ended(entry.device, entry.command_id, result, reason, _door(product))
            if not self._writes.full():
                self._writes.put_nowait(entry)

    async def _note_ends(self) -> None:
        """Off the loop: each costs an fsync. The device's next command may go then."""
        while True:
            entry = await self._writes.get()
            if self._ledger.find(entry.product, entry.platform_command_id) is None:
                continue
            try:
                await asyncio.to_thread(self._ledger.ended, entry)
            except OSError as error:
                _log.warning("push_command_end_not_kept", error=str(error))
            self._look(entry.device)


def _door(product: Product) -> Door:
    return Door.CTWING if product.platform is Platform.CTWING else Door.IOTDA
