"""How often a password may be tried. Pure: the time is an argument; the table is bounded."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

MAX_ENTRIES = 10_000
FREE_FAILURES_PER_LOGIN = 5
FREE_FAILURES_PER_ADDRESS = 20
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 300.0
FORGET_AFTER_S = 900.0


@dataclass(slots=True)
class _Failures:
    count: int
    last_s: float


class LoginThrottle:
    """Counts failures per login and per address (/64 for IPv6). Beyond a few free ones each failure doubles the wait.

    When the table is full the entry that failed longest ago goes: an attacker must spend that many failures, which
    his own address's entry stops first.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def wait_s(self, login: str, address: str, now_s: float) -> float:
        """Seconds until the next try is allowed; 0 when it is."""
        return max(
            self._wait(("login", login), FREE_FAILURES_PER_LOGIN, now_s),
            self._wait(("address", _prefix(address)), FREE_FAILURES_PER_ADDRESS, now_s),
        )

    def failed(self, login: str, address: str, now_s: float) -> None:
        for key in (("login", login), ("address", _prefix(address))):
            entry = self._failures.pop(key, None)
            fresh = entry is None or now_s - entry.last_s > FORGET_AFTER_S
            self._failures[key] = _Failures(1 if fresh or entry is None else entry.count + 1, now_s)
        while len(self._failures) > self._max_entries:
            self._failures.popitem(last=False)

    def succeeded(self, login: str, address: str) -> None:
        """Takes back one `failed`: forgets the login's failures, but only this one of the address, or one good account
        would open all others to guessing."""
        self._failures.pop(("login", login), None)
        entry = self._failures.get(("address", _prefix(address)))
        if entry is not None:
            entry.count = max(0, entry.count - 1)

    def _wait(self, key: tuple[str, str], free: int, now_s: float) -> float:
        entry = self._failures.get(key)
        if entry is None or entry.count < free or now_s - entry.last_s > FORGET_AFTER_S:
            return 0.0
        wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(entry.count - free, 20))
        return max(0.0, entry.last_s + wait - now_s)


def _prefix(address: str) -> str:
    """The address, or its /64 where one holder has many."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
