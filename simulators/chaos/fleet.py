"""Meters that do not give up at once: what had no answer is sent again when the meter wakes next.

5.03 and silence mean *unknown*. A meter's retransmission has the same message id; a report that is sent again at the
next wake-up has a new one and the same content and number. Some meters have no such memory and never send it again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial

from metering.model import ContentFormat
from simulators.admission import admit_by
from simulators.doors.way import Outgoing, Way, post
from simulators.exchange import Answer, Fate, Timers, count_end
from simulators.exchange_table import ANSWERED, NOT_SENT, REFUSED, UNKNOWN
from simulators.load import LoadLedgers
from simulators.payloads import Report, encode_cbor
from simulators.synthetic import Plan, index_l, serial

TIMERS = Timers(ack_timeout_s=1.0, unavailable_retries=2, pause_cap_s=4.0)
"""RFC 7252 with half its ACK_TIMEOUT: an exchange is given up after 31 to 47 s, so that a run of minutes has many."""
WAKES = 4
"""How often a report without an answer is sent again."""
WAKE_AFTER_S = (2.0, 12.0)
REMEMBERING = 0.7
"""Share of reports whose meter remembers them."""
POLL_S = 0.2
STATE = {"battery_mv": 3600, "rsrp_ddbm": -980, "snr_ddb": 60, "ecl": 0, "alarms": 0}


class Fleet:
    """Plays `planned` at an even rate, and keeps what became of each report. Meter n speaks by way n, in turn."""

    def __init__(self, planned: Plan, reports_per_second: float, seed: int, ways: Sequence[Way]) -> None:
        self.plan, self._rate, self._ways = planned, reports_per_second, ways
        self._rng = random.Random(seed)  # noqa: S311 - habits of meters, no secret
        self._states = bytearray([NOT_SENT]) * planned.reports
        self._tries: dict[int, int] = {}
        self._asleep = 0
        self.offered = self.answered = self.refused = self.unknown = self.sent_again = 0
        self.codes: dict[str, int] = {}

    def ledgers(self) -> LoadLedgers:
        return LoadLedgers(self.plan, bytes(self._states))

    def way_of(self, report: int) -> Way:
        return self._ways[report % self.plan.meters % len(self._ways)]

    def by_door(self) -> dict[str, tuple[int, int]]:
        """Of each door reports sent and answered."""
        sent: Counter[str] = Counter()
        answered: Counter[str] = Counter()
        for report, state in enumerate(self._states):
            if state != NOT_SENT:
                door = self.way_of(report).name
                sent[door] += 1
                answered[door] += state == ANSWERED
        return {door: (sent[door], answered[door]) for door in sorted(sent)}

    def outgoing(self, report: int) -> Outgoing:
        number, meter = divmod(report, self.plan.meters)
        readings = [(ts, index_l(meter, ts)) for ts in self.plan.instants(number)]
        payload = encode_cbor(Report(self.plan.seq(number), readings, STATE))
        return Outgoing(serial(meter), serial(meter), ContentFormat.CBOR, payload, meter)

    async def open_doors(self) -> None:
        """Send the first report of the first and of the last meter of each way until it is taken: then the gateway
        knows them, and the door is open."""
        meters = min(self.plan.meters, self.plan.reports)
        ways = range(min(len(self._ways), meters))
        for report in sorted({*ways, *(max(range(way, meters, len(self._ways))) for way in ways)}):
            way = self.way_of(report)
            answer = await admit_by(partial(post, way, self.outgoing(report)), f"{serial(report)} by {way.name}")
            self.offered += 1
            self._states[report] = ANSWERED if answer.fate is Fate.ANSWERED else REFUSED
            self.answered += answer.fate is Fate.ANSWERED
            self.refused += answer.fate is Fate.REFUSED

    async def play(self) -> None:
        """Send every report at its instant; returns when no meter wants to send anything any more."""
        start = time.monotonic()
        for report in range(self.plan.reports):
            if (wait_s := start + report / self._rate - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            if self._states[report] == NOT_SENT:
                self._states[report] = UNKNOWN
                self.offered += 1
                self._send(report)
            if report % 64 == 0:
                await asyncio.sleep(0)  # behind its time, it must still let answers in
        while self._asleep or any(way.inflight for way in self._ways):  # noqa: ASYNC110 - they come and go many times
            await asyncio.sleep(POLL_S)

    def _send(self, report: int) -> None:
        self.way_of(report).send(self.outgoing(report), partial(self._on_end, report))

    def _on_end(self, report: int, answer: Answer) -> None:
        if answer.fate is Fate.UNKNOWN and self._remembers(report):
            self._asleep += 1
            asyncio.get_running_loop().call_later(self._rng.uniform(*WAKE_AFTER_S), self._wake, report)
            return
        self._tries.pop(report, None)
        if answer.fate is not Fate.UNKNOWN:
            self._states[report] = ANSWERED if answer.fate is Fate.ANSWERED else REFUSED
        count_end(self, answer)

    def _remembers(self, report: int) -> bool:
        tries = self._tries.get(report, 0)
        if tries >= WAKES or (not tries and self._rng.random() > REMEMBERING):
            return False
        self._tries[report] = tries + 1
        return True

    def _wake(self, report: int) -> None:
        self._asleep -= 1
        self.sent_again += 1
        self._send(report)
