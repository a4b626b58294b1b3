"""What the LwM2M server works with, and how a client's bytes become a report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import cbor2

from gateway.coap.lwm2m.registration import Registration
from gateway.coap.lwm2m.store import RegistrationStore
from gateway.coap.refusal import FORMATS
from gateway.coap.remote import Remote
from gateway.commands import Commands
from gateway.custody import Settle
from gateway.devices import Devices
from gateway.firmware import Images
from gateway.intake import Intake
from gateway.metrics import Counters
from gateway.strangers import Strangers
from metering.commands import WaitingCommand
from metering.credentials import MasterKeys
from metering.errors import AdmissionError, CustodyError
from metering.model import Authentication, ContentFormat, Door
from metering.settings import Lwm2mModel, Lwm2mSettings

Item: TypeAlias = tuple[str, int, bytes]
"""Path, Content-Format, the client's own bytes."""

_NO_MODEL = Lwm2mModel.model_validate({})


@dataclass(frozen=True, slots=True)
class Means:
    """`clock`: monotonic seconds. `wall`: Unix seconds."""

    settings: Lwm2mSettings
    intake: Intake
    devices: Devices
    commands: Commands
    store: RegistrationStore
    counters: Counters
    master_keys: MasterKeys | None
    clock: Callable[[], float]
    wall: Callable[[], float]
    images: Images | None = None
    """What firmware can be pushed; None: clients have to fetch it."""
    strangers: Strangers = field(default_factory=Strangers)

    def model(self, device: str) -> Lwm2mModel:
        return self.settings.models.get(self.devices.model(device), _NO_MODEL)

    def window_s(self, record: Registration) -> float | None:
        """None: it listens always. A module of the older direct CoAP sleeps like a client in queue mode."""
        if not (record.queue or record.legacy):
            return None
        return self.model(record.device).awake_s or self.settings.awake_s

    def keep_s(self, record: Registration) -> float:
        return float(record.lifetime_s + self.settings.grace_s)


def authentication_of(remote: Remote) -> Authentication:
    return Authentication.CLAIMED if remote.vouched is None else remote.vouched.authentication


def door_of(record: Registration) -> Door:
    return Door.COAP if record.legacy else Door.LWM2M


def take(means: Means, record: Registration, remote: Remote, items: Sequence[Item], settle: Settle) -> None:
    """One report. Raises what `Intake.take` raises; `settle` is not called then."""
    if record.legacy:
        ((_, content_format, payload),) = items
        content_format = content_format if content_format in FORMATS else int(ContentFormat.OCTET_STREAM)
    else:
        content_format, payload = int(ContentFormat.LWM2M), cbor2.dumps([list(item) for item in items])
    vouched = None if remote.vouched is None else remote.vouched.authentication
    means.intake.take(
        door_of(record), record.device, remote.address, remote.shown, content_format, payload, settle, vouched,
        carries_commands=False,
    )  # fmt: skip


async def taken(
    means: Means, record: Registration, remote: Remote, items: Sequence[Item]
) -> AdmissionError | CustodyError | None:
    """The same, waited for: None once the report is on disk."""
    done: asyncio.Future[CustodyError | None] = asyncio.get_running_loop().create_future()

    def settle(failure: CustodyError | None, command: WaitingCommand | None = None) -> None:  # noqa: ARG001 - as Settle
        if not done.done():
            done.set_result(failure)

    try:
        take(means, record, remote, items, settle)
    except (AdmissionError, CustodyError) as error:
        return error
    return await done
