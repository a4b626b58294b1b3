from __future__ import annotations

import hashlib

import pytest

from gateway.snapshot_reader import SnapshotReader
from metering.errors import EnvelopeError
from metering.registry import ENABLED, RegistryEntry, encode_entries

ENTRIES = [RegistryEntry(f"{n:015d}", (f"{n:015d}", f"s{n}"), ("10.0.0.0/8",), ENABLED) for n in range(300)]
BODY = encode_entries(ENTRIES)


@pytest.mark.parametrize("size", [9, 10, 61, 62, 63, 1000, len(BODY)])
def test_entries_come_whole_however_the_pieces_are_cut(size: int) -> None:
    reader = SnapshotReader()
    pieces = [BODY[at : at + size] for at in range(0, len(BODY), size)]
    assert [entry for piece in pieces for entry in reader.read(piece)] == ENTRIES
    assert reader.entries == 300
    reader.finish(hashlib.sha256(BODY).digest())


def read_all(body: bytes, digest_of: bytes | None = None) -> list[RegistryEntry]:
    reader = SnapshotReader()
    entries = list(reader.read(body))
    reader.finish(hashlib.sha256(body if digest_of is None else digest_of).digest())
    return entries


def test_what_is_no_snapshot_is_told() -> None:
    assert read_all(encode_entries([])) == []
    with pytest.raises(EnvelopeError, match="299 of 300"):
        read_all(BODY[:-1])
    with pytest.raises(EnvelopeError, match="digest"):
        read_all(BODY, BODY + b"x")
    with pytest.raises(EnvelopeError, match="300 of 300"):
        read_all(BODY + b"x")
    with pytest.raises(EnvelopeError, match="no array"):
        read_all(b"\xa0")
    with pytest.raises(EnvelopeError, match="entry"):
        read_all(b"\x81\x01")
    with pytest.raises(EnvelopeError, match="entry"):
        read_all(b"\x81\xfc")
