"""The fields of nbwater's own report (PROTOCOLS G), the same for CBOR and JSON.

Refused with DecodeError, `reason` in brackets: another version [version], blocks of another shape [blocks], too many
readings [too_many_readings], an instant that cannot be [time_range], an index that no register shows [index_range].
A device-state value that cannot be true does not cost the readings beside it: it is left out and named in
``extra["implausible"]``. Unknown keys go to ``extra``, made fit for JSON and bounded.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from itertools import accumulate
from typing import Any

from metering.errors import DecodeError
from metering.model import AHEAD_S, EARLIEST_S, DecodedReport, DeviceState, ReadingKind, Valve

from .contract import MAX_INDEX_ML, MAX_READINGS

NAMES = (
    "v", "seq", "blocks", "scale", "battery_mv", "rsrp_ddbm", "snr_ddb", "ecl", "temperature_dc", "valve", "alarms",
    "sent_at", "cell_id", "results",
)  # fmt: skip
"""JSON name of each key; the CBOR key is the position."""

VERSION = 1
DEFAULT_SCALE = 3
MAX_SCALE = 9
MAX_INTERVAL_S = 366 * 86_400
DAY_S = 86_400
MAX_RESULTS = 64
MAX_RESULT = 255
COMMAND_ID_DIGITS = 16
MAX_EXTRA_KEYS = 64
MAX_EXTRA_ITEMS = 256
MAX_EXTRA_TEXT = 1_024
MAX_EXTRA_DEPTH = 4

PLAUSIBLE: tuple[tuple[int, int, int], ...] = (
    (1, 0, 2**32 - 1),
    (4, 0, 65_535),
    (5, -2_000, 0),
    (6, -1_000, 1_000),
    (7, 0, 2),
    (8, -1_000, 2_000),
    (9, 0, 2),
    (10, 0, 2**31 - 1),
    (12, 0, 2**32 - 1),
)
"""Key, least and greatest value that can be true: the width of a counter, the physics of a radio or a sensor."""

_KEYS = range(len(NAMES))
_KNOWN_KEYS = frozenset(_KEYS)
RESERVED = frozenset({"results", "tasks", "implausible", "inner_decoder", "services", "undecoded",
                      "settlement_index_ml"})  # fmt: skip
"""Names in ``extra`` that the platform acts on or makes itself: a device cannot put its own words there."""

_HEX = frozenset("0123456789abcdefABCDEF")
_VALVES = (Valve.OPEN, Valve.CLOSED, Valve.FAULT)


def report(fields: dict[Any, Any], received_at_s: int) -> DecodedReport:
    """The report in a map by key number. Raises DecodeError as the module says."""
    if fields.get(0) != VERSION or fields[0] is True:
        raise DecodeError("version", f"key 0 (v) is not {VERSION}")
    ts_s, index_ml, kind = _readings(fields.get(2, []), fields.get(3, DEFAULT_SCALE), received_at_s)
    extra: dict[str, Any] = {}
    known = _state_fields(fields, received_at_s, extra)
    if 13 in fields:
        _keep_results(fields[13], extra)
    if not _KNOWN_KEYS.issuperset(fields):
        _keep_unknown(fields, extra)
    valve = known[9]
    return DecodedReport(
        DeviceState(
            known[4], known[5], known[6], known[7], known[12], known[8], None,
            None if valve is None else _VALVES[valve], known[10] or 0, known[11],
        ),
        ts_s, index_ml, kind, known[1], None, None, extra,
    )  # fmt: skip


def _state_fields(fields: dict[Any, Any], received_at_s: int, extra: dict[str, Any]) -> list[int | None]:
    known = list(map(fields.get, _KEYS))
    sent_at = known[11]
    if sent_at is not None and not (type(sent_at) is int and EARLIEST_S <= sent_at <= received_at_s + AHEAD_S):
        extra["implausible"] = {"sent_at": plain(sent_at)}
        known[11] = None
    for key, least, greatest in PLAUSIBLE:
        value = known[key]
        if value is not None and not (type(value) is int and least <= value <= greatest):
            extra.setdefault("implausible", {})[NAMES[key]] = plain(value)
            known[key] = None
    return known


def _readings(blocks: Any, scale: Any, received_at_s: int) -> tuple[array[int], array[int], ReadingKind]:
    if type(scale) is not int or not 0 <= scale <= MAX_SCALE:
        raise DecodeError("blocks", f"scale is not an integer from 0 to {MAX_SCALE}")
    if not isinstance(blocks, list):
        raise DecodeError("blocks", "blocks is not an array")
    ts_s, index_ml = array("q"), array("q")
    unit_ml = 10**scale
    latest_s = received_at_s + AHEAD_S
    kind = ReadingKind.FREEZE if blocks else ReadingKind.HOURLY
    for block in blocks:
        if _append(block, unit_ml, latest_s, ts_s, index_ml) < DAY_S:
            kind = ReadingKind.HOURLY
    return ts_s, index_ml, kind


def _append(block: Any, unit_ml: int, latest_s: int, ts_s: array[int], index_ml: array[int]) -> int:
    """Adds the readings of one block and returns their spacing in seconds."""
    try:
        t0, interval_s, index0, deltas = block
        steps = len(deltas)
        total = sum(deltas)
        integers = type(deltas) is list and type(t0) is type(interval_s) is type(index0) is type(total) is int
    except (TypeError, ValueError):
        integers = False
    if not integers:
        raise DecodeError("blocks", "a block is [t0, interval_s, index0, [delta, …]], integers all")
    if len(ts_s) + steps >= MAX_READINGS:
        raise DecodeError("too_many_readings", f"more than {MAX_READINGS} readings in one report")
    if not (1 if steps else 0) <= interval_s <= MAX_INTERVAL_S:
        raise DecodeError("blocks", f"an interval is not a spacing of readings up to {MAX_INTERVAL_S} s")
    last_s = t0 + interval_s * steps
    if t0 < EARLIEST_S or last_s > latest_s:
        raise DecodeError("time_range", "a reading is before 2010 or more than a day after it was received")
    rising = not steps or min(deltas) >= 0
    totals = (index0, index0 + total) if rising else tuple(accumulate(deltas, initial=index0))
    if min(totals) < 0 or max(totals) * unit_ml > MAX_INDEX_ML:
        raise DecodeError("index_range", "an index is negative or beyond any register")
    ts_s.extend(_instants(t0, interval_s, steps))
    scaled = [delta * unit_ml for delta in deltas]
    index_ml.extend(array("q", list(accumulate(scaled, initial=index0 * unit_ml))))  # twice as fast as from an iterator
    return int(interval_s)


@lru_cache(maxsize=4_096)
def _instants(t0: int, interval_s: int, steps: int) -> array[int]:
    """To be copied from, never changed. Meters of a maker read their registers at the same times."""
    return array("q", range(t0, t0 + interval_s * steps + 1, interval_s or 1))


def _keep_results(results: Any, extra: dict[str, Any]) -> None:
    """``extra["results"]`` = [[command id as 16 hexadecimal digits, result], …], whatever the door; what is no such
    pair is kept as implausible."""
    pairs = results[:MAX_RESULTS] if isinstance(results, list) else [results]
    read = [_result(pair) for pair in pairs]
    if good := [pair for pair in read if pair is not None]:
        extra["results"] = good
    if bad := [plain(pair) for pair, result in zip(pairs, read, strict=True) if result is None]:
        extra.setdefault("implausible", {})["results"] = bad


def _result(pair: Any) -> list[Any] | None:
    if type(pair) is not list or len(pair) != 2 or type(pair[1]) is not int or not 0 <= pair[1] <= MAX_RESULT:
        return None
    command = pair[0].hex() if isinstance(pair[0], bytes) else pair[0]
    if not isinstance(command, str) or len(command) != COMMAND_ID_DIGITS or not _HEX.issuperset(command):
        return None
    return [command.lower(), pair[1]]


def _keep_unknown(fields: dict[Any, Any], extra: dict[str, Any]) -> None:
    for key, value in fields.items():
        if isinstance(key, int) and not isinstance(key, bool) and 0 <= key < len(NAMES):
            continue
        if len(extra) >= MAX_EXTRA_KEYS:
            extra["more"] = True
            return
        name = str(plain(key))
        extra[f"key_{name}" if name in extra or name in RESERVED else name] = plain(value)


def plain(value: Any, depth: int = 0) -> Any:
    """`value` as a JSON column takes it: bytes as hex, no NaN, NUL or lone surrogate, 64-bit integers, bounded."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else hex(value)[:MAX_EXTRA_TEXT]
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, bytes):
        return value[: MAX_EXTRA_TEXT // 2].hex()
    if isinstance(value, str):
        return value[:MAX_EXTRA_TEXT].encode("utf-8", "replace").decode().replace("\0", "�")
    if depth >= MAX_EXTRA_DEPTH:
        return "…"
    if isinstance(value, dict):
        items = list(value.items())[:MAX_EXTRA_ITEMS]
        return {str(plain(key, MAX_EXTRA_DEPTH)): plain(item, depth + 1) for key, item in items}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value[:MAX_EXTRA_ITEMS]]
    return plain(type(value).__name__)
