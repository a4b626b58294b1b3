"""Byte strings numbered in the order they came, in a few flat arrays: 20 to 30 bytes each beside the string itself.

A dictionary of a million names takes 200 MB and gives the garbage collector a million objects to look at; this takes a
tenth and gives it none. Pure. Strings are never removed: who keeps the numbers decides what they still mean.
"""

from __future__ import annotations

from array import array

_LOAD_MAX = 0.6
"""Share of the slots in use beyond which there are twice as many: longer searches would cost more than memory."""

_SLOTS_MIN = 1024
_SPARE = 2


class PackedKeys:
    """Room for `expected` strings at once; it grows beyond by doubling, which takes about a second a million."""

    def __init__(self, expected: int = 0) -> None:
        self._text = bytearray()
        self._ends = array("I", (0,))
        self._slots = _empty_slots(expected * _SPARE)
        self._mask = len(self._slots) - 1

    def __len__(self) -> int:
        return len(self._ends) - 1

    def find(self, key: bytes) -> int:
        """The number of a string, -1 when it is not here."""
        slots, ends, mask = self._slots, self._ends, self._mask
        at = hash(key) & mask
        while number := slots[at]:
            if self._text[ends[number - 1] : ends[number]] == key:
                return number - 1
            at = (at + 1) & mask
        return -1

    def add(self, key: bytes) -> int:
        """The number of a string, which is taken in when it is new."""
        slots, ends, mask = self._slots, self._ends, self._mask
        at = hash(key) & mask
        while number := slots[at]:
            if self._text[ends[number - 1] : ends[number]] == key:
                return number - 1
            at = (at + 1) & mask
        self._text += key
        ends.append(len(self._text))
        count = len(ends) - 1
        slots[at] = count
        if count > _LOAD_MAX * len(slots):
            self._double()
        return count - 1

    def __getitem__(self, number: int) -> bytes:
        return bytes(self._text[self._ends[number] : self._ends[number + 1]])

    def text(self) -> bytes:
        """All strings one after the other, in the order of their numbers."""
        return bytes(self._text)

    def _double(self) -> None:
        slots = self._slots = _empty_slots(2 * len(self._slots))
        mask = self._mask = len(slots) - 1
        for number in range(len(self)):
            at = hash(self[number]) & mask
            while slots[at]:
                at = (at + 1) & mask
            slots[at] = number + 1


def _empty_slots(wanted: int) -> array[int]:
    """Numbers + 1; 0 is an empty slot. Their count is a power of two."""
    return array("I", bytes(4 << max(_SLOTS_MIN, wanted).bit_length()))
