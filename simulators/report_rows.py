"""The load generator's requests as rows of bytes: request n of a plan is the same bytes whenever it is written.

In CBOR only the serial and three numbers differ from one report to the next, so a thousand rows are a few assignments;
JSON is written row by row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from metering.model import ContentFormat
from simulators import message
from simulators.local_time import DAY_S
from simulators.message import HEAD
from simulators.payloads import CborDays, Report, encode_json
from simulators.synthetic import INDEX_STEP_L, INDEX_STEPS, SERIAL_BASE, Plan, index_l, serial

Bytes2D = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]

STATE = {"battery_mv": 3600, "rsrp_ddbm": -980, "snr_ddb": 60, "ecl": 0, "alarms": 0}
JSON_SPARE_BYTES = 64
"""An index may have more digits than that of the first report."""
DIGITS = 12
_MARK = 0x7EDCBA98, 0x7EDCBA97, 0x7EDCBA96


class ReportRows:
    """`fill` as simulators.volley wants it; `row_bytes` is the length of the longest row."""

    def __init__(self, plan: Plan, content_format: ContentFormat = ContentFormat.CBOR) -> None:
        self._plan, self._format = plan, content_format
        self._days = CborDays(plan.interval_s, plan.deltas_l(), STATE)
        self.fill: Callable[[Bytes2D, Int64s], Int64s] = self._fill_cbor
        if content_format != ContentFormat.CBOR:
            self.fill = self._fill_json
            self.row_bytes = HEAD.size + len(self.tail(0)) + JSON_SPARE_BYTES
            return
        tail = self._tail("0" * DIGITS, self._days.encode(*_MARK))
        self._template = np.frombuffer(bytes(HEAD.size) + tail, np.uint8)
        self.row_bytes = len(self._template)
        self._serial_at = HEAD.size + tail.index(b"0" * DIGITS)
        self._numbers_at = [HEAD.size + tail.index(mark.to_bytes(4, "big")) for mark in _MARK]
        days = -(-plan.reports // plan.meters)
        self._index_of_day = np.array([index_l(0, plan.first_s + day * DAY_S) for day in range(days)], np.int64)
        powers = 10 ** np.arange(DIGITS - 1, -1, -1)
        meters = SERIAL_BASE + np.arange(plan.meters)
        self._serials = (meters[:, None] // powers % 10 + ord("0")).astype(np.uint8)

    def payload(self, number: int) -> bytes:
        """Of one report."""
        day, meter = divmod(number, self._plan.meters)
        seq, t0_s = self._plan.seq(day), self._plan.first_s + day * DAY_S
        if self._format == ContentFormat.CBOR:
            return self._days.encode(seq, t0_s, index_l(meter, t0_s))
        readings = [(ts, index_l(meter, ts)) for ts in self._plan.instants(day)]
        return encode_json(Report(seq, readings, STATE))

    def tail(self, number: int) -> bytes:
        """Options and payload of one report."""
        return self._tail(serial(number % self._plan.meters), self.payload(number))

    def _tail(self, device: str, payload: bytes) -> bytes:
        return message.request_tail(("r", device), self._format, payload)

    def _fill_cbor(self, data: Bytes2D, numbers: Int64s) -> Int64s:
        day, meter = np.divmod(numbers, self._plan.meters)
        data[:, HEAD.size :] = self._template[HEAD.size :]
        data[:, self._serial_at : self._serial_at + DIGITS] = self._serials[meter]
        values = (
            self._plan.seq_base + day & 0xFFFFFFFF,
            self._plan.first_s + day * DAY_S,
            meter % INDEX_STEPS * INDEX_STEP_L + self._index_of_day[day],
        )
        for at, value in zip(self._numbers_at, values, strict=True):
            data[:, at : at + 4] = value.astype(">u4")[:, None].view(np.uint8)
        return np.full(len(numbers), self.row_bytes, np.int64)

    def _fill_json(self, data: Bytes2D, numbers: Int64s) -> Int64s:
        lengths = np.empty(len(numbers), np.int64)
        for row, number in enumerate(numbers.tolist()):
            tail = self.tail(number)
            lengths[row] = HEAD.size + len(tail)
            data[row, HEAD.size : lengths[row]] = np.frombuffer(tail, np.uint8)
        return lengths
