"""The load generator's requests protected by OSCORE: encrypted before the run, so that it measures the platform.

Report n of a plan always has the same Partial IV and is always the same bytes.
"""

from __future__ import annotations

import numpy as np

from simulators import message
from simulators.datagrams import Bytes2D, Int64s
from simulators.keys import protected_meter
from simulators.message import HEAD, Message
from simulators.oscore import NUMBER_BYTES, TAG_BYTES, Opened, ProtectedMeter, ProtectionError
from simulators.report_rows import ReportRows
from simulators.synthetic import Plan, serial

OPTION_BYTES = 2 + 1 + NUMBER_BYTES + 7
"""Head, flags, Partial IV, kid, at most."""


class ProtectedRows:
    """`fill` as simulators.volley wants it, for reports `first` to `first + count` of the rows' plan.

    `first_number`: the Partial IV of each meter's first report of the plan.
    """

    def __init__(self, rows: ReportRows, plan: Plan, first_number: int, first: int, count: int) -> None:
        self._rows, self._plan, self._first_number, self._first = rows, plan, first_number, first
        self._meters: dict[int, ProtectedMeter] = {}
        self.row_bytes = rows.row_bytes + OPTION_BYTES + 2 + TAG_BYTES
        self._tails: Bytes2D = np.zeros((count, self.row_bytes - HEAD.size), np.uint8)
        self._lengths: Int64s = np.zeros(count, np.int64)
        for at in range(count):
            tail = self.tail(first + at)
            self._tails[at, : len(tail)] = np.frombuffer(tail, np.uint8)
            self._lengths[at] = HEAD.size + len(tail)

    def meter(self, number: int) -> ProtectedMeter:
        """Of a report."""
        place = number % self._plan.meters
        meter = self._meters.get(place)
        if meter is None:
            meter = self._meters[place] = protected_meter(serial(place), 0)
        return meter

    def partial_iv(self, number: int) -> int:
        return self._first_number + number // self._plan.meters

    def tail(self, number: int) -> bytes:
        """Options and payload of one report, protected."""
        return self.meter(number).protect_as(self.partial_iv(number), message.POST, self._rows.tail(number))

    def open(self, at: int, answer: Message) -> Opened:
        """What the answer to report `first + at` says. Raises ProtectionError."""
        if at < 0:
            raise ProtectionError("an answer to no request")
        number = self._first + at
        return self.meter(number).open(self.partial_iv(number), answer)

    def fill(self, data: Bytes2D, numbers: Int64s) -> Int64s:
        """`numbers` count from `first` on."""
        data[:, HEAD.size :] = self._tails[numbers]
        return self._lengths[numbers]
