"""The benchmark's own reckoning, without a platform."""

import json
import sys

import numpy as np
import pytest

from simulators.exchange import Timers
from tests.bench import runner
from tests.bench.flatness import trend
from tests.bench.generator import Order, due_s, timers_of
from tests.bench.plan import SECTIONS, Section, chosen
from tests.bench.report import BUDGETS, add_summaries, at_most, change, shown, table
from tests.bench.search import highest
from tests.bench.under_load import Played, Sample
from tests.bench.usage import Usage, program

ORDER = Order(port=1, meters=10, first_s=0, seq_base=0, first=0, seconds=10.0, rate=100.0)


def played(taken, spans):
    """1,000 reports in 10 s, all answered at once; samples each second."""
    samples = [Sample(100.0 + second, taken(second), spans(second)) for second in range(11)]
    told = [(100.0, 0), (110.0, 1000)]
    return Played(ORDER, {"began": 100.0, "answered": 1000}, 0, told, samples, {}, Usage(), [])


def test_a_backlog_that_stays_is_flat_and_one_that_grows_is_not():
    flat, spans = played(lambda s: max(0, 100 * s - 150), lambda s: 300 + s % 2 * 40).trends()
    assert flat.is_flat(100)
    assert spans.is_flat(100)
    assert flat.mean == pytest.approx(150)
    behind, spans = played(lambda s: 90 * s, lambda s: 20 * s).trends()
    assert behind.growth_per_s == pytest.approx(10)
    assert spans.growth_per_s == pytest.approx(20)
    assert not behind.is_flat(100)
    assert not spans.is_flat(100)


def test_a_backlog_far_too_high_is_not_flat_and_what_comes_before_is_left_out():
    seconds = list(range(100))
    assert not trend(seconds, [5_000] * 100).is_flat(100)
    assert trend(seconds, [*range(20), *[20] * 80]).is_flat(100)
    with pytest.raises(ValueError, match="too few"):
        trend([1, 2], [0, 0])


def test_what_is_behind_at_the_end_is_what_was_answered_and_not_taken():
    assert played(lambda s: 90 * s, lambda s: s).behind_at_end == (100, 10)


@pytest.mark.parametrize(("limit", "found"), [(1_000, 1_000), (3_300, 3_000), (440, 437.5), (50, 0)])
async def test_the_search_ends_just_below_the_limit(limit, found):
    tried = []

    async def holds(rate):
        tried.append(rate)
        return rate <= limit

    assert await highest(holds, 1_000, bisections=2) == found
    assert len(tried) == len(set(tried))


def test_the_table_says_met_or_missed_and_what_changed():
    sections = {
        "custody": {"reports_per_s": 25_000.0, "p99_ms": 60.0, "cpu": {"a": 1, "rows": []}},
        "new": {"x": "said"},
    }
    text = table(sections, {"custody": {"reports_per_s": 20_000.0}}, {"midnight": "it broke"})
    assert "| custody.reports_per_s | 25,000 | ≥ 20,000 | met | 20,000 | +25 % |" in text
    assert "| custody.p99_ms | 60 | ≤ 50 | **MISSED** | – | – |" in text
    assert "| **midnight** | FAILED: it broke |" in text
    assert "| custody.cpu.a | 1 |" in text
    assert "rows" not in text
    assert len({line.count("|") for line in text.splitlines()}) == 1
    assert "earlier" not in table(sections, None, {})


def test_numbers_are_shown_as_a_person_reads_them():
    assert [shown(value) for value in (None, 0.123456, 12.0, 12345.678, True)] == ["–", "0.123", "12", "12,346", "True"]
    assert (change(None, 3), change(2, 3), change(0, 3)) == ("–", "+50 %", "–")
    assert at_most(0).is_met(0)


def test_catch_up_is_compared_with_the_writer_when_both_are_known():
    sections = {"catch_up": {"rows_per_s": 80.0}}
    add_summaries(sections)
    assert "ratio_to_writer" not in sections["catch_up"]
    add_summaries(sections := sections | {"writer": {"rows_per_s": 100.0}})
    assert sections["catch_up"]["ratio_to_writer"] == 0.8


def test_bytes_per_reading_are_told_before_and_after_compression():
    rows = [
        {"part": "hot", "interval": "1 day", "heap_bytes_per_reading": 48.0, "index_bytes_per_reading": 40.0},
        {"part": "hot", "interval": "7 days", "heap_bytes_per_reading": 1.0, "index_bytes_per_reading": 1.0},
        {"part": "full chunk", "interval": "1 day", "segmentby": "meter_id", "bytes_per_reading": 5.0},
    ]
    sections = {"compression": {"rows": rows}}
    add_summaries(sections)
    assert sections["compression"]["bytes_per_reading_before"] == 88
    assert sections["compression"]["bytes_per_reading_after"] == {"segmentby meter_id": 5}


def test_every_budget_belongs_to_a_section():
    given_by_end_to_end = {"latency_ms"}
    assert {name.partition(".")[0] for name in BUDGETS} <= set(SECTIONS) | given_by_end_to_end


def test_sections_that_want_a_server_are_left_out_without_it():
    wanting = {name for name, section in SECTIONS.items() if section.variable}
    assert wanting
    assert not wanting & set(chosen(None, {}))
    variables = {section.variable: "postgresql://x" for section in SECTIONS.values()}
    assert wanting <= set(chosen(None, variables))
    assert not wanting & set(chosen(None, variables | {"NBWATER_DATABASE_URL": "postgresql://y"}))
    assert chosen(["writer"], {}) == ["writer"]


@pytest.mark.parametrize(
    ("script", "found", "failure"),
    [
        ('import pathlib; pathlib.Path(FILE).write_text(\'{"s": {"x": 1}}\')', 1, ""),
        ("raise SystemExit(3)", None, "exit code 3"),
        ("import time; time.sleep(300)", None, "not done after"),
    ],
    ids=["done", "failed", "endless"],
)
def test_a_section_that_fails_or_does_not_end_costs_only_itself(monkeypatch, script, found, failure):
    def python(_module, _name, file, *_options):
        return [sys.executable, "-c", script.replace("FILE", json.dumps(file))]

    monkeypatch.setattr(runner, "python", python)
    limit_s = 0.2 if found is None else 60.0
    monkeypatch.setitem(SECTIONS, "s", Section("none", limit_s=60.0 if "code" in failure else limit_s, usual_s=1))
    sections, said = runner.run_section("s", quick=False, left_s=100, progress=lambda _: None)
    assert sections.get("s", {}).get("x") == found
    assert failure in said
    assert bool(failure) == bool(said)


def test_a_section_is_not_begun_without_the_time_it_takes(monkeypatch):
    monkeypatch.setitem(SECTIONS, "s", Section("none", limit_s=60, usual_s=50))
    assert "not measured" in runner.run_section("s", quick=False, left_s=49, progress=lambda _: None)[1]


def test_a_section_that_stretches_takes_the_time_that_is_left(monkeypatch):
    given = []
    monkeypatch.setattr("tests.bench.search.measure", lambda _, minutes: given.append(minutes) or {}, raising=False)
    section = Section("tests.bench.search", limit_s=1, usual_s=1, options={"minutes": 10.0}, stretches="minutes")
    for left_s in (2_000, 360):
        assert section.measured("s", print, False, left_s, {}) == {"s": {}}
    assert given == [10, 5]


def test_a_burst_has_the_timers_of_nb_iot_and_all_due_within_its_time():
    burst = Order(port=1, meters=500, first_s=0, seq_base=0, first=0, seconds=5.0, rate=100.0, burst=True)
    due = due_s(burst)
    assert len(due) == 500
    assert (np.diff(due) >= 0).all()
    assert due[-1] <= 5
    assert timers_of(burst).ack_timeout_s == 10
    assert timers_of(ORDER) == Timers()
    assert np.isnan(due_s(Order(port=1, meters=1, first_s=0, seq_base=0, first=0, seconds=0.1, window=5))).all()


def test_processes_are_named_by_their_command_lines():
    assert program(["python", "-m", "gateway"]) == "gateway"
    assert program(["python", "-m", "ingest.settlement"]) == "settlement"
    assert program(["/somewhere/nats-server", "-c", "x"]) == "nats-server"
    used = Usage({"a": 3.0, "b": 1.0}).since(Usage({"a": 1.0}))
    assert used == {"a": 2.0, "b": 1.0}
