"""Plays a town: days of history first, faster than real time, then its life as it goes on."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NamedTuple

from simulators.admission import TargetError, admit_by
from simulators.coap import Sender
from simulators.doors.open import key_row_for, ways
from simulators.doors.udp import Oscore
from simulators.doors.way import NOTHING, Ended, Outgoing, Way, post
from simulators.exchange import Answer, Fate, Timers, count_end
from simulators.firmware import fetch
from simulators.keys import first_number
from simulators.local_time import DAY_S
from simulators.meter import Meter, Transmission
from simulators.obedience import Obedience
from simulators.outages import back_at
from simulators.target import Places, Take, Target
from simulators.town_history import history

HISTORY_INFLIGHT = 256
PORTS_MAX = 256
REPEAT_AFTER_S = 4.0
TIMERS = Timers(unavailable_retries=20, pause_cap_s=5.0)
SHOWN_EVERY_S = 0.5
MAX_HISTORY_DAYS = 730
ROOM_POLL_S = 0.005
DATAGRAMS = ("coap", "oscore")
"""Doors that cost a meter nothing but its datagrams."""
MAX_A_DOOR = 40
"""Meters by each other door: a DTLS client is 50 kB here, an MQTT connection 110 kB in nats-server."""


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
    doors: tuple[str, ...] = ("coap",)
    """By which its meters speak: see `door_of`."""


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
    withheld: int = 0
    """Live reports that were due while the meter's cell was down."""
    obeyed: int = 0
    """Answers with a command that a meter understood."""
    updated: int = 0
    """Meters that run firmware they fetched."""
    codes: dict[str, int] = field(default_factory=dict)
    doors: dict[str, int] = field(default_factory=dict)
    """Reports answered, by door."""
    shut: dict[str, str] = field(default_factory=dict)
    """Doors by which nothing is said, and why."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Show = Callable[[TownCounts], None]


class Piping(NamedTuple):
    """Bulk meters, which report as all others; zones as GeoJSON, and where the bulk meters count, as a CSV file."""

    meters: Sequence[Meter] = ()
    zones: bytes = b""
    flows: bytes = b""


def door_of(number: int, doors: Sequence[str]) -> str:
    """One meter in ten for each door that costs something a meter, MAX_A_DOOR at most; the others by datagrams."""
    if doors_of_ten := [door for door in doors if door not in DATAGRAMS]:
        group, place = divmod(number, 10)
        if group < MAX_A_DOOR and place < len(doors_of_ten):
            return doors_of_ten[place]
    by_datagrams = [door for door in doors if door in DATAGRAMS] or [doors[0]]
    return by_datagrams[number % len(by_datagrams)]


class Town:
    def __init__(
        self,
        target: Target,
        options: TownOptions,
        meters: Iterable[Meter],
        piping: Piping,
        stop: asyncio.Event,
        show: Show,
    ) -> None:
        self._target, self._options, self._stop, self._show = target, options, stop, show
        self.counts = TownCounts()
        self._piping = piping
        self._meters = {meter.number: meter for meter in (*meters, *piping.meters)}
        self._places = target.places or Places(target.coap_host, target.coap_port)
        self._ways: dict[str, Way] = {}
        self._last_due: dict[int, int] = {}
        self._told: dict[int, Obedience] = {}
        """What meters have been told, by their numbers; most never are."""
        self._fetching: dict[int, asyncio.Task[None]] = {}
        """Meters that fetch firmware now."""

    async def run(self) -> TownCounts:
        """Until the duration has passed or `stop` is set. Raises TargetError when the gateway takes nothing."""
        self._show(self.counts)
        if self._target.database_url:
            await self._tell(self._target.zones, self._piping.zones)
            await self._target.register(
                [meter.label.import_row() | self._places.binding(self._door(meter)) for meter in self._meters.values()]
            )
        await self._enrol()
        ports = min(len(self._meters), PORTS_MAX)
        async with Sender(self._target.coap_host, self._target.coap_port, ports=ports, timers=TIMERS) as sender:
            self._ways = ways(self._places, self._options.doors, sender, TIMERS, first_number(time.time()))
            try:
                now_s = int(time.time())
                await self._open_doors(now_s)
                await self._play_history(now_s)
                await self._tell(self._target.flows, self._piping.flows)  # balances are of what is stored by then
                await self._live()
            finally:
                for task in self._fetching.values():
                    task.cancel()
                await asyncio.gather(*(way.close() for way in self._ways.values()), return_exceptions=True)
        return self.counts

    async def _tell(self, take: Take | None, file: bytes) -> None:
        if take is not None and file:
            await take(file)

    def _door(self, meter: Meter) -> str:
        """Whether it is open or not: a meter stays with the door for which it has its key."""
        return door_of(meter.number, self._options.doors)

    async def _enrol(self) -> None:
        """Raises TargetError when meters are to have keys and the target takes none."""
        named = ((self._door(meter), meter) for meter in self._meters.values())
        rows = [row for door, meter in named if (row := key_row_for(door, meter.label.serial, meter.name)) is not None]
        if not rows:
            return
        if self._target.enrol is None:
            raise TargetError("this target takes no keys")
        await self._target.enrol(rows)

    async def _open_doors(self, now_s: int) -> None:
        """The last meter of each door speaks until it is heard. A door that takes nothing is shut, and its meters are
        silent; raises TargetError when all are."""
        last = {self._door(meter): meter for meter in self._meters.values()}
        tried = await asyncio.gather(*(self._open(meter, now_s) for meter in last.values()), return_exceptions=True)
        for door, outcome in zip(last, tried, strict=True):
            if isinstance(outcome, TargetError):
                self.counts.shut[door] = str(outcome)
                self._ways.pop(door, None)
            elif isinstance(outcome, BaseException):
                raise outcome
        if not self._ways:
            raise TargetError("; ".join(self.counts.shut.values()))

    async def _open(self, meter: Meter, now_s: int) -> Answer:
        report = self._outgoing(meter, meter.since(now_s - 3_600, now_s))
        way = self._ways.get(self._door(meter))
        if way is None:
            raise TargetError(f"this platform has no door {self._door(meter)}")
        return await admit_by(partial(post, way, report), meter.name)

    def _submit(self, meter: Meter, report: Outgoing, ended: Ended) -> None:
        way = self._ways.get(self._door(meter))
        if way is None:
            ended(NOTHING)
        else:
            way.send(report, ended)

    @property
    def _inflight(self) -> int:
        return sum(way.inflight for way in self._ways.values())

    async def _play_history(self, now_s: int) -> None:
        """As fast as it is taken (a bounded number of open exchanges), or `speed` times real time."""
        reports = history(list(self._meters.values()), self._options.days, now_s)
        self.counts.phase, self.counts.history = "history", len(reports)
        started = shown = time.monotonic()
        speed = self._options.speed
        for arrives_s, due_s, meter in reports:
            await self._room(HISTORY_INFLIGHT)
            if speed:
                await self._pause(max(0.0, started + (arrives_s - reports[0].arrives_s) / speed - time.monotonic()))
            if self._stop.is_set():
                return
            self._send(meter, meter.daily(due_s))
            self._last_due[meter.number] = due_s
            if time.monotonic() - shown > SHOWN_EVERY_S:
                shown = time.monotonic()
                self._show(self.counts)
            if self.counts.sent % 16 == 0:
                await asyncio.sleep(0)
        await self._room(1)
        self.counts.history_s = round(time.monotonic() - started, 2)

    async def _live(self) -> None:
        """Each meter reports every `report_every_s`, dispersed; the first time with all hours since its last report."""
        if self._stop.is_set():
            return
        self.counts.phase = "live"
        self._show(self.counts)
        every_s = self._options.report_every_s
        started = shown = time.monotonic()
        talking = [meter for meter in self._meters.values() if not meter.silent]
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
            self._report_now(self._meters[number])

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

    async def _room(self, limit: int) -> None:
        """Until fewer than `limit` reports are on their way, or the town is stopped."""
        while self._inflight >= limit and not self._stop.is_set():
            await self._pause(ROOM_POLL_S)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    def _report_now(self, meter: Meter) -> None:
        now_s = int(time.time())
        if back_at(meter.seed, meter.radio.cell_id, now_s) is not None:
            self.counts.withheld += 1  # its next report has these hours, too
            return
        before_s = self._last_due.get(meter.number, now_s - DAY_S)
        self._last_due[meter.number] = now_s
        told = self._told.get(meter.number)
        if told is not None and told.wants_history is not None:
            before_s, told.wants_history = min(before_s, told.wants_history[0]), None
        transmission = meter.since(before_s, now_s, told)
        results = told.results if told is not None and not transmission.garbled else []
        self.counts.live_reports += 1
        delay_s = transmission.conditions.delay_s
        asyncio.get_running_loop().call_later(delay_s, self._send, meter, transmission, results)

    def _send(self, meter: Meter, transmission: Transmission, results: Sequence[tuple[bytes, int]] = ()) -> None:
        if self._stop.is_set():
            return
        report = self._outgoing(meter, transmission)
        self.counts.sent += 1
        self.counts.garbled += transmission.garbled
        self._submit(meter, report, partial(self._ended, meter, results))
        if transmission.conditions.repeated:
            self.counts.repeats += 1
            loop = asyncio.get_running_loop()
            loop.call_later(REPEAT_AFTER_S, self._send_again, meter, report)

    def _ended(self, meter: Meter, results: Sequence[tuple[bytes, int]], answer: Answer) -> None:
        """Count, and do what the answer says."""
        count_end(self.counts, answer)
        if answer.fate is not Fate.ANSWERED:
            return
        door = self._door(meter)
        self.counts.doors[door] = self.counts.doors.get(door, 0) + 1
        if not meter.obeys:
            return
        if results:
            self._told[meter.number].reported(results)
        if answer.payload:
            can_update = isinstance(self._ways.get(self._door(meter)), Oscore)
            told = self._told.setdefault(meter.number, Obedience(can_update, flash_fails=meter.worn_battery))
            self.counts.obeyed += told.obey(answer.payload, int(time.time())) is not None
            if told.update is not None and meter.number not in self._fetching:
                self._fetching[meter.number] = asyncio.create_task(self._fetch(meter, told), name="firmware")

    async def _fetch(self, meter: Meter, told: Obedience) -> None:
        """The image that it was told of; a meter whose battery is worn fails to write it."""
        way, update = self._ways.get(self._door(meter)), told.update
        try:
            if isinstance(way, Oscore) and update is not None:
                ask = partial(way.protected.get, meter.label.serial, lane=meter.number)
                image, whole = await fetch(ask, update.uri, update.size_bytes)
                told.fetched(image if whole else None)
                self.counts.updated += bool(told.firmware)
        finally:
            del self._fetching[meter.number]

    def _send_again(self, meter: Meter, report: Outgoing) -> None:
        if not self._stop.is_set():
            self._submit(meter, report, lambda _: None)

    def _outgoing(self, meter: Meter, transmission: Transmission) -> Outgoing:
        return Outgoing(
            meter.name, meter.label.serial, transmission.content_format, transmission.payload, meter.number
        )  # fmt: skip
