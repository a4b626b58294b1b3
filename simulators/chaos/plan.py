"""What goes wrong when: a pure function of a seed, so that a run which found something can be run again.

Two tracks. *Long* faults follow one another, since they are told apart by what the database or the stream does
meanwhile; *short* ones fall at any instant, during long ones too. While a second ingest worker runs only the network
misbehaves: who takes over from whom is then known, and is checked.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from itertools import cycle, islice
from typing import NamedTuple

QUIET_START, QUIET_END = 0.04, 0.10
"""Shares of the run without faults: load must flow before the first, and after the last."""
UNIT_S = 30.0
"""The least that a long fault of weight 1 needs with its aftermath."""
SHORT_EVERY_S = 7.0
PAUSE_S = (1.0, 20.0)
"""Beyond a publish's deadline (5 s) and a lease (10 s) as well as below."""
NETWORK_S = (4.0, 20.0)
CLOCK_S = (4.0, 25.0)
CLOCK_STEPS_S = ((1.0, 120.0), (600.0, 7200.0), (86_400.0, 3 * 86_400.0))
SECOND_INGEST_S = 36.0
LEASE_STEPS_S = (0.0, -3600.0, -86_400.0)
"""Of the database's clock when the first of two ingest workers falls silent: its lease seems to last so much longer."""
ATTEMPTS = 100
"""To find a free instant; in runs so short that there is none, a fault is left out."""


class Kind(StrEnum):
    """Kinds of fault, named as on the command line."""

    KILL = "kill"
    PAUSE = "pause"
    PACKETS = "packets"
    REBIND = "rebind"
    CLOCK = "clock"
    SERVER_CLOCK = "server-clock"
    STREAM_FULL = "stream-full"
    STREAM_DISK_FULL = "stream-disk-full"
    BLACKOUT = "blackout"
    SECOND_INGEST = "second-ingest"
    DATABASE_AWAY = "database-away"
    DATABASE_FULL = "database-full"
    DATABASE_OLDER = "database-older"


SHORT = (Kind.KILL, Kind.PAUSE, Kind.PACKETS, Kind.REBIND, Kind.CLOCK, Kind.SERVER_CLOCK)
LONG_WEIGHTS = {
    Kind.DATABASE_AWAY: 2.5,
    Kind.DATABASE_FULL: 1.0,
    Kind.DATABASE_OLDER: 1.0,
    Kind.BLACKOUT: 1.0,
    Kind.SECOND_INGEST: 1.0,
    Kind.STREAM_FULL: 1.0,
    Kind.STREAM_DISK_FULL: 1.0,
}
"""Shares of the time: a database is away for minutes where the run has them."""
NETWORK = (Kind.PACKETS, Kind.REBIND)
CLOCKED = ("gateway", "ingest", "settlement")
"""Programs of ours whose clock is stepped."""
SERVERS = ("nats", "postgres")
"""Those whose clock is stepped by another means."""


class Weather(NamedTuple):
    """What happens to a datagram, in either direction; shares of 1."""

    loss: float = 0.0
    duplicated: float = 0.0
    delayed: float = 0.0
    """Later ones overtake it."""
    delay_s: float = 0.5


class Fault(NamedTuple):
    at_s: float
    """After the load began."""
    kind: Kind
    duration_s: float = 0.0
    role: str = ""
    """`gateway`, `ingest`, `nats` …; empty where the kind says it."""
    choice: float = 0.0
    """0 … 1: which of several programs of the role, where there are several."""
    step_s: float = 0.0
    """Of a clock; negative: backward. With a second ingest worker it is the database's."""
    weather: Weather = Weather()

    @property
    def end_s(self) -> float:
        return self.at_s + self.duration_s

    def __str__(self) -> str:
        words = [f"{self.at_s:6.1f} s  {self.kind}"]
        if self.role:
            words.append(self.role)
        if self.step_s:
            words.append(f"by {self.step_s:+.0f} s")
        if self.kind is Kind.PACKETS:
            loss, duplicated, delayed, delay_s = self.weather
            words.append(f"loss {loss:.0%}, twice {duplicated:.0%}, late {delayed:.0%} by up to {delay_s:.1f} s")
        if self.duration_s:
            words.append(f"for {self.duration_s:.1f} s")
        return " ".join(words)


def plan(seed: int, seconds: float, roles: Sequence[str], kinds: Collection[Kind]) -> tuple[Fault, ...]:
    """The faults of a run in order of time. `roles` are those there are, `kinds` those that are wanted and possible.

    In a run of five minutes each kind occurs; a shorter one has the long kinds that fit, chosen by the seed.
    """
    rng = random.Random(seed)  # noqa: S311 - a plan, no secret
    first_s, last_s = QUIET_START * seconds, (1 - QUIET_END) * seconds
    steps_s = LEASE_STEPS_S if Kind.SERVER_CLOCK in kinds else (0.0,)
    long = list(_long(rng, first_s, last_s, [kind for kind in LONG_WEIGHTS if kind in kinds], steps_s))
    alone = [fault for fault in long if fault.kind is Kind.SECOND_INGEST]
    short = _short(rng, first_s, last_s, sorted(roles), [kind for kind in SHORT if kind in kinds], alone)
    return tuple(sorted([*long, *short]))


def _long(
    rng: random.Random, first_s: float, last_s: float, kinds: Sequence[Kind], lease_steps_s: Sequence[float]
) -> Iterator[Fault]:
    if not kinds:
        return
    chosen: list[Kind] = []
    units = 0.0
    for kind in cycle(rng.sample(kinds, len(kinds))):
        if chosen and (units + LONG_WEIGHTS[kind]) * UNIT_S > last_s - first_s:
            break
        chosen.append(kind)
        units += LONG_WEIGHTS[kind]
    unit_s = (last_s - first_s) / units
    at_s = first_s
    for kind in chosen:
        slot_s = unit_s * LONG_WEIGHTS[kind]
        if kind is Kind.SECOND_INGEST:
            yield Fault(at_s, kind, min(SECOND_INGEST_S, slot_s), step_s=rng.choice(lease_steps_s))
        elif kind is Kind.BLACKOUT:
            yield Fault(at_s + rng.uniform(0, 0.5 * slot_s), kind)
        else:
            duration_s = slot_s * (rng.uniform(0.6, 0.9) if kind is Kind.DATABASE_AWAY else rng.uniform(0.2, 0.7))
            yield Fault(at_s + rng.uniform(0, slot_s - duration_s), kind, duration_s)
        at_s += slot_s


def _short(
    rng: random.Random,
    first_s: float,
    last_s: float,
    roles: Sequence[str],
    kinds: Sequence[Kind],
    alone: Sequence[Fault],
) -> Iterator[Fault]:
    victims = {Kind.KILL: roles, Kind.PAUSE: roles, Kind.CLOCK: [role for role in roles if role in CLOCKED]}
    victims[Kind.SERVER_CLOCK] = [role for role in roles if role in SERVERS]
    wanted = [(kind, role) for kind in kinds for role in victims.get(kind, ("",))]
    if not wanted:
        return
    for kind, role in islice(cycle(rng.sample(wanted, len(wanted))), max(1, int((last_s - first_s) / SHORT_EVERY_S))):
        fault = _drawn(rng, kind, role)
        at_s = _free_instant(rng, first_s, last_s, fault.duration_s, () if kind in NETWORK else alone)
        if at_s is not None:
            yield fault._replace(at_s=at_s)


def _drawn(rng: random.Random, kind: Kind, role: str) -> Fault:
    at_s, choice = 0.0, rng.random()
    if kind is Kind.PAUSE:
        return Fault(at_s, kind, rng.uniform(*PAUSE_S), role, choice)
    if kind in (Kind.CLOCK, Kind.SERVER_CLOCK):
        step_s = rng.uniform(*rng.choice(CLOCK_STEPS_S)) * rng.choice((-1, 1))
        return Fault(at_s, kind, rng.uniform(*CLOCK_S), role, choice, step_s)
    if kind is Kind.PACKETS:
        weather = Weather(rng.uniform(0.05, 0.5), rng.uniform(0, 0.3), rng.uniform(0, 0.5), rng.uniform(0.05, 3.0))
        return Fault(at_s, kind, rng.uniform(*NETWORK_S), weather=weather)
    return Fault(at_s, kind, role=role, choice=choice)


def _free_instant(
    rng: random.Random, first_s: float, last_s: float, duration_s: float, alone: Sequence[Fault]
) -> float | None:
    """When a fault of this duration meets none of `alone`; None when none was found."""
    for _ in range(ATTEMPTS):
        at_s = rng.uniform(first_s, max(first_s, last_s - duration_s))
        if all(at_s + duration_s <= other.at_s or other.end_s <= at_s for other in alone):
            return at_s
    return None
