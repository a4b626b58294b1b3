"""One simulated meter: what it is, and what it says at an instant. Pure: the same arguments give the same report, so
a town that plays its history twice sends identical reports, which the platform must recognise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from metering.alarms import Alarm
from metering.model import ContentFormat, Valve
from simulators import payloads
from simulators.clocks import Clock
from simulators.local_time import DAY_S, HOUR_S
from simulators.obedience import Obedience
from simulators.radio import Conditions, Radio
from simulators.water.calendar import EPOCH_S
from simulators.water.faults import Fault, FaultKind

YEAR_S = 365 * DAY_S
NEW_BATTERY_MV = 3_650
BATTERY_MV_PER_YEAR = (20, 32, 65)
"""By coverage level: who has to repeat and to shout lives shorter."""
GARBLED_SHARE = 0.004
KEPT_READINGS = 7 * 24
"""A meter keeps a week of hours."""
SEEN_BY_METERS = {
    FaultKind.TOILET: Alarm.LEAK, FaultKind.PIPE: Alarm.LEAK, FaultKind.GROWING: Alarm.LEAK,
    FaultKind.BURST: Alarm.BURST, FaultKind.REVERSE: Alarm.REVERSE_FLOW,
}  # fmt: skip
"""Faults for which a meter raises an alarm of its own, if it can."""
MODEM_MARKER = b'+QLWEVTIND: 0\r\n+NNMI: "CONNECT"\r\n'


class Quirk(StrEnum):
    """What a maker's firmware does otherwise than others'."""

    NONE = "none"
    OVERLAPS = "overlaps"
    """Each daily report has the hours of the day before once more."""
    AT_MIDNIGHT = "at_midnight"
    """They all report soon after midnight."""
    FORGETS = "forgets"
    """What could not be sent is lost."""


class Wire(StrEnum):
    """The payload format a meter speaks."""

    CBOR = "cbor"
    JSON = "json"
    VENDOR = "cjt188_vendor"
    STANDARD = "cjt188_901f"


CONTENT_FORMATS = {
    Wire.CBOR: ContentFormat.CBOR,
    Wire.JSON: ContentFormat.JSON,
    Wire.VENDOR: ContentFormat.OCTET_STREAM,
    Wire.STANDARD: ContentFormat.OCTET_STREAM,
}


class Register(Protocol):
    """What a meter counts: a household's water, a shop's, a main's."""

    @property
    def fault(self) -> Fault | None: ...

    def index_l(self, ts_s: int) -> int:
        """Whole litres at an instant."""
        ...


@dataclass(frozen=True, slots=True)
class Label:
    """What the registry knows of a meter."""

    serial: str
    imei: str
    maker: str
    model: str
    dn_mm: int
    q3_m3h: str
    zone: str
    address: str
    latitude: float
    longitude: float

    def import_row(self) -> dict[str, str]:
        row = {name: str(getattr(self, name)) for name in self.__slots__}
        return {name: value for name, value in row.items() if value}


@dataclass(frozen=True, slots=True)
class Transmission:
    """A payload on its way: `conditions` say how the radio treats it. `garbled`: it cannot be decoded."""

    content_format: ContentFormat
    payload: bytes
    conditions: Conditions
    garbled: bool


@dataclass(frozen=True)
class Meter:
    seed: int
    number: int
    label: Label
    wire: Wire
    household: Register
    radio: Radio
    report_second: int
    """Second of the local day at which the daily report is due."""
    silent: bool
    """It stopped reporting some days ago."""
    worn_battery: bool
    tampered: bool
    clock: Clock
    quirk: Quirk
    every_s: int = HOUR_S
    """Between two readings."""

    @property
    def name(self) -> str:
        """What it calls itself in the path of its reports."""
        return self.label.imei or self.label.serial

    def daily(self, due_s: int) -> Transmission:
        """The report of the 24 full hours before `due_s`, by its own clock."""
        last_s = (due_s - self.clock.behind_s(due_s)) // self.every_s * self.every_s
        count = (2 if self.quirk is Quirk.OVERLAPS else 1) * DAY_S // self.every_s
        return self._transmission(due_s, [last_s - before * self.every_s for before in range(count - 1, -1, -1)])

    def since(self, before_s: int, due_s: int, told: Obedience | None = None) -> Transmission:
        """A report of the full hours after `before_s`, KEPT_READINGS at most, and of the instant `due_s` itself.
        `told`: what the meter has been told, which its register and its report show."""
        behind_s, every_s = self.clock.behind_s(due_s), self.every_s
        first_s = ((max(before_s, due_s - KEPT_READINGS * every_s) - behind_s) // every_s + 1) * every_s
        shown_s = due_s - behind_s
        return self._transmission(due_s, [*range(first_s, shown_s, every_s), shown_s], told)

    def _transmission(self, due_s: int, shown_s: list[int], told: Obedience | None = None) -> Transmission:
        """`shown_s`: what its clock shows at the instants of the readings."""
        draw = np.random.default_rng((self.seed, self.number, due_s))
        conditions = self.radio.conditions(draw)
        household_l = self.household.index_l
        behind_s = self.clock.behind_s(due_s)
        instants_s = [ts + behind_s for ts in shown_s]
        indices = [told.index_l(household_l, ts) if told else household_l(ts) for ts in instants_s]
        readings = list(zip(shown_s, indices, strict=True))
        payload = self._encode(due_s, readings, conditions, told)
        garbled = bool(draw.random() < GARBLED_SHARE)
        if garbled:
            payload = MODEM_MARKER if draw.random() < 0.3 else garble(payload)
        return Transmission(CONTENT_FORMATS[self.wire], payload, conditions, garbled)

    @property
    def obeys(self) -> bool:
        """Whether it understands the commands of PROTOCOLS G."""
        return self.wire in (Wire.CBOR, Wire.JSON)

    def _encode(
        self, due_s: int, readings: list[tuple[int, int]], conditions: Conditions, told: Obedience | None
    ) -> bytes:
        battery_mv = self._battery_mv(due_s)
        ts_s, litres = readings[-1]
        if self.wire is Wire.VENDOR:
            csq = int(np.clip((conditions.rsrp_ddbm + 1_400) // 25, 1, 31))
            pressure_kpa = self._pressure_kpa(due_s)
            return payloads.encode_vendor_daily(self.label.serial, ts_s, litres, battery_mv, csq, pressure_kpa)
        if self.wire is Wire.STANDARD:
            return payloads.encode_901f(self.label.serial, ts_s, litres, battery_low=self.worn_battery)
        state: dict[str, object] = {
            "battery_mv": battery_mv, "rsrp_ddbm": conditions.rsrp_ddbm, "snr_ddb": conditions.snr_ddb,
            "ecl": conditions.ecl, "temperature_dc": self._temperature_dc(due_s),
            "valve": int(told.valve if told else Valve.OPEN),
            "alarms": self._alarms(due_s), "sent_at": due_s - self.clock.behind_s(due_s), "cell_id": self.radio.cell_id,
        }  # fmt: skip
        if told and told.results:
            state["results"] = [[name if self.wire is Wire.CBOR else name.hex(), end] for name, end in told.results]
        report = payloads.Report(due_s - EPOCH_S, readings, state)
        return payloads.encode_cbor(report) if self.wire is Wire.CBOR else payloads.encode_json(report)

    def _battery_mv(self, due_s: int) -> int:
        worn = 520 if self.worn_battery else 0
        age_mv = BATTERY_MV_PER_YEAR[self.radio.usual_ecl] * (due_s - EPOCH_S) // YEAR_S
        return int(NEW_BATTERY_MV - self.number % 40 - worn - age_mv)

    def _pressure_kpa(self, due_s: int) -> int:
        """By the meter's height, 60 kPa less at four in the afternoon than at night, a little by the day."""
        in_use = (1 - np.cos(2 * np.pi * ((due_s + 4 * 3_600) % 86_400) / 86_400)) / 2
        return int(260 + self.number * 37 % 120 - 60 * in_use + due_s // 86_400 * 7 % 20)

    def _temperature_dc(self, due_s: int) -> int:
        """In its pit: Huludao's ground water through the year, a little of the day's course."""
        year = np.cos(2 * np.pi * ((due_s - EPOCH_S) / YEAR_S - 0.56))
        return int(110 + 75 * year + self.number % 20)

    def _alarms(self, due_s: int) -> int:
        alarms = Alarm(0)
        fault = self.household.fault
        if fault and fault.kind in SEEN_BY_METERS and fault.active(due_s) and self.number % 2:
            alarms |= SEEN_BY_METERS[fault.kind]
        if self.worn_battery:
            alarms |= Alarm.BATTERY_LOW
        if self.tampered:
            alarms |= Alarm.MAGNETIC_TAMPER
        return int(alarms)


def garble(payload: bytes) -> bytes:
    """As a modem that loses its power while sending leaves it: the last third is missing."""
    return payload[: max(1, len(payload) * 2 // 3)]
