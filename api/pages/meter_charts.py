"""Consumption and index of a meter in a period the reader chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from urllib.parse import urlencode

from nicegui import ui

from api.pages import charts, parts
from api.pages.parts import Words, attributes, box, card, place
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import DASH, ML_PER_L, ML_PER_M3, volume
from api.queries.accounting import midnight
from api.queries.consumption import Granularity, list_consumption
from api.queries.readings import ReadingRow, index_curve
from api.queries.settled_days import ConsumptionRow
from metering.model import MeterId, Quality

INTERVAL_S = 15.0
PERIODS: Mapping[Granularity, tuple[int, ...]] = {
    Granularity.HOUR: (2, 7, 30),
    Granularity.DAY: (14, 30, 365),
    Granularity.MONTH: (365, 1_095),
}
"""Days to choose from, per step."""
DAYS_OF_12_MONTHS = 365
LABELS = {Granularity.HOUR: "%m-%d %H:%M", Granularity.DAY: "%m-%d", Granularity.MONTH: "%Y-%m"}
HOURS_LABELLED = {2: 6, 7: 24, 30: 24}
"""Hours from one label to the next, per period: labels stand at midnight."""
PARTIAL = "partial"
MAX_REMARKS = 60
"""Rows of the list of remarkable spans: the newest."""


K = TypeVar("K")


@dataclass(slots=True)
class _Chosen:
    by: Granularity
    days: int


@dataclass(frozen=True, slots=True)
class _Found:
    consumption: list[ConsumptionRow]
    readings: list[ReadingRow]


async def build(visit: Visit, meter_id: MeterId, serial: str) -> None:
    say = visit.say
    chosen = _asked(visit)
    with box("nb-thirds"):
        with card(say("meter.consumption")):
            controls, consumption = place("nb-head"), place()
        with card(say("meter.index_chart")):
            index = place()

    async def choose(by: Granularity, days: int) -> None:
        chosen.by, chosen.days = by, days if days in PERIODS[by] else PERIODS[by][0]
        ui.navigate.history.replace(f"{parts.meter_path(serial)}?{urlencode({'by': chosen.by, 'days': chosen.days})}")
        draw_controls()
        await view.look()

    def draw_controls() -> None:
        with redrawn(controls):
            _segments(say("meter.by"), {by: say(f"meter.by_{by}") for by in PERIODS}, chosen.by,
                      lambda by: choose(by, chosen.days))  # fmt: skip
            _segments(say("meter.period"), {days: _period_name(visit, chosen.by, days) for days in PERIODS[chosen.by]},
                      chosen.days, lambda days: choose(chosen.by, days))  # fmt: skip
            attributes(parts.link(say("meter.csv"), _csv_path(visit, serial, chosen), "nb-button"), {"download": ""})

    def draw(found: _Found) -> None:
        with redrawn(consumption):
            _consumption(visit, found.consumption, chosen)
            _remarks(visit, found.consumption, chosen.by, opened)
        with redrawn(index):
            _index(visit, found.readings)

    opened: set[str] = set()
    draw_controls()
    view = LiveView(
        visit,
        lambda: ("charts", meter_id, chosen.by, chosen.days),
        lambda: _load(visit, meter_id, chosen),
        draw,
        INTERVAL_S,
    )
    await view.start()


def _asked(visit: Visit) -> _Chosen:
    by = Granularity(visit.asked("by", set(Granularity)) or Granularity.DAY)
    days = visit.asked("days", {str(days) for days in PERIODS[by]})
    return _Chosen(by, int(days) if days else PERIODS[by][0])


async def _load(visit: Visit, meter_id: MeterId, chosen: _Chosen) -> _Found:
    context = visit.context
    first, last = _span(visit, chosen)
    rows = await list_consumption(
        context.read, meter_id, chosen.by, first, last, context.zone, context.consumption.rules
    )
    readings = await index_curve(context.read, meter_id, midnight(first, context.zone), context.now())
    return _Found(rows, readings)


def _span(visit: Visit, chosen: _Chosen) -> tuple[date, date]:
    """First and last day of the period, today the last; whole months for months."""
    today = visit.context.now().astimezone(visit.context.zone).date()
    if chosen.by is not Granularity.MONTH:
        return today - timedelta(days=chosen.days - 1), today
    months = today.year * 12 + today.month - _months(chosen.days)
    return date(months // 12, months % 12 + 1, 1), today


def _months(days: int) -> int:
    return days * 12 // DAYS_OF_12_MONTHS


def _period_name(visit: Visit, by: Granularity, days: int) -> str:
    if by is Granularity.MONTH:
        return visit.say("meter.months", months=_months(days))
    return visit.say("meter.days", days=days)


def _csv_path(visit: Visit, serial: str, chosen: _Chosen) -> str:
    first, last = _span(visit, chosen)
    query = urlencode({"by": chosen.by, "from": first, "to": last, "format": "csv"})
    return f"/api/v1{parts.meter_path(serial)}/consumption?{query}"


def _segments(label: str, options: Mapping[K, str], chosen: K, choose: Callable[[K], object]) -> None:
    with box("nb-segments", role="group", **{"aria-label": label}):
        for value, text in options.items():
            here = value == chosen
            segment = Words(text, "nb-here" if here else "", "button")
            attributes(segment, {"type": "button", "aria-pressed": "true" if here else "false"})
            segment.on("click", lambda _, value=value: choose(value))


def _consumption(visit: Visit, rows: list[ConsumptionRow], chosen: _Chosen) -> None:
    say = visit.say
    known = [row for row in rows if row.volume_ml is not None]
    if not known:
        parts.empty(say("meter.no_consumption"))
        return
    with box("nb-head"):
        Words(say("meter.total", volume=volume(sum(row.volume_ml or 0 for row in known))), "nb-digits", "span")
        excluded = sum(row.excluded_ml for row in known)
        if excluded:
            parts.tag(say("meter.total_excluded", volume=volume(excluded)), "fair")
    largest = max(row.volume_ml or 0 for row in known)
    unit, ml_per_unit = ("m³", ML_PER_M3) if largest >= 10 * ML_PER_M3 else ("L", ML_PER_L)
    bars = [_bar(visit, row, chosen.by) for row in rows]
    look = charts.Look(say("meter.consumption"), visit.dark)
    kinds = charts.qualities({str(quality): say(f"quality.{quality}") for quality in Quality})
    kinds.append(charts.Series(PARTIAL, say("quality.partial"), charts.RUNNING_COLOUR, charts.RUNNING_PATTERN))
    every = HOURS_LABELLED.get(chosen.days, 0) if chosen.by is Granularity.HOUR else 0
    ui.echart(charts.consumption(bars, kinds, unit, ml_per_unit, look, every)).classes("nb-chart")


def _bar(visit: Visit, row: ConsumptionRow, by: Granularity) -> charts.Bar:
    """A span that is measured but not to its end shows as such."""
    label = row.start.astimezone(visit.context.zone).strftime(LABELS[by])
    quality = row.quality or Quality.MEASURED
    return charts.Bar(label, row.volume_ml, PARTIAL if quality is Quality.MEASURED and not row.complete else quality)


def _remarks(visit: Visit, rows: list[ConsumptionRow], by: Granularity, opened: set[str]) -> None:
    """The spans with something to explain: how their volume came about, and why."""
    say = visit.say
    remarkable = [row for row in rows if row.volume_ml is not None and (row.reasons or row.excluded_ml)]
    if not remarkable:
        return
    with parts.disclosure("nb-report", "remarks", opened) as (heading, body):
        with heading:
            Words(say("meter.remarks", count=len(remarkable)), tag="span")
        with body:
            names = [(name, say(f"meter.remark_{name}")) for name in ("span", "quality", "why", "volume", "excluded")]
            cells = [_remark(visit, row, by) for row in remarkable[: -MAX_REMARKS - 1 : -1]]
            parts.facts_table(names, cells, right_from=3)


def _remark(visit: Visit, row: ConsumptionRow, by: Granularity) -> list[str]:
    say = visit.say
    return [
        row.start.astimezone(visit.context.zone).strftime(LABELS[by]),
        say.value("quality", row.quality),
        say("frame.and").join(say.value("step", reason) for reason in row.reasons) or DASH,
        volume(row.volume_ml),
        volume(row.excluded_ml) if row.excluded_ml else DASH,
    ]


def _index(visit: Visit, readings: list[ReadingRow]) -> None:
    say = visit.say
    if not readings:
        parts.empty(say("meter.no_readings"))
        return
    points = [(_wall_ms(visit, row.ts), row.index_ml) for row in readings]
    ui.echart(charts.index(points, charts.Look(say("meter.index_chart"), visit.dark))).classes("nb-chart nb-tall")


def _wall_ms(visit: Visit, at: datetime) -> int:
    """The local wall time written as if it were UTC, in milliseconds: browsers know only their own zone."""
    return int(at.astimezone(visit.context.zone).replace(tzinfo=UTC).timestamp() * 1000)
