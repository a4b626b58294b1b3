"""Reads the registry snapshot entry by entry from the pieces in which it travels: a million entries at once would take
more memory than what is made of them. Pure.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import cbor2

from metering.errors import EnvelopeError
from metering.registry import RegistryEntry, entry_of


class SnapshotReader:
    """`entries`: how many there will be, once the first piece was read. Everything raises EnvelopeError for bytes that
    are no snapshot."""

    def __init__(self) -> None:
        self.entries = 0
        self._began = False
        self._seen = 0
        self._rest = b""
        self._digest = hashlib.sha256()

    def read(self, piece: bytes) -> Iterator[RegistryEntry]:
        """The entries that are complete with this piece. To be read to the end before the next piece comes."""
        self._digest.update(piece)
        stream = io.BytesIO(self._rest + piece)
        if not self._began:
            self.entries, self._began = _array_length(stream), True
        decoder = cbor2.CBORDecoder(stream, read_size=1)  # so that `tell` is where an entry ends
        start = stream.tell()
        while self._seen < self.entries:
            start = stream.tell()
            try:
                row = decoder.decode()
            except cbor2.CBORDecodeEOF:
                break
            except (cbor2.CBORDecodeError, TypeError, ValueError) as error:
                raise EnvelopeError(f"not a registry entry: {error}") from error
            self._seen += 1
            start = stream.tell()
            yield entry_of(row)
        stream.seek(start)
        self._rest = stream.read()

    def finish(self, sha256: bytes) -> None:
        """All has been read: is it all, and what was written?"""
        if self._digest.digest() != sha256:
            raise EnvelopeError("the registry snapshot does not match its digest")
        if not self._began or self._seen < self.entries or self._rest:
            raise EnvelopeError(f"the registry snapshot has {self._seen} of {self.entries} entries")


def _array_length(stream: io.BytesIO) -> int:
    """Entries of a CBOR array of definite length: major type 4, count in 0 to 8 bytes (RFC 8949 section 3)."""
    head = stream.read(1)
    if not head or head[0] >> 5 != 4 or head[0] & 31 > 27:
        raise EnvelopeError("the registry snapshot is no array")
    short = head[0] & 31
    return short if short < 24 else int.from_bytes(stream.read(1 << short - 24), "big")
