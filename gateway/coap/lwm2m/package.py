"""Firmware by object 5 (LwM2M core 1.2 appendix E.6): whether a client fetches an image or is sent it, and how a push
goes from block to block (RFC 7959 section 2.3). Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from gateway.coap.lwm2m import formats
from gateway.coap.lwm2m.exchange import CONTINUE, PUT, Ask, Reply

PACKAGE, URI, UPDATE, STATE, RESULT = "/5/0/0", "/5/0/1", "/5/0/2", "/5/0/3", "/5/0/5"
PROTOCOLS, METHOD = "/5/0/8", "/5/0/9"
DOWNLOADED = 2
"""A state."""

INITIAL, SUCCESS = 0, 1
"""Results; of INITIAL nothing has ended yet."""

WHY: Mapping[int, str] = MappingProxyType(
    {
        2: "not enough flash memory",
        3: "out of memory",
        4: "connection lost",
        5: "integrity check failed",
        6: "unsupported package",
        7: "invalid address",
        8: "update failed",
        9: "unsupported protocol",
        10: "update cancelled",
        11: "update deferred",
    }
)
"""Other results, as the object names them."""

FIRST_SZX = 5
"""512 bytes, what small modules take in one datagram; a client may want smaller ones."""

MAX_RESTARTS = 2
"""Of one push: a client that has lost what it had begins anew so often."""

INCOMPLETE, TOO_LARGE = 0x88, 0x8D
_PUSH_ONLY, _PULL_ONLY = 1, 0
_PROTOCOL_OF: Mapping[str, int] = MappingProxyType({"coap": 0, "coaps": 1, "http": 2, "https": 3})
"""Resource 8."""


class Way(Enum):
    PULL = "pull"
    PUSH = "push"
    NONE = "none"
    """It only fetches, and not from such an address."""


def way_of(method: int | None, protocols: Collection[int], uri: str) -> Way:
    """`method`: of resource 9, None when the client does not say; `protocols`: of resource 8, empty likewise. Who can
    do both fetches: then the meter chooses its hour."""
    if method == _PUSH_ONLY:
        return Way.PUSH
    if not protocols or _PROTOCOL_OF.get(uri.partition(":")[0].lower()) in protocols:
        return Way.PULL
    return Way.NONE if method == _PULL_ONLY else Way.PUSH


class Progress(NamedTuple):
    """Of a push: how much the client has, and the size of the next block."""

    offset: int = 0
    szx: int = FIRST_SZX
    restarts: int = 0

    @property
    def block_bytes(self) -> int:
        return 1 << self.szx + 4

    def ask(self, part: bytes, size_bytes: int) -> Ask:
        more = self.offset + len(part) < size_bytes
        block = self.offset // self.block_bytes << 4 | more << 3 | self.szx
        size1 = size_bytes if self.offset == 0 else None
        return Ask(PUT, PACKAGE, part, formats.OPAQUE, block1=block, size1=size1)

    def after(self, reply: Reply, sent_bytes: int) -> Progress | None:
        """How it goes on after a block that was not the last; None: it does not, and the reply says why."""
        wanted = self.szx if reply.block1 is None else min(self.szx, reply.block1 & 7)
        if reply.code == CONTINUE or reply.success:
            return self._replace(offset=self.offset + sent_bytes, szx=wanted)
        if reply.code == TOO_LARGE and self.offset == 0 and wanted < self.szx:
            return self._replace(szx=wanted)
        return self.anew(reply)

    def anew(self, reply: Reply) -> Progress | None:
        """From the beginning, when the client says that it misses blocks (4.08)."""
        if reply.code == INCOMPLETE and self.offset and self.restarts < MAX_RESTARTS:
            return Progress(0, self.szx, self.restarts + 1)
        return None
