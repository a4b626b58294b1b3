"""Plays recorded readings through the CoAP door, one report a day and meter, and checks what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from simulators import message
from simulators.admission import admit
from simulators.coap import Sender
from simulators.exchange import Timers, count_end
from simulators.recording import Recorded, Recording, days, encode, read, wire_of
from simulators.replay_check import ReplayCheck, check_replay
from simulators.target import Target

INFLIGHT = 512
PORTS_MAX = 256
TIMERS = Timers(unavailable_retries=100, pause_cap_s=5.0)
SHOWN_EVERY = 500


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    file: Path
    recorded: Recorded
    timezone: str
    check: bool
    max_wait_s: float


@dataclass(slots=True)
class ReplayResult:
    meters: int
    readings: int
    format: str
    sent: int = 0
    answered: int = 0
    refused: int = 0
    unknown: int = 0
    seconds: float = 0.0
    codes: dict[str, int] = field(default_factory=dict)
    check: ReplayCheck | None = None
    serials: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.sent == self.answered and (self.check is None or self.check.ok)

    def as_dict(self) -> dict[str, Any]:
        names = ("meters", "readings", "format", "sent", "answered", "refused", "unknown", "seconds", "codes")
        found = None if self.check is None else self.check.as_dict()
        return {**{name: getattr(self, name) for name in names}, "check": found, "ok": self.ok}


async def run_replay(target: Target, options: ReplayOptions, tell: Callable[[str], None]) -> ReplayResult:
    """Register, play, check. Raises RecordingError for a file that cannot be played, TargetError."""
    tell(f"reading {options.file}")
    recordings = read(options.file, options.timezone)
    result = ReplayResult(len(recordings), sum(len(one.ts_s) for one in recordings), str(options.recorded))
    result.serials = {one.meter_id: one.serial for one in recordings}
    if target.database_url:
        tell(f"registering {len(recordings)} meters")
        await target.register([_import_row(one) for one in recordings])
    started = time.monotonic()
    ports = min(len(recordings), PORTS_MAX)
    async with Sender(target.coap_host, target.coap_port, ports=ports, timers=TIMERS) as sender:
        await _play(sender, recordings, options.recorded, result, tell)
    result.seconds = round(time.monotonic() - started, 2)
    if options.check:
        tell("waiting for ingest and settlement, then comparing with the file")
        result.check = await check_replay(target.database_url, recordings, options.max_wait_s)
    return result


async def _play(
    sender: Sender,
    recordings: list[Recording],
    recorded: Recorded,
    result: ReplayResult,
    tell: Callable[[str], None],
) -> None:
    for lane, serial, tail in _messages(recordings, recorded):
        result.sent += 1
        if result.sent == 1:  # meters are registered in order; the feed carries them in that order too
            await admit(sender, serial, tail, lane)
            result.answered += 1
            continue
        await sender.room(INFLIGHT)
        sender.submit(tail, partial(count_end, result), lane=lane)
        if result.sent % SHOWN_EVERY == 0:
            tell(f"{result.sent} reports sent, {result.answered} answered")
    await sender.room(1)


def _messages(recordings: list[Recording], recorded: Recorded) -> Iterator[tuple[int, str, bytes]]:
    """(lane, serial, options and payload) of every report: day by day, within a day the meter registered last first."""
    streams = {number: days(recording) for number, recording in enumerate(recordings)}
    heads = {number: next(stream) for number, stream in streams.items()}
    sequences = dict.fromkeys(heads, 1)
    while heads:
        today = min(day for day, _ in heads.values())
        for number in sorted((n for n, (day, _) in heads.items() if day == today), reverse=True):
            recording = recordings[number]
            encoded = encode(recording, wire_of(recorded, number), sequences[number], heads[number][1])
            sequences[number] += len(encoded)
            for content_format, payload in encoded:
                yield number, recording.serial, message.request_tail(("r", recording.serial), content_format, payload)
            following = next(streams[number], None)
            if following is None:
                del heads[number]
            else:
                heads[number] = following


def _import_row(recording: Recording) -> dict[str, str]:
    return {
        "serial": recording.serial, "maker": "recorded", "model": "replay", "dn_mm": "15", "q3_m3h": "2.5",
        "zone": "replay", "address": recording.meter_id,
    }  # fmt: skip
