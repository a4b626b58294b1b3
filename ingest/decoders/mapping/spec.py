"""What a mapping file may say, checked when it is loaded. Docs with a worked example: docs/doors/decoders.md."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from metering.alarms import Alarm
from metering.model import ContentFormat, DeviceState, ReadingKind, Valve

from ..contract import MAX_READINGS
from .checksums import CHECKSUMS

MAX_FRAME_BYTES: Final = 4_096
MAX_FIELDS: Final = 64

FORMATS: Final = {
    "octet_stream": ContentFormat.OCTET_STREAM,
    "json": ContentFormat.JSON,
    "ctwing": ContentFormat.CTWING,
    "oceanconnect": ContentFormat.OCEANCONNECT,
    "iotda": ContentFormat.IOTDA,
}
NUMBER_FIELDS: Final = tuple(name for name in DeviceState._fields if name not in ("valve", "alarms", "device_time_s"))

Offset = Annotated[int, Field(ge=-MAX_FRAME_BYTES, lt=MAX_FRAME_BYTES)]
Encoding = Literal["uint_le", "uint_be", "int_le", "int_be", "bcd_le", "bcd_be", "hex", "hex_le", "ascii"]
Hex = Annotated[str, Field(pattern=r"^(?:[0-9a-fA-F]{2}){1,64}$")]
Factor = Annotated[Decimal, Field(allow_inf_nan=False, max_digits=20)]
Zone = Annotated[str, Field(pattern=r"^(?:Z|[+-](?:0\d|1[0-4]):?[0-5]\d)$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Value(Part):
    """Where a value stands: bytes of a frame (`at`, `bytes`, `encoding`, then `mask` and `shift`), a `path` in a JSON
    document (names and positions joined with dots), or a `constant`."""

    at: Offset | None = None
    bytes: int = Field(1, ge=1, le=64)
    encoding: Encoding = "uint_le"
    mask: int | None = Field(None, ge=1)
    shift: int = Field(0, ge=0, le=64)
    path: str | None = Field(None, min_length=1, max_length=200)
    constant: str | int | None = None
    absent: tuple[int, ...] = ()
    """Numbers that mean: no value."""

    @model_validator(mode="after")
    def _one_place(self) -> Value:
        if sum(place is not None for place in (self.at, self.path, self.constant)) != 1:
            raise ValueError("say exactly one of at, path and constant")
        return self


class Number(Value):
    """A number in the unit of its field after multiplying with `scale`."""

    scale: Factor = Decimal(1)


class Index(Value):
    """A volume; `ml_per_count` millilitres a count, or by another value's `table`."""

    ml_per_count: Factor | None = None
    ml_per_count_by: Table | None = None

    @model_validator(mode="after")
    def _one_unit(self) -> Index:
        if (self.ml_per_count is None) == (self.ml_per_count_by is None):
            raise ValueError("say one of ml_per_count and ml_per_count_by")
        return self


class Table(Value):
    table: dict[str, Factor] = Field(min_length=1, max_length=256)


class Time(Value):
    """`format`: unix_s, unix_ms, text (ISO 8601 and its relatives), or digits, a byte for each of `order`.

    Clocks without a zone are in `zone`.
    """

    format: Literal["unix_s", "unix_ms", "text", "bcd_digits", "binary_digits"]
    order: str = Field("ss mm hh DD MM YY", max_length=40)
    zone: Zone = "+08:00"

    @field_validator("order")
    @classmethod
    def _known(cls, order: str) -> str:
        tokens = order.split()
        if {"YY", "MM", "DD"} - set(tokens) or set(tokens) - {"ss", "mm", "hh", "DD", "WW", "MM", "YY", "CC"}:
            raise ValueError("order names the bytes with ss mm hh DD WW MM YY CC; DD MM YY must be there")
        if len(tokens) != len(set(tokens)):
            raise ValueError("order names a byte twice")
        return order

    @model_validator(mode="after")
    def _digits_are_bytes(self) -> Time:
        if self.format.endswith("_digits") and self.at is None:
            raise ValueError("digits stand in bytes: say at")
        return self


class ValveMap(Value):
    map: dict[str, Literal["open", "closed", "fault"]] = Field(min_length=1, max_length=64)

    def of(self, value: object) -> Valve | None:
        name = self.map.get(str(value))
        return Valve[name.upper()] if name else None


class AlarmBit(Value):
    """Raises `alarm` when the value is one of `when`; without it, when it is not zero, false, empty or absent."""

    alarm: str
    when: tuple[str, ...] = ()

    @field_validator("alarm")
    @classmethod
    def _known(cls, name: str) -> str:
        if name.upper() not in Alarm.__members__:
            raise ValueError(
                f"no alarm {name!r}; there are {', '.join(member.lower() for member in Alarm.__members__)}"
            )
        return name


class Series(Index):
    """Readings one after the other: indices, or deltas that connect to the report's index.

    In bytes: `count` values `step` bytes apart. In JSON: `path` names an array, `value` the index in each element
    (none: the element itself), `value_time` its time. Without times of their own the values are `interval_s` apart,
    and the report's time, moved by `offset_s` and cut down to whole `floor_s`, is that of the `anchor` value. Deltas
    lead up to the index (anchor last: the index is the register at the end of the last) or on from it (anchor first:
    at the beginning of the first).
    """

    count: int | None = Field(None, ge=1, le=MAX_READINGS)
    count_at: Value | None = None
    step: int | None = Field(None, ge=1, le=256)
    value: str | None = Field(None, max_length=200)
    value_time: Time | None = None
    meaning: Literal["index", "delta"] = "index"
    interval_s: int | None = Field(None, ge=1, le=31 * 86_400)
    anchor: Literal["first", "last"] = "last"
    offset_s: int = Field(0, ge=-(31 * 86_400), le=31 * 86_400)
    floor_s: int = Field(1, ge=1, le=86_400)

    @model_validator(mode="after")
    def _complete(self) -> Series:
        if self.at is not None and (self.count is None) == (self.count_at is None):
            raise ValueError("a series in bytes needs one of count and count_at")
        if self.constant is not None:
            raise ValueError("a series cannot be a constant")
        if self.value_time is None and self.interval_s is None:
            raise ValueError("say interval_s, or value_time for times of each value")
        if self.meaning == "delta" and self.interval_s is None:
            raise ValueError("deltas need interval_s")
        return self


class At(Part):
    at: Offset
    hex: Hex


class Checksum(Part):
    """Of the bytes from `begin` to before `end`, standing at `at`, lowest byte first unless `high_first`. Positions
    below zero count from the end of the frame."""

    kind: str
    begin: Offset = 0
    end: Offset
    at: Offset
    high_first: bool = False

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in CHECKSUMS:
            raise ValueError(f"no checksum {kind!r}; there are {', '.join(CHECKSUMS)}")
        return kind


class Match(Part):
    """Which payloads this mapping is for. `search`: the frame may stand anywhere in the payload, and has one length."""

    length: int | tuple[int, int] | None = None
    search: bool = False
    bytes: tuple[At, ...] = Field((), max_length=32)
    checksum: Checksum | None = None
    where: dict[str, str | int | bool] = Field(default_factory=dict, max_length=32)
    has: tuple[str, ...] = Field((), max_length=32)

    @model_validator(mode="after")
    def _possible(self) -> Match:
        if self.search and not isinstance(self.length, int):
            raise ValueError("search needs the length of the frame")
        bounds = (self.length, self.length) if isinstance(self.length, int) else self.length or (1, 1)
        if not 1 <= bounds[0] <= bounds[1] <= MAX_FRAME_BYTES:
            raise ValueError(f"length is from 1 to {MAX_FRAME_BYTES}, or [least, greatest]")
        return self


class Mapping(Part):
    """One file."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{1,40}$")
    about: str = Field("", max_length=2_000)
    format: Literal["octet_stream", "json", "ctwing", "oceanconnect", "iotda"]
    match: Match
    kind: Literal["hourly", "freeze", "event"] | None = None
    index: Index | None = None
    time: Time | None = None
    meter_address: Value | None = None
    seq: Number | None = None
    state: dict[str, Number] = Field(default_factory=dict)
    valve: ValveMap | None = None
    alarms: tuple[AlarmBit, ...] = Field((), max_length=MAX_FIELDS)
    series: tuple[Series, ...] = Field((), max_length=16)
    extra: dict[str, Number] = Field(default_factory=dict, max_length=MAX_FIELDS)

    @property
    def content_format(self) -> ContentFormat:
        return FORMATS[self.format]

    @property
    def reading_kind(self) -> ReadingKind | None:
        return ReadingKind[self.kind.upper()] if self.kind else None

    @field_validator("state")
    @classmethod
    def _fields(cls, state: dict[str, Number]) -> dict[str, Number]:
        if unknown := sorted(set(state) - set(NUMBER_FIELDS)):
            raise ValueError(f"no state {', '.join(unknown)}; there are {', '.join(NUMBER_FIELDS)}")
        return state

    @field_validator("extra")
    @classmethod
    def _names(cls, extra: dict[str, Number]) -> dict[str, Number]:
        if bad := [name for name in extra if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name)]:
            raise ValueError(f"names in extra are small letters, digits and _: {', '.join(bad)}")
        if reserved := sorted({"implausible", "results", "tasks"} & set(extra)):
            raise ValueError(f"{', '.join(reserved)} in extra is the platform's own")
        return extra

    @model_validator(mode="after")
    def _consistent(self) -> Mapping:
        octets = self.format == "octet_stream"
        for where, value in self._values():
            if octets and value.path is not None:
                raise ValueError(f"{where}: octets have no path")
            if not octets and value.at is not None:
                raise ValueError(f"{where}: JSON has no bytes; say path")
        if octets and not (self.match.bytes or self.match.length):
            raise ValueError("match: say bytes or length, else every payload would be taken")
        if not octets and not (self.match.where or self.match.has):
            raise ValueError("match: say where or has, else every document would be taken")
        if any(series.meaning == "delta" for series in self.series) and self.index is None:
            raise ValueError("deltas need the report's index")
        if any(series.value_time is None for series in self.series) and self.time is None:
            raise ValueError("a series without times of its own needs the report's time")
        return self

    def _values(self) -> list[tuple[str, Value]]:
        single: list[tuple[str, Value | None]] = [
            ("index", self.index), ("time", self.time), ("meter_address", self.meter_address), ("seq", self.seq),
            ("valve", self.valve),
        ]  # fmt: skip
        named = [*(("state." + name, value) for name, value in self.state.items())]
        named += [("extra." + name, value) for name, value in self.extra.items()]
        many: list[tuple[str, Any]] = [("alarms", alarm) for alarm in self.alarms]
        many += [("series", series) for series in self.series]
        return [(where, value) for where, value in (*single, *named, *many) if value is not None]


Index.model_rebuild()
