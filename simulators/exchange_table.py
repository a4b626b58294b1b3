"""Millions of CoAP exchanges as columns of numbers: which wait, until when, and what became of each (RFC 7252 section
4.2). Numbers in, numbers out; time is an argument.

Request n has the token `token_base` + n and the message id that its port gave it; an answer counts only when token,
message id and port are those of a request that still waits. The columns are as long as the run, so that memory is
bounded by its plan (40 bytes a request).
"""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt

from simulators.exchange import MESSAGE_IDS, Timers

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TICK_S = 0.05
NOT_SENT, SENT, ANSWERED, REFUSED, UNKNOWN, PAUSED = range(6)
"""SENT: waits for its answer. PAUSED: was answered 5.03 and waits for the end of its Max-Age."""


class ExchangeTable:
    """`due_s`: when each request is meant to be sent, in seconds of any clock, that of every `now` here; NaN: when
    somebody decides to, who sets it."""

    def __init__(self, due_s: Floats, ports: int, timers: Timers, seed: int | None = None) -> None:
        count = len(due_s)
        self.due_s, self.timers = due_s, timers
        self.states = np.zeros(count, np.uint8)
        self.latency_s = np.full(count, np.nan, np.float32)
        """From the instant it was due to its answer."""
        self.lag_s = np.zeros(count, np.float32)
        """From the instant it was due to its leaving: the generator's own delay."""
        self._message_ids = np.zeros(count, np.uint16)
        self._ports = np.zeros(count, np.uint16)
        self._attempts = np.zeros(count, np.uint8)
        self._retries = np.zeros(count, np.uint16)
        self._timeouts_s = np.zeros(count, np.float32)
        self._due_ticks = np.zeros(count, np.int64)
        self._next_ids = np.random.default_rng(seed).integers(0, MESSAGE_IDS, ports)
        self._jitter = np.random.default_rng(seed)
        self._token_base = random.Random(seed).randrange(1 << 32)  # noqa: S311 - tells runs apart, no secret
        self._wheel: dict[int, list[Int64s]] = {}
        self._unarmed: list[tuple[float, Int64s]] = []
        self._swept_tick: int | None = None
        self._waiting = 0

    def __len__(self) -> int:
        return len(self.states)

    @property
    def waiting(self) -> int:
        """Requests on their way, those that pause included."""
        return self._waiting

    def count(self, state: int) -> int:
        return int(np.count_nonzero(self.states == state))

    def tokens(self, numbers: Int64s) -> Int64s:
        return numbers + self._token_base & 0xFFFFFFFF

    def number_of(self, token: int) -> int:
        """The request with this token; -1 when there is none."""
        number = token - self._token_base & 0xFFFFFFFF
        return number if number < len(self) else -1

    def message_ids(self, numbers: Int64s) -> Int64s:
        return self._message_ids[numbers].astype(np.int64)

    def ports(self, numbers: Int64s) -> Int64s:
        return self._ports[numbers].astype(np.int64)

    def assign(self, numbers: Int64s, ports: Int64s) -> None:
        """Give each a port and that port's next message id. The numbers of one port follow one another."""
        starts = np.flatnonzero(np.r_[True, ports[1:] != ports[:-1]])
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(ports)], strict=True):
            port = int(ports[start])
            first = int(self._next_ids[port])
            self._message_ids[numbers[start:end]] = np.arange(first, first + end - start) % MESSAGE_IDS
            self._next_ids[port] = (first + end - start) % MESSAGE_IDS
        self._ports[numbers] = ports

    def sent(self, numbers: Int64s, now: float) -> None:
        """They have left for the first time, or for the first time again after a pause."""
        fresh = numbers[self.states[numbers] == NOT_SENT]
        self._waiting += len(fresh)
        self.lag_s[fresh] = now - self.due_s[fresh]
        self.states[numbers] = SENT
        self._attempts[numbers] = 0
        self._unarmed.append((now, numbers))

    def _arm(self) -> None:
        """Timers of what was sent since the last tick: once a tick, since that costs the same for one and a hundred."""
        if not self._unarmed:
            return
        numbers = np.concatenate([part for _, part in self._unarmed])
        left_s = np.repeat([now for now, _ in self._unarmed], [len(part) for _, part in self._unarmed])
        self._unarmed.clear()
        still = self.states[numbers] == SENT
        numbers, left_s = numbers[still], left_s[still]
        spread = 1 + (self.timers.ack_random_factor - 1) * self._jitter.random(len(numbers))
        self._timeouts_s[numbers] = self.timers.ack_timeout_s * spread
        self._put(numbers, left_s + self._timeouts_s[numbers])

    def _put(self, numbers: Int64s, at_s: Floats) -> None:
        if not len(numbers):
            return
        ticks = np.maximum((at_s / TICK_S).astype(np.int64) + 1, (self._swept_tick or 0) + 1)
        self._due_ticks[numbers] = ticks
        order = np.argsort(ticks, kind="stable")
        ticks, numbers = ticks[order], numbers[order]
        starts = np.flatnonzero(np.r_[True, ticks[1:] != ticks[:-1]])
        for tick, part in zip(ticks[starts].tolist(), np.split(numbers, starts[1:]), strict=True):
            self._wheel.setdefault(tick, []).append(part)

    def answered(self, tokens: Int64s, message_ids: Int64s, port: int, now: float) -> int:
        """Success answers on a port; how many of them were such of requests that waited."""
        numbers = self._of(tokens, message_ids, port)
        if len(numbers):
            self.states[numbers] = ANSWERED
            self.latency_s[numbers] = now - self.due_s[numbers]
            self._waiting -= len(numbers)
        return len(numbers)

    def message_id_of(self, token: int) -> int:
        """Of the request with this token; -1 when there is none. For an answer in a message of its own (section
        5.2.2), whose message id says nothing."""
        number = self.number_of(token)
        return -1 if number < 0 else int(self._message_ids[number])

    def refused(self, token: int, message_id: int, port: int) -> bool:
        """4.xx: the server will not have it."""
        return self._end(token, message_id, port, REFUSED)

    def unknown(self, token: int, message_id: int, port: int) -> bool:
        """5.xx that is not to be tried again: it may be stored or not."""
        return self._end(token, message_id, port, UNKNOWN)

    def unavailable(self, token: int, message_id: int, port: int, max_age_s: float, now: float) -> bool:
        """5.03: try again as a new message when Max-Age is over, as often as the timers allow."""
        numbers = self._of(np.array([token]), np.array([message_id]), port)
        if not len(numbers):
            return False
        if self._retries[numbers[0]] >= self.timers.unavailable_retries:
            return self._end(token, message_id, port, UNKNOWN)
        self._retries[numbers] += 1
        self.states[numbers] = PAUSED
        self._put(numbers, np.array([now + min(max_age_s, self.timers.pause_cap_s)]))
        return True

    def reset(self, message_id: int, port: int) -> bool:
        """RST: the server cannot make sense of it."""
        numbers = np.flatnonzero((self.states == SENT) & (self._message_ids == message_id) & (self._ports == port))
        self.states[numbers] = UNKNOWN
        self._waiting -= len(numbers)
        return len(numbers) > 0

    def due(self, now: float) -> tuple[Int64s, Int64s]:
        """Requests to send again now: unchanged ones, then those that need a new message id because their pause is
        over. Those that were sent often enough end as unknown."""
        self._arm()
        tick = int(now / TICK_S)
        first = tick if self._swept_tick is None else self._swept_tick + 1
        parts = [part for at in range(first, tick + 1) for part in self._wheel.pop(at, ())]
        self._swept_tick = tick
        if not parts:
            none = np.empty(0, np.int64)
            return none, none
        numbers = np.unique(np.concatenate(parts))
        numbers = numbers[self._due_ticks[numbers] <= tick]  # others were armed anew since
        over = numbers[self.states[numbers] == PAUSED]
        waiting = numbers[self.states[numbers] == SENT]
        last = self._attempts[waiting] >= self.timers.max_retransmit
        self.states[waiting[last]] = UNKNOWN
        self._waiting -= int(np.count_nonzero(last))
        again = waiting[~last]
        self._attempts[again] += 1
        self._timeouts_s[again] *= 2
        self._put(again, now + self._timeouts_s[again].astype(np.float64))
        return again, over

    def _end(self, token: int, message_id: int, port: int, state: int) -> bool:
        numbers = self._of(np.array([token]), np.array([message_id]), port)
        self.states[numbers] = state
        self._waiting -= len(numbers)
        return len(numbers) > 0

    def _of(self, tokens: Int64s, message_ids: Int64s, port: int) -> Int64s:
        """The waiting requests that these answers belong to, each once."""
        all_numbers = tokens - self._token_base & 0xFFFFFFFF
        inside = all_numbers < len(self)
        numbers: Int64s
        numbers, message_ids = all_numbers[inside], message_ids[inside]
        ours = (self.states[numbers] == SENT) & (self._message_ids[numbers] == message_ids)
        numbers = numbers[ours & (self._ports[numbers] == port)]
        if len(numbers) < 2:
            return numbers
        place = np.arange(len(numbers), dtype=np.float32)
        self.latency_s[numbers] = place  # not known yet; of two that are the same the later remains
        once: Int64s = numbers[self.latency_s[numbers] == place]
        return once
