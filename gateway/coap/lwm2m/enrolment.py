"""Who may bootstrap, and what it is given. Closed unless the operator opens it."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from gateway.coap.lwm2m.admission import admitted, knock
from gateway.coap.lwm2m.bootstrap import Account
from gateway.coap.lwm2m.means import Means
from gateway.coap.lwm2m.registration import DEFAULT_LIFETIME_S, names_of, registration_id
from gateway.coap.remote import Remote
from metering.credentials import CredentialKind, OscoreSecret
from metering.errors import CredentialError, UnauthorisedError

ENROLLED_KEEP_S = 400 * 86_400
"""For so long a device that was enrolled in plain is remembered and not enrolled again."""


async def enrolled(means: Means, endpoint: str | None, remote: Remote) -> str:
    """The canonical name of a device that may have its keys now. Raises AdmissionError, UnavailableError.

    A sender that a door vouches for may at any time while `bootstrap` is on. In plain, where the key can be read on its
    way, only from the networks and until the instant the operator named, and each device once.
    """
    settings = means.settings
    if not settings.bootstrap:
        raise UnauthorisedError("bootstrap_closed")
    if remote.vouched is not None:
        return admitted(means, endpoint, remote)
    if means.wall() >= settings.enrol_until.timestamp() or not _inside(remote.address, settings.enrol_networks):
        raise UnauthorisedError("bootstrap_not_authenticated")
    found = next((found for name in names_of(endpoint or "") if (found := means.devices.find(name))), None)
    if found is None:
        if endpoint:
            knock(means, endpoint, remote)
        raise UnauthorisedError("unknown_device")
    key = registration_id(found[0])
    if await means.store.was_enrolled(key):
        raise UnauthorisedError("enrolled_before")
    await means.store.put_enrolled(key, ENROLLED_KEEP_S)
    return found[0]


def _inside(address: int, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether a 128-bit address, IPv4 mapped, is inside one of the networks."""
    ip = IPv6Address(address)
    return any((ip.ipv4_mapped or ip) in network for network in networks)


def account_of(means: Means, device: str) -> Account:
    """With the device's newest keys. Raises UnauthorisedError when they cannot be opened here."""
    psk = oscore = None
    try:
        for credential in means.devices.credentials(device):
            if means.master_keys is None:
                raise UnauthorisedError("no_master_key")
            if credential.kind is CredentialKind.PSK:
                psk = credential.key_id, means.master_keys.open(credential)
            elif credential.kind is CredentialKind.OSCORE:
                oscore = credential.key_id, OscoreSecret.decode(means.master_keys.open(credential))
    except CredentialError as error:
        raise UnauthorisedError(error.label) from error
    return Account(means.settings.bootstrap_uri, DEFAULT_LIFETIME_S, psk, oscore)
