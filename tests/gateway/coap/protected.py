"""The CoAP port with OSCORE in this process, a custody that answers when the test says so, and commands that wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from gateway.coap import message as coap
from gateway.coap.aiocoap_lane import AiocoapLane
from gateway.coap.fast_lane import FastLane, Limits
from gateway.coap.oscore.contexts import Contexts
from gateway.coap.oscore.journal import Journal
from gateway.coap.oscore.key_ring import KeyRing
from gateway.coap.oscore.numbers import SenderNumbers
from gateway.coap.oscore.windows import Windows
from gateway.coap.port import bind
from gateway.coap.protected_lane import ProtectedLane
from gateway.commands import NoCommands
from gateway.custody import Settle
from gateway.devices import Devices
from gateway.intake import Intake
from gateway.metrics import Counters
from gateway.refusals import RefusalLimiter
from metering.commands import CommandKind, WaitingCommand
from metering.credentials import Credential, CredentialKind, MasterKeys, OscoreSecret
from metering.errors import CustodyBusyError, CustodyError
from metering.model import Authentication, Door
from metering.registry import ENABLED, HAS_KEY, RegistryEntry
from simulators import message
from simulators.oscore import OSCORE, Opened, ProtectedMeter, with_echo
from tests.gateway.conftest import Sender

MASTER_KEYS = MasterKeys({0: bytes(range(32))})
SECRET = bytes(range(16))
DEVICE, SERIAL, KID = "861234567890123", "44403907450243", b"\x0a\x0b"
OTHER, OTHER_KID = "861234567890124", b"\x0c"
LOOPBACK = ("127.0.0.0/8", "::1/128")
CLOSE = WaitingCommand(bytes(range(8)), CommandKind.VALVE, {0: 1}, 1_770_000_000)
REPLAY = (coap.UNAUTHORIZED, b"Replay detected")


def credential(kid: bytes, secret: bytes = SECRET, salt: bytes = b"") -> Credential:
    return MASTER_KEYS.seal(CredentialKind.OSCORE, kid, OscoreSecret(secret, salt).encode())


def entries() -> list[RegistryEntry]:
    """Two devices with keys."""
    return [
        RegistryEntry(DEVICE, (DEVICE, SERIAL), LOOPBACK, ENABLED | HAS_KEY, (credential(KID),)),
        RegistryEntry(OTHER, (OTHER,), LOOPBACK, ENABLED | HAS_KEY, (credential(OTHER_KID),)),
    ]


class ControlledCustody:
    """Settles after `delay_s` with `failure`, or when the test settles what is `held`."""

    def __init__(self) -> None:
        self.delay_s, self.hold, self.busy = 0.0, False, False
        self.failure: CustodyError | None = None
        self.taken: list[tuple[Authentication, str, int, bytes]] = []
        self.held: list[Settle] = []

    def take(
        self, door: Door, authentication: Authentication, device: str, content_format: int, payload: bytes,
        source: str, settle: Settle,
    ) -> None:  # fmt: skip
        if self.busy:
            raise CustodyBusyError("busy")
        self.taken.append((authentication, device, content_format, payload))
        if self.hold:
            self.held.append(settle)
        else:
            asyncio.get_running_loop().call_later(self.delay_s, settle, self.failure)


class FiledCommands(NoCommands):
    def __init__(self) -> None:
        self.filed: list[WaitingCommand] = []
        self.told: list[tuple[str, bytes]] = []

    def waiting(self, device: str, authentication: Authentication) -> Sequence[WaitingCommand]:
        return [each for each in self.filed if each.may_go_to(authentication)]

    def handed_over(self, device: str, command: WaitingCommand, door: Door) -> None:
        self.told.append((device, command.command_id))


class Desk:
    """`journal`: a directory where windows outlive the desk. `leases`: how many Partial IVs there are, in leases."""

    def __init__(
        self, journal: Path | None = None, ask_by_echo: bool = True, first_lease: int = 0, leases: int = 1,
        clock: Callable[[], float] = time.monotonic, boot_id: bytes = b"b" * 16,
    ) -> None:  # fmt: skip
        self.devices = Devices()
        self.devices.ready = self.devices.complete = True
        for entry in entries():
            self.devices.apply(entry)
        self.socket = bind("::", 0)
        self.port: int = self.socket.getsockname()[1]
        self.custody, self.commands = ControlledCustody(), FiledCommands()
        self.counters = Counters(CollectorRegistry())
        intake = Intake(self.devices, self.custody, self.commands)
        self.limiter = RefusalLimiter(1000)
        self.windows, self.numbers = Windows(), SenderNumbers()
        for lease in range(first_lease, first_lease + leases):
            self.numbers.add(lease)
        self.journal = None if journal is None else Journal(journal, 0, 1, self.windows, boot_id)
        self.fast = FastLane(self.socket, intake, self.limiter, self.counters, Limits(256, 30), clock)
        self.slow = AiocoapLane(intake, 30, self.fast.send, 100)
        contexts = Contexts(KeyRing(self.devices, MASTER_KEYS), self.windows, self.numbers, self.journal, ask_by_echo)
        self.protected = ProtectedLane(contexts, self.devices, intake, self.counters, 256, 30, clock)

    async def start(self) -> None:
        await self.slow.start()
        self.protected.start(self.fast, self.slow)
        self.fast.start(self.slow, self.protected)

    async def stop(self, cleanly: bool = True) -> None:
        """`cleanly` false: as if killed."""
        self.fast.stop_reading()
        await self.slow.stop()
        if cleanly:
            self.protected.stop()
        elif self.journal is not None:
            self.journal.release()
        self.socket.close()


class Client:
    """A meter by its own half of OSCORE, at one source port."""

    def __init__(self, sender: Sender, kid: bytes = KID, secret: bytes = SECRET) -> None:
        self.sender, self.context = sender, ProtectedMeter(secret, kid)
        self._message_id = 0

    def datagram(
        self, payload: bytes = b"report", name: str = DEVICE, content_format: int = 42, echo: bytes = b"",
        kind: int = 0, code: int = message.POST, message_id: int | None = None,
    ) -> tuple[int, bytes]:  # fmt: skip
        """Partial IV and datagram of one more request."""
        tail = message.request_tail(("r", name), content_format, payload)
        return self.wrapped(tail, echo, kind, code, message_id)

    def wrapped(
        self, tail: bytes, echo: bytes = b"", kind: int = 0, code: int = message.POST, message_id: int | None = None
    ) -> tuple[int, bytes]:
        self._message_id += 1
        number, outer = self.context.protect(code, with_echo(tail, echo) if echo else tail)
        used = self._message_id if message_id is None else message_id
        return number, message.HEAD.pack(0x44 | kind << 4, message.POST, used, used) + outer

    async def ask(self, payload: bytes = b"report", **more: Any) -> Opened:
        """What the answer to one more report says inside."""
        return await self.send(*self.datagram(payload, **more))

    async def send(self, number: int, datagram: bytes) -> Opened:
        return self.context.open(number, message.decode(await self.sender.ask(datagram)))

    async def greet(self) -> None:
        """Answer the Echo of a server that does not know us yet."""
        asked = await self.ask(b"first")
        assert (asked.code, asked.echo is not None) == (0x81, True)
        assert (await self.ask(b"first", echo=asked.echo)).code == message.CHANGED


OpenDesk = Callable[..., Awaitable[Desk]]
"""Starts one more, with the options of `Desk`."""


def plainly(datagram: bytes) -> tuple[int, bytes]:
    """Code and diagnostic of an answer that is not protected."""
    answer = message.decode(datagram)
    assert all(number != OSCORE for number, _ in answer.options)
    return answer.code, answer.payload


def own_number(datagram: bytes) -> bytes:
    """The Partial IV of a protected answer; empty when it used the request's nonce."""
    answer = message.decode(datagram)
    assert answer.code == message.CHANGED
    return next(value for number, value in answer.options if number == OSCORE)[1:]
