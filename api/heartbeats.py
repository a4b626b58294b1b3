"""What the other programs say of themselves on NATS: the newest few heartbeats of each, and rates out of them."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import Gauge

from metering.errors import EnvelopeError
from metering.heartbeat import EVERY_S, Heartbeat, decode

MAX_INSTANCES = 256
"""Of all programs; beyond it the one that was silent longest is forgotten."""
KEPT_BEATS = 6
SILENT_AFTER_S = 5 * EVERY_S
"""A program that has not spoken for so long is not counted as running."""

_HEARD = Gauge("nbwater_api_programs_heard", f"Processes whose heartbeats are kept, at most {MAX_INSTANCES}")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Heard:
    at_s: float
    beat: Heartbeat


class Said:
    """The figures of the running processes of one program, taken together."""

    def __init__(self, processes: list[list[_Heard]]) -> None:
        self._processes = processes

    def __len__(self) -> int:
        return len(self._processes)

    def total(self, name: str, **labels: str) -> float | None:
        """The sum over processes and the labels not named; None when nobody says it."""
        values = [value for beats in self._processes for value in _matching(beats[-1].beat, name, labels)]
        return sum(values) if values else None

    def largest(self, name: str) -> float | None:
        values = [value for beats in self._processes for value in _matching(beats[-1].beat, name, {})]
        return max(values, default=None)

    def per_second(self, name: str, **labels: str) -> float | None:
        """How fast a total grows; None while no process has been heard twice."""
        rates = [
            (sum(_matching(beats[-1].beat, name, labels)) - sum(_matching(beats[0].beat, name, labels)))
            / (beats[-1].at_s - beats[0].at_s)
            for beats in self._processes
            if len(beats) > 1
        ]
        return sum(rates) if rates else None

    def mean(self, name: str) -> float | None:
        """What a histogram observed on average of late; None when nothing was."""
        number, total = self.per_second(f"{name}_count"), self.per_second(f"{name}_sum")
        return total / number if number and total is not None else None


def _matching(beat: Heartbeat, name: str, labels: dict[str, str]) -> Iterator[float]:
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    for figure, value in beat.figures.items():
        if figure.partition("{")[0] == name and all(label in figure for label in wanted):
            yield value


class Heartbeats:
    """Bounded memory of what was heard."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: OrderedDict[tuple[str, str], deque[_Heard]] = OrderedDict()

    async def take(self, message: Any) -> None:
        """A message of NATS. What is no heartbeat, or not of the program whose subject it came by, is dropped."""
        try:
            beat = decode(message.data)
        except EnvelopeError as error:
            log.warning("heartbeat_unreadable", subject=message.subject, error=str(error)[:200])
            return
        if message.subject.rpartition(".")[2] == beat.program:
            self.hear(beat)

    def hear(self, beat: Heartbeat) -> None:
        key = (beat.program, beat.instance)
        beats = self._heard.setdefault(key, deque(maxlen=KEPT_BEATS))
        if beats and beats[-1].beat.started != beat.started:
            beats.clear()  # another life of the same process number: totals begin anew
        beats.append(_Heard(self._clock(), beat))
        self._heard.move_to_end(key)
        while len(self._heard) > MAX_INSTANCES:
            self._heard.popitem(last=False)
        _HEARD.set(len(self._heard))

    def of(self, program: str) -> Said:
        """The processes of this program that have spoken of late."""
        since = self._clock() - SILENT_AFTER_S
        return Said(
            [list(beats) for (name, _), beats in self._heard.items() if name == program and beats[-1].at_s >= since]
        )
