"""What platforms call our devices: learned from pushes that name both, or given in a file. Pure.

Some messages (online, the answer to a command) name a device only as its platform does. Each product has names of its
own: what one says means nothing for another. 50 to 100 bytes a device.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable
from typing import NamedTuple

from gateway.packed import PackedKeys

MAX_ALIASES = 1_000_000
"""Further ones are not learned: their messages that carry no other name cannot be placed."""

MAX_IDS_OF_DEVICE = 8
"""A device has one at each platform, and another when it is registered there anew. Further ones are not learned: who
may push for one device cannot fill the room of all."""

MAX_PLATFORM_PRODUCTS = 64
"""Products of a platform behind one of ours, likewise."""

MAX_PRODUCT_NAMES = 4_096
"""Of our products and the platforms' together."""

NOBODY = 0
_ID_OF = struct.Struct(">H")


class Way(NamedTuple):
    """How a device is reached: by which product of ours, and what platform and product are called there."""

    product: str
    platform_id: str
    platform_product: str


class Aliases:
    """Product and platform id ↔ canonical device name, and the product that pushed it last."""

    def __init__(self, maximum: int = MAX_ALIASES) -> None:
        self._maximum = maximum
        self._ids, self._devices, self._products = PackedKeys(), PackedKeys(), PackedKeys()
        self._names = PackedKeys()  # of our products: their numbers stand before the ids
        self._behind = array("B")  # by such a number, how many products of its platform
        self._device_of_id = array("I")  # number of the device + 1
        self._id_of_device = array("I")  # number of the platform id + 1
        self._product_of_device = array("H")
        self._ids_of_device = array("B")  # how many were learned

    def __len__(self) -> int:
        return len(self._ids)

    def learn(
        self, platform_id: str, device: str, product: str, platform_product: str = "", *, is_way: bool = True
    ) -> None:
        """What a push said; `is_way`: the device may be reached by it. Nothing new is learned when there is no room."""
        name = self._names.add(product.encode())
        both = self._both(name, product, platform_product)
        if both < 0:
            return
        key = _ID_OF.pack(name) + platform_id.encode()
        if min(len(self._ids), len(self._devices)) >= self._maximum and self._ids.find(key) < 0:
            return
        owner = self._devices.add(device.encode())
        if owner == len(self._id_of_device):
            for column in (self._id_of_device, self._product_of_device, self._ids_of_device):
                column.append(0)
        if (number := self._ids.find(key)) < 0:
            room = MAX_IDS_OF_DEVICE if is_way else MAX_IDS_OF_DEVICE // 2  # the rest is for who it is bound to
            if self._ids_of_device[owner] >= room:
                return
            number = self._ids.add(key)
            self._device_of_id.append(NOBODY)
            self._ids_of_device[owner] += 1
        self._device_of_id[number] = owner + 1
        if not is_way:
            return
        self._id_of_device[owner] = number + 1
        self._product_of_device[owner] = both

    def _both(self, name: int, product: str, platform_product: str) -> int:
        """The number of the two together; -1 when there is no room."""
        both = f"{product}\0{platform_product}".encode()
        if (number := self._products.find(both)) >= 0:
            return number
        if name == len(self._behind):
            self._behind.append(0)
        if len(self._products) >= MAX_PRODUCT_NAMES or self._behind[name] >= MAX_PLATFORM_PRODUCTS:
            return -1
        self._behind[name] += 1
        return self._products.add(both)

    def device(self, product: str, platform_id: str) -> str | None:
        """The canonical name of who the platform of this product calls so."""
        name = self._names.find(product.encode())
        number = self._ids.find(_ID_OF.pack(name) + platform_id.encode()) if name >= 0 else -1
        if number < 0 or not (owner := self._device_of_id[number]):
            return None
        return self._devices[owner - 1].decode()

    def way_to(self, device: str) -> Way | None:
        """None when no push has said."""
        owner = self._devices.find(device.encode())
        if owner < 0 or not (number := self._id_of_device[owner]):
            return None
        product, _, platform_product = self._products[self._product_of_device[owner]].decode().partition("\0")
        return Way(product, self._ids[number - 1][_ID_OF.size :].decode(), platform_product)

    def load(self, lines: Iterable[str], product: str) -> int:
        """From lines ``platform id,device``; how many there were. Others are left out."""
        taken = 0
        for line in lines:
            platform_id, comma, device = line.strip().partition(",")
            if comma and platform_id.strip() and device.strip():
                self.learn(platform_id.strip(), device.strip(), product)
                taken += 1
        return taken
