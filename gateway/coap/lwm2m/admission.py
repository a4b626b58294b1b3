"""Who may speak for which registration: the registry's rights decide, as for every report (DESIGN section 5.3)."""

from __future__ import annotations

from gateway.coap.lwm2m.means import Means
from gateway.coap.lwm2m.registration import ID_BYTES, Registration, names_of
from gateway.coap.lwm2m.sessions import Sessions
from gateway.coap.refusal_notes import UNKNOWN_DEVICE
from gateway.coap.remote import Remote
from metering.errors import AdmissionError, UnauthorisedError
from metering.model import Door


def admitted(means: Means, endpoint: str | None, remote: Remote) -> str:
    """The canonical name of the device that registers. Raises AdmissionError."""
    vouched = remote.vouched
    if vouched is not None and endpoint is None:
        endpoint = vouched.device  # LwM2M core 1.1: it may be left out where the security layer names the client
    refusal: AdmissionError = UnauthorisedError("no_endpoint")
    for name in names_of(endpoint) if endpoint else ():
        try:
            device = means.intake.admit(name, remote.address, None if vouched is None else vouched.authentication)
        except AdmissionError as error:
            refusal = error
            if error.reason != UNKNOWN_DEVICE:
                break
        else:
            if vouched is None or vouched.device == device:
                return device
            refusal = UnauthorisedError("endpoint_of_another")
    if refusal.reason == UNKNOWN_DEVICE and endpoint:
        knock(means, endpoint, remote)
    raise refusal


def knock(means: Means, endpoint: str, remote: Remote) -> None:
    """Nobody knows this endpoint: it is told by the name by which it would be registered."""
    host = remote.shown.partition(" ")[0].rpartition(":")[0]
    means.strangers.knock(next(names_of(endpoint)), Door.LWM2M, host, UNKNOWN_DEVICE)


async def known(means: Means, sessions: Sessions, key: bytes, remote: Remote) -> Registration | None:
    """The registration of this id if it lives and this sender may speak for it. Raises AdmissionError,
    UnavailableError. What this process remembers counts only for who comes from where it was heard last: whoever
    comes from elsewhere may have been at another gateway."""
    session = sessions.get(key)
    if session is not None and session.remote == remote and session.bootstrapping is None:
        return _living(means, session.record, remote)
    return _living(means, await means.store.get(key), remote)


async def known_by_address(means: Means, remote: Remote) -> Registration | None:
    """As `known`, of who registered from this address last, at whichever gateway: so the store is asked. What a process
    remembers of the address may be of a client that has left it, whose reports another's would become."""
    key = await means.store.id_at(remote.shown)
    record = None if key is None else _living(means, await means.store.get(key), remote)
    return record if record is not None and record.peer == remote.shown else None


def _living(means: Means, record: Registration | None, remote: Remote) -> Registration | None:
    if record is None or record.expired(means.wall(), means.settings.grace_s):
        return None
    vouched = remote.vouched
    if vouched is not None and vouched.device != record.device:
        return None
    means.intake.admit(record.device, remote.address, None if vouched is None else vouched.authentication)
    return record


def read_id(text: str) -> bytes | None:
    """The registration id of a location; None for what is none."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        return None
    return key if len(key) == ID_BYTES else None
