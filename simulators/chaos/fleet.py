"""Meters that do not give up at once: what had no answer is sent again when the meter wakes next.

5.03 and silence mean *unknown*. A meter's retransmission has the same message id; a report that is sent again at the
next wake-up has a new one and the same content and number. Some meters have no such memory and never send it again.
"""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial

from metering.model import ContentFormat
from simulators import message
from simulators.admission import admit_by
from simulators.coap import Sender
from simulators.exchange import Answer, Exchange, Fate, Timers, count_end
from simulators.exchange_table import ANSWERED, NOT_SENT, REFUSED, UNKNOWN
from simulators.keys import first_number
from simulators.load import LoadLedgers
from simulators.payloads import Report, encode_cbor
from simulators.protected_sender import ProtectedSender
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
    """Plays `planned` at an even rate, and keeps what became of each report."""

    def __init__(self, planned: Plan, reports_per_second: float, seed: int, oscore: bool = False) -> None:
        """`oscore`: the platform has the meters' keys (`simulators.keys`)."""
        self.plan, self._rate = planned, reports_per_second
        self._oscore = oscore
        self._protected: ProtectedSender | None = None
        self._rng = random.Random(seed)  # noqa: S311 - habits of meters, no secret
        self._states = bytearray([NOT_SENT]) * planned.reports
        self._tries: dict[int, int] = {}
        self._asleep = 0
        self.offered = self.answered = self.refused = self.unknown = self.sent_again = 0
        self.codes: dict[str, int] = {}

    def ledgers(self) -> LoadLedgers:
        return LoadLedgers(self.plan, bytes(self._states))

    def tail(self, report: int) -> bytes:
        """Options and payload of a report."""
        number, meter = divmod(report, self.plan.meters)
        readings = [(ts, index_l(meter, ts)) for ts in self.plan.instants(number)]
        payload = encode_cbor(Report(self.plan.seq(number), readings, STATE))
        return message.request_tail(("r", serial(meter)), ContentFormat.CBOR, payload)

    async def open_door(self, sender: Sender) -> None:
        """Send the first report of the meter registered last, and of the first, until the gateway knows them."""
        if self._oscore:
            self._protected = ProtectedSender(sender, first_number(time.time()))
        for report in {min(self.plan.meters, self.plan.reports) - 1, 0}:
            answer = await admit_by(partial(self._post, sender, report), serial(report))
            self.offered += 1
            self._states[report] = ANSWERED if answer.fate is Fate.ANSWERED else REFUSED
            self.answered += answer.fate is Fate.ANSWERED
            self.refused += answer.fate is Fate.REFUSED

    async def _post(self, sender: Sender, report: int) -> Answer:
        if self._protected is None:
            return await sender.post_tail(self.tail(report), lane=report)
        return await self._protected.post(serial(report), self.tail(report), lane=report)

    async def play(self, sender: Sender) -> None:
        """Send every report at its instant; returns when no meter wants to send anything any more."""
        start = time.monotonic()
        for report in range(self.plan.reports):
            if (wait_s := start + report / self._rate - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            if self._states[report] == NOT_SENT:
                self._states[report] = UNKNOWN
                self.offered += 1
                self._send(sender, report)
            if report % 64 == 0:
                await asyncio.sleep(0)  # behind its time, it must still let answers in
        while sender.inflight or self._asleep:  # noqa: ASYNC110 - both come and go many times
            await asyncio.sleep(POLL_S)

    def _send(self, sender: Sender, report: int) -> None:
        def ended(exchange: Exchange) -> None:
            self._on_end(sender, report, exchange)

        meter = report % self.plan.meters
        if self._protected is None:
            sender.submit(self.tail(report), ended, tag=report, lane=meter)
        else:
            self._protected.submit(serial(meter), self.tail(report), ended, lane=meter)

    def _on_end(self, sender: Sender, report: int, exchange: Exchange) -> None:
        if exchange.fate is Fate.UNKNOWN and self._remembers(report):
            self._asleep += 1
            asyncio.get_running_loop().call_later(self._rng.uniform(*WAKE_AFTER_S), self._wake, sender, report)
            return
        self._tries.pop(report, None)
        if exchange.fate is not Fate.UNKNOWN:
            self._states[report] = ANSWERED if exchange.fate is Fate.ANSWERED else REFUSED
        count_end(self, exchange)

    def _remembers(self, report: int) -> bool:
        tries = self._tries.get(report, 0)
        if tries >= WAKES or (not tries and self._rng.random() > REMEMBERING):
            return False
        self._tries[report] = tries + 1
        return True

    def _wake(self, sender: Sender, report: int) -> None:
        self._asleep -= 1
        self.sent_again += 1
        self._send(sender, report)
