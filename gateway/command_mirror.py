"""Keeps what waits for each device in memory, equal to the stream that ingest writes it to (DESIGN section 2).

The stream has the newest message of each device and nothing else, so a mirror that starts reads it from its first to
its last, then on as messages come. A device whose message has not been read yet is handed nothing: late is harmless,
wrong would not be. That nothing waits any more is a message too, but one that the stream keeps for an hour only; a
mirror that was cut off for longer than STALE_AFTER_S begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import nats.errors
import structlog
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import NotFoundError

from gateway.command_telling import CommandTelling
from gateway.link import StreamLink
from metering.command_feed import DeviceCommands, decode_waiting
from metering.commands import CommandKind, WaitingCommand
from metering.errors import EnvelopeError
from metering.model import Authentication, Door
from metering.streams import COMMANDS_STREAM, COMMANDS_SUBJECT

MAX_DEVICES = 200_000
"""Devices that may have something waiting, about 1 kB each; those beyond are counted and get nothing."""

POLL_S = 0.5
"""A command is known so much later, as a rule."""

RETRY_PAUSE_S = 1.0
CHECK_EVERY_S = 5.0
"""The mirror is compared with its stream this often, which finds a stream made anew."""

VALVE_KNOWN_S = 10.0
"""A valve command is handed over while the end of the stream was seen so lately: it may have been taken back since."""

STALE_AFTER_S = 1800.0
"""Half of what ingest lets a message live that says that nothing waits."""

_MAY_CLOSE = frozenset({CommandKind.VALVE, CommandKind.RAW})
_log = structlog.get_logger()


class CommandMirror:
    """See `gateway.commands.RecallableCommands`; `run` is the task. `unix_s` is the clock that commands expire by.
    `address`: of a firmware image, as a meter that is vouched for so must hear it."""

    def __init__(
        self,
        link: StreamLink,
        telling: CommandTelling,
        unix_s: Callable[[], float],
        max_devices: int = MAX_DEVICES,
        address: Callable[[str, Authentication], str] = lambda uri, _: uri,
    ) -> None:
        self._link, self._telling, self._unix_s, self._max_devices = link, telling, unix_s, max_devices
        self._address = address
        self._waiting: dict[str, tuple[WaitingCommand, ...]] = {}
        self._fresh: dict[str, tuple[WaitingCommand, ...]] | None = {}
        """While the stream is read anew: what is known so far. Until then the old knowledge serves."""
        self._listeners: list[Callable[[str], None]] = []
        self._losers: list[Callable[[str], None]] = []
        self._created = ""
        self._read_at = float("-inf")
        self._whole_s = float("-inf")
        """Unix seconds at which all that the stream said was known."""
        self.position = 0
        self.rejected = 0
        """Messages that say of no device what waits for it, and devices beyond the bound."""

    def __len__(self) -> int:
        """Devices for which something waits."""
        return len(self._waiting)

    @property
    def complete(self) -> bool:
        """Whether the whole stream was read since the mirror began, or began anew."""
        return self._fresh is None

    def waiting(self, device: str, authentication: Authentication) -> Sequence[WaitingCommand]:
        """See `gateway.commands.Commands`."""
        commands = self._waiting.get(device)
        if commands is None:
            return ()
        now = self._unix_s()
        is_sure = abs(now - self._whole_s) <= VALVE_KNOWN_S
        return [
            self._for_the_door(c, authentication, now)
            for c in commands
            if c.expires_s > now and c.may_go_to(authentication) and (is_sure or c.kind not in _MAY_CLOSE)
        ]

    def handed_over(self, device: str, command: WaitingCommand, door: Door) -> None:
        """See `gateway.commands.Commands`."""
        self._telling.handed_over(device, command.command_id, door)

    def ended(self, device: str, command_id: bytes, result: int, reason: str, door: Door) -> None:
        """See `gateway.commands.Commands`. This process hands it over no more, whatever the stream says yet."""
        self._telling.ended(device, command_id, result, reason, door)
        self._keep(self._waiting, device, [c for c in self._waiting.get(device, ()) if c.command_id != command_id])

    def on_new(self, listener: Callable[[str], None]) -> None:
        """See `gateway.commands.Commands`."""
        self._listeners.append(listener)

    def on_gone(self, listener: Callable[[str], None]) -> None:
        """See `gateway.commands.RecallableCommands`."""
        self._losers.append(listener)

    def still_waits(self, device: str, command_id: bytes) -> bool | None:
        """See `gateway.commands.RecallableCommands`. What is gone stays gone, so that knowledge of some age will do."""
        if any(c.command_id == command_id for c in self._waiting.get(device, ())):
            return True
        return False if self.complete and len(self._waiting) < self._max_devices else None

    def recalled(self, device: str, command_id: bytes, succeeded: bool, reason: str, door: Door) -> None:
        """See `gateway.commands.RecallableCommands`."""
        self._telling.recalled(device, command_id, succeeded, reason, door)

    async def run(self) -> None:
        """Mirror until cancelled."""
        while True:
            await self._link.connected.wait()
            try:
                await self._follow()
            except (nats.errors.Error, OSError, TimeoutError) as error:
                _log.warning("waiting commands cannot be read, trying again", error=repr(error))
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _follow(self) -> None:
        """Apply messages as they come. Raises nats errors.

        They are asked for one by one, as those of the registry and for the same reason (decisions/0007).
        """
        clock = asyncio.get_running_loop().time
        checked = float("-inf")
        while True:
            if clock() - checked >= CHECK_EVERY_S:
                await self._check_stream(clock())
                checked = clock()
            message = await self._next()
            self._read_at = clock()
            if message is None:
                self._finish()
                await asyncio.sleep(POLL_S)
            else:
                self.apply(message)

    async def _next(self) -> RawStreamMsg | None:
        """The message after the last that was read; None when there is none yet."""
        try:
            return await self._link.js.get_msg(
                COMMANDS_STREAM, self.position + 1, f"{COMMANDS_SUBJECT}.*", direct=True, next=True
            )
        except NotFoundError:
            return None

    async def _check_stream(self, now: float) -> None:
        info = await self._link.js.stream_info(COMMANDS_STREAM)
        created = str(info.created)
        another = created != self._created or info.state.last_seq < self.position
        if another or now - self._read_at > STALE_AFTER_S:
            self._created, self.position, self._fresh = created, 0, {}

    def apply(self, message: RawStreamMsg) -> None:
        """Take what one message says. What does not name the position that it follows was not written by ingest: see
        `RegistryMirror`."""
        self.position = sequence = message.seq or 0
        try:
            if (message.headers or {}).get(Header.EXPECTED_LAST_SEQUENCE.value) != str(sequence - 1):
                raise EnvelopeError("it does not name its position")
            waiting = decode_waiting(message.data or b"")
        except EnvelopeError as error:
            self.rejected += 1
            _log.error("what waits for a device cannot be read", sequence=sequence, error=str(error))
            return
        self._take(waiting)

    def _take(self, waiting: DeviceCommands) -> None:
        device, commands = waiting
        known = {c.command_id for c in self._waiting.get(device, ())}
        self._keep(self._waiting, device, commands)
        if self._fresh is not None:
            self._keep(self._fresh, device, commands)
        now = {c.command_id for c in commands}
        for listener in (*(self._listeners if now - known else ()), *(self._losers if known - now else ())):
            listener(device)

    def _for_the_door(self, command: WaitingCommand, authentication: Authentication, now: float) -> WaitingCommand:
        """A clock is set to the time at which the meter is told, unless the command names another; firmware is fetched
        from where a meter of this door can."""
        if command.kind is CommandKind.SET_CLOCK and not command.arguments:
            return command._replace(arguments={0: int(now)})
        if command.kind is CommandKind.FIRMWARE:
            uri = self._address(str(command.arguments[0]), authentication)
            return command._replace(arguments={**command.arguments, 0: uri})
        return command

    def _keep(
        self, into: dict[str, tuple[WaitingCommand, ...]], device: str, commands: Sequence[WaitingCommand]
    ) -> None:
        if not commands:
            into.pop(device, None)
        elif device in into or len(into) < self._max_devices:
            into[device] = tuple(commands)
        else:
            self.rejected += 1

    def _finish(self) -> None:
        """The end of the stream is reached: what it did not say is not so any more."""
        self._whole_s = self._unix_s()
        if self._fresh is not None:
            self._waiting, self._fresh = self._fresh, None
            _log.info("waiting commands loaded", devices=len(self._waiting), position=self.position)
