"""Payloads that no meter should send, in the three formats: made from a seed, so that a failure comes back."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

import cbor2

from metering.model import ContentFormat
from tests.integration.ingest_town import FIRST_S, HOUR_S, native

Hostile = tuple[int, bytes]
"""Content format and payload."""

CJT188_FRAMES = (
    "681002390745404358811d1f90a702390745404350172309010220a6090000024836090015000000db16",
    "FEFEFEFE681043763251000000811690 1F0047700100294851 01002920200528205824 0000A716".replace(" ", ""),
    "6810670517240000008116901F01000300002C000300002C0000000000000000FFC316",
    "68AA010000050800008303 0A81003116".replace(" ", ""),
)
JSON_WORDS = (
    '"a\\u0000b"', '"\\ud800"', '"\\udfff\\ud800"', "1e999", "-1e999", "NaN", "Infinity", "9" * 400, "-" + "9" * 4_000,
    "9" * 4_400, "0.1e-400", "1.0", "true", "null", '""', '"' + "x" * 3_000 + '"', "[]", "{}", "[" * 700 + "]" * 700,
    '{"a":' * 50 + "1" + "}" * 50, '{"\\u0000":1}', '{"a":1,"a":2}', '"\\\\u0000"', '"<script>alert(1)</script>"',
    str(2**31), str(2**63), str(-(2**63)), str(2**64), "-1",
)  # fmt: skip
JSON_NAMES = (
    "v", "seq", "blocks", "scale", "battery_mv", "rsrp_ddbm", "snr_ddb", "ecl", "temperature_dc", "valve", "alarms",
    "sent_at", "cell_id", "results", "\\u0000", "extra", "implausible", "meter_address", "\\ud83d", "%s", "",
)  # fmt: skip
CBOR_BOMBS = tuple(
    bytes.fromhex(text)
    for text in (
        "a200010281" * 300, "9b7fffffffffffffff", "bb7fffffffffffffff", "5b7fffffffffffffff", "7b7fffffffffffffff",
        "9f" * 5_000, "bf" * 500, "81" * 60_000, "a20001028f" + "ff" * 40, "d81c81d81d00", "a20001181cd81d00",
        "a2000118c8c482391f4001", "a20001184dc5821b7fffffffffffffff01", "a20001184ec249" + "ff" * 9,
        "a20001184fc25a0000c350" + "ff" * 50_000, "a2000101f97e00", "a2000101f97c00", "a2000101fb7ff0000000000001",
        "a300010001", "a20001010001", "a2000160f7", "a200016101ff", "a2000162c328 00".replace(" ", ""),
        "a2000118646161ff", "a2000118647f6161ff", "a20001186463edA080".lower(), "a200011864636100 62".replace(" ", ""),
        "a2000118648180", "a20001f6f6", "a20001f7f7", "a20001f0f0", "a20001a0a0", "a2000180f6", "a2000118658 1f97e00"
        .replace(" ", ""), "a20001f97e00f97e00", "1c", "ff", "", "f6", "00", "a0", "a10001",
    )
)  # fmt: skip


def _numbers(source: random.Random) -> int:
    edge = source.choice((0, 1, 2**15, 2**16, 2**31, 2**32, 2**53, 2**62, 2**63, 2**64, 10**14, FIRST_S, 4_102_444_800))
    return source.choice((1, -1)) * (edge + source.randrange(-2, 3))


def _value(source: random.Random, depth: int = 0) -> Any:
    leaves: tuple[Callable[[], Any], ...] = (
        lambda: _numbers(source),
        lambda: struct.unpack(">d", source.randbytes(8))[0],
        lambda: source.choice((None, True, False, float("nan"), float("-inf"), 0.5)),
        lambda: source.choice(
            ("", "a\0b", "%n%s", "水表\U0001f6b0", "\u202e", "x" * 2_000, "'; DROP TABLE readings;--")
        ),
        lambda: source.randbytes(source.randrange(40)),
    )
    branches: tuple[Callable[[], Any], ...] = (
        lambda: [_value(source, depth + 1) for _ in range(source.randrange(4))],
        lambda: {_numbers(source): _value(source, depth + 1), "k\0": _value(source, depth + 1)},
    )
    return source.choice(leaves if depth > 4 else leaves + branches)()


def _cbor_fields(source: random.Random) -> Hostile:
    fields: dict[Any, Any] = {0: 1, 1: source.getrandbits(31)}
    if source.random() < 0.6:
        fields[2] = [[FIRST_S + HOUR_S * source.randrange(48), 1, _numbers(source), [_numbers(source)]]]
    for _ in range(source.randrange(4)):
        fields[source.choice((*range(20), -1, 2**40, "x", "\0"))] = _value(source)
    return ContentFormat.CBOR, cbor2.dumps(fields)


def _cbor_mutated(source: random.Random) -> Hostile:
    payload = bytearray(native(source.getrandbits(31), FIRST_S, range(100, 124), k4=3_600, k99=b"x"))
    return ContentFormat.CBOR, _mutate(source, payload)


def _cbor_bomb(source: random.Random) -> Hostile:
    return ContentFormat.CBOR, source.choice(CBOR_BOMBS)


def _json(source: random.Random) -> Hostile:
    words = (*JSON_WORDS, json.dumps([[FIRST_S, HOUR_S, _numbers(source), [1, 2]]]))
    members = {source.choice(JSON_NAMES): source.choice(words) for _ in range(source.randrange(1, 6))}
    members["v"] = "1" if source.random() < 0.9 else source.choice(words)
    text = "{" + ",".join(f'"{name}":{word}' for name, word in members.items()) + "}"
    return ContentFormat.JSON, text.encode()


def _json_mutated(source: random.Random) -> Hostile:
    text = json.dumps({"v": 1, "seq": source.getrandbits(31), "blocks": [[FIRST_S, HOUR_S, 5, [1, 2]]], "note": "a"})
    return ContentFormat.JSON, _mutate(source, bytearray(text.encode()))


def _cjt188(source: random.Random) -> Hostile:
    """Changed fields under a checksum that is right again, half of the time."""
    frame = bytearray(bytes.fromhex(source.choice(CJT188_FRAMES)))
    start = frame.index(0x68)
    for _ in range(source.randrange(1, 5)):
        frame[source.randrange(start + 9, len(frame))] = source.getrandbits(8)
    if source.random() < 0.5:
        frame[-2:] = bytes((sum(frame[start:-2]) & 0xFF, 0x16))
    return ContentFormat.OCTET_STREAM, bytes(frame)


def _noise(source: random.Random) -> Hostile:
    return source.choice(tuple(ContentFormat)), source.randbytes(source.randrange(200))


def _mutate(source: random.Random, payload: bytearray) -> bytes:
    for _ in range(source.randrange(1, 5)):
        payload[source.randrange(len(payload))] = source.getrandbits(8)
    return bytes(payload[: source.randrange(len(payload))] if source.random() < 0.2 else payload)


_KINDS = (_cbor_fields, _cbor_mutated, _cbor_bomb, _json, _json_mutated, _cjt188, _noise)


def hostile_payload(source: random.Random) -> Hostile:
    return source.choice(_KINDS)(source)
