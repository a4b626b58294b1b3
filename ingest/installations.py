"""Which meter a device read at which time: a memory of the registry, filled from the database as devices speak."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import starmap
from typing import Any, NamedTuple

from metering.model import Authentication
from metering.pushers import Standing, standing

MAX_DEVICES = 2_000_000
SHORTEST_COMMON_SUFFIX = 8
CJT188_ADDRESS_DIGITS = 14

_BY_NAME = """
    SELECT asked.name, d.device_id, d.device, pushed.bindings,
           d.has_key OR EXISTS (SELECT FROM credentials WHERE device_id = d.device_id) AS has_key,
           i.meter_id, m.serial, m.register_max_ml,
           ceil(extract(epoch FROM greatest(i.valid_from, '1900-01-01Z')))::bigint AS from_s,
           ceil(extract(epoch FROM least(i.valid_to, '2900-01-01Z')))::bigint AS to_s
    FROM ({asked}) AS asked
    JOIN devices d ON d.device_id = asked.device_id
    LEFT JOIN installations i ON i.device_id = d.device_id
    LEFT JOIN meters m ON m.meter_id = i.meter_id
    LEFT JOIN LATERAL (
        SELECT array_agg((product, floor(extract(epoch FROM bound_at) * 1000000)::bigint,
                          floor(extract(epoch FROM ended_at) * 1000000)::bigint)) AS bindings
        FROM pusher_bindings WHERE device_id = d.device_id
    ) AS pushed ON true
    ORDER BY asked.name, i.valid_from
"""
_CANONICAL = _BY_NAME.format(
    asked="SELECT name, device_id FROM unnest($1::text[]) AS name JOIN devices ON device = name"
)
_OTHER_NAMES = _BY_NAME.format(
    asked="""
    SELECT name, device_id FROM unnest($1::text[]) AS name JOIN devices ON imei = name
    UNION
    SELECT name, i.device_id FROM unnest($1::text[]) AS name
    JOIN meters ON serial = name JOIN installations i USING (meter_id) WHERE i.valid_to IS NULL
"""
)
"""A device that got its IMEI while a report under its serial was under way."""

_CHANGE_MARK = """
    SELECT (SELECT last_value + is_called::int FROM outbox_outbox_id_seq) AS mark,
           pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_running,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_transaction
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """A meter on a device from `from_s` (Unix seconds, inclusive) to `to_s` (exclusive)."""

    meter_id: int
    serial: str
    register_max_ml: int
    from_s: int
    to_s: int


class Binding(NamedTuple):
    """A product that may speak for a device, from `from_us` (Unix microseconds, inclusive) to `to_us` (exclusive; None:
    still)."""

    product: str
    from_us: int
    to_us: int | None


@dataclass(frozen=True, slots=True)
class Device:
    """A device and its installations, oldest first."""

    device_id: int
    name: str
    installations: tuple[Installation, ...]
    bindings: tuple[Binding, ...] = ()
    has_key: bool = False
    """It has a key, or had one."""

    def at(self, ts_s: int) -> Installation | None:
        """The installation whose time this is."""
        for installation in reversed(self.installations):
            if installation.from_s <= ts_s < installation.to_s:
                return installation
        return None

    def standing(self, product: str, stamp: Authentication, received_at_us: int) -> Standing:
        """Of a product towards the device. One that it is bound to now may say what it brought before (a dead letter
        that is replayed); one that it was bound to, only what it brought in its time and is still under way."""
        for bound, from_us, to_us in self.bindings:
            if bound == product and (to_us is None or from_us <= received_at_us < to_us):
                return Standing.BOUND
        return standing(product, stamp, (), closed=bool(self.bindings) or self.has_key)


class Installations:
    """Bounded memory of the registry. What is not in it is asked of the database, for a whole batch at once.

    `follow` notices changes by the outbox's sequence, which moves before the change is committed: until every
    transaction that ran when the move was seen has ended, the memory is emptied at each call.
    """

    def __init__(self, limit: int = MAX_DEVICES) -> None:
        self._limit = limit
        self._devices: dict[str, Device] = {}
        self._mark: int | None = None
        self._unsettled_until = 0

    def __len__(self) -> int:
        return len(self._devices)

    def get(self, name: str) -> Device | None:
        return self._devices.get(name)

    def clear(self) -> None:
        self._devices.clear()

    def forget(self, name: str) -> None:
        self._devices.pop(name, None)

    async def load(self, connection: Any, names: Collection[str]) -> None:
        """Make the devices of these names known, as far as the database knows them."""
        if missing := [name for name in names if name not in self._devices]:
            if len(self._devices) + len(missing) > self._limit:
                self._devices.clear()
            self._learn(await connection.fetch(_CANONICAL, missing))
            if missing := [name for name in missing if name not in self._devices]:
                self._learn(await connection.fetch(_OTHER_NAMES, missing))

    async def follow(self, connection: Any) -> None:
        """Forget what may have changed since the last call."""
        row = await connection.fetchrow(_CHANGE_MARK)
        if row["mark"] != self._mark:
            self._mark, self._unsettled_until = row["mark"], row["next_transaction"]
            self.clear()
        elif self._unsettled_until:
            self.clear()
            if row["oldest_running"] >= self._unsettled_until:
                self._unsettled_until = 0

    def _learn(self, rows: Iterable[Any]) -> None:
        found: dict[str, tuple[Device, list[Installation]]] = {}
        for row in rows:
            if row["name"] not in found:
                bindings = tuple(starmap(Binding, row["bindings"] or ()))
                found[row["name"]] = Device(row["device_id"], row["device"], (), bindings, row["has_key"]), []
            installations = found[row["name"]][1]
            if row["meter_id"] is not None:
                installations.append(
                    Installation(row["meter_id"], row["serial"], row["register_max_ml"], row["from_s"], row["to_s"])
                )
        for name, (device, installations) in found.items():
            self._devices[name] = replace(device, installations=tuple(installations))


@lru_cache(maxsize=65_536)
def names_same_meter(address: str, serial: str) -> bool:
    """Whether the number in a frame can be that of the meter with this serial.

    Makers fill CJ/T 188's 14 digits differently: the whole serial, or 10 to 12 digits of it under their own code
    (PROTOCOLS A). A number without digits says nothing, and nothing is contradicted.
    """
    in_frame = "".join(filter(str.isdecimal, address))
    printed = "".join(filter(str.isdecimal, serial)).lstrip("0")
    number = in_frame.lstrip("0")
    if not number or not printed or number == printed:
        return True
    if len(in_frame) == CJT188_ADDRESS_DIGITS and printed in (in_frame[-10:].lstrip("0"), in_frame[-12:].lstrip("0")):
        return True
    shorter, longer = sorted((number, printed), key=len)
    return len(shorter) >= SHORTEST_COMMON_SUFFIX and longer.endswith(shorter)
