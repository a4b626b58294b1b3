"""What the resources of one message say together, as a report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from metering.errors import DecodeError
from metering.model import DecodedReport, DeviceState

from ..contract import MAX_EXTRA_HEX, Inner
from ..instants import plausible_s
from ..native_fields import MAX_EXTRA_ITEMS, plain
from ..quantities import scaled, within
from ..readings import EMPTY, backwards, checked, checked_index, merged
from . import interval_data
from .interval_data import ByteOrder
from .meanings import ALARM_OBJECTS, ALARMS, ERROR_CODES, INTERVAL_OBJECTS, SHOWN, STATE
from .resource import Resource

WATER_METER, APP_DATA = 3424, 19
VOLUME, TIMESTAMP = 1, 5518
ALARM_STATE, ALARM_LOG, LATEST, HISTORY = 6013, 6025, 6029, 6009
ML_PER_M3: Final = 1_000_000


class Reading(NamedTuple):
    """How this utility's meters are to be read where the standard leaves it open."""

    inner: Inner
    byte_order: ByteOrder
    flow_unit_ml: int | None
    """Millilitres of one count of object 10266; None: not known, so no index is made of flows."""
    received_at_s: int


class Gathered:
    """Fills up from resources; `report` is what they say."""

    def __init__(self, how: Reading) -> None:
        self._how = how
        self._state: dict[str, int] = {}
        self._alarms = 0
        self._extra: dict[str, Any] = {}
        self._parts: list[DecodedReport] = []
        self._volumes: dict[int, list[Resource]] = {}
        self._stamps: dict[int, int] = {}
        self._flows: list[interval_data.Intervals] = []
        self._failed: list[DecodeError] = []

    def add_all(self, resources: Iterable[Resource]) -> None:
        """In order of time, so that the newest value of a field is the one that stays."""
        for resource in sorted(
            resources, key=lambda resource: float("inf") if resource.ts_s is None else resource.ts_s
        ):
            if not (self._special(resource) or self._plain_field(resource)):
                self._keep(resource)

    def undecoded(self, path: str, raw: bytes, error: DecodeError) -> None:
        """Keep what could not be read beside what could."""
        self._failed.append(error)
        kept = self._extra.setdefault("undecoded", {})
        if len(kept) < MAX_EXTRA_ITEMS:
            kept[path] = f"{error.reason}: {raw[:MAX_EXTRA_HEX].hex()}"

    def report(self) -> DecodedReport:
        """Raises DecodeError: that of the first thing that could not be read, when nothing could; of the readings."""
        own = self._own_readings()
        has_read = own is not EMPTY or self._parts or self._state or self._alarms or set(self._extra) - {"undecoded"}
        if self._failed and not has_read:
            raise self._failed[0]
        parts = [*self._parts, own] if own is not EMPTY else self._parts
        ordered = {name: self._state.get(name) for name in DeviceState._fields}
        state = DeviceState(**{**ordered, "alarms": int(self._alarms)})  # type: ignore[arg-type] # no valve is among them
        return merged(parts, state, self._extra)

    def _special(self, resource: Resource) -> bool:
        """Whether it was a resource that means more than one field."""
        what, value = (resource.path[0], resource.path[2]), resource.value
        if what == (WATER_METER, VOLUME) and scaled(value, ML_PER_M3) is not None:
            self._volumes.setdefault(resource.path[1], []).append(resource)
        elif what == (WATER_METER, TIMESTAMP) and type(value) is int:
            self._stamps[resource.path[1]] = value
        elif what == (APP_DATA, 0) and isinstance(value, bytes):
            self._app_data(resource, value)
        elif what == (3, 13) and (clock_s := plausible_s(value, self._how.received_at_s)) is not None:
            self._state["device_time_s"] = clock_s
        elif what == (3, 11) and type(value) is int:
            self._alarms |= ERROR_CODES.get(value, 0)
            self._extra.setdefault("error_codes", []).append(value)
        elif what == (4, 13) and type(value) is int and 1 <= value <= 3:
            self._state["ecl"] = value - 1  # 0 is no coverage enhancement, 1 is CE level 0
        else:
            return self._south_east_water(resource)
        return True

    def _south_east_water(self, resource: Resource) -> bool:
        object_id, _, resource_id = resource.path[:3]
        value = resource.value
        if object_id in ALARM_OBJECTS and resource_id == ALARM_STATE and isinstance(value, bool):
            self._raise(object_id, value)
        elif object_id in ALARM_OBJECTS and resource_id == ALARM_LOG and isinstance(value, bytes):
            return self._alarm_log(resource, value)
        elif object_id in INTERVAL_OBJECTS and resource_id in (LATEST, HISTORY) and isinstance(value, bytes):
            return self._interval_log(resource, value)
        else:
            return False
        return True

    def _raise(self, object_id: int, raised: bool) -> None:
        name, alarm = ALARM_OBJECTS[object_id]
        named = self._extra.setdefault("alarms_raised", []) if raised else [name]
        if name not in named:
            self._alarms |= alarm or 0
            named.append(name)

    def _alarm_log(self, resource: Resource, payload: bytes) -> bool:
        try:
            events = interval_data.alarm_events(payload, self._how.byte_order, self._how.received_at_s)
        except DecodeError as error:
            self.undecoded(_text(resource), payload, error)
            return True
        if events:
            self._raise(resource.path[0], events[-1].raised)
            shown = [[event.ts_s, event.raised] for event in events[:MAX_EXTRA_ITEMS]]
            self._extra.setdefault("alarm_events", {})[ALARM_OBJECTS[resource.path[0]][0]] = shown
        return True

    def _interval_log(self, resource: Resource, payload: bytes) -> bool:
        try:
            blocks = interval_data.intervals(payload, self._how.byte_order, self._how.received_at_s)
        except DecodeError as error:
            self.undecoded(_text(resource), payload, error)
            return True
        name = INTERVAL_OBJECTS[resource.path[0]]
        if name == "flow":
            self._flows += [block for block in blocks if block.values and len(block.values[0]) == 1]
        shown = [plain(dict(zip(("first_end_s", "period_s", "values"), block[1:], strict=True))) for block in blocks]
        if shown:
            self._extra.setdefault("intervals", {}).setdefault(name, []).extend(shown)
        return True

    def _app_data(self, resource: Resource, payload: bytes) -> None:
        if not payload:
            return
        try:
            name, part = self._how.inner(payload, self._how.received_at_s)
        except DecodeError as error:
            self.undecoded(_text(resource), payload, error)
            return
        self._extra.setdefault("inner_decoder", name)
        self._parts.append(part)

    def _plain_field(self, resource: Resource) -> bool:
        what, value = (resource.path[0], resource.path[2]), resource.value
        if what in STATE:
            name, factor, least, greatest = STATE[what]
            number = within(scaled(value, factor), least, greatest) if not isinstance(value, str) else None
            first = next(key for key, field in STATE.items() if field[0] == name)
            if number is not None and (what == first or name not in self._state) and _is_first_instance(resource):
                self._state[name] = number
                return True
            return False
        if what in ALARMS and isinstance(value, bool):
            self._alarms |= ALARMS[what] if value else 0
            return not value or self._named(what, resource)
        return what in SHOWN and self._named(what, resource)

    def _named(self, what: tuple[int, int], resource: Resource) -> bool:
        """Under its own name, once; False sends it among the others."""
        name = SHOWN.get(what)
        if name is None or name in self._extra:
            return False
        self._extra[name] = plain(resource.value)
        return True

    def _keep(self, resource: Resource) -> None:
        kept = self._extra.setdefault("resources", {})
        if len(kept) < MAX_EXTRA_ITEMS:
            kept[_text(resource)] = plain(resource.value)
        else:
            self._extra["more"] = True

    def _own_readings(self) -> DecodedReport:
        """The readings of the first water meter; further registers are kept beside it."""
        for further in sorted(self._volumes)[1:]:
            for resource in self._volumes[further]:
                self._keep(resource)
        if not self._volumes:
            return EMPTY
        first = min(self._volumes)
        pairs: dict[int, int] = {}
        untimed = None
        for resource in self._volumes[first]:
            index_ml = scaled(resource.value, ML_PER_M3) or 0
            ts_s = self._stamps.get(first) if resource.ts_s is None else resource.ts_s
            if ts_s is None or plausible_s(ts_s, self._how.received_at_s) is None:
                untimed = index_ml
            else:
                pairs[ts_s] = index_ml
        ordered = sorted({**self._of_flows(pairs), **pairs}.items())
        times, indices, kind = checked(ordered, self._how.received_at_s)
        return EMPTY._replace(
            ts_s=times, index_ml=indices, kind=kind, untimed_index_ml=checked_index(untimed) if not times else None
        )

    def _of_flows(self, pairs: dict[int, int]) -> dict[int, int]:
        """Readings at the ends of flow intervals that lead up to a reading; none while the flows' unit is not known."""
        unit_ml = self._how.flow_unit_ml
        if unit_ml is None:
            return {}
        derived: dict[int, int] = {}
        for block in self._flows:
            last_s = block.first_end_s + block.period_s * (len(block.values) - 1)
            if last_s in pairs:
                flows = [row[0] * unit_ml for row in block.values]
                derived.update(backwards(last_s, pairs[last_s], block.period_s, flows))
        return derived if all(index >= 0 for index in derived.values()) else {}


def _is_first_instance(resource: Resource) -> bool:
    """Of several power sources or radios the first is the one that is shown."""
    return resource.path[1] == 0 and resource.path[3:] in ((), (0,))


def _text(resource: Resource) -> str:
    return "/" + "/".join(map(str, resource.path))
