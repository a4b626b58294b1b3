"""Rows of a key file; what is wrong is named, and the keys are never repeated."""

from __future__ import annotations

import pytest

from ingest.registry.key_rows import COLUMNS, KeyRow, parse_key_file, parse_names
from metering.credentials import CredentialKind
from metering.errors import ImportRowsError
from metering.new_keys import PlainKey

HEADER = ",".join(COLUMNS)
KEY = "5e" * 16
PASSWORD = "secret-password-of-a-meter"


def parse(*lines: str, header: str = HEADER) -> list[KeyRow]:
    return parse_key_file("\n".join((header, *lines)).encode())


def errors(*lines: str, header: str = HEADER) -> list[tuple[int, str, str]]:
    with pytest.raises(ImportRowsError) as caught:
        parse(*lines, header=header)
    assert KEY not in str(caught.value.rows)
    assert PASSWORD not in str(caught.value.rows)
    return caught.value.rows


def test_each_kind() -> None:
    rows = parse(
        f"861,1001,,oscore,0102,{KEY},aabb,,",
        f",1002,,PSK,urn:imei:861234567890123,{KEY},,,",
        f",,861234567890123,mqtt,,{PASSWORD},,,",
        f"862,,,oscore,01,{KEY},,cc,ff",
    )
    assert rows == [
        KeyRow(2, "861", PlainKey(CredentialKind.OSCORE, b"\x01\x02", bytes.fromhex(KEY), b"\xaa\xbb")),
        KeyRow(3, "1002", PlainKey(CredentialKind.PSK, b"urn:imei:861234567890123", bytes.fromhex(KEY))),
        KeyRow(4, "861234567890123", PlainKey(CredentialKind.MQTT, b"", PASSWORD.encode())),
        KeyRow(5, "862", PlainKey(CredentialKind.OSCORE, b"\x01", bytes.fromhex(KEY), b"", b"\xcc", b"\xff")),
    ]


def test_columns_may_be_left_out() -> None:
    (row,) = parse(f"1001;psk;{KEY}", header="serial;kind;key")
    assert (row.name, row.key.key_id) == ("1001", b"")


@pytest.mark.parametrize(
    ("line", "column"),
    [
        (f",,,psk,,{KEY},,,", ""),
        (f"861,,,x509,,{KEY},,,", "kind"),
        (f"861,,,oscore,,{KEY},,,", "key_id"),
        (f"861,,,oscore,0102030405060708,{KEY},,,", "key_id"),
        (f"861,,,oscore,xx,{KEY},,,", "key_id"),
        (f"861,,,oscore,01,{KEY[:-1]},,,", "key"),
        ("861,,,oscore,01,5e5e,,,", "key"),
        (f"861,,,oscore,01,{KEY},zz,,", "salt"),
        (f"861,,,oscore,01,{KEY},,,01", "server_id"),
        (f"861,,,psk,,{KEY},aa,,", "salt"),
        (f"861,,,psk,{'x' * 65},{KEY},,,", "key_id"),
        ("861,,,mqtt,,a password with spaces,,,", "key"),
        ("861,,,mqtt,,short,,,", "key"),
    ],
)
def test_a_bad_field_is_named(line: str, column: str) -> None:
    ((number, found, _),) = errors(line)
    assert (number, found) == (2, column)


def test_all_bad_rows_are_named_at_once() -> None:
    found = errors(f"861,,,psk,a,{KEY},,,", "861", f"862,,,psk,a,{KEY},,,", f"861,,,psk,b,{KEY},,,")
    assert [(line, column) for line, column, _ in found] == [(3, ""), (4, "key_id"), (5, "kind")]


@pytest.mark.parametrize(
    ("header", "column"),
    [("kind,key", ""), ("serial,key", "kind"), ("serial,kind", "key"), ("serial,kind,key,pin", "pin")],
)
def test_a_header_that_lacks_something_is_said(header: str, column: str) -> None:
    assert column in [column for _, column, _ in errors("1,2,3", header=header)]


def test_names_of_any_file() -> None:
    assert parse_names(b"serial,address\n1001,a\n,b\n".replace(b",b", b"1002,b")) == [(2, "1001"), (3, "1002")]
    with pytest.raises(ImportRowsError):
        parse_names(b"serial,address\n,b\n")
    with pytest.raises(ImportRowsError):
        parse_names(b"address\nb\n")
