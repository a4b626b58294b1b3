"""Partial IVs of our own, for answers that must not use the request's nonce (RFC 8613 section 8.3). Pure.

One sequence for all contexts and all gateways of a platform: numbers come in leases, a lease is a number of the stream
that no server ever gives twice, and what a process that ends has not used is lost. A million answers with commands use
a millionth of the 2^40 numbers there are.
"""

from __future__ import annotations

from collections import deque

LEASE = 1024
LOW = 512
"""With fewer numbers left the next lease is wanted."""
MAX_LEASES = 2**30
"""Of 1024 numbers each: section 7.2.1 ends at 2^40 - 1."""


class SenderNumbers:
    """Takes leases in, gives numbers out, each once."""

    def __init__(self) -> None:
        self._ranges: deque[range] = deque()
        self.spare = 0

    @property
    def low(self) -> bool:
        return self.spare < LOW

    def add(self, lease: int) -> None:
        """Raises ValueError beyond the last lease there is."""
        if not 0 <= lease < MAX_LEASES:
            raise ValueError("no Partial IVs are left")
        self._ranges.append(range(lease * LEASE, (lease + 1) * LEASE))
        self.spare += LEASE

    def take(self) -> bytes | None:
        """The next number in as few bytes as it takes; None when none is left."""
        if not self.spare:
            return None
        first = self._ranges.popleft()
        if len(first) > 1:
            self._ranges.appendleft(first[1:])
        self.spare -= 1
        number = first[0]
        return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
