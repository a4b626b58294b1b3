"""Commands to meters that speak MQTT: published to the meter's own topic right after its report, or at once where it
was heard a moment ago, and told as handed over when the broker has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.commands import Commands
from gateway.mqtt.topics import down, fits
from metering.commands import WaitingCommand
from metering.model import Authentication, Door

MAX_AT_ONCE = 4
"""Commands of one meter that are published together, oldest first; the others follow at its next report."""
MAX_HEARD = 65_536
"""Meters that are remembered as there; of more the one heard longest ago is forgotten."""
MAX_PUBLISHED = 2_000
"""Commands that the broker has not acknowledged."""
_NEVER: tuple[float, frozenset[bytes]] = (float("-inf"), frozenset())


class Publishes(Protocol):
    def publish(self, topic: str, payload: bytes) -> int | None:
        """The message id; None when it cannot now."""
        ...


class HandingOver:
    """`there_s`: how long after its last report a meter is thought to hear."""

    def __init__(self, commands: Commands, there_s: float) -> None:
        self._commands, self._there_s = commands, there_s
        self._heard: dict[str, tuple[float, frozenset[bytes]]] = {}
        """When, and which commands the last report named: those the meter has, though ingest has not said so yet."""
        self._published: dict[int, tuple[str, WaitingCommand]] = {}
        self.handed_over = 0

    def begin(self) -> None:
        """A new connection: message ids begin anew, and what has no acknowledgement waits for the next report."""
        self._published.clear()

    def heard(self, device: str, payload: bytes, link: Publishes | None, now: float) -> None:
        """The meter's report is on disk. A command that it names is not published again."""
        _, named = self._heard.pop(device, _NEVER)
        if len(self._heard) >= MAX_HEARD:
            del self._heard[next(iter(self._heard))]
        waiting = self._commands.waiting(device, Authentication.MQTT)
        named = frozenset(c.command_id for c in waiting if c.command_id in named or c.is_named_in(payload))
        self._heard[device] = now, named
        self._hand_over(device, waiting, named, link)

    def new_command(self, device: str, link: Publishes | None, now: float) -> None:
        """Only to a meter that is there: the broker would forget what nobody listens for, and it would look handed
        over."""
        heard_at, named = self._heard.get(device, _NEVER)
        if now - heard_at < self._there_s:
            self._hand_over(device, self._commands.waiting(device, Authentication.MQTT), named, link)

    def published(self, message_id: int, has_subscriber: bool) -> None:
        """The broker has it."""
        device, command = self._published.pop(message_id, (None, None))
        if device is not None and command is not None and has_subscriber:
            self.handed_over += 1
            self._commands.handed_over(device, command, Door.MQTT)

    def _hand_over(
        self, device: str, waiting: Sequence[WaitingCommand], named: frozenset[bytes], link: Publishes | None
    ) -> None:
        if not waiting or link is None or not fits(device):
            return
        for command in [c for c in waiting if c.command_id not in named][:MAX_AT_ONCE]:
            if len(self._published) >= MAX_PUBLISHED:
                return
            message_id = link.publish(down(device), command.answer())
            if message_id is not None:
                self._published[message_id] = (device, command)
