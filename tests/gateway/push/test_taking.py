"""Custody first, the spool when that does not answer, and never both forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.custody import Minted, Settle
from gateway.devices import Devices
from gateway.intake import Intake
from gateway.push import taking as taking_module
from gateway.push.spool import Spool
from gateway.push.taking import Taking
from metering.errors import CustodyBusyError, CustodyError, CustodyUnknownError, StreamFullError
from metering.model import Authentication, Door
from metering.registry import ENABLED, RegistryEntry
from tests.gateway.conftest import IMEI, until
from tests.gateway.push.test_spool import kept

DEADLINE_S = 0.6


class FakeCustody:
    """Answers as it is told: None takes it at once, an error fails it, "silent" says nothing."""

    def __init__(self) -> None:
        self.mood: CustodyError | str | None = None
        self.taken: list[tuple[str, bytes, Minted | None, Authentication]] = []

    def take(
        self, door: Door, authentication: Authentication, device: str, content_format: int, payload: bytes, source: str,
        settle: Settle, minted: Minted | None = None,
    ) -> None:  # fmt: skip
        if isinstance(self.mood, CustodyBusyError):
            raise self.mood
        if self.mood == "silent":
            return
        if self.mood is None:
            self.taken.append((device, payload, minted, authentication))
        settle(self.mood if isinstance(self.mood, CustodyError) else None)


class Link:
    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.connected.set()


class Around:
    def __init__(self, directory: Path) -> None:
        self.custody, self.devices, self.link = FakeCustody(), Devices(), Link()
        self.devices.apply(RegistryEntry(IMEI, (IMEI,), (), ENABLED))
        self.devices.ready = self.devices.complete = True
        self.spool = Spool(directory, 100_000)
        self.spool.open()
        intake = Intake(self.devices, self.custody)
        clock = asyncio.get_running_loop().time
        self.taking = Taking(intake, self.devices, self.link, self.spool, DEADLINE_S, clock)
        self.outcomes: list[bool] = []
        self.tasks = [asyncio.create_task(self.spool.run())]

    def serve(self) -> None:
        self.tasks.append(asyncio.create_task(self.taking.serve()))

    def push(self, number: int) -> None:
        self.taking.take(kept(number), self.outcomes.append)

    async def answered(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.outcomes) >= count

        await until(enough)

    async def emptied(self) -> None:
        async def empty() -> bool:
            return self.spool.is_empty

        await until(empty)

    @property
    def numbers(self) -> list[int]:
        """Of the reports in custody, in their order."""
        return [int(payload.split()[0]) for _, payload, _, _ in self.custody.taken]


@pytest.fixture
async def around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Around]:
    monkeypatch.setattr(taking_module, "RETRY_S", 0.02)
    made = Around(tmp_path)
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    made.spool.close()


async def test_before_the_stream_is_verified_all_goes_to_the_spool(around: Around) -> None:
    for number in range(5):
        around.push(number)
    await around.answered(5)
    assert around.outcomes == [True] * 5
    assert around.custody.taken == []
    around.serve()
    await around.emptied()
    assert around.numbers == [0, 1, 2, 3, 4]


async def test_a_report_keeps_its_identity_on_every_way(around: Around) -> None:
    around.serve()
    await asyncio.sleep(0)
    report = kept(1)
    around.custody.mood = StreamFullError("full")
    around.taking.take(report, around.outcomes.append)
    await around.answered(1)
    around.custody.mood = None
    await around.emptied()
    ((device, _, minted, authentication),) = around.custody.taken
    assert (device, authentication) == (IMEI, Authentication.PUSHER)
    assert minted == (report.report_id, report.received_at_us)


@pytest.mark.parametrize("mood", [StreamFullError(""), CustodyUnknownError(""), CustodyBusyError(""), "silent"])
async def test_order_is_kept_whatever_custody_says(around: Around, mood: CustodyError | str) -> None:
    around.serve()
    await asyncio.sleep(0)
    around.push(0)
    around.custody.mood = mood
    around.push(1)
    await around.answered(2)
    around.push(2)
    await around.answered(3)
    assert around.numbers == [0]
    around.custody.mood = None
    around.push(3)
    if mood == "silent":  # what was given to it while it was silent is given again only when it counts as not taken
        return
    await around.answered(4)
    await around.emptied()
    assert around.numbers == [0, 1, 2, 3]
    around.push(4)
    assert around.numbers == [0, 1, 2, 3, 4]
    assert around.outcomes == [True] * 5


async def test_a_silent_custody_is_answered_from_the_spool(around: Around) -> None:
    around.serve()
    await asyncio.sleep(0)
    around.custody.mood = "silent"
    around.push(1)
    assert around.outcomes == []
    await around.answered(1)
    assert (around.taking.overdue, around.outcomes) == (1, [True])


async def test_while_the_registry_is_not_whole_a_stranger_waits(around: Around) -> None:
    around.serve()
    await asyncio.sleep(0)
    around.devices.complete = False
    around.taking.take(kept(1)._replace(names=("869999999999999",)), around.outcomes.append)
    await around.answered(1)
    await asyncio.sleep(0.1)
    assert around.custody.taken == []
    around.devices.complete = True
    await around.emptied()
    assert around.custody.taken[0][0] == "869999999999999"


async def test_a_full_spool_is_told(around: Around) -> None:
    around.link.connected.clear()
    around.serve()
    for number in range(1000):
        around.push(number)
    await around.answered(1000)
    assert set(around.outcomes) == {True, False}
    assert around.taking.refused == around.outcomes.count(False)


async def test_at_the_end_what_has_no_answer_goes_to_the_spool(around: Around) -> None:
    around.serve()
    await asyncio.sleep(0)
    around.custody.mood = "silent"
    around.push(1)
    around.taking.stop()
    around.taking.to_spool_now()
    await around.spool.flushed()
    assert around.outcomes == [True]
    around.push(2)
    await around.answered(2)
    assert len(await around.spool.peek()) == 2


async def test_what_two_products_say_alike_is_no_repeat(around: Around) -> None:
    """While the stream was away: who may not say it must not keep the right one from being heard."""
    report = kept(1)
    for product in ("west", "east", "west"):
        again = report._replace(source=f"{product} 10.0.0.1", stamp=Authentication.FIRST_PUSHER)
        around.taking.take(again, around.outcomes.append)
    await around.answered(3)
    around.serve()
    await around.emptied()
    assert around.numbers == [1, 1]
    assert {authentication for _, _, _, authentication in around.custody.taken} == {Authentication.FIRST_PUSHER}
