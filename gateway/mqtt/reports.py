"""Reports that came by MQTT: taken into custody, and acknowledged only then.

Back pressure is an acknowledgement withheld: a report that the stream does not take stays here and is tried again,
while the broker, which has at most `max_inflight` on their way to us, keeps the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from gateway.devices import Devices
from gateway.intake import Intake
from gateway.mqtt.topics import PROBE, content_format, sender
from metering.commands import WaitingCommand
from metering.credentials import CredentialKind
from metering.errors import AdmissionError, CustodyBusyError, CustodyError, RegistryNotLoadedError, UnauthorisedError
from metering.model import Authentication, Door

RETRY_PAUSE_S = 1.0
SOURCE = "mqtt"
"""A subscriber is not told the meter's address."""


class Link(Protocol):
    """What is needed of a connection; one that is closed acknowledges nothing."""

    def acknowledge(self, message_id: int) -> None: ...


@dataclass(slots=True, eq=False)
class Waiting:
    """A report without PUBACK. `message_id` 0: it came with QoS 0, and nobody waits for an answer."""

    link: Link
    message_id: int
    device: str
    payload: bytes


class TooManyError(Exception):
    """The broker has sent more without an acknowledgement than it was told it may."""


@dataclass(slots=True)
class Totals:
    """Counted up and never down."""

    acknowledged: int = 0
    retried: int = 0
    lost_qos0: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Reports:
    """`is_keyed`: devices are known to the listener by our own credentials, so that one without any more has lost its
    right to speak, whatever connection it still has. `taken` is told each device whose report is on disk, and the
    report; `stranger` the name and the reason of one that was refused."""

    def __init__(
        self,
        intake: Intake,
        devices: Devices,
        max_inflight: int,
        max_payload_bytes: int,
        is_keyed: bool,
        taken: Callable[[str, bytes], None],
        stranger: Callable[[str, str], None],
    ) -> None:
        self._intake, self._devices, self._is_keyed = intake, devices, is_keyed
        self._max_inflight, self._max_payload = max_inflight, max_payload_bytes
        self._taken, self._stranger = taken, stranger
        self._waiting: dict[int, Waiting] = {}
        self._again: list[Waiting] = []
        self.totals = Totals()

    def __len__(self) -> int:
        """Those without PUBACK."""
        return len(self._waiting)

    def begin(self) -> None:
        """A new connection: what was not acknowledged in the last one comes again."""
        self._waiting.clear()
        self._again.clear()

    def received(self, link: Link, message_id: int, topic: str, payload: bytes, retained: bool) -> None:
        """Raises TooManyError."""
        device = sender(topic)
        if device == PROBE or retained:  # what is retained came before, when it was published
            link.acknowledge(message_id)
            return
        if message_id in self._waiting and message_id:
            return  # sent again while it waits here
        if len(self._waiting) >= self._max_inflight:
            raise TooManyError
        waiting = Waiting(link, message_id, device or "", payload)
        if message_id:
            self._waiting[message_id] = waiting
        if device is None:
            self._refuse(waiting, "topic")
        elif not payload or len(payload) > self._max_payload:
            self._refuse(waiting, "too_large" if payload else "empty")
        else:
            self._take(waiting)

    def try_again(self) -> None:
        """What could not be taken, once more; to be called every RETRY_PAUSE_S."""
        again, self._again = self._again, []
        self.totals.retried += len(again)
        for waiting in again:
            self._take(waiting)

    def _take(self, waiting: Waiting) -> None:
        try:
            self._require_right(waiting.device)
            self._intake.take(
                Door.MQTT, waiting.device, 0, SOURCE, content_format(waiting.payload), waiting.payload,
                partial(self._settled, waiting), vouched=Authentication.MQTT, carries_commands=False,
            )  # fmt: skip
        except UnauthorisedError as error:
            self._refuse(waiting, error.reason)
        except (AdmissionError, CustodyBusyError):
            self._keep(waiting)

    def _require_right(self, device: str) -> None:
        if not self._is_keyed:
            return
        if not any(key.kind is CredentialKind.MQTT for key in self._devices.credentials(device)):
            if not (self._devices.ready and self._devices.complete):
                raise RegistryNotLoadedError("registry_not_loaded")
            raise UnauthorisedError("no_mqtt_key")

    def _settled(self, waiting: Waiting, failure: CustodyError | None, _: WaitingCommand | None = None) -> None:
        if failure is not None:
            self._keep(waiting)
            return
        self._acknowledge(waiting)
        self.totals.acknowledged += 1
        self._taken(waiting.device, waiting.payload)

    def _refuse(self, waiting: Waiting, reason: str) -> None:
        """Acknowledged all the same: it will never be welcome, and would come again for ever."""
        self.totals.refused[reason] += 1
        self._acknowledge(waiting)
        self._stranger(waiting.device, reason)

    def _keep(self, waiting: Waiting) -> None:
        if not waiting.message_id:
            self.totals.lost_qos0 += 1
        elif self._waiting.get(waiting.message_id) is waiting:
            self._again.append(waiting)

    def _acknowledge(self, waiting: Waiting) -> None:
        if waiting.message_id and self._waiting.get(waiting.message_id) is waiting:
            del self._waiting[waiting.message_id]
            waiting.link.acknowledge(waiting.message_id)
