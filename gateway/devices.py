"""Which devices exist and from where they may speak: the gateway's mirror of the registry (DESIGN section 3.8).

A million devices with two names each, and perhaps each with an address of its own, have to fit into a few hundred
megabytes: hence flat arrays, and no object per device.
"""

from __future__ import annotations

import ipaddress
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence

import structlog

from gateway.keys import DeviceKeys
from gateway.packed import PackedKeys
from metering.credentials import Credential, CredentialKind
from metering.pushers import MAX_PUSHERS
from metering.registry import HAS_KEY, WAS_PUSHED, RegistryEntry

MAX_CACHED_POLICIES = 4096
"""Rights kept ready to use. Beyond them one is read from its packed form, which takes microseconds."""

MAX_MODELS = 10_000
"""Further ones count as not known."""

_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_HOST = "/32"
_NETWORK_BYTES = 17
_HEAD_BYTES = 2
_RIGHTS = HAS_KEY | WAS_PUSHED
_NOBODY = (1, 0)
"""A network that admits nobody: masked with zeros no address equals 1."""

KeysGone = Callable[[Collection[str], Collection[Credential]], None]
"""Told all names that a device had or has, the canonical one among them, and the keys that it has no more."""

_log = structlog.get_logger()


class Policy:
    """Rights shared by many devices. `networks`: (network, mask) of 128 bits, IPv4 as IPv4-mapped IPv6. `pushers`: the
    push products that may speak; `only_bound`: no others may, whatever these are."""

    __slots__ = ("has_key", "networks", "only_bound", "pushers")

    def __init__(
        self,
        has_key: bool,
        networks: Iterable[tuple[int, int]],
        pushers: tuple[str, ...] = (),
        only_bound: bool = False,
    ) -> None:
        self.has_key, self.networks = has_key, tuple(networks)
        self.pushers, self.only_bound = pushers, only_bound

    @classmethod
    def unpacked(cls, packed: bytes) -> Policy:
        """From the form of `_packed`."""
        first = _HEAD_BYTES + packed[1]
        pushers = packed[_HEAD_BYTES:first].decode().split()
        networks = [packed[at : at + _NETWORK_BYTES] for at in range(first, len(packed), _NETWORK_BYTES)]
        return cls(
            bool(packed[0] & HAS_KEY), (_NOBODY if n[16] > 128 else _masked(n) for n in networks), tuple(pushers),
            bool(packed[0] & _RIGHTS),
        )  # fmt: skip

    def admits(self, address: int) -> bool:
        """Whether a plain sender at this address (128 bits) is inside one of the networks."""
        for network, mask in self.networks:  # noqa: SIM110 - a generator costs as much as the rest of the check
            if address & mask == network:
                return True
        return False


def _masked(packed: bytes) -> tuple[int, int]:
    return int.from_bytes(packed[:16], "big"), (1 << 128) - (1 << 128 - packed[16])


def _packed(plain_sources: Iterable[str], flags: int, pushers: Sequence[str]) -> bytes:
    """A byte of flags, one for how long the names of the pushers are, and those with spaces between them; then 16 bytes
    of address and one of prefix length for each network."""
    names = " ".join(pushers[:MAX_PUSHERS]).encode()[:255]
    return bytes((flags, len(names))) + names + b"".join(map(_network, plain_sources))


def _network(text: str) -> bytes:
    """From CIDR notation. One that cannot be read has the prefix length 255 and admits nobody."""
    try:
        if text.endswith(_HOST) and ":" not in text:  # a million of them may come with a snapshot
            return _MAPPED_PREFIX + ipaddress.IPv4Address(text.removesuffix(_HOST)).packed + b"\x80"
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        _log.error("a plain source of the registry is no network and admits nobody", plain_source=text)
        return bytes(16) + b"\xff"
    if network.version == 6:
        return network.network_address.packed + bytes((network.prefixlen,))
    return _MAPPED_PREFIX + network.network_address.packed + bytes((96 + network.prefixlen,))


class Devices:
    """Every enabled device by each of its names.

    `ready`: the first snapshot and its feed are in. `complete`: nothing newer is known to be missing; while it is
    false a device that is not here may well exist.

    Every name, canonical or other, has a number in `_names`; the arrays are indexed by it. A name that is no longer
    anyone's keeps its number: `waste` says how many, and a new snapshot begins anew.
    """

    def __init__(self, expected: int = 0) -> None:
        """`expected` devices find room at once, with two names each."""
        self.ready = self.complete = False
        self._names = PackedKeys(2 * expected)
        self._rights = array("I")  # of the device whose canonical name it is, as number in _policies + 1; 0: none is
        self._device = array("I")  # whose other name it is, as number + 1; 0: nobody's
        self._other = array("I")  # the device's other name, as number + 1; 0: none
        self._more_others: dict[int, tuple[int, ...]] = {}  # those of a device that has several
        self._policies = PackedKeys()
        self._texts: dict[tuple[tuple[str, ...], int, tuple[str, ...]], int] = {}
        self._cached: dict[int, Policy] = {}
        self._keys = DeviceKeys()
        self._models = PackedKeys()
        self._model = array("H")  # by device: number of its model + 1; 0: not known
        self._rotating: set[int] = set()  # devices that have several keys of one kind
        self._count = 0
        self._keys_gone: list[KeysGone] = []

    def __len__(self) -> int:
        return self._count

    @property
    def keys(self) -> int:
        """Valid keys of all devices."""
        return len(self._keys)

    @property
    def waste(self) -> int:
        """Names kept beyond two a device, and keys that are nobody's."""
        return max(0, len(self._names) - 2 * self._count) + self._keys.waste

    def find(self, name: str) -> tuple[str, Policy] | None:
        """The canonical name and rights of the device that calls itself so; None when there is none."""
        number = self._names.find(name.encode())
        if number < 0:
            return None
        # The other names first: a serial is the name of the device that is on the meter now, even where a device that
        # was on it before has the serial as its canonical name.
        if device := self._device[number]:
            number = device - 1
            name = self._names[number].decode()
        rights = self._rights[number]
        return (name, self._cached.get(rights) or self._policy(rights)) if rights else None

    def by_key(self, kind: CredentialKind, key_id: bytes) -> tuple[str, Credential] | None:
        """The canonical name of the device that has this key, and the key, sealed; None when nobody has."""
        found = self._keys.find(kind, key_id)
        if found is None or not self._rights[found[0]]:
            return None
        return self._names[found[0]].decode(), found[1]

    def credentials(self, device: str) -> tuple[Credential, ...]:
        """The sealed keys of a device, by its canonical name."""
        number = self._names.find(device.encode())
        return tuple(self._keys.of(number)) if number >= 0 and self._rights[number] else ()

    def is_rotating(self, device: str) -> bool:
        """Whether a device, by its canonical name, has several valid keys of one kind."""
        return bool(self._rotating) and self._names.find(device.encode()) in self._rotating

    def model(self, device: str) -> str:
        """Maker and model of the device's meter, by its canonical name; empty when nobody said."""
        number = self._names.find(device.encode())
        known = self._model[number] if number >= 0 else 0
        return self._models[known - 1].decode() if known else ""

    def replace(self, newer: Devices) -> None:
        """Take over everything that `newer` knows, which is then not to be used any more."""
        kept = {"ready": self.ready, "complete": self.complete, "_keys_gone": self._keys_gone}
        vars(self).update(vars(newer) | kept)

    def on_keys_gone(self, listener: KeysGone) -> None:
        """Call it when an applied change takes keys from a device (not when a whole snapshot does)."""
        self._keys_gone.append(listener)

    def apply(self, entry: RegistryEntry) -> None:
        """Make the device what the entry says it is now. Applying an entry twice changes nothing."""
        device = self._number(entry.device)
        before = tuple(self._keys.of(device)) if self._keys_gone else ()
        names = {self._names[other].decode() for other in self._others(device)} if before else set()
        if was_enabled := self._rights[device] > 0:
            self._forget_others(device)
        self._count += entry.enabled - was_enabled
        self._set_keys(device, entry.credentials if entry.enabled else ())
        if gone := set(before).difference(self._keys.of(device)):
            for listener in self._keys_gone:
                listener(names.union(entry.names, (entry.device,)), gone)
        if not entry.enabled:
            self._rights[device] = 0
            return
        self._rights[device] = self._policy_number(entry) + 1
        self._model[device] = self._model_number(entry.model)
        others = tuple(self._number(name) for name in entry.names if name != entry.device)
        for other in others:
            # Two devices claiming one name is for the database to prevent; here the one that spoke last has it.
            if previous := self._device[other]:
                self._keep_others(previous - 1, tuple(o for o in self._others(previous - 1) if o != other))
            self._device[other] = device + 1
        self._keep_others(device, others)

    def _set_keys(self, device: int, credentials: tuple[Credential, ...]) -> None:
        self._keys.set(device, credentials)
        if len({credential.kind for credential in credentials}) < len(credentials):
            self._rotating.add(device)
        else:
            self._rotating.discard(device)

    def _number(self, name: str) -> int:
        number = self._names.add(name.encode())
        if number == len(self._rights):
            for column in (self._rights, self._device, self._other, self._model):
                column.append(0)
        return number

    def _model_number(self, model: str) -> int:
        if not model or len(self._models) >= MAX_MODELS:
            return 0
        return self._models.add(model.encode()) + 1

    def _policy_number(self, entry: RegistryEntry) -> int:
        text = (entry.plain_sources, entry.flags & _RIGHTS, entry.pushers)
        number = self._texts.get(text)
        if number is None:
            if len(self._texts) >= MAX_CACHED_POLICIES:
                self._texts.clear()
            number = self._texts[text] = self._policies.add(_packed(*text))
        return number

    def _policy(self, rights: int) -> Policy:
        if len(self._cached) >= MAX_CACHED_POLICIES:
            self._cached.clear()
        policy = self._cached[rights] = Policy.unpacked(self._policies[rights - 1])
        return policy

    def _others(self, device: int) -> tuple[int, ...]:
        if several := self._more_others.get(device):
            return several
        return (self._other[device] - 1,) if self._other[device] else ()

    def _keep_others(self, device: int, others: tuple[int, ...]) -> None:
        self._other[device] = others[0] + 1 if len(others) == 1 else 0
        if len(others) > 1:
            self._more_others[device] = others
        else:
            self._more_others.pop(device, None)

    def _forget_others(self, device: int) -> None:
        for other in self._others(device):
            self._device[other] = 0
        self._keep_others(device, ())
