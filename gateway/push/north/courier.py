"""Brings waiting commands to the platforms of pushed devices, and back what became of them.

A command goes to the platform when it is filed and the device has pushed before, else right after the device's next
push: it is awake then, and the platform delivers at once. One command of a device is at a platform at a time. A
platform that takes none is asked again at the device's next push. A product hears only of commands for devices that are
bound to it, and only it says how they ended. What was taken back here is fetched back from there.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import structlog

from gateway.commands import RecallableCommands
from gateway.devices import Devices
from gateway.push.aliases import Aliases, Way
from gateway.push.counts import Counts
from gateway.push.messages import CommandNews, Kind, Message
from gateway.push.north.calls import PLATFORM_STATES, command_call, login_call, login_token, platform_command_id
from gateway.push.north.client import send
from gateway.push.north.ledger import MAX_OPEN, Ledger, Open
from gateway.push.north.recalls import CANCELLED, recall_call
from gateway.push.north.taking_back import TakingBack, door_of
from gateway.push.products import CommandApi, Platform, Product
from metering.commands import WaitingCommand
from metering.errors import NbwaterError
from metering.model import Authentication

AT_ONCE = 4
"""Calls to platforms at the same time."""

MAX_DUE = 10_000
"""Devices whose command is to be brought; further ones wait for their next push."""

MAX_EARLY_NEWS = 1_000
"""News of commands whose call has not been answered yet: the oldest are forgotten."""

TOKEN_SPARE_S = 60
LOOK_EVERY_S = 30.0
_log = structlog.get_logger()


class Courier:
    """`run` works until cancelled."""

    def __init__(
        self,
        products: Sequence[Product],
        commands: RecallableCommands,
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
        self._ending: set[Open] = set()
        """In `_writes`: the platform has said how they ended."""
        self._back = TakingBack(commands, self._ledger, counts, lambda name: self._products.get(name), self._ask_back)
        commands.on_new(self._filed)
        commands.on_gone(self._look)

    def __len__(self) -> int:
        return len(self._ledger)

    @property
    def asked_again(self) -> int:
        """Commands that a platform could not be asked to give back yet."""
        return len(self._back)

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
            group.create_task(self._look_around(), name="push commands taken back")
            group.create_task(self._ask_again(), name="push commands asked for again")

    def _filed(self, device: str) -> None:
        if self._aliases.way_to(device) is not None:
            self._look(device)

    def _look(self, device: str) -> None:
        if device in self._queued:
            return
        if not self._commands.waiting(device, Authentication.PUSHER) and self._ledger.of_device(device) is None:
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
        self._ledger.expire(time.time())
        if await self._is_at_a_platform(device):
            return
        way, waiting = self._aliases.way_to(device), self._commands.waiting(device, Authentication.PUSHER)
        product = self._products.get(way.product) if way else None
        if way is None or product is None or product.commands is None or not waiting or not self._ledger.has_room():
            return
        if not self._is_bound(device, product.name):
            return  # bound to another product, or to none, since it was heard
        await self._hand_over(product, product.commands, way, device, waiting[0])

    async def _is_at_a_platform(self, device: str) -> bool:
        """Whether one of its commands is. One that waits no more is fetched back first, and so is one that is with a
        platform which the device has left: it would still deliver it."""
        there = self._ledger.of_device(device)
        if there is None:
            return False
        waits = self._commands.still_waits(device, there.command_id)
        if there in self._ending or waits is None or (waits and self._is_bound(device, there.product)):
            return True  # the platform still has it, or nobody can say
        await self._back.take_back(there)
        return False

    def _is_bound(self, device: str, product: str) -> bool:
        known = self._devices.find(device)
        return known is not None and product in known[1].pushers

    async def _hand_over(
        self, product: Product, api: CommandApi, way: Way, device: str, command: WaitingCommand
    ) -> None:
        token = await self._token(product, api) if product.platform is Platform.OCEANCONNECT else ""
        call = command_call(product, api, way, command, token, time.time())
        number = platform_command_id(product.platform, await send(call, api, self._ca))
        entry = Open(
            product.name, number, device, command.command_id, command.expires_s, way.platform_id, way.platform_product
        )  # fmt: skip
        await asyncio.to_thread(self._ledger.sent, entry)
        self._counts.commands[product.name, "taken"] += 1
        self._commands.handed_over(device, command, door_of(product))
        if (news := self._early.pop((product.name, number, device), None)) is not None:
            self._news(product, device, news)

    async def _ask_back(self, product: Product, there: Open) -> bytes | None:
        """See `taking_back.Ask`."""
        assert product.commands is not None  # noqa: S101 - TakingBack has looked, for the type checker
        api = product.commands
        token = await self._token(product, api) if product.platform is Platform.OCEANCONNECT else ""
        call = recall_call(product, api, there, token, time.time())
        return None if call is None else await send(call, api, self._ca)

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
        if result is not None and entry not in self._ending:
            reason = f"{product.platform}: {news.status}" + (f" ({news.detail})" if news.detail else "")
            if news.status in CANCELLED and self._commands.still_waits(entry.device, entry.command_id) is False:
                self._commands.recalled(entry.device, entry.command_id, True, reason, door_of(product))
            else:
                self._commands.ended(entry.device, entry.command_id, result, reason, door_of(product))
            if not self._writes.full():
                self._ending.add(entry)
                self._writes.put_nowait(entry)

    async def _note_ends(self) -> None:
        """Off the loop: each costs an fsync. The device's next command may go then."""
        while True:
            entry = await self._writes.get()
            try:
                await asyncio.to_thread(self._ledger.ended, entry)
            except OSError as error:
                _log.warning("push_command_end_not_kept", error=str(error))
            self._ending.discard(entry)
            self._look(entry.device)

    async def _look_around(self) -> None:
        """For what was taken back while this process was not there."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for there in self._ledger.here():
                if self._commands.still_waits(there.device, there.command_id) is False:
                    self._look(there.device)

    async def _ask_again(self) -> None:
        """For what a platform could not be asked for; a task of its own, since one that hangs takes its time."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._back.try_again()
            except OSError as error:
                _log.warning("push_command_end_not_kept", error=str(error))
