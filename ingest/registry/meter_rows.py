"""Rows of a meter import, read and checked one by one; nothing here knows the database.

A file (see `import_file`) has a header line and one line per meter. `serial` is required; a column that is absent, or a
field that is empty, leaves what is known of the meter as it is (for a new meter: the default).

==============  ====================================================================  =============================
column          value                                                                 default of a new meter
==============  ====================================================================  =============================
serial          as printed: letters, digits, ``-``, ``_``, ``.``, at most 32          (required)
imei            15 digits                                                             none: speaks as its serial
maker, model    text                                                                  empty
dn_mm           nominal diameter, mm                                                  15
q3_m3h          permanent flow rate Q3 of OIML R 49, m³/h                             by diameter, see Q3_L_H
zone            code of a zone, made when there is none                               none
address         text                                                                  empty
latitude        degrees, WGS 84; with longitude                                       none
longitude       degrees, WGS 84; with latitude                                        none
installed_at    ISO 8601 date or time, in the utility's time zone unless it says      1970-01-01: since ever, so that
                another                                                               every past reading is the meter's
critical        yes/no, true/false, 1/0, 是/否: supply that must never be closed        no
plain_sources   networks it may speak from without a key, separated by spaces         of the import
pushers         names of the push products that may speak for it, separated by        none
                spaces; ``-``: none
multiplier      how many times what the register counts flows: 1 to 10000             1
start_index_m3  index at `installed_at`, of a new meter                               not known
replaces        serial of the meter in whose place a new one was put at               none: a new service point
                `installed_at`, by default now
==============  ====================================================================  =============================
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from metering.errors import ImportRowsError
from metering.import_file import FileRow, csv_rows, file_rows
from metering.pushers import MAX_PUSHERS, PRODUCT_NAME

UTILITY_ZONE = ZoneInfo("Asia/Shanghai")
MAX_TEXT = 200
NO_PUSHERS = "-"
MAX_MULTIPLIER = 10_000
MAX_INDEX_M3 = 10**8
MAX_ERRORS = 1_000
"""More than a person reads; checking stops there."""

Q3_L_H: Mapping[int, int] = {
    15: 2_500, 20: 4_000, 25: 6_300, 32: 10_000, 40: 16_000, 50: 25_000, 65: 40_000, 80: 63_000, 100: 100_000,
    125: 160_000, 150: 250_000, 200: 400_000, 250: 630_000, 300: 1_000_000,
}  # fmt: skip
"""Usual permanent flow rate by nominal diameter: the R5 series of OIML R 49-1:2013, 4.1.3, as makers pair it."""


@dataclass(frozen=True, slots=True)
class MeterRow:
    """One meter of the file. None: the file does not say."""

    line: int
    """In the file, the header being line 1; of a row that came otherwise, its number."""
    serial: str
    imei: str | None = None
    maker: str | None = None
    model: str | None = None
    dn_mm: int | None = None
    q3_l_h: int | None = None
    """From the file, else by the diameter when the file states that."""
    zone: str | None = None
    address: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    installed_at: datetime | None = None
    critical: bool | None = None
    plain_sources: tuple[str, ...] | None = None
    pushers: tuple[str, ...] | None = None
    multiplier: int | None = None
    start_index_ml: int | None = None
    replaces: str | None = None


def parse_csv(text: str, zone: ZoneInfo = UTILITY_ZONE) -> list[MeterRow]:
    """As `parse_file`, of text."""
    return _parse(csv_rows(text), zone)


def parse_file(data: bytes, zone: ZoneInfo = UTILITY_ZONE) -> list[MeterRow]:
    """The meters of a CSV file or a workbook. Raises ImportRowsError that lists every bad field (line, column,
    message)."""
    return _parse(file_rows(data), zone)


def _parse(found: Iterator[FileRow], zone: ZoneInfo) -> list[MeterRow]:
    header = [name.strip().lower() for name in next(found, FileRow(1, [])).fields]
    _check_header(header)
    rows = _Rows(zone)
    for line, fields in found:
        if len(fields) != len(header):
            rows.errors.append((line, "", f"{len(fields)} fields, the header has {len(header)}"))
        else:
            rows.add(line, dict(zip(header, fields, strict=True)))
    return rows.result()


def parse_rows(fields: Iterable[Mapping[str, str]], zone: ZoneInfo = UTILITY_ZONE) -> list[MeterRow]:
    """As `parse_csv`, for rows that are no file: mappings from column to text. They are counted from 1."""
    rows = _Rows(zone)
    for number, row in enumerate(fields, 1):
        _check_header(list(row))
        rows.add(number, row)
    return rows.result()


class _Rows:
    """Takes rows one after the other and remembers what must not come twice."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._rows: list[MeterRow] = []
        self._names: dict[str, int] = {}
        self._replaced: dict[str, int] = {}
        self.errors: list[tuple[int, str, str]] = []

    def add(self, line: int, fields: Mapping[str, str]) -> None:
        if len(self.errors) >= MAX_ERRORS:
            return
        values: dict[str, Any] = {}
        bad = len(self.errors)
        for column, field in fields.items():
            if text := field.strip():
                try:
                    values[column] = _COLUMNS[column](text)
                except ValueError as error:
                    self.errors.append((line, column, str(error)))
        if "serial" not in values and len(self.errors) == bad:
            self.errors.append((line, "serial", "is missing"))
        self._check_place(line, values)
        self._check_names(line, values)
        self._check_replaced(line, values)
        if len(self.errors) == bad:
            self._rows.append(self._row(line, values))

    def result(self) -> list[MeterRow]:
        if self.errors:
            raise ImportRowsError(self.errors)
        return self._rows

    def _row(self, line: int, values: dict[str, Any]) -> MeterRow:
        q3_l_h = values.pop("q3_m3h", None) or Q3_L_H.get(values.get("dn_mm", 0))
        values["start_index_ml"] = values.pop("start_index_m3", None)
        if (at := values.get("installed_at")) is not None:
            values["installed_at"] = (at if at.tzinfo else at.replace(tzinfo=self._zone)).astimezone(UTC)
        return MeterRow(line=line, q3_l_h=q3_l_h, **values)

    def _check_place(self, line: int, values: Mapping[str, Any]) -> None:
        if ("latitude" in values) != ("longitude" in values):
            missing = "longitude" if "latitude" in values else "latitude"
            self.errors.append((line, missing, "latitude and longitude go together"))
        if "dn_mm" in values and "q3_m3h" not in values and values["dn_mm"] not in Q3_L_H:
            self.errors.append((line, "q3_m3h", f"is needed: DN {values['dn_mm']} has no usual Q3"))

    def _check_names(self, line: int, values: Mapping[str, Any]) -> None:
        """A device answers to its IMEI and its meter's serial: neither may name two rows."""
        names = {column: values[column] for column in ("serial", "imei") if column in values}
        for column, name in names.items():
            before = self._names.setdefault(name, line)
            if before != line:
                self.errors.append((line, column, f"{name} is on line {before} already"))

    def _check_replaced(self, line: int, values: Mapping[str, Any]) -> None:
        if (replaced := values.get("replaces")) is None:
            return
        before = self._replaced.setdefault(replaced, line)
        if replaced == values.get("serial"):
            self.errors.append((line, "replaces", "a meter does not replace itself"))
        elif before != line:
            self.errors.append((line, "replaces", f"{replaced} is replaced on line {before} already"))


def _check_header(header: Sequence[str]) -> None:
    errors = []
    for name in header:
        if name not in _COLUMNS:
            errors.append((1, name, f"unknown column; known: {', '.join(_COLUMNS)}"))
        elif header.count(name) > 1:
            errors.append((1, name, "column stands twice"))
    if "serial" not in header:
        errors.append((1, "serial", "column is missing"))
    if errors:
        raise ImportRowsError(list(dict.fromkeys(errors)))


def _serial(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,31}", text):
        raise ValueError(f"{text[:40]!r} is not 1 to 32 letters, digits, - _ .")
    return text


def _imei(text: str) -> str:
    if not re.fullmatch(r"[0-9]{15}", text):
        raise ValueError(f"{text[:40]!r} is not 15 digits")
    return text


def _text(text: str) -> str:
    if len(text) > MAX_TEXT or not text.isprintable():
        raise ValueError(f"must be at most {MAX_TEXT} printable characters")
    return text


def _dn_mm(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= 2000:
        raise ValueError(f"{text[:40]!r} is not a whole number of millimetres from 1 to 2000")
    return int(text)


def _q3_l_h(text: str) -> int:
    try:
        litres = Decimal(text) * 1000
        if not (litres.is_finite() and 1 <= litres <= 10_000_000):
            raise ValueError
    except (InvalidOperation, ValueError):
        raise ValueError(f"{text[:40]!r} is not a flow rate from 0.001 to 10000 m³/h") from None
    return round(litres)


def _multiplier(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= MAX_MULTIPLIER:
        raise ValueError(f"{text[:40]!r} is not a whole number from 1 to {MAX_MULTIPLIER}")
    return int(text)


def _index_ml(text: str) -> int:
    try:
        millilitres = Decimal(text) * 1_000_000
        if not (millilitres.is_finite() and 0 <= millilitres <= MAX_INDEX_M3 * 1_000_000):
            raise ValueError
    except (InvalidOperation, ValueError):
        raise ValueError(f"{text[:40]!r} is not an index from 0 to {MAX_INDEX_M3} m³") from None
    return round(millilitres)


def _degrees(limit: int) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not -limit <= value <= limit:
            raise ValueError(f"{text[:40]!r} is not degrees from -{limit} to {limit}")
        return value

    return parse


def _instant(text: str) -> datetime:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        value = None
    if value is None or not 1970 <= value.year <= 2200:
        raise ValueError(f"{text[:40]!r} is not an ISO 8601 date or time from 1970 on (2026-01-31, 2026-01-31T08:00)")
    return value


def _yes(text: str) -> bool:
    words = {"yes": True, "true": True, "1": True, "是": True, "no": False, "false": False, "0": False, "否": False}
    if text.lower() not in words:
        raise ValueError(f"{text[:40]!r} is not yes or no")
    return words[text.lower()]


def _networks(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(part)) for part in text.split())
    except ValueError as error:
        raise ValueError(f"{error}; networks are separated by spaces") from None


def _pushers(text: str) -> tuple[str, ...]:
    names = () if text == NO_PUSHERS else tuple(dict.fromkeys(text.split()))
    if len(names) > MAX_PUSHERS or not all(re.fullmatch(PRODUCT_NAME, name) for name in names):
        raise ValueError(f"{text[:40]!r} is not 1 to {MAX_PUSHERS} names of push products, or {NO_PUSHERS} for none")
    return names


_COLUMNS: Mapping[str, Callable[[str], Any]] = {
    "serial": _serial,
    "imei": _imei,
    "maker": _text,
    "model": _text,
    "dn_mm": _dn_mm,
    "q3_m3h": _q3_l_h,
    "zone": _text,
    "address": _text,
    "latitude": _degrees(90),
    "longitude": _degrees(180),
    "installed_at": _instant,
    "critical": _yes,
    "plain_sources": _networks,
    "pushers": _pushers,
    "multiplier": _multiplier,
    "start_index_m3": _index_ml,
    "replaces": _serial,
}
COLUMNS = tuple(_COLUMNS)
