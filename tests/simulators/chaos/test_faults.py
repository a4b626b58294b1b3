"""Each fault is brought about and undone, also when the run is stopped in the middle of it; on a platform that only
notes what is asked of it."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from simulators.chaos import faults as module
from simulators.chaos.faults import Tormentor
from simulators.chaos.network import CLEAR
from simulators.chaos.plan import Fault, Kind, Weather
from simulators.chaos.platform import SECOND, GoneError, of_role, role_of

LONG_S = 600.0


class Notes:
    """A platform with these programs, and what was asked of it in order."""

    def __init__(self, *programs):
        self._programs, self.asked = dict.fromkeys(programs, 4711), []

    def programs(self):
        return self._programs

    def kill(self, program):
        self.asked.append(f"kill {program}")
        return 4711

    def freeze(self, program):
        self.asked.append(f"freeze {program}")
        return [(4711, 1)]

    def thaw(self, frozen):
        self.asked.append(f"thaw {frozen[0][0]}")

    def step_clock(self, role, seconds):
        self.asked.append(f"clock {role} {seconds:+g}")

    def take_database_away(self):
        self.asked.append("away")

    def bring_database_back(self):
        self.asked.append("back")

    def fill_disk(self, server):
        self.asked.append(f"fill {server}")

    def empty_disk(self, server):
        self.asked.append(f"empty {server}")

    def said(self, program):
        return "could not extend file: No space left on device\n"


@pytest.fixture
def relay():
    return SimpleNamespace(weather=CLEAR, lost=0, duplicated=0, delayed=0, rebound=0, rebind=lambda: None)


@pytest.fixture
def platform():
    return Notes("api", "gateway", "gateway-2", "ingest", SECOND, "nats", "postgres", "settlement")


@pytest.fixture
def tormentor(platform, relay, monkeypatch):
    tormentor = Tormentor(platform, relay, lambda _: None)

    async def nothing(_):
        return None

    monkeypatch.setattr(tormentor, "_clock_of", nothing)
    return tormentor


async def test_which_of_several_programs_is_the_victim_is_the_plans_choice(tormentor, platform):
    await tormentor.run(Fault(0, Kind.KILL, role="gateway", choice=0.1))
    await tormentor.run(Fault(0, Kind.KILL, role="gateway", choice=0.9))
    await tormentor.run(Fault(0, Kind.KILL, role="ingest", choice=0.9))
    assert platform.asked == ["kill gateway", "kill gateway-2", "kill ingest"]
    assert tormentor.done == {Kind.KILL: 3}


UNDONE = [
    (Fault(0, Kind.PAUSE, 0.0, "nats"), ["freeze nats", "thaw 4711"]),
    (Fault(0, Kind.CLOCK, 0.0, "ingest", step_s=-30), ["clock ingest -30", "clock ingest +0"]),
    (Fault(0, Kind.SERVER_CLOCK, 0.0, "nats", step_s=60), ["clock nats +60", "clock nats +0"]),
    (Fault(0, Kind.DATABASE_AWAY), ["away", "back"]),
    (Fault(0, Kind.DATABASE_FULL), ["fill postgres", "empty postgres"]),
    (Fault(0, Kind.STREAM_DISK_FULL), ["fill nats", "empty nats"]),
]


@pytest.mark.parametrize(("fault", "asked"), UNDONE)
async def test_a_fault_that_lasts_is_undone_at_its_end(tormentor, platform, fault, asked):
    await tormentor.run(fault)
    assert platform.asked == asked


@pytest.mark.parametrize(("fault", "asked"), UNDONE)
async def test_a_fault_that_lasts_is_undone_when_the_run_is_stopped(tormentor, platform, fault, asked):
    running = asyncio.create_task(tormentor.run(fault._replace(duration_s=LONG_S)))
    async with asyncio.timeout(60):
        while not platform.asked:  # noqa: ASYNC110 - a list, which tells nobody
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert platform.asked == asked


async def test_a_server_that_tells_the_true_time_was_not_stepped(tormentor, monkeypatch):
    async def true(_):
        return time.time()

    monkeypatch.setattr(tormentor, "_clock_of", true)
    await tormentor.run(Fault(0, Kind.SERVER_CLOCK, 0.0, "postgres", step_s=3600))
    assert "was not stepped" in tormentor.not_shown[0]


async def test_a_server_that_is_started_again_meanwhile_is_stepped_again(tormentor, platform, monkeypatch):
    monkeypatch.setattr(module, "RESTEP_S", 0.0)
    running = asyncio.create_task(tormentor.run(Fault(0, Kind.SERVER_CLOCK, LONG_S, "postgres", step_s=3600)))
    async with asyncio.timeout(60):
        while platform.asked.count("clock postgres +3600") < 3:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert platform.asked[-1] == "clock postgres +0"


async def test_of_two_storms_the_last_to_end_clears_the_sky(tormentor, relay):
    rough = Weather(loss=0.5)
    first = asyncio.create_task(tormentor.run(Fault(0, Kind.PACKETS, LONG_S, weather=rough)))
    async with asyncio.timeout(60):
        while relay.weather is CLEAR:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    await tormentor.run(Fault(0, Kind.PACKETS, 0.0, weather=Weather(loss=0.1)))
    assert relay.weather is not CLEAR
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert relay.weather is CLEAR


async def test_a_victim_that_is_not_there_is_missed_and_said(relay, monkeypatch):
    monkeypatch.setattr(module, "WAIT_FOR_VICTIM_S", 0.0)
    tormentor = Tormentor(Notes("gateway"), relay, lambda _: None)
    await tormentor.run(Fault(0, Kind.PAUSE, 1.0, "postgres"))
    assert (tormentor.done, len(tormentor.missed), tormentor.not_shown) == ({}, 1, [])


async def test_a_lease_that_nobody_takes_over_is_not_shown(tormentor, platform, monkeypatch):
    """The second worker never says that it stands by."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    platform.start_second_ingest = lambda beside: platform.asked.append(f"second beside {beside}")

    async def end():
        platform.asked.append("end second")

    platform.end_second_ingest = end

    async def one(_):
        return 1

    monkeypatch.setattr(tormentor, "_database", one)
    await tormentor.run(Fault(0, Kind.SECOND_INGEST, 1.0))
    assert platform.asked == ["second beside ingest", "end second"]
    assert "stands by" in tormentor.not_shown[0]


def test_roles_are_read_from_names():
    assert [role_of(name) for name in ("gateway", "gateway-2", "ingest.3", "nats")] == [
        "gateway", "gateway", "ingest", "nats",
    ]  # fmt: skip
    assert of_role(["ingest", SECOND, "ingest-2"], "ingest") == ["ingest", "ingest-2"]
    assert issubclass(GoneError, Exception)
