"""Meters that send again what had no answer: the same report under a new message, a bounded number of times."""

import asyncio
from types import SimpleNamespace

import pytest

from simulators import message
from simulators.chaos import fleet as module
from simulators.chaos.fleet import WAKES, Fleet
from simulators.exchange import Exchange, Fate
from simulators.synthetic import plan

REPORTS = 20


class Network:
    """Stands for the sender: answers as told, at once."""

    def __init__(self, fates):
        self._fates, self.tails, self.inflight = fates, [], 0

    def submit(self, tail, on_end, *, tag, lane):
        self.tails.append((tag, tail))
        exchange = Exchange(tail, on_end, tag, 0.0, lane, True)
        exchange.fate = self._fates(tag, sum(sent == tag for sent, _ in self.tails))
        exchange.code = message.CHANGED if exchange.fate is Fate.ANSWERED else message.EMPTY
        self.inflight += 1
        asyncio.get_running_loop().call_soon(self._end, on_end, exchange)
        return True

    def _end(self, on_end, exchange):
        self.inflight -= 1
        on_end(exchange)

    async def post_tail(self, tail, *, lane=0):
        return SimpleNamespace(fate=Fate.ANSWERED, code=message.CHANGED)


@pytest.fixture(autouse=True)
def restless(monkeypatch):
    monkeypatch.setattr(module, "WAKE_AFTER_S", (0.0, 0.01))
    monkeypatch.setattr(module, "REMEMBERING", 1.0)


async def played(fates):
    planned = plan(1000, REPORTS / 1000, 5, 24, 1_790_000_000, 0)
    fleet, network = Fleet(planned, 1000, seed=1), Network(fates)
    await fleet.play(network)
    return fleet, network


async def test_every_report_is_sent_once_when_all_are_answered():
    fleet, network = await played(lambda *_: Fate.ANSWERED)
    assert sorted(tag for tag, _ in network.tails) == list(range(REPORTS))
    assert (fleet.offered, fleet.answered, fleet.unknown, fleet.sent_again) == (REPORTS, REPORTS, 0, 0)
    assert all(ledger.answered.all() for ledger in fleet.ledgers())


async def test_a_report_without_an_answer_comes_again_unchanged():
    fleet, network = await played(lambda tag, times: Fate.UNKNOWN if tag == 3 and times < 3 else Fate.ANSWERED)
    tails = [tail for tag, tail in network.tails if tag == 3]
    assert len(tails) == 3
    assert len(set(tails)) == 1
    assert (fleet.answered, fleet.sent_again) == (REPORTS, 2)


async def test_a_report_is_given_up_and_stays_unknown():
    fleet, network = await played(lambda tag, _: Fate.UNKNOWN if tag == 3 else Fate.ANSWERED)
    assert sum(tag == 3 for tag, _ in network.tails) == 1 + WAKES
    assert (fleet.answered, fleet.unknown, fleet.codes) == (REPORTS - 1, 1, {"no answer": 1})
    ledger = fleet.ledgers()[3]
    assert ledger.answered.tolist() == [False, True, True, True]


async def test_a_refusal_is_no_answer_and_not_repeated():
    fleet, network = await played(lambda tag, _: Fate.REFUSED if tag == 3 else Fate.ANSWERED)
    assert len(network.tails) == REPORTS
    assert (fleet.refused, fleet.unknown) == (1, 0)
    assert fleet.ledgers()[3].answered.tolist() == [False, True, True, True]


async def test_the_door_opens_with_reports_of_the_run():
    planned = plan(1000, REPORTS / 1000, 5, 24, 1_790_000_000, 0)
    fleet, network = Fleet(planned, 1000, seed=1), Network(lambda *_: Fate.ANSWERED)
    await fleet.open_door(network)
    await fleet.play(network)
    assert sorted(tag for tag, _ in network.tails) == [1, 2, 3, *range(5, REPORTS)]
    assert (fleet.offered, fleet.answered) == (REPORTS, REPORTS)
