from __future__ import annotations

from pathlib import Path

from gateway.push.counts import Counts, PushCollector
from gateway.push.watch import FILE, GapWatch

START_S = 1_767_225_600.0


class Clock:
    now_s = START_S

    def __call__(self) -> float:
        return self.now_s


def test_a_gap_is_counted_once_and_seen_while_it_lasts(tmp_path: Path) -> None:
    clock, counts = Clock(), Counts()
    watch = GapWatch(tmp_path, ["east"], counts, clock)
    for _ in range(2 * 86_400 // 10):
        clock.now_s += 10
        watch.pushed("east")
    collected = PushCollector(counts, watch.silent, watch.last)
    watch.save()
    clock.now_s += 900
    for _ in range(3):
        watch.look()
    assert watch.silent() == {"east": True}
    again = GapWatch(tmp_path, ["east", "new"], counts, clock)
    assert again.silent() == {"east": True, "new": False}
    again.pushed("east")
    assert again.silent()["east"] is False
    assert counts.gaps == {"east": 1}
    assert 80 <= counts.missing["east"] <= 100
    names = {sample.name for metric in collected.collect() for sample in metric.samples}
    assert {"nbwater_gateway_push_silent", "nbwater_gateway_push_gaps_total"} <= names


def test_a_broken_file_begins_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[1,")
    assert GapWatch(tmp_path, ["east"], Counts(), Clock()).silent() == {"east": False}
    (tmp_path / FILE).write_text("[]")
    watch = GapWatch(tmp_path, ["east"], Counts(), Clock())
    watch.keep(["west"])
    watch.pushed("west")
    assert watch.last() == {"west": START_S}
