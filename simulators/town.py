"""Plays a town: days of history first, faster than real time, then its life as it goes on."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from simulators import message
from simulators.admission import TargetError, admit_by
from simulators.coap import Sender
from simulators.exchange import Answer, Exchange, Fate, OnEnd, Timers, count_end
from simulators.firmware import fetch
from simulators.households import EPOCH_S
from simulators.keys import first_number, key_row
from simulators.local_time import DAY_S, UTC_OFFSET_S
from simulators.meter import Meter, Transmission
from simulators.obedience import Obedience
from simulators.protected_sender import ProtectedSender
from simulators.target import Target
from simulators.town_plan import make_meters

HISTORY_INFLIGHT = 256
PORTS_MAX = 256
SILENT_FOR_S = 3 * DAY_S
REPEAT_AFTER_S = 4.0
TIMERS = Timers(unavailable_retries=20, pause_cap_s=5.0)
SHOWN_EVERY_S = 0.5
MAX_HISTORY_DAYS = 730


@dataclass(frozen=True, slots=True)
class TownOptions:
    meters: int
    days: int
    seed: int = 1
    report_every_s: float = 120.0
    """How often each meter reports once it is live; a town of real meters says 86400."""
    speed: float = 0.0
    """History plays this much faster than it happened; 0: as fast as it is taken."""
    duration_s: float | None = None
    """How long it lives on after the history; None: until stopped."""
    oscore: bool = False
    """Its meters have keys and protect their reports."""


@dataclass(slots=True)
class TownCounts:
    phase: str = "registering"
    sent: int = 0
    history: int = 0
    """Reports that the history has."""
    answered: int = 0
    refused: int = 0
    unknown: int = 0
    repeats: int = 0
    garbled: int = 0
    history_s: float = 0.0
    live_reports: int = 0
    obeyed: int = 0
    """Answers with a command that a meter understood."""
    updated: int = 0
    """Meters that run firmware they fetched."""
    codes: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Show = Callable[[TownCounts], None]


def due_of_day(meter: Meter, day: int) -> int:
    """When the daily report of a local day (counted from 1970-01-01) is due."""
    return day * DAY_S - UTC_OFFSET_S + meter.report_second


def history(meters: Sequence[Meter], days: int, now_s: int) -> Iterator[tuple[int, Meter]]:
    """Each meter's daily reports of the last `days` days, in the order they were due. Silent meters stopped early."""
    today = (now_s + UTC_OFFSET_S) // DAY_S
    for day in range(max(today - days, (EPOCH_S + UTC_OFFSET_S) // DAY_S + 1), today + 1):
        dues = sorted(((due_of_day(meter, day), meter) for meter in meters), key=lambda pair: pair[0])
        for due_s, meter in dues:
            if now_s - days * DAY_S <= due_s <= now_s - (SILENT_FOR_S if meter.silent else 0):
                yield due_s, meter


class Town:
    def __init__(self, target: Target, options: TownOptions, stop: asyncio.Event, show: Show) -> None:
        self._target, self._options, self._stop, self._show = target, options, stop, show
        self.counts = TownCounts()
        self._meters = make_meters(options.seed, options.meters)
        self._last_due: dict[int, int] = {}
        self._protected: ProtectedSender | None = None
        self._told: dict[int, Obedience] = {}
        """What meters have been told, by their numbers; most never are."""
        self._fetching: dict[int, asyncio.Task[None]] = {}
        """Meters that fetch firmware now."""

    async def run(self) -> TownCounts:
        """Until the duration has passed or `stop` is set. Raises TargetError when the gateway takes nothing."""
        self._show(self.counts)
        if self._target.database_url:
            await self._target.register([meter.label.import_row() for meter in self._meters])
        ports = min(len(self._meters), PORTS_MAX)
        async with Sender(self._target.coap_host, self._target.coap_port, ports=ports, timers=TIMERS) as sender:
            now_s = int(time.time())
            last = self._meters[-1]
            first = last.since(now_s - 3_600, now_s)
            await self._enrol(sender)
            await admit_by(partial(self._post, sender, last, self._tail(last, first)), last.name)
            await self._play_history(sender, now_s)
            await self._live(sender)
            for task in self._fetching.values():
                task.cancel()
        return self.counts

    async def _enrol(self, sender: Sender) -> None:
        """Raises TargetError when the meters are to have keys and the target takes none."""
        if not self._options.oscore:
            return
        if self._target.enrol is None:
            raise TargetError("this target takes no keys")
        await self._target.enrol([key_row(meter.label.serial) for meter in self._meters])
        self._protected = ProtectedSender(sender, first_number(time.time()))

    async def _post(self, sender: Sender, meter: Meter, tail: bytes) -> Answer:
        if self._protected is None:
            return await sender.post_tail(tail, lane=meter.number)
        return await self._protected.post(meter.label.serial, tail, lane=meter.number)

    def _submit(self, sender: Sender, meter: Meter, tail: bytes, on_end: OnEnd) -> None:
        if self._protected is None:
            sender.submit(tail, on_end, lane=meter.number)
        else:
            self._protected.submit(meter.label.serial, tail, on_end, lane=meter.number)

    async def _play_history(self, sender: Sender, now_s: int) -> None:
        """As fast as it is taken (a bounded number of open exchanges), or `speed` times real time."""
        reports = list(history(self._meters, self._options.days, now_s))
        self.counts.phase, self.counts.history = "history", len(reports)
        started = shown = time.monotonic()
        speed = self._options.speed
        for due_s, meter in reports:
            await self._room(sender, HISTORY_INFLIGHT)
            if speed:
                await self._pause(max(0.0, started + (due_s - reports[0][0]) / speed - time.monotonic()))
            if self._stop.is_set():
                return
            self._send(sender, meter, meter.daily(due_s))
            self._last_due[meter.number] = due_s
            if time.monotonic() - shown > SHOWN_EVERY_S:
                shown = time.monotonic()
                self._show(self.counts)
            if self.counts.sent % 16 == 0:
                await asyncio.sleep(0)
        await self._room(sender, 1)
        self.counts.history_s = round(time.monotonic() - started, 2)

    async def _live(self, sender: Sender) -> None:
        """Each meter reports every `report_every_s`, dispersed; the first time with all hours since its last report."""
        if self._stop.is_set():
            return
        self.counts.phase = "live"
        self._show(self.counts)
        every_s = self._options.report_every_s
        started = shown = time.monotonic()
        talking = [meter for meter in self._meters if not meter.silent]
        queue = [(started + every_s * place / len(talking), meter.number) for place, meter in enumerate(talking)]
        heapq.heapify(queue)
        while queue and not self._stop.is_set():
            if self._options.duration_s is not None and time.monotonic() - started >= self._options.duration_s:
                return
            due, number = queue[0]
            now = time.monotonic()
            if now - shown > SHOWN_EVERY_S:
                shown = now
                self._show(self.counts)
            if due > now:
                await self._pause(min(due - now, SHOWN_EVERY_S))
                continue
            heapq.heapreplace(queue, (max(due + self._pause_s(number, every_s), now), number))
            self._report_now(sender, self._meters[number])

    def _pause_s(self, number: int, every_s: float) -> float:
        """Until a meter's next report: by the plan that it was told, else as the town does."""
        told = self._told.get(number)
        if told is None:
            return every_s
        if told.report_at_once:
            told.report_at_once = False
            return 0.0
        now_s = time.time()
        return told.plan.next_due_s(now_s) - now_s if told.plan else every_s

    async def _room(self, sender: Sender, limit: int) -> None:
        """Until fewer than `limit` exchanges are open, or the town is stopped."""
        if sender.inflight < limit:
            return
        waits = [asyncio.ensure_future(sender.room(limit)), asyncio.ensure_future(self._stop.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    def _report_now(self, sender: Sender, meter: Meter) -> None:
        now_s = int(time.time())
        before_s = self._last_due.get(meter.number, now_s - DAY_S)
        self._last_due[meter.number] = now_s
        told = self._told.get(meter.number)
        if told is not None and told.wants_history is not None:
            before_s, told.wants_history = min(before_s, told.wants_history[0]), None
        transmission = meter.since(before_s, now_s, told)
        results = told.results if told is not None and not transmission.garbled else []
        self.counts.live_reports += 1
        delay_s = transmission.conditions.delay_s
        asyncio.get_running_loop().call_later(delay_s, self._send, sender, meter, transmission, results)

    def _send(
        self, sender: Sender, meter: Meter, transmission: Transmission, results: Sequence[tuple[bytes, int]] = ()
    ) -> None:
        if self._stop.is_set():
            return
        tail = self._tail(meter, transmission)
        self.counts.sent += 1
        self.counts.garbled += transmission.garbled
        self._submit(sender, meter, tail, partial(self._ended, meter, results))
        if transmission.conditions.repeated:
            self.counts.repeats += 1
            loop = asyncio.get_running_loop()
            loop.call_later(REPEAT_AFTER_S, self._send_again, sender, meter, tail)

    def _ended(self, meter: Meter, results: Sequence[tuple[bytes, int]], exchange: Exchange) -> None:
        """Count, and do what the answer says."""
        count_end(self.counts, exchange)
        if exchange.fate is not Fate.ANSWERED or not meter.obeys:
            return
        if results:
            self._told[meter.number].reported(results)
        if exchange.payload:
            can_update = self._protected is not None
            told = self._told.setdefault(meter.number, Obedience(can_update, flash_fails=meter.worn_battery))
            self.counts.obeyed += told.obey(exchange.payload, int(time.time())) is not None
            if told.update is not None and meter.number not in self._fetching:
                self._fetching[meter.number] = asyncio.create_task(self._fetch(meter, told), name="firmware")

    async def _fetch(self, meter: Meter, told: Obedience) -> None:
        """The image that it was told of; a meter whose battery is worn fails to write it."""
        protected, update = self._protected, told.update
        try:
            if protected is not None and update is not None:
                ask = partial(protected.get, meter.label.serial, lane=meter.number)
                image, whole = await fetch(ask, update.uri, update.size_bytes)
                told.fetched(image if whole else None)
                self.counts.updated += bool(told.firmware)
        finally:
            del self._fetching[meter.number]

    def _send_again(self, sender: Sender, meter: Meter, tail: bytes) -> None:
        if not self._stop.is_set():
            self._submit(sender, meter, tail, lambda _: None)

    def _tail(self, meter: Meter, transmission: Transmission) -> bytes:
        return message.request_tail(("r", meter.name), transmission.content_format, transmission.payload)
