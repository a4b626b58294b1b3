"""What a command needs beside its kind: by name, as people and programs say it, to the small integers of PROTOCOLS G.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from metering.commands import CommandKind
from metering.errors import RequestError
from metering.model import EARLIEST_S

MAX_FRAME_BYTES = 512
"""What old modules take in one datagram (PROTOCOLS C)."""

MAX_URI_CHARACTERS = 255
MAX_FIRMWARE_BYTES = 16 * 1024 * 1024
SHA256_BYTES = 32
LAST_S = 4_102_444_800
"""2100."""

MAX_PERIOD_S = 31 * 86_400
_VALVE = {"open": 0, "close": 1}


class _Field(NamedTuple):
    name: str
    number: int
    read: Callable[[Any], Any]
    """Raises ValueError, saying what is wanted."""
    show: Callable[[Any], Any]
    needed: bool = True


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return value

    return read


def _hex(fewest: int, most: int) -> Callable[[Any], bytes]:
    def read(value: Any) -> bytes:
        try:
            found = bytes.fromhex(value)
        except (TypeError, ValueError):
            found = b""
        if not fewest <= len(found) <= most:
            raise ValueError(f"{fewest} to {most} bytes in hexadecimal" if fewest < most else f"{most} bytes in hex")
        return found

    return read


def _valve(value: Any) -> int:
    if not isinstance(value, str) or value not in _VALVE:
        raise ValueError("open or close")
    return _VALVE[value]


def _uri(value: Any) -> str:
    if not (
        isinstance(value, str) and 0 < len(value) <= MAX_URI_CHARACTERS and value.isascii() and value.isprintable()
    ):
        raise ValueError(f"an address of at most {MAX_URI_CHARACTERS} ASCII characters")
    return value


def _same(value: Any) -> Any:
    return value


def _shown_hex(value: Any) -> Any:
    return value.hex()


_INSTANT = _integer(EARLIEST_S, LAST_S)
_FIELDS: Mapping[CommandKind, tuple[_Field, ...]] = MappingProxyType(
    {
        CommandKind.REPORT_NOW: (),
        CommandKind.VALVE: (_Field("valve", 0, _valve, ("open", "close").__getitem__),),
        CommandKind.REPORTING_PLAN: (
            _Field("period_s", 0, _integer(60, MAX_PERIOD_S), _same),
            _Field("offset_s", 1, _integer(0, MAX_PERIOD_S - 1), _same),
            _Field("interval_s", 2, _integer(60, 86_400), _same),
        ),
        CommandKind.SET_CLOCK: (_Field("unix_s", 0, _INSTANT, _same, needed=False),),
        CommandKind.READ_HISTORY: (_Field("from_s", 0, _INSTANT, _same), _Field("to_s", 1, _INSTANT, _same)),
        CommandKind.FIRMWARE: (
            _Field("uri", 0, _uri, _same),
            _Field("sha256", 1, _hex(SHA256_BYTES, SHA256_BYTES), _shown_hex),
            _Field("size_bytes", 2, _integer(1, MAX_FIRMWARE_BYTES), _same),
        ),
        CommandKind.RAW: (_Field("frame", 0, _hex(1, MAX_FRAME_BYTES), _shown_hex),),
    }
)
"""Without `unix_s` a clock is set to the time at which the command is handed over."""


def read_arguments(kind: CommandKind, named: Mapping[str, Any]) -> dict[int, Any]:
    """Raises RequestError that says what is missing, wrong or too much."""
    fields = _FIELDS[kind]
    if unknown := sorted(set(named) - {field.name for field in fields}):
        raise RequestError(f"{kind_name(kind)} has no argument {', '.join(map(repr, unknown))}")
    arguments: dict[int, Any] = {}
    for field in fields:
        if field.name not in named:
            if field.needed:
                raise RequestError(f"{kind_name(kind)} needs {field.name}")
            continue
        try:
            arguments[field.number] = field.read(named[field.name])
        except ValueError as error:
            raise RequestError(f"{field.name} is {error}") from error
    if kind is CommandKind.REPORTING_PLAN and arguments[1] >= arguments[0]:
        raise RequestError("offset_s lies within period_s")
    if kind is CommandKind.READ_HISTORY and arguments[0] >= arguments[1]:
        raise RequestError("from_s comes before to_s")
    return arguments


def show_arguments(kind: CommandKind, arguments: Mapping[int, Any]) -> dict[str, Any]:
    """The reverse; what has no name keeps its number."""
    fields = {field.number: field for field in _FIELDS[kind]}
    shown = {}
    for number, value in arguments.items():
        field = fields.get(number)
        if field is None:
            shown[str(number)] = value.hex() if isinstance(value, bytes) else value
        else:
            shown[field.name] = field.show(value)
    return shown


def kind_name(kind: CommandKind) -> str:
    return kind.name.lower()


def may_close(kind: CommandKind, arguments: Mapping[int, Any]) -> bool:
    """Whether it closes a valve, or may: nobody here knows what a raw frame does."""
    return kind is CommandKind.RAW or (kind is CommandKind.VALVE and arguments.get(0) == _VALVE["close"])
