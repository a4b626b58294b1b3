"""Tells ingest that the newer of two keys was used, so that the older ends (`metering.key_uses`).

Only of devices that have two valid keys of a kind: of all others `used` costs a look into a set that mostly is empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.devices import Devices
from metering.credentials import CredentialKind
from metering.key_uses import KEYS_USED_SUBJECT, MAX_USES, KeyUse, encode_uses

FLUSH_S = 1.0

_log = structlog.get_logger()
Tell = Callable[[str, bytes], Awaitable[None]]


class KeyUses:
    """`used` is for every door that authenticates by key; it never raises and keeps MAX_USES keys at most."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._uses: set[KeyUse] = set()

    def __len__(self) -> int:
        return len(self._uses)

    def used(self, device: str, kind: CredentialKind, key_id: bytes) -> None:
        """A device, by its canonical name, has authenticated with this key of its own."""
        if self._devices.is_rotating(device) and len(self._uses) < MAX_USES:
            self._uses.add(KeyUse(kind, key_id))

    def drain(self) -> list[KeyUse]:
        """What came since the last call."""
        uses, self._uses = self._uses, set()
        return list(uses)


async def tell_key_uses(uses: KeyUses, tell: Tell) -> None:
    """Until cancelled. What cannot be told is told at the key's next use."""
    while True:
        await asyncio.sleep(FLUSH_S)
        if told := uses.drain():
            try:
                await tell(KEYS_USED_SUBJECT, encode_uses(told))
            except Exception as error:
                _log.warning("key_uses_not_told", error=type(error).__name__)
