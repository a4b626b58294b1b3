"""The sealed keys of a million devices, by device and by key id, in flat arrays beside `gateway.devices`. Pure.

Keys are numbered as they come; those of one device are a chain. A key that is no longer anyone's keeps its number and
its bytes, as names do: `waste` says how many, and a new snapshot begins anew.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from gateway.packed import PackedKeys
from metering.credentials import Credential, CredentialKind

_NOBODY = 0


class DeviceKeys:
    """Devices are the numbers that `Devices` gives them. One key id of a kind belongs to one device."""

    def __init__(self, expected: int = 0) -> None:
        self._ids = PackedKeys(expected)
        self._owner = array("I")  # number of the device + 1; 0: nobody's
        self._next = array("I")  # the same device's next key, number + 1
        self._start = array("Q")  # where the sealed key begins in _sealed
        self._length = array("H")
        self._sealed = bytearray()
        self._first_key = array("I")  # by device: its first key, number + 1
        self.waste = 0
        self._count = 0

    def __len__(self) -> int:
        """Keys that are somebody's."""
        return self._count

    def find(self, kind: CredentialKind, key_id: bytes) -> tuple[int, Credential] | None:
        """The device's number and its key under this id."""
        number = self._ids.find(bytes((kind,)) + key_id)
        if number < 0 or not self._owner[number]:
            return None
        return self._owner[number] - 1, self._credential(number)

    def of(self, device: int) -> Iterator[Credential]:
        """The keys of a device."""
        for number in self._chain(device):
            yield self._credential(number)

    def set(self, device: int, credentials: Iterable[Credential]) -> None:
        """The device has these keys and no others. An id that another device had is this one's now."""
        for number in list(self._chain(device)):
            self._owner[number] = _NOBODY
            self.waste += 1
            self._count -= 1
        if device < len(self._first_key):
            self._first_key[device] = 0
        for credential in credentials:
            self._add(device, credential)

    def _add(self, device: int, credential: Credential) -> None:
        if device >= len(self._first_key):
            self._first_key.extend([0] * (device + 1 - len(self._first_key)))
        number = self._ids.add(bytes((credential.kind,)) + credential.key_id)
        if number == len(self._owner):
            for column in (self._owner, self._next, self._start, self._length):
                column.append(0)
        if previous := self._owner[number]:
            self._unlink(previous - 1, number)
        else:
            self._count += 1
        self._start[number], self._length[number] = len(self._sealed), len(credential.sealed)
        self._sealed += credential.sealed
        self._owner[number] = device + 1
        self._next[number] = self._first_key[device]
        self._first_key[device] = number + 1

    def _unlink(self, device: int, number: int) -> None:
        rest = [other for other in self._chain(device) if other != number]
        self._first_key[device] = 0
        for other in rest:
            self._next[other] = self._first_key[device]
            self._first_key[device] = other + 1

    def _chain(self, device: int) -> Iterator[int]:
        at = self._first_key[device] if device < len(self._first_key) else 0
        while at:
            yield at - 1
            at = self._next[at - 1]

    def _credential(self, number: int) -> Credential:
        packed = self._ids[number]
        start = self._start[number]
        return Credential(
            CredentialKind(packed[0]), packed[1:], bytes(self._sealed[start : start + self._length[number]])
        )
