"""What open pages share: one bounded memory of recent answers, so that fifty browsers cost one query an interval."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from prometheus_client import Counter, Gauge

MAX_ANSWERS = 512

T = TypeVar("T")

_LOADS = Counter("nbwater_api_page_loads_total", "Answers read from the database for pages")
_SHARED = Counter("nbwater_api_page_shared_total", "Answers that a page shared with another instead of reading")
_HELD = Gauge("nbwater_api_page_answers_held", f"Answers held for pages, at most {MAX_ANSWERS}")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """`at_s`: monotonic time at which reading began, which is how fresh the value is."""

    at_s: float
    value: T


class SharedAnswers:
    """Answers by key, each younger than `max_age_s` when handed out. Whoever asks while an answer is being read waits
    for that reading; an error goes to all who wait and is not kept. Beyond `MAX_ANSWERS` the least used is forgotten.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: OrderedDict[Hashable, Answer[Any]] = OrderedDict()
        self._reading: dict[Hashable, asyncio.Task[Answer[Any]]] = {}

    async def get(self, key: Hashable, max_age_s: float, load: Callable[[], Awaitable[T]]) -> Answer[T]:
        """The answer of `load`, or one of another caller with the same key that is young enough."""
        held = self._answers.get(key)
        if held is not None and self._clock() - held.at_s < max_age_s:
            self._answers.move_to_end(key)
            _SHARED.inc()
            return held
        task = self._reading.get(key)
        if task is None:
            task = asyncio.create_task(self._load(key, load))
            self._reading[key] = task
        else:
            _SHARED.inc()
        return await asyncio.shield(task)

    def age_s(self, answer: Answer[Any]) -> float:
        return self._clock() - answer.at_s

    def forget(self) -> None:
        """After a change made here: who made it must see it, so neither held nor half-read answers are used again."""
        self._answers.clear()
        self._reading.clear()
        _HELD.set(0)

    async def _load(self, key: Hashable, load: Callable[[], Awaitable[T]]) -> Answer[T]:
        _LOADS.inc()
        me = asyncio.current_task()
        began_s = self._clock()
        try:
            answer = Answer(began_s, await load())
            if self._reading.get(key) is me:
                self._keep(key, answer)
            return answer
        finally:
            if self._reading.get(key) is me:
                del self._reading[key]

    def _keep(self, key: Hashable, answer: Answer[Any]) -> None:
        self._answers[key] = answer
        self._answers.move_to_end(key)
        while len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)
        _HELD.set(len(self._answers))
