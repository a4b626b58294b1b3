"""Fetches back from platforms what was taken back here: a command that was cancelled, a close whose customer became
critical. What cannot be fetched back is told to people, and what the meter makes of it is still heard.

A platform that cannot be asked is asked again until the command expires, up to MAX_AGAIN of them at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from gateway.commands import RecallableCommands
from gateway.push.counts import Counts
from gateway.push.north.ledger import Ledger, Open
from gateway.push.north.recalls import NO_CALL, recall_refusal
from gateway.push.products import Platform, Product
from metering.errors import NbwaterError
from metering.model import Door

MAX_AGAIN = 1_000
_log = structlog.get_logger()

Ask = Callable[[Product, Open], Awaitable[bytes | None]]
"""The platform's answer; None where it has no such call. Raises NbwaterError where it cannot be asked."""


class TakingBack:
    """`product`: by its name, as it is now; None: there is none any more."""

    def __init__(
        self,
        commands: RecallableCommands,
        ledger: Ledger,
        counts: Counts,
        product: Callable[[str], Product | None],
        ask: Ask,
    ) -> None:
        self._commands, self._ledger, self._counts, self._product, self._ask = commands, ledger, counts, product, ask
        self._again: dict[tuple[str, str], Open] = {}
        """By product and the platform's number: a device that moved may have one command at two platforms."""

    def __len__(self) -> int:
        """Those that their platform is asked for again."""
        return len(self._again)

    async def take_back(self, there: Open) -> None:
        """One that waits no more. Why is not known here: of one that the meter has answered the platform says that it
        is over, and ingest takes no note of that. Raises OSError."""
        if there.expires_s <= time.time():
            await asyncio.to_thread(self._ledger.ended, there)
            return
        product = self._product(there.product)
        failure, again = await self._asked(product, there)
        if self._ledger.find(there.product, there.platform_command_id) is None:
            return  # the platform told how it ended meanwhile
        known = self._again.pop(_key(there), None) is not None
        if not failure:
            self._tell(product, there, True, "taken back from its queue")
            await asyncio.to_thread(self._ledger.ended, there)
            return
        if again and len(self._again) < MAX_AGAIN:
            self._again[_key(there)] = there
        if not known:
            self._tell(product, there, False, failure)
            await asyncio.to_thread(self._ledger.left, there)

    async def try_again(self) -> None:
        """Raises OSError."""
        for there in list(self._again.values()):
            if self._ledger.find(there.product, there.platform_command_id) is None or there.expires_s <= time.time():
                self._again.pop(_key(there), None)
            else:
                await self.take_back(there)

    async def _asked(self, product: Product | None, there: Open) -> tuple[str, bool]:
        """Why it stays there, empty when it does not, and whether asking again may help."""
        if product is None or product.commands is None:
            return "its product or its commands are not configured any more", False
        try:
            answer = await self._ask(product, there)
        except NbwaterError as error:
            return str(error), True
        return (NO_CALL if answer is None else recall_refusal(product.platform, answer)), False

    def _tell(self, product: Product | None, there: Open, succeeded: bool, reason: str) -> None:
        platform = product.platform if product else there.product
        self._counts.commands[there.product, "recalled" if succeeded else "not_recalled"] += 1
        if not succeeded:
            _log.warning("push_command_not_recalled", device=there.device, product=there.product, reason=reason)
        self._commands.recalled(there.device, there.command_id, succeeded, f"{platform}: {reason}", door_of(product))


def _key(there: Open) -> tuple[str, str]:
    return there.product, there.platform_command_id


def door_of(product: Product | None) -> Door:
    return Door.CTWING if product is None or product.platform is Platform.CTWING else Door.IOTDA
