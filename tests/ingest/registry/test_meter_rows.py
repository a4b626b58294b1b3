"""What a meter file may look like, and what is said of one that may not be imported."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ingest.registry.meter_rows import COLUMNS, MAX_ERRORS, Q3_L_H, MeterRow, parse_csv, parse_rows
from metering.errors import ImportRowsError
from metering.import_file import decode_file


def errors(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(ImportRowsError) as caught:
        parse_csv(text)
    return caught.value.rows


def one(column: str, value: str) -> object:
    (row,) = parse_csv(f'serial,{column}\n1001,"{value}"\n')
    return getattr(row, {"q3_m3h": "q3_l_h"}.get(column, column))


def test_a_full_row() -> None:
    text = (
        "serial,imei,maker,model,dn_mm,q3_m3h,zone,address,latitude,longitude,installed_at,critical,plain_sources\r\n"
        '20260000000001,861234567890123,宁波,LXS-20,20,2.5,DMA-1,"龙湾大街 1 号, 2 单元",40.7,120.8,'
        "2026-01-31T08:00,是,10.0.0.0/8 fd00::/8\r\n"
    )
    assert parse_csv(text) == [
        MeterRow(
            2, "20260000000001", "861234567890123", "宁波", "LXS-20", 20, 2500, "DMA-1", "龙湾大街 1 号, 2 单元", 40.7,
            120.8, datetime(2026, 1, 31, 0, 0, tzinfo=UTC), True, ("10.0.0.0/8", "fd00::/8"),
        )
    ]  # fmt: skip


def test_a_short_row_says_nothing_else() -> None:
    assert parse_csv("serial\n1001\n\n1002\n") == [MeterRow(2, "1001"), MeterRow(4, "1002")]


def test_every_column_of_the_vocabulary_is_documented() -> None:
    text = parse_csv.__globals__["__doc__"]
    assert [column for column in COLUMNS if column not in text] == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_what_spreadsheets_write_is_read(encoding: str) -> None:
    (row,) = parse_csv(decode_file("serial;address\r\n1001;葫芦岛\r\n".encode(encoding)))
    assert row.address == "葫芦岛"


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ImportRowsError, match="nothing was imported"):
        decode_file(b"\xff\x00\xff\xff")


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("q3_m3h", "6.3", 6300),
        ("dn_mm", "15", 15),
        ("critical", "No", False),
        ("critical", "TRUE", True),
        ("installed_at", "2026-01-31", datetime(2026, 1, 30, 16, tzinfo=UTC)),
        ("installed_at", "2026-01-31T00:00:00Z", datetime(2026, 1, 31, tzinfo=UTC)),
        ("address", "  a  ", "a"),
        ("address", "   ", None),
        ("plain_sources", "10.1.2.3", ("10.1.2.3/32",)),
    ],
)
def test_values(column: str, value: str, expected: object) -> None:
    assert one(column, value) == expected


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("imei", "86123456789012", "not 15 digits"),
        ("imei", "８６１２３４５６７８９０１２３", "not 15 digits"),
        ("dn_mm", "15.5", "not a whole number"),
        ("dn_mm", "0", "not a whole number"),
        ("q3_m3h", "NaN", "not a flow rate"),
        ("q3_m3h", "-1", "not a flow rate"),
        ("q3_m3h", "1e99", "not a flow rate"),
        ("installed_at", "31.01.2026", "not an ISO 8601"),
        ("installed_at", "0001-01-01", "not an ISO 8601"),
        ("critical", "perhaps", "not yes or no"),
        ("plain_sources", "10.0.0.1/8", "has host bits set"),
        ("address", "x" * 201, "at most 200"),
        ("address", "a\x00b", "printable"),
    ],
)
def test_bad_values_are_named(column: str, value: str, message: str) -> None:
    ((line, named, said),) = errors(f'serial,{column}\n1001,"{value}"\n')
    assert (line, named) == (2, column)
    assert message in said


@pytest.mark.parametrize("degrees", ["91", "nan", "inf", "north"])
def test_bad_degrees(degrees: str) -> None:
    rows = errors(f"serial,latitude,longitude\n1001,{degrees},120\n")
    assert rows[0][:2] == (2, "latitude")


def test_every_bad_field_is_listed() -> None:
    rows = errors("serial,imei,latitude,dn_mm\n,1,40,15\n1001,,,17\n1001,,,\na b,,,\n1002,,\n")
    assert [(line, column) for line, column, _ in rows] == [
        (2, "imei"), (2, "longitude"), (3, "q3_m3h"), (4, "serial"), (5, "serial"), (6, ""),
    ]  # fmt: skip


def test_a_name_may_stand_once_even_as_imei_and_serial() -> None:
    rows = errors("serial,imei\n1001,861234567890123\n1002,861234567890123\n861234567890123,\n")
    assert rows == [
        (3, "imei", "861234567890123 is on line 2 already"),
        (4, "serial", "861234567890123 is on line 2 already"),
    ]


def test_a_device_may_be_named_by_its_own_meter() -> None:
    assert parse_csv("serial,imei\n861234567890123,861234567890123\n")


def test_a_bad_header_is_named() -> None:
    assert errors("seriell,imei,imei\n1,2,3\n") == [
        (1, "seriell", f"unknown column; known: {', '.join(COLUMNS)}"),
        (1, "imei", "column stands twice"),
        (1, "serial", "column is missing"),
    ]
    assert errors("") == [(1, "serial", "column is missing")]
    with pytest.raises(ImportRowsError):
        parse_rows([{"imei": "861234567890123"}])


def test_a_broken_quote_is_an_error_with_its_line() -> None:
    ((line, _, message),) = errors('serial,address\n1001,a\n1002,"b" c\n')
    assert line == 3
    assert "not a CSV line" in message


def test_checking_stops_after_many_errors() -> None:
    assert len(errors("serial\n" + "a b\n" * 5_000)) == MAX_ERRORS


def test_usual_flow_rates_grow_with_the_diameter() -> None:
    assert list(Q3_L_H.values()) == sorted(Q3_L_H.values())
    assert (Q3_L_H[15], Q3_L_H[20]) == (2_500, 4_000)
