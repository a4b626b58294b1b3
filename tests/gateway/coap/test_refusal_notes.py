"""Of a refusal becomes known who knocked, and nothing else."""

from __future__ import annotations

from gateway.coap.refusal_notes import RefusalNotes
from gateway.strangers import Strangers
from metering.errors import RegistryNotLoadedError, UnauthorisedError
from metering.model import Door
from metering.strangers import Knock


def test_only_an_unknown_device_knocks() -> None:
    strangers = Strangers()
    notes = RefusalNotes(strangers)
    notes.note(UnauthorisedError("key_not_used"), b"keyed", "10.0.0.1", 0.0)
    notes.note(RegistryNotLoadedError("registry_not_loaded"), b"861", "10.0.0.1", 0.1)
    notes.note(UnauthorisedError("unknown_device"), b"86\xff1" * 100, "10.0.0.1", 0.2)
    (knock,) = strangers.drain()
    assert knock == Knock(("86\ufffd1" * 100)[:64], Door.COAP, "10.0.0.1", "unknown_device", 1)
