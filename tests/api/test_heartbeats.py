"""What the other programs say, and rates out of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from api.heartbeats import KEPT_BEATS, MAX_INSTANCES, SILENT_AFTER_S, Heartbeats
from metering.heartbeat import Heartbeat, encode


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Message:
    subject: str
    data: bytes


def beat(instance: str = "a", started: float = 1.0, program: str = "gateway", **figures: float) -> Heartbeat:
    named = {name.replace("__204", '{code="2.04",door="coap"}'): value for name, value in figures.items()}
    return Heartbeat(program, instance, started, named)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heard(clock: Clock) -> Heartbeats:
    return Heartbeats(clock)


def test_totals_are_of_all_processes_and_rates_of_their_last_beats(heard: Heartbeats, clock: Clock) -> None:
    for second in range(0, 3 * (KEPT_BEATS + 4), 3):
        clock.now = 100.0 + second
        heard.hear(beat("a", answers__204=10.0 * second, s_sum=2.0 * second, s_count=4.0 * second, waiting=3))
        heard.hear(beat("b", answers__204=1.0 * second, s_sum=0.0, s_count=0.0, waiting=5))
    said = heard.of("gateway")
    assert len(said) == 2
    assert said.total("waiting") == 8
    assert said.largest("waiting") == 5
    assert said.per_second("answers", code="2.04") == pytest.approx(11)
    assert said.per_second("answers", code="5.03") == 0
    assert said.mean("s") == pytest.approx(0.5)
    assert said.total("unheard") is None
    assert len(heard.of("ingest")) == 0


def test_one_beat_gives_no_rate_and_a_restart_begins_anew(heard: Heartbeats, clock: Clock) -> None:
    heard.hear(beat(answers__204=100))
    assert heard.of("gateway").per_second("answers") is None
    clock.now += 3
    heard.hear(beat(started=2.0, answers__204=5))
    assert heard.of("gateway").per_second("answers") is None
    clock.now += 3
    heard.hear(beat(started=2.0, answers__204=11))
    assert heard.of("gateway").per_second("answers") == pytest.approx(2)


def test_who_is_silent_is_not_counted_and_memory_is_bounded(heard: Heartbeats, clock: Clock) -> None:
    heard.hear(beat("gone"))
    clock.now += SILENT_AFTER_S + 1
    assert len(heard.of("gateway")) == 0
    for number in range(MAX_INSTANCES + 10):
        heard.hear(beat(str(number)))
    assert len(heard.of("gateway")) == MAX_INSTANCES


async def test_a_program_speaks_only_for_itself(heard: Heartbeats) -> None:
    await heard.take(Message("status.gateway", encode(beat(program="ingest"))))
    await heard.take(Message("status.gateway", b"nonsense"))
    assert len(heard.of("ingest")) == len(heard.of("gateway")) == 0
    await heard.take(Message("status.ingest", encode(beat(program="ingest"))))
    assert len(heard.of("ingest")) == 1
