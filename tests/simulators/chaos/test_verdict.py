"""What makes a run fail, and that it is said."""

import json

import pytest
from rich.console import Console

from simulators.chaos.accounts import Books
from simulators.chaos.settled import Settled
from simulators.chaos.verdict import Verdict
from simulators.reconcile import Reconciliation


@pytest.fixture
def verdict():
    """Of a run in which all went well."""
    made = Verdict(7, 60.0, ["kill"], sent=10, answered=9, unknown=1, faults={"kill": 2})
    made.reports = Reconciliation(sent=10, answered=9, stored=10)
    made.books = Books(received=10, outcomes={"stored": 10})
    made.settled = Settled(days=3)
    return made


def shown(verdict):
    console = Console(width=200)
    with console.capture() as capture:
        console.print(verdict.table())
    return capture.get()


def test_a_sound_run_passes(verdict):
    assert verdict.ok
    assert "nothing lost" in shown(verdict)
    assert json.loads(json.dumps(verdict.as_dict()))["ok"] is True


WRONGS = {
    "no report was answered": lambda v: (setattr(v, "answered", 0), setattr(v.reports, "answered", 0)),
    "not calm": lambda v: setattr(v, "unrest", "2 spans wait for settlement"),
    "⊆": lambda v: v.reports.fault("lost", "900000000001", [4]),
    "were refused": lambda v: setattr(v, "refused", 1),
    "its ledger": lambda v: setattr(v.reports, "answered", 8),
    "in no row": lambda v: v.books.without_row.append("ab"),
    "do not add up": lambda v: setattr(v.books, "in_flight", 1),
    "well-formed": lambda v: v.books.outcomes.update(dead_lettered=1),
    "settled days": lambda v: setattr(v.settled, "missing", 1),
    "not shown": lambda v: v.not_shown.append("second-ingest: fence"),
}


@pytest.mark.parametrize("words", WRONGS)
def test_each_wrong_fails_the_run_and_is_named(verdict, words):
    WRONGS[words](verdict)
    assert not verdict.ok
    assert any(words in wrong for wrong in verdict.wrongs())
    assert "FAILED" in shown(verdict)
    assert verdict.as_dict()["ok"] is False
