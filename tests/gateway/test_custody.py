"""Custody against a publisher that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from gateway.batcher import Batcher
from gateway.custody import MAX_JOINED, StreamCustody
from gateway.metrics import Counters
from gateway.repeats import RepeatMemory
from metering.envelope import Report
from metering.errors import CustodyBusyError, CustodyError, CustodyUnknownError, StreamFullError
from metering.model import Authentication, Door
from tests.gateway.conftest import until


@dataclass
class Stream:
    """Holds each batch until `gate` is set, then fails with `failure` or takes it."""

    failure: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    taken: list[list[Report]] = field(default_factory=list)
    repeats: list[dict[str, int]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    async def publish(self, partition: int, reports: list[Report], repeats: dict[str, int]) -> None:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gate.wait()
            self.repeats.append(repeats)
            if self.failure is not None:
                raise self.failure
            self.taken.append(reports)
        finally:
            self.running -= 1


class Desk:
    def __init__(self, stream: Stream, max_pending: int = 1000, max_inflight: int = 2) -> None:
        self.stream = stream
        self.answers: list[tuple[str, CustodyError | None]] = []
        self.counters = Counters(CollectorRegistry())
        clock = asyncio.get_running_loop().time
        batcher, memory = Batcher(0.001, max_bytes=2000), RepeatMemory(1024)
        self.custody = StreamCustody(
            stream, batcher, memory, self.counters, 1, max_pending, max_inflight, clock
        )  # fmt: skip

    def send(self, payload: bytes, tag: str = "", device: str = "dev") -> None:
        self.custody.take(
            Door.COAP, Authentication.CLAIMED, device, 60, payload, "127.0.0.1:1",
            lambda failure: self.answers.append((tag or payload.decode(), failure)),
        )  # fmt: skip


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk(Stream())
    pump = asyncio.create_task(made.custody.run())
    yield made
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)


async def test_success_is_told_only_after_the_stream_took_the_batch(desk: Desk) -> None:
    desk.send(b"a")
    desk.send(b"b")
    await until(lambda: asyncio.sleep(0, desk.stream.running))
    assert desk.answers == []
    assert desk.custody.pending == 2
    desk.stream.gate.set()
    await asyncio.wait_for(desk.custody.drained(), 5)
    assert desk.answers == [("a", None), ("b", None)]
    assert [[report.payload for report in batch] for batch in desk.stream.taken] == [[b"a", b"b"]]


async def test_a_repeat_joins_while_pending_and_is_answered_at_once_later(desk: Desk) -> None:
    desk.send(b"a", "first")
    desk.send(b"a", "second")
    desk.stream.gate.set()
    await asyncio.wait_for(desk.custody.drained(), 5)
    desk.send(b"a", "third")
    assert desk.answers == [("first", None), ("second", None), ("third", None)]
    desk.send(b"b")
    await asyncio.wait_for(desk.custody.drained(), 5)
    assert sum(len(batch) for batch in desk.stream.taken) == 2
    assert desk.stream.repeats == [{"coap": 1}, {"coap": 1}]
    assert desk.counters.repeats["coap"] == 2


async def test_the_same_content_of_two_devices_is_two_reports(desk: Desk) -> None:
    desk.stream.gate.set()
    desk.send(b"a", device="one")
    desk.send(b"a", device="two")
    await asyncio.wait_for(desk.custody.drained(), 5)
    assert {report.device for batch in desk.stream.taken for report in batch} == {"one", "two"}


async def test_joined_repeats_are_bounded(desk: Desk) -> None:
    for _ in range(MAX_JOINED * 3):
        desk.send(b"a")
    desk.stream.gate.set()
    await asyncio.wait_for(desk.custody.drained(), 5)
    assert len(desk.answers) == MAX_JOINED + 1


@pytest.mark.parametrize("failure", [StreamFullError("full"), CustodyUnknownError("late"), RuntimeError("defect")])
async def test_a_failure_is_told_and_not_remembered(desk: Desk, failure: Exception) -> None:
    desk.stream.gate.set()
    desk.stream.failure = failure
    desk.send(b"a")
    await asyncio.wait_for(desk.custody.drained(), 5)
    assert isinstance(desk.answers[0][1], CustodyError)
    desk.stream.failure = None
    desk.send(b"a")
    await asyncio.wait_for(desk.custody.drained(), 5)
    assert desk.answers[1][1] is None
    assert len(desk.stream.taken) == 1


async def test_repeats_of_a_refused_batch_are_counted_in_the_next(desk: Desk) -> None:
    desk.stream.failure = StreamFullError("full")
    desk.send(b"a")
    desk.send(b"a")
    desk.stream.gate.set()
    await asyncio.wait_for(desk.custody.drained(), 5)
    desk.stream.failure = None
    desk.send(b"b")
    await asyncio.wait_for(desk.custody.drained(), 5)
    assert desk.stream.repeats[-1] == {"coap": 1}


async def test_pending_reports_and_concurrent_batches_are_bounded() -> None:
    desk = Desk(Stream(), max_pending=100)
    pump = asyncio.create_task(desk.custody.run())
    for number in range(100):
        desk.send(b"%d" % number)
    with pytest.raises(CustodyBusyError):
        desk.send(b"one too many")
    await until(lambda: asyncio.sleep(0, desk.stream.running == 2))
    desk.stream.gate.set()
    await asyncio.wait_for(desk.custody.drained(), 5)
    assert desk.stream.most_running == 2
    assert len(desk.answers) == 100
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)


async def test_an_answer_that_fails_costs_no_other(desk: Desk) -> None:
    def defect(*_: object) -> None:
        raise RuntimeError("a door's defect")

    desk.custody.take(Door.COAP, Authentication.CLAIMED, "dev", 60, b"bad", "127.0.0.1:1", defect)
    desk.send(b"good")
    desk.stream.gate.set()
    await desk.custody.drained()
    assert desk.answers == [("good", None)]
    assert desk.counters.ignored["defect"] == 1
