"""What our own detector's alerts say: figures that can be checked, and nothing where the evidence is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api.alert_life import AlertState
from api.pages import leak_evidence
from api.pages.evidence import drawing, sentences
from api.pages.wording import Language, Wording, yearly
from api.queries.alerts import AlertRow, valued
from metering.model import MeterId

ZONE = ZoneInfo("Asia/Shanghai")
ZH, EN = Wording(Language.ZH, ZONE), Wording(Language.EN, ZONE)
TO = datetime(2026, 3, 9, 22, tzinfo=UTC)  # six in the morning of the 10th in Huludao
USUAL = [0.05] * 6 + [0.65] * 18
HOURLY = [5_000, 5_000, None, *[4_000] * 5, 3_000, 9_000, 4_000, 4_000]
"""Twelve hours up to TO: eleven known, ten of them at 4 litres or more."""


def leak(**changed: Any) -> dict[str, Any]:
    evidence = {
        "detector": "own", "version": 1, "pattern": "steady", "level_l": 4, "over_hours": 1, "certainty_times": 1.7,
        "chance": 0.0003, "from": "2026-03-01T00:00:00+00:00", "to": TO.isoformat(), "hourly_ml": HOURLY,
        "usual_share": USUAL, "night_minimum_before_ml_h": 0, "night_minimum_now_ml_h": 4_000, "hours_counted": 70,
        "clears_when": {"hours_without_ml_h_above": 4_000, "hours": 10},
    }  # fmt: skip
    return {name: value for name, value in (evidence | changed).items() if value is not ...}


def alert(evidence: dict[str, Any], kind: str = "leak", ended: bool = False, **changed: Any) -> AlertRow:
    row = AlertRow(
        1, kind, "warning", AlertState.OPEN, MeterId(1), "1", "", None, None, TO - timedelta(hours=100), TO, TO,
        TO if ended else None, None, "suspected", 4_000, 3_500, 5_000, 400_000, None if ended else 35_040_000, evidence,
    )  # fmt: skip
    return valued(row, 3.0, "CNY")


def test_a_leak_is_argued_against_the_homes_own_habits() -> None:
    """Six known hours at night (18:00 to 6:00 local) at .05, five in the evening at .65: 32 % on average."""
    habits, quiet, night, sure, clears, advice = sentences(ZH, alert(leak()))
    assert all(part in habits for part in ("03-09 18:00", "03-10 06:00", "11 小时", "10 小时", "4 L", "32 %"))
    assert all(part in quiet for part in ("00:00–06:00", "5 %", "6 次", "5 次"))
    assert all(part in night for part in ("0.0 L/h", "4.0 L/h"))
    assert all(part in sure for part in ("1.7 倍", "1/3,300", "70 小时"))
    assert all(part in clears for part in ("10 小时", "4.0 L/h"))
    assert "滴漏" in advice


def test_the_same_in_english() -> None:
    text = " ".join(sentences(EN, alert(leak())))
    assert all(part in text for part in ("of the 11 hours", "10 had at least 4 L", "32 %", "1 in 3,300", "1.7 times"))


def test_what_it_costs_with_its_interval() -> None:
    said = leak_evidence.cost(ZH, alert(leak()))
    assert all(
        part in said for part in ("4.0 L/h（3.5 L/h 至 5.0 L/h）", "03-06 02:00", "400 L", "1.2 元", "35 m³", "105 元")
    )
    assert "流时约 4.0 L/h" in leak_evidence.cost(ZH, alert(leak(pattern="cyclic")))
    assert "; 400 L so far" in leak_evidence.cost(EN, alert(leak(pattern="cyclic")))
    assert "CNY 105" in leak_evidence.cost(EN, alert(leak()))
    over = leak_evidence.cost(ZH, alert(leak(), ended=True))
    assert "一年" not in over
    assert all(part in over for part in ("曾漏失约 4.0 L/h", "03-06 02:00 至 03-10 06:00", "共漏 400 L"))
    assert "While it ran it lost" in leak_evidence.cost(EN, alert(leak(pattern="cyclic"), ended=True))


def test_a_drip_is_counted_over_hours_together() -> None:
    """Stretches of three hours from the newest back; the one with an unknown hour says nothing."""
    habits = sentences(ZH, alert(leak(pattern="drip", over_hours=3, level_l=1)))[0]
    assert "每 3 小时为一段，有读数的 3 段里有 3 段" in habits


def test_what_has_cleared_says_so() -> None:
    said = sentences(ZH, alert(leak(), ended=True))
    assert "平台已解除" in said[-1]
    assert not [sentence for sentence in said if "怎样算" in sentence]


@pytest.mark.parametrize("missing", sorted(leak()))
def test_any_key_may_be_missing(missing: str) -> None:
    row = alert(leak(**{missing: ...}))
    said = sentences(ZH, row)
    assert "滴漏" in said[-1]
    assert not [sentence for sentence in said if "{" in sentence or "None" in sentence]
    drawing(ZH, row)


def test_what_is_odd_in_hours_and_habits() -> None:
    """Readings that are not at the full hour; a home that never used water; the meter's own word."""
    late = leak(to=(TO - timedelta(minutes=20)).isoformat())
    assert "03-10 06:00" in sentences(ZH, alert(late))[0]
    burst = {"peak_ml_h": 900_000, "own_maximum_ml_h": 0, "from": TO.isoformat(), "to": TO.isoformat()}
    assert "900 L/h。" in sentences(ZH, alert(burst, "burst"))[0]
    assert "自报：" in sentences(ZH, alert(leak(meter_alarms=["leak"])))[4]


def test_nights_that_are_unknown_are_not_told() -> None:
    assert not [said for said in sentences(ZH, alert(leak(night_minimum_before_ml_h=None))) if "夜间" in said]


@pytest.mark.parametrize(("chance", "words"), [(0.2, "约 20 %"), (0.00012, "约为 1/8,300"), (1e-12, "不到十亿分之一")])
def test_chances_are_said_as_people_say_them(chance: float, words: str) -> None:
    assert words in sentences(ZH, alert(leak(chance=chance)))[3]


@pytest.mark.parametrize(
    ("kind", "evidence", "parts"),
    [
        (
            "burst",
            {"peak_ml_h": 900_000, "own_maximum_ml_h": 300_000, "from": TO.isoformat(), "to": TO.isoformat()},
            ("900 L/h", "300 L/h", "3.0 倍"),
        ),
        ("stuck", {"still_h": 290, "longest_before_h": 61, "last_index_ml": 5_000_000}, ("5.000 m³", "12 天", "61 小")),
        (
            "stuck",
            {"still_h": 290, "longest_before_h": 61, "last_index_ml": 5_000_000, "past_days": 56, "away_times": 2,
             "limit_h": 274},
            ("5.000 m³", "56 天", "2 次", "满 11 天"),
        ),
        (
            "under_registering",
            {"usual_peak_ml_h": 96_000, "now_peak_ml_h": 41_000, "share": 0.43, "days": 14},
            ("14 天", "41 L/h", "96 L/h", "43 %"),
        ),
        (
            "under_registering",
            {"rule": "all_sizes", "limit_share": 0.6, "usual_flow_h": 9.0, "now_flow_h": 8.5, "days": 14,
             "usual_sizes_ml_h": [12_000, 31_000, 96_000], "now_sizes_ml_h": [5_000, 14_000, 41_000]},
            ("14 天", "12 L/h，现在 5.0 L/h，剩 42 %", "剩 43 %", "60 %", "约 9 个，现在 8.5 个"),
        ),
        ("reverse_flow", {"volume_ml": -23_000, "from": TO.isoformat(), "to": TO.isoformat()}, ("23 L", "03-10 06:00")),
    ],
)  # fmt: skip
def test_the_other_faults(kind: str, evidence: dict[str, Any], parts: tuple[str, ...]) -> None:
    seen, advice = sentences(ZH, alert(evidence, kind))
    assert all(part in seen for part in parts)
    assert advice
    over = sentences(ZH, alert(evidence, kind, ended=True))[-1]
    assert "核实后可关闭" in over
    assert sentences(ZH, alert({}, kind)), kind


def test_hours_are_drawn_against_habits() -> None:
    drawn = drawing(ZH, alert(leak()))
    assert drawn is not None
    assert drawn.svg.count("nb-usual") == 12
    assert drawn.svg.count("nb-odd") == 5
    assert "03-10 05:00 4 L · 往常 5 %" in drawn.svg
    assert "4 L" in drawn.hint
    together = drawing(ZH, alert(leak(pattern="drip", over_hours=3)))
    assert together is not None
    assert "nb-limit" not in together.svg


@pytest.mark.parametrize("usual", [["<script>"] * 24, [None] * 24, [0.1] * 3, "x" * 24])
def test_habits_that_are_no_shares_are_not_drawn(usual: Any) -> None:
    assert drawing(ZH, alert(leak(usual_share=usual))) is None


def test_a_year_is_no_more_exact_than_the_rate() -> None:
    assert (yearly(5_256_000), yearly(157_680_000)) == ("5.3 m³", "158 m³")
    assert (ZH.money(4.11, "CNY"), ZH.money(473, "USD"), ZH.money(None, "CNY")) == ("4.1 元", "USD 473", "–")


ROME = Wording(Language.ZH, ZoneInfo("Europe/Rome"))


def _starts(evidence: dict[str, Any]) -> list[str]:
    return [f"{start:%d %H:%M %z}" for start in leak_evidence.hour_starts(ROME, evidence)]


@pytest.mark.parametrize(
    ("to", "first", "last"),
    [
        ("2026-03-29T05:00:00+00:00", "28 11:00", "29 06:00"),  # 23 hours, of which 02:00 is among them
        ("2026-03-29T01:00:00+00:00", "28 06:00", "29 01:00"),  # just as the clocks go from 02:00 to 03:00
        ("2026-10-25T05:00:00+00:00", "24 10:00", "25 05:00"),  # 25 hours, of which 02:00 is there once
        ("2026-10-25T05:20:00+00:00", "24 11:00", "25 06:00"),
    ],
)
def test_hours_of_our_own_detector_are_those_of_the_clock(to: str, first: str, last: str) -> None:
    starts = _starts({"detector": "own", "hourly_ml": [1_000] * 20, "to": to})
    assert [start[:8] for start in (starts[0], starts[-1])] == [first, last]
    assert len(starts) == 20


@pytest.mark.parametrize(
    ("to", "first", "second", "last"),
    [
        ("2026-03-29T05:00:00+00:00", "28 06:00 +0100", "28 07:00 +0100", "29 06:00 +0200"),
        ("2026-10-25T05:20:00+00:00", "24 07:20 +0200", "24 08:20 +0200", "25 05:20 +0100"),
    ],
)
def test_hours_of_the_vendors_rules_are_all_that_went_by(to: str, first: str, second: str, last: str) -> None:
    starts = _starts({"hourly_ml": [1_000] * 24, "to": to})
    assert [starts[0], starts[1], starts[-1]] == [first, second, last]
