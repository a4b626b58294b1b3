"""The rate of a product, by a clock of the test's own; then over HTTP against a real gateway."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js import JetStreamContext

from gateway.push.turns import LONGEST_WAIT_S, Turns
from simulators.http_line import Line, Receiver
from simulators.push import PushPlatform
from tests.gateway.conftest import stored, until
from tests.gateway.push.conftest import StartPush, body_of, product


class Bench:
    """`taken` and `refused`: when, and which push."""

    def __init__(self, per_second: float, max_connections: int = 400) -> None:
        self.now = 1000.0
        self._numbers = itertools.count()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self.taken: list[tuple[float, str]] = []
        self.refused: list[tuple[float, str]] = []
        self.turns = Turns(per_second, max_connections, lambda: self.now, self._call_later)

    def _call_later(self, wait_s: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self.now + wait_s, next(self._numbers), call))

    def come(self, pusher: str, name: str = "", messages: int = 1) -> bool:
        def take() -> int:
            self.taken.append((self.now, name))
            return messages

        return self.turns.come(pusher, take, lambda: self.refused.append((self.now, name)))

    def pass_s(self, seconds: float) -> None:
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            self.now, _, call = heapq.heappop(self._timers)
            call()
        self.now = until


def test_within_its_rate_nobody_waits() -> None:
    bench = Bench(1000)
    for _ in range(2000):
        assert not bench.come("east")
        bench.pass_s(1 / 500)
    assert len(bench.taken) == 2000
    assert bench.refused == []


def test_beyond_it_pushes_wait_in_their_order_and_then_are_refused() -> None:
    bench = Bench(10)
    waited = [bench.come("east", str(number)) for number in range(150)]
    assert waited == [False] * 10 + [True] * 100 + [False] * 40
    assert len(bench.refused) == 40
    assert not bench.come("west")
    bench.pass_s(60)
    names = [name for _, name in bench.taken if name]
    assert names == [str(number) for number in range(len(names))]
    assert len(names) == pytest.approx(10 + 10 * LONGEST_WAIT_S, abs=1)
    assert len(names) + len(bench.refused) == 150
    assert max(at for at, _ in bench.taken) <= 1000 + LONGEST_WAIT_S
    assert len(bench.turns) == 0


def test_all_products_together_hold_half_of_the_connections() -> None:
    bench = Bench(1, max_connections=40)
    for number in range(40):
        for name in ("a", "b", "c", "d"):
            bench.come(name, f"{name}{number}")
    assert len(bench.turns) == 20


def test_an_array_counts_by_its_messages() -> None:
    bench = Bench(100)
    bench.come("east", messages=256)
    assert bench.come("east", "next")
    bench.pass_s(1.56)
    assert [name for _, name in bench.taken] == [""]
    bench.pass_s(0.02)
    assert [name for _, name in bench.taken] == ["", "next"]


def test_a_defect_costs_one_push_and_the_next_has_its_turn() -> None:
    bench = Bench(1)
    bench.come("east")

    def defect() -> int:
        raise RuntimeError

    assert bench.turns.come("east", defect, lambda: bench.refused.append((bench.now, "defect")))
    bench.come("east", "next")
    with pytest.raises(RuntimeError):
        bench.pass_s(1.1)
    bench.pass_s(3)
    assert [name for _, name in bench.refused] == ["defect"]
    assert [name for _, name in bench.taken] == ["", "next"]


def test_at_the_end_all_that_wait_are_taken_and_a_product_that_is_gone_is_forgotten() -> None:
    bench = Bench(1)
    for number in range(5):
        bench.come("east", str(number))
    bench.turns.keep(["west"])
    assert len(bench.turns) == 4
    bench.turns.take_all_now()
    assert len(bench.taken) == 5
    assert len(bench.turns) == 0
    bench.turns.keep(["west"])
    assert not bench.come("east", "as if new")


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 300), st.floats(0, 0.5)), max_size=200),
    st.sampled_from([0.5, 7.0, 1000.0]),
)
def test_every_push_is_taken_or_refused_once_and_the_rate_holds(
    pushes: list[tuple[str, int, float]], per_second: float
) -> None:
    bench = Bench(per_second, max_connections=16)
    for name, messages, pause_s in pushes:
        bench.come(name, name, messages)
        assert len(bench.turns) <= 8
        bench.pass_s(pause_s)
    bench.pass_s(2 * LONGEST_WAIT_S + 400 / per_second)
    assert len(bench.taken) + len(bench.refused) == len(pushes)
    assert len(bench.turns) == 0
    most = max(1.0, per_second) + per_second * (bench.now - 1000.0) + 1
    for pusher in "ab":
        assert sum(name == pusher for _, name in bench.taken) <= most


async def test_a_product_that_floods_waits_and_is_refused_while_another_has_its_answers(
    js: JetStreamContext, start_push: StartPush
) -> None:
    """The flood pushes as fast as it is answered, over most of the connections that there are."""
    secrets = [f"a-secret-of-{name}-long" for name in ("east", "west")]
    tables = product("east", secret=secrets[0]) + product("west", secret=secrets[1])
    push = await start_push(tables, max_connections=40, messages_per_second_per_product=20)
    base = f"http://127.0.0.1:{push.port}/push/"
    answers: Counter[str] = Counter()

    async def flood(first: int) -> None:
        async with Line(Receiver(base + secrets[0])) as line:
            for number in itertools.count(first * 1000):
                answers[await line.post(body_of(number))] += 1

    async with asyncio.TaskGroup() as group:
        floods = [group.create_task(flood(number)) for number in range(36)]

        async def refused() -> bool:
            return answers["429"] > 20

        await until(refused)
        async with PushPlatform(Receiver(base + secrets[1]), connections=4, retry_s=0.1) as west:
            for number in range(20):
                west.push(body_of(1_000_000 + number, deviceId="west"))
        for task in floods:
            task.cancel()
    assert west.counts.taken == 20
    assert west.counts.answers["429"] == 0
    assert answers["503"] == 0
    assert await push.metric('delayed_total{product="east"}') > 0
    assert await push.metric('answers_total{product="east",status="429"}') > 20
    reports = await stored(js)
    assert sum(b"west" in report.payload for report in reports) == 20
