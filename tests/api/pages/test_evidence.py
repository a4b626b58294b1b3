"""What alerts say of themselves: how sure, since when, where to look; and that nothing strange gets into a drawing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api.alert_life import AlertState
from api.pages.evidence import Certainty, certainty, drawing, sentences
from api.pages.hourly_bars import HEIGHT_PX
from api.pages.hourly_bars import drawing as bars
from api.pages.wording import Language, Wording
from api.queries.alerts import AlertRow
from metering.model import MeterId

SAY = Wording(Language.ZH, ZoneInfo("Asia/Shanghai"))
SEEN = datetime(2026, 3, 10, 4, tzinfo=UTC)


def alert(minimum_ml_h: int, lasting_h: int, ended: bool = False, **changed: Any) -> AlertRow:
    evidence = {
        "hours": 24, "measured_hours": 24, "threshold_ml_h": 1_000, "minimum_ml_h": minimum_ml_h,
        "volume_ml": 24 * minimum_ml_h, "from": (SEEN - timedelta(hours=24)).isoformat(), "to": SEEN.isoformat(),
        "hourly_ml": [minimum_ml_h] * 23 + [None],
    } | changed  # fmt: skip
    began = SEEN - timedelta(hours=lasting_h)
    return AlertRow(
        1, "continuous_flow", "warning", AlertState.OPEN, MeterId(1), "1", "", None, None, began, SEEN, SEEN,
        SEEN if ended else None, None, None, minimum_ml_h, None, None, None, None, evidence,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("times", "hours", "all_measured", "sure"),
    [
        (1.0, 24, True, Certainty.LOW),
        (1.9, 35, True, Certainty.LOW),
        (1.0, 36, True, Certainty.MEDIUM),
        (2.0, 24, True, Certainty.MEDIUM),
        (5.0, 24, True, Certainty.HIGH),
        (5.0, 24, False, Certainty.MEDIUM),
        (1.0, 72, False, Certainty.HIGH),
    ],
)
def test_how_sure_it_is(times: float, hours: int, all_measured: bool, sure: Certainty) -> None:
    assert certainty(times, timedelta(hours=hours), all_measured) is sure


def test_a_leak_is_argued_in_hours_litres_and_times_the_threshold() -> None:
    seen, why, where = sentences(SAY, alert(222_000, 336))
    assert all(part in seen for part in ("03-09 12:00", "03-10 12:00", "24 小时", "222 L/h", "1.0 L/h"))
    assert all(part in why for part in ("高", "222 倍", "14 天"))
    assert "派人" in where


def test_what_is_known_to_the_minute_is_one_instant_and_not_a_span() -> None:
    back = replace(alert(1, 1, **{"from": SEEN.isoformat(), "to": SEEN.isoformat(), "volume_ml": -3_000}),
                   kind="reverse_flow")  # fmt: skip
    assert sentences(SAY, back)[0] == "03-10 12:00 示数倒退 3 L。"
    burst = {
        "rule": "balance", "rate_ml_h": 62_000, "rate_error_ml_h": 4_000, "usual_inflow_ml_h": 272_000,
        "times_threshold": 2.5, "start_earliest_s": SEEN.timestamp(), "start_latest_s": SEEN.timestamp(),
    }  # fmt: skip
    assert sentences(SAY, replace(alert(1, 1, **burst), kind="district_leak"))[1].startswith("始于 03-10 12:00；")
    later = burst | {"start_latest_s": SEEN.timestamp() + 3600}
    assert "12:00 至 03-10 13:00 之间" in sentences(SAY, replace(alert(1, 1, **later), kind="district_leak"))[1]


@pytest.mark.parametrize(("minimum_ml_h", "word"), [(2_000, "滴漏"), (37_000, "浮球阀"), (150_000, "破损")])
def test_where_to_look_depends_on_how_much_is_lost(minimum_ml_h: int, word: str) -> None:
    assert word in sentences(SAY, alert(minimum_ml_h, 30))[-1]


def test_what_is_over_says_so() -> None:
    assert "核实后可关闭" in sentences(SAY, alert(37_000, 30, ended=True))[-1]


def test_evidence_of_another_make_is_shown_as_it_is() -> None:
    odd = alert(1_000, 24, threshold_ml_h=None)
    assert "minimum_ml_h: 1000" in sentences(SAY, odd)[0]
    assert drawing(SAY, odd) is None


def test_hours_are_drawn_to_scale_and_unknown_ones_hollow() -> None:
    svg = bars([0, 50, 100, None], 100, ["a", "b", "c", "<d>"])
    assert svg.count('class="nb-flow"') == 3
    assert svg.count('class="nb-unknown"') == 1
    assert f'height="{(HEIGHT_PX - 2) / 2:g}"' in svg
    assert "<d>" not in svg


@pytest.mark.parametrize("flows", [["<script>"], [[1]], ["1;"]])
def test_only_numbers_get_into_a_drawing(flows: list[Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        bars(flows, 100, ["x"])


@pytest.mark.parametrize(("group", "key", "name"), [("cell", "7", "基站小区 7"), ("platform", "", "整个平台")])
def test_an_outage_says_of_whom_and_how_many(group: str, key: str, name: str) -> None:
    event = alert(0, 5, group=group, id="7", key=key, silent=40, meters=43, sample=["1", "2"])
    seen, sample, advice = sentences(SAY, replace(event, kind=f"outage:{group}"))
    assert all(part in seen for part in (name, "03-10 07:00", "40 只没有上报", "有上报的 3 只"))
    assert "1 2" in sample
    assert "不必逐表派工" in advice


def test_a_silent_meter_says_of_which_outage_it_is_part() -> None:
    silent = alert(0, 5, last_report_at=SEEN.isoformat(), installed_at=None, silence_after_h=25.0, outage=12)
    assert "#12" in sentences(SAY, replace(silent, kind="silent"))[1]
