"""Rows of a key file, read and checked one by one; nothing here knows the database. Messages never repeat a key.

A file (see `import_file`) has a header line and one line per key:

==========  =================================================================================================
column      value
==========  =================================================================================================
device      canonical name of the device; or
serial      of its meter; or
imei        15 digits. The first of the three that is not empty counts
kind        oscore, psk or mqtt
key_id      oscore: Sender ID, 1 to 7 bytes in hexadecimal (required); psk: identity; mqtt: user name, each by
            default the canonical name of the device
key         oscore: master secret, 16 to 64 bytes in hexadecimal; psk: 16 to 64 bytes in hexadecimal;
            mqtt: the password itself, 16 to 128 printable ASCII characters
salt        oscore only: master salt, up to 32 bytes in hexadecimal; by default empty
id_context  oscore only: ID Context, up to 32 bytes in hexadecimal; by default none
server_id   oscore only: Sender ID of the platform, up to 7 bytes in hexadecimal; by default empty
==========  =================================================================================================

What `nbwater keys generate` and `rotate` write is such a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from metering.credentials import MAX_KEY_ID_BYTES, CredentialKind
from metering.errors import ImportRowsError
from metering.import_file import FileRow, file_rows
from metering.new_keys import KINDS, OSCORE_ID_BYTES_MAX, PlainKey

COLUMNS = ("device", "serial", "imei", "kind", "key_id", "key", "salt", "id_context", "server_id")
NAMES = ("device", "serial", "imei")
MAX_NAME = 64
MAX_ERRORS = 1_000
"""More than a person reads; checking stops there."""

_OF_OSCORE = ("salt", "id_context", "server_id")
_HEX_BYTES = {"key": (16, 64), "salt": (0, 32), "id_context": (1, 32), "server_id": (0, OSCORE_ID_BYTES_MAX)}
_PASSWORD = re.compile(r"[!-~]{16,128}")


class KeyRow(NamedTuple):
    """One key of the file. `key.key_id` empty: the canonical name of the device."""

    line: int
    name: str
    """Whichever the file has of the device: canonical name, serial or IMEI."""
    key: PlainKey


class _BadFieldError(Exception):
    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


def parse_key_file(data: bytes) -> list[KeyRow]:
    """Raises ImportRowsError that lists every bad field (line, column, message)."""
    found = file_rows(data)
    header = _header(next(found, FileRow(1, [])), COLUMNS, ("kind", "key"))
    rows: list[KeyRow] = []
    errors: list[tuple[int, str, str]] = []
    for line, fields in _records(found, header, errors):
        try:
            rows.append(_row(line, fields))
        except _BadFieldError as error:
            errors.append((line, error.column, str(error)))
    errors += _twice(rows)
    if errors:
        raise ImportRowsError(errors[:MAX_ERRORS])
    return rows


def parse_names(data: bytes) -> list[tuple[int, str]]:
    """Line and device of a file that has device, serial or imei; other columns are not looked at. Raises
    ImportRowsError."""
    found = file_rows(data)
    header = _header(next(found, FileRow(1, [])), None, ())
    errors: list[tuple[int, str, str]] = []
    names = []
    for line, fields in _records(found, header, errors):
        try:
            names.append((line, _name(fields)))
        except _BadFieldError as error:
            errors.append((line, error.column, str(error)))
    if errors:
        raise ImportRowsError(errors[:MAX_ERRORS])
    return names


def _header(row: FileRow, known: Sequence[str] | None, needed: Sequence[str]) -> list[str]:
    header = [name.strip().lower() for name in row.fields]
    errors = [
        (1, name[:40], f"unknown column; known: {', '.join(known)}") for name in header if known and name not in known
    ]
    errors += [(1, name[:40], "column stands twice") for name in dict.fromkeys(header) if header.count(name) > 1]
    errors += [(1, name, "column is missing") for name in needed if name not in header]
    if not set(NAMES) & set(header):
        errors.append((1, "", f"one of the columns {', '.join(NAMES)} is needed"))
    if errors:
        raise ImportRowsError(errors)
    return header


def _records(
    found: Iterable[FileRow], header: Sequence[str], errors: list[tuple[int, str, str]]
) -> Iterator[tuple[int, Mapping[str, str]]]:
    for line, fields in found:
        if len(errors) >= MAX_ERRORS:
            return
        if len(fields) != len(header):
            errors.append((line, "", f"{len(fields)} fields, the header has {len(header)}"))
        else:
            yield line, {name: field.strip() for name, field in zip(header, fields, strict=True)}


def _row(line: int, fields: Mapping[str, str]) -> KeyRow:
    name = _name(fields)
    kind = KINDS.get(fields["kind"].lower())
    if kind is None:
        raise _BadFieldError("kind", f"is not one of {', '.join(KINDS)}")
    if kind is CredentialKind.OSCORE:
        return KeyRow(line, name, _oscore(fields))
    for column in _OF_OSCORE:
        if fields.get(column):
            raise _BadFieldError(column, "is only for oscore")
    key_id = _key_id(fields.get("key_id", ""))
    if kind is CredentialKind.PSK:
        return KeyRow(line, name, PlainKey(kind, key_id, _bytes(fields, "key")))
    if not _PASSWORD.fullmatch(fields["key"]):
        raise _BadFieldError("key", "a password is 16 to 128 printable ASCII characters without spaces")
    return KeyRow(line, name, PlainKey(kind, key_id, fields["key"].encode()))


def _oscore(fields: Mapping[str, str]) -> PlainKey:
    sender_id = _hex(fields.get("key_id", ""), "key_id", 1, OSCORE_ID_BYTES_MAX)
    server_id = _bytes(fields, "server_id")
    if sender_id == server_id:
        raise _BadFieldError("server_id", "must differ from the Sender ID of the device")
    id_context = _bytes(fields, "id_context") if fields.get("id_context") else None
    key, salt = _bytes(fields, "key"), _bytes(fields, "salt")
    return PlainKey(CredentialKind.OSCORE, sender_id, key, salt, id_context, server_id)


def _name(fields: Mapping[str, str]) -> str:
    name = next((fields[column] for column in NAMES if fields.get(column)), "")
    if not name:
        raise _BadFieldError("", "names no device")
    if len(name) > MAX_NAME or not name.isprintable():
        raise _BadFieldError("", f"the name is longer than {MAX_NAME} characters or not printable")
    return name


def _key_id(text: str) -> bytes:
    if not text.isprintable() or len(text.encode()) > MAX_KEY_ID_BYTES:
        raise _BadFieldError("key_id", f"is longer than {MAX_KEY_ID_BYTES} bytes or not printable")
    return text.encode()


def _bytes(fields: Mapping[str, str], column: str) -> bytes:
    return _hex(fields.get(column, ""), column, *_HEX_BYTES[column])


def _hex(text: str, column: str, least: int, most: int) -> bytes:
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2})*", text) or not least <= len(text) // 2 <= most:
        raise _BadFieldError(column, f"is not {least} to {most} bytes in hexadecimal")
    return bytes.fromhex(text)


def _twice(rows: Sequence[KeyRow]) -> list[tuple[int, str, str]]:
    errors, ids, names = [], dict[tuple[int, bytes], int](), dict[tuple[int, str], int]()
    for line, name, key in rows:
        before = ids.setdefault((key.kind, key.key_id), line) if key.key_id else line
        if before != line:
            errors.append((line, "key_id", f"{key.shown_id} is on line {before} already"))
        before = names.setdefault((key.kind, name), line)
        if before != line:
            errors.append((line, "kind", f"a key of this kind for {name} is on line {before} already"))
    return errors
