"""The worked examples of docs/consumption.md, computed: whoever changes a figure here changes it there."""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from api.queries.settled_days import ConsumptionRow, Multiplier, times
from ingest.device_clock import behind_s, correction
from metering import consumption as c
from metering.consumption.amendments import NO_AMENDMENTS, amended
from metering.consumption.curve import curve_of, ordered
from metering.consumption.gaps import filled_alone, long_gaps
from metering.consumption.sizes import Rules, by_size, parse_by_size, stuck
from metering.consumption.volumes import between, days
from metering.model import DecodedReport, DeviceState, Quality

ZONE = ZoneInfo("Asia/Shanghai")
LITRE = 1_000
HOUR_S = 3_600
T0 = int(datetime(2026, 3, 1, tzinfo=ZONE).timestamp())
DOCUMENT = Path(__file__).parents[3] / "docs" / "consumption.md"
DN15 = c.Limits.of()


def curve(readings, limits=DN15):
    """`readings`: pairs of hour and litres."""
    ts_s, index_ml = zip(*readings, strict=True)
    return c.validated(T0 + HOUR_S * np.array(ts_s, np.int64), LITRE * np.array(index_ml, np.int64), limits)


def whole(found):
    start, end = found.ts_s[:1], found.ts_s[-1:]
    span = between(found, found.segment[:1], start, end)
    return (
        int(span.consumption_ml[0]) // LITRE, int(span.excluded_ml[0]) // LITRE, str(span.quality(0)),
        c.reasons(int(span.flags[0])),
    )  # fmt: skip


def test_duplicate():
    assert whole(curve([(8, 100), (9, 110), (9, 109), (10, 120)])) == (20, 0, "measured", [])


def test_out_of_order():
    assert whole(curve([(10, 120), (8, 100), (9, 110)])) == whole(curve([(8, 100), (9, 110), (10, 120)]))


def test_roll_over():
    limits = c.Limits.of(register_max_ml=100_000 * LITRE)
    assert whole(curve([(8, 99_990), (9, 99_998), (10, 7)], limits)) == (17, -100_000, "measured", ["roll_over"])


def test_negative_step_and_reset():
    assert whole(curve([(8, 9_000), (9, 9_010), (10, 8_000), (11, 8_006), (12, 8_010)])) == (
        20, -1_010, "estimated", ["negative_step"],
    )  # fmt: skip
    assert whole(curve([(8, 9_000), (9, 9_010), (10, 5), (11, 6), (12, 8)])) == (
        13, -9_005, "estimated", ["negative_step", "reset"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("q3_l_h", "step_l", "counted"),
    [(2_500, 3_126, 3_126), (2_500, 3_127, 0), (25_000, 31_251, 31_251), (25_000, 31_252, 0)],
)  # fmt: skip
def test_impossible_flow_by_size(q3_l_h, step_l, counted):
    volume, excluded, _, reasons = whole(curve([(8, 0), (9, step_l)], c.Limits.of(q3_l_h)))
    assert (volume, excluded) == (counted, step_l - counted)
    assert reasons == ([] if counted else ["impossible_flow"])


def test_spike():
    assert whole(curve([(8, 100), (9, 110), (10, 90_000), (11, 130), (12, 140)])) == (
        40, 0, "measured", ["gap", "spike"],
    )  # fmt: skip


def test_short_gap_is_spread_evenly():
    found = curve([(7, 90), (8, 100), (12, 140), (13, 150)])
    hours = c.hours(found, ZONE, T0 + 8 * HOUR_S, T0 + 12 * HOUR_S)
    assert hours.consumption_ml.tolist() == [10 * LITRE] * 4
    assert {str(hours.quality(at)) for at in range(1, 3)} == {"interpolated"}
    assert not len(long_gaps(found, np.array([6 * HOUR_S])).step)


def household(hours, hole):
    """10 L at 07:00, 20 L at 19:00, 1 L at noon; `hole`: hours without a reading."""
    index, readings = 1_000, []
    for hour in range(hours):
        if not hole[0] < hour < hole[1]:
            readings.append((hour, index))
        index += {7: 10, 12: 1, 19: 20}.get(hour % 24, 0)
    return readings


def test_long_gap_follows_the_meters_own_hours():
    readings = household(8 * 24, (132, 156))  # noon of March 6 to noon of March 7
    hours, litres = zip(*readings, strict=True)
    found = ordered(T0 + HOUR_S * np.array(hours, np.int64), LITRE * np.array(litres, np.int64))
    spread = filled_alone(found, DN15, 6 * HOUR_S, ZONE)
    hours = c.hours(spread, ZONE, T0, T0 + 8 * 86_400)
    at = {int(start): n for n, start in enumerate(hours.start_s)}
    evening = at[T0 + (5 * 24 + 19) * HOUR_S]
    night = at[T0 + (6 * 24 + 2) * HOUR_S]
    assert hours.consumption_ml[[evening, night]].tolist() == [19_715, 20]
    assert str(hours.quality(evening)) == "estimated"
    _, numbers, whole_days = days(spread, ZONE)
    of = {c.day_of(ZONE, int(number)): n for n, number in enumerate(numbers)}
    sixth, seventh = of[date(2026, 3, 6)], of[date(2026, 3, 7)]
    volumes = whole_days.consumption_ml[[sixth, seventh]].tolist()
    assert volumes == [30_916, 31_084]
    assert sum(volumes) == 62 * LITRE
    even = days(curve_of(found, DN15), ZONE)[2].consumption_ml[[sixth, seventh]].tolist()
    assert even == [25_500, 36_500]


def test_no_habit_on_record_stays_even():
    found = ordered(T0 + 86_400 * np.arange(5), LITRE * 24 * np.arange(5))
    spread = filled_alone(found, DN15, 6 * HOUR_S, ZONE)
    assert spread.ts_s.tolist() == found.ts_s.tolist()
    assert amended(found.meter, found.ts_s, found.index_ml, NO_AMENDMENTS).ts_s.tolist() == found.ts_s.tolist()


def test_amendments():
    ts_s, index_ml = T0 + HOUR_S * np.arange(8, 12), LITRE * np.array([100, 110, 190, 200])
    said = c.Amendments(np.array([0, 0]), ts_s[[2, 3]], np.array([120 * LITRE, c.VOID]), np.array([True, True]))
    found = curve_of(amended(np.zeros(4, np.int64), ts_s, index_ml, said), DN15)
    assert whole(found) == (20, 0, "edited", ["edited"])


def test_sum_check():
    hours = [(hour, 1_000 + 2 * hour) for hour in range(49)]  # 1,048 L at the first midnight
    assert whole(curve([*hours, (24, 1_049)])) == (96, 0, "measured", [])
    found = curve([*hours, (24, 1_050)])
    days_of_it = days(found, ZONE)[2]
    assert [c.reasons(int(flags)) for flags in days_of_it.flags[:2]] == [["sum_mismatch"]] * 2
    assert days_of_it.consumption_ml[:2].tolist() == [48 * LITRE] * 2


def of_clock(clock, newest, received=datetime(2026, 3, 1, 12, tzinfo=ZONE)):
    """How far the readings of a report move, and why."""
    clock_s, newest_s, received_s = (int(at.timestamp()) for at in (clock, newest, received))
    report = DecodedReport(DeviceState(device_time_s=clock_s), [newest_s], [1])
    offset_s, why = correction(report, newest_s, received_s)
    return datetime.fromtimestamp(newest_s + offset_s, ZONE), offset_s, why


def test_clock_never_set():
    clock, newest = datetime(2000, 1, 3, 2, 10, tzinfo=ZONE), datetime(2000, 1, 3, 2, tzinfo=ZONE)
    at, _, why = of_clock(clock, newest)
    assert (at, why) == (datetime(2026, 3, 1, 11, 50, tzinfo=ZONE), "never_set")


def test_clock_ahead():
    clock, newest = datetime(2026, 3, 1, 14, tzinfo=ZONE), datetime(2026, 3, 1, 13, tzinfo=ZONE)
    assert of_clock(clock, newest)[1:] == (-2 * HOUR_S, "ahead")


def test_multiplier():
    known = [Multiplier(datetime(2026, 3, 9, 12, tzinfo=ZONE), 1), Multiplier(datetime(2020, 1, 1, tzinfo=ZONE), 10)]
    litres = []
    for day in (8, 9):
        start, end = datetime(2026, 3, day, tzinfo=ZONE), datetime(2026, 3, day + 1, tzinfo=ZONE)
        row = ConsumptionRow(start, end, 48 * LITRE, 0, Quality.MEASURED, (), True)
        litres.append(times(row, known).volume_ml // LITRE)
    assert litres == [480, 48]


def test_start_index_of_a_swap():
    noon, midnight = T0 + 12 * HOUR_S, T0 + 24 * HOUR_S
    start = c.Amendments(np.array([0]), np.array([noon]), np.array([500]), np.array([False]))
    found = curve_of(amended(np.array([0]), np.array([midnight]), np.array([4_600]), start), DN15)
    first = days(found, ZONE)[2]
    assert (int(first.consumption_ml[0]), str(first.quality(0))) == (4_100, "measured")


def test_clock_behind():
    own_s, earlier_s = 3 * HOUR_S + 45, [3 * HOUR_S + 50, 9 * HOUR_S, 3 * HOUR_S + 42, 3 * HOUR_S + 47]
    assert behind_s(own_s, earlier_s) == 3 * HOUR_S
    assert behind_s(own_s, [*earlier_s, 20]) == 0


def test_stuck_by_size():
    rules = Rules()
    assert by_size(rules.stuck_days, np.array([15, 40, 50, 200])).tolist() == [30, 30, 7, 7]
    assert rules.bridge_s(np.array([15, 80])).tolist() == [6 * HOUR_S, 3 * HOUR_S]
    volumes = [12, *[0] * 7, 9, 0]
    assert stuck(volumes, [True] * 10, 7).tolist() == [False, *[True] * 7, False, False]
    assert not stuck(volumes, [True] * 4 + [False] + [True] * 5, 7).any()


@pytest.mark.parametrize("text", ["", "0", "0=", "0=0", "a=1", "0=1, 0=2", "-1=3"])
def test_tables_by_size_are_checked(text):
    with pytest.raises(ValueError, match=r"."):
        parse_by_size(text)
    assert parse_by_size("50=3, 0=6") == ((0, 6), (50, 3))


@pytest.mark.parametrize(
    "figure",
    ["11:50", "−2 h", "480 L on the 8th", "48 L on the 9th", "4.1 L", "these seven days are 0 L",
     "3,126 L", "3,127 L", "31,251 L", "31,252 L", "19.715 L", "30.916 L", "31.084 L", "25.5 L", "36.5 L", "-9,005 L",
     "-1,010 L", "-100,000 L"],
)  # fmt: skip
def test_the_document_has_the_figures(figure):
    assert re.search(rf"(?<![\d.]){re.escape(figure)}", " ".join(DOCUMENT.read_text("utf-8").split()))
