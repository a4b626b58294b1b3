"""Replay windows against a set that remembers everything."""

from __future__ import annotations

import random

import pytest

from gateway.coap.oscore import windows as module
from gateway.coap.oscore.windows import RECORD, WINDOW, Seen, Windows

METER = b"12345678"


def test_windows_agree_with_a_memory_without_bound() -> None:
    rng, windows, seen, top = random.Random(1), Windows(), set(), 0
    assert windows.look(windows.find(METER), 0) is Seen.UNKNOWN
    meter = windows.open(METER, 0)
    assert windows.find(METER) == meter
    seen.add(0)
    for _ in range(5000):
        number = max(0, top + rng.randrange(-2 * WINDOW, 6))
        expected = Seen.YES if number in seen or number <= top - WINDOW else Seen.NO
        assert windows.look(meter, number) is expected
        if expected is Seen.NO:
            windows.mark(meter, number)
            if rng.random() < 0.1:
                windows.clear(meter, number)
                assert windows.look(meter, number) is Seen.NO
                top = max(top, number)
            else:
                seen.add(number)
                top = max(top, number)
    windows.mark(meter, 2**40 - 1)
    assert windows.look(meter, 2**40 - 1) is Seen.YES


def test_a_window_opens_above_the_number_that_proved_itself() -> None:
    windows = Windows()
    meter = windows.open(METER, 100)
    assert [windows.look(meter, n) for n in (0, 99, 100, 101)] == [Seen.YES, Seen.YES, Seen.YES, Seen.NO]


def test_windows_come_back_from_snapshots_and_records() -> None:
    windows = Windows()
    for n in range(100):
        assert windows.open(b"%08d" % n, n) == n
        windows.mark(n, n + 5)
    later = Windows()
    stored = windows.snapshot() + b"more"
    assert later.load(stored) == len(stored) - 4
    assert later.snapshot() == windows.snapshot()
    windows.mark(7, 1000)
    later.restore(*RECORD.unpack(windows.record(7)))
    assert later.look(later.find(b"%08d" % 7), 1000) is Seen.YES
    assert later.snapshot() == windows.snapshot()
    for cut in (b"", stored[:7], stored[:500]):
        with pytest.raises(ValueError, match="cut"):
            Windows().load(cut)


def test_windows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WINDOWS", 2)
    windows = Windows()
    assert [windows.open(b"%08d" % n, 0) for n in range(3)] == [0, 1, -1]
    assert windows.open(b"%08d" % 1, 5) == 1
    assert len(windows) == 2
