"""Meters that send again what had no answer: the same report under a new message, a bounded number of times."""

import asyncio

import pytest

from simulators import message
from simulators.chaos import fleet as module
from simulators.chaos.fleet import WAKES, Fleet
from simulators.exchange import Answer, Fate
from simulators.synthetic import plan

REPORTS = 20
PLANNED = plan(1000, REPORTS / 1000, 5, 24, 1_790_000_000, 0)


class Network:
    """Stands for a way: answers as told, soon."""

    def __init__(self, fates, name="coap"):
        self._fates, self.name, self.sent, self.inflight = fates, name, [], 0

    def send(self, outgoing, ended):
        self.sent.append(outgoing)
        times = sum(each == outgoing for each in self.sent)
        fate = self._fates(outgoing, times)
        self.inflight += 1
        asyncio.get_running_loop().call_soon(self._end, ended, fate)

    def _end(self, ended, fate):
        self.inflight -= 1
        ended(Answer(fate, message.CHANGED if fate is Fate.ANSWERED else message.EMPTY, b""))

    async def close(self):
        """Nothing to close."""


@pytest.fixture(autouse=True)
def restless(monkeypatch):
    monkeypatch.setattr(module, "WAKE_AFTER_S", (0.0, 0.01))
    monkeypatch.setattr(module, "REMEMBERING", 1.0)


async def played(fates):
    network = Network(fates)
    fleet = Fleet(PLANNED, 1000, 1, [network])
    await fleet.play()
    return fleet, network


def third(outgoing):
    """Whether it is the first report of meter 3, report 3 of the plan."""
    return outgoing == Fleet(PLANNED, 1000, 1, []).outgoing(3)


async def test_every_report_is_sent_once_when_all_are_answered():
    fleet, network = await played(lambda *_: Fate.ANSWERED)
    assert network.sent == [fleet.outgoing(report) for report in range(REPORTS)]
    assert (fleet.offered, fleet.answered, fleet.unknown, fleet.sent_again) == (REPORTS, REPORTS, 0, 0)
    assert all(ledger.answered.all() for ledger in fleet.ledgers())


async def test_a_report_without_an_answer_comes_again_unchanged():
    fleet, network = await played(
        lambda outgoing, times: Fate.UNKNOWN if third(outgoing) and times < 3 else Fate.ANSWERED
    )
    assert network.sent.count(fleet.outgoing(3)) == 3
    assert (fleet.answered, fleet.sent_again) == (REPORTS, 2)


async def test_a_report_is_given_up_and_stays_unknown():
    fleet, network = await played(lambda outgoing, _: Fate.UNKNOWN if third(outgoing) else Fate.ANSWERED)
    assert network.sent.count(fleet.outgoing(3)) == 1 + WAKES
    assert (fleet.answered, fleet.unknown, fleet.codes) == (REPORTS - 1, 1, {"no answer": 1})
    ledger = fleet.ledgers()[3]
    assert ledger.answered.tolist() == [False, True, True, True]


async def test_a_refusal_is_no_answer_and_not_repeated():
    fleet, network = await played(lambda outgoing, _: Fate.REFUSED if third(outgoing) else Fate.ANSWERED)
    assert len(network.sent) == REPORTS
    assert (fleet.refused, fleet.unknown) == (1, 0)
    assert fleet.ledgers()[3].answered.tolist() == [False, True, True, True]


async def test_the_doors_open_with_reports_of_the_run():
    """Meters 0, 2 and 4 speak by one way, 1 and 3 by the other."""
    networks = [Network(lambda *_: Fate.ANSWERED, name) for name in ("coap", "mqtt")]
    fleet = Fleet(PLANNED, 1000, 1, networks)
    await fleet.open_doors()
    assert [len(network.sent) for network in networks] == [2, 2]
    await fleet.play()
    assert [len(network.sent) for network in networks] == [12, 8]
    assert fleet.by_door() == {"coap": (12, 12), "mqtt": (8, 8)}
    assert (fleet.offered, fleet.answered) == (REPORTS, REPORTS)
