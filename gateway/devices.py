"""Which devices exist and from where they may speak: the gateway's mirror of the registry (DESIGN section 3.8).

A million devices with two names each have to fit into a few hundred megabytes, hence dictionaries of shared strings and
one `Policy` object for all devices of the same rights, and no object per device.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import structlog

from metering.registry import RegistryEntry

_IPV4_MAPPED = 0xFFFF << 32
_log = structlog.get_logger()


class Policy:
    """Rights shared by many devices. `networks`: (network, mask) of 128 bits, IPv4 as IPv4-mapped IPv6."""

    __slots__ = ("has_key", "networks")

    def __init__(self, plain_sources: Iterable[str], has_key: bool) -> None:
        self.has_key = has_key
        self.networks = tuple(_network(text) for text in plain_sources)

    def admits(self, address: int) -> bool:
        """Whether a plain sender at this address (128 bits) is inside one of the networks."""
        for network, mask in self.networks:  # noqa: SIM110 - a generator costs as much as the rest of the check
            if address & mask == network:
                return True
        return False


def _network(text: str) -> tuple[int, int]:
    """(network, mask) of CIDR notation. One that cannot be read admits nobody: a mask of zeros never equals 1."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        _log.error("a plain source of the registry is no network and admits nobody", plain_source=text)
        return 1, 0
    if network.version == 6:
        return int(network.network_address), int(network.netmask)
    mask = ((1 << 96) - 1) << 32 | int(network.netmask)
    return _IPV4_MAPPED | int(network.network_address), mask


class Devices:
    """Every enabled device by each of its names.

    `ready`: the first snapshot and its feed are in. `complete`: nothing newer is known to be missing; while it is
    false a device that is not here may well exist.
    """

    def __init__(self) -> None:
        self.ready = self.complete = False
        self._policies: dict[str, Policy] = {}  # by canonical name
        self._canonical: dict[str, str] = {}  # canonical name by other name
        self._others: dict[str, tuple[str, ...] | str] = {}  # other names by canonical name; mostly one
        self._shared: dict[tuple[tuple[str, ...], bool], Policy] = {}

    def __len__(self) -> int:
        return len(self._policies)

    def find(self, name: str) -> tuple[str, Policy] | None:
        """The canonical name and rights of the device that calls itself so; None when there is none."""
        # The other names first: a serial is the name of the device that is on the meter now, even where a device that
        # was on it before has the serial as its canonical name.
        device = self._canonical.get(name, name)
        policy = self._policies.get(device)
        return None if policy is None else (device, policy)

    def apply(self, entry: RegistryEntry) -> None:
        """Make the device what the entry says it is now. Applying an entry twice changes nothing."""
        device = entry.device
        self._forget_names(device)
        if not entry.enabled:
            self._policies.pop(device, None)
            return
        self._policies[device] = self._policy(entry)
        others = tuple(name for name in entry.names if name != device)
        for name in others:
            # Two devices claiming one name is for the database to prevent; here the one that spoke last has it.
            previous = self._canonical.get(name)
            if previous is not None:
                self._drop_name(previous, name)
            self._canonical[name] = device
        if others:
            self._others[device] = others[0] if len(others) == 1 else others

    def keep_only(self, devices: set[str]) -> None:
        """Remove every device that is not in the set: what a snapshot does not name is gone."""
        for device in [device for device in self._policies if device not in devices]:
            self._forget_names(device)
            del self._policies[device]

    def _policy(self, entry: RegistryEntry) -> Policy:
        rights = (entry.plain_sources, entry.has_key)
        policy = self._shared.get(rights)
        if policy is None:
            policy = self._shared[rights] = Policy(*rights)
        return policy

    def _names(self, device: str) -> tuple[str, ...]:
        others = self._others.get(device, ())
        return (others,) if isinstance(others, str) else others

    def _forget_names(self, device: str) -> None:
        for name in self._names(device):
            self._canonical.pop(name, None)
        self._others.pop(device, None)

    def _drop_name(self, device: str, name: str) -> None:
        left = tuple(other for other in self._names(device) if other != name)
        if left:
            self._others[device] = left
        else:
            self._others.pop(device, None)
