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
from api.pages.wording import ML_PER_L, ML_PER_M3, volume
from api.queries.accounting import midnight
from api.queries.consumption import ConsumptionRow, Granularity, list_consumption
from api.queries.paging import MAX_LIMIT
from api.queries.readings import ReadingRow, list_readings
from metering.model import MeterId, Quality

INTERVAL_S = 15.0
MAX_INDEX_PAGES = 4
"""Pages of readings one index curve reads: 2,000 readings, 83 days of hourly ones."""
PERIODS: Mapping[Granularity, tuple[int, ...]] = {
    Granularity.HOUR: (2, 7, 30),
    Granularity.DAY: (14, 30, 365),
    Granularity.MONTH: (365,),
}
LABELS = {Granularity.HOUR: "%m-%d %H:%M", Granularity.DAY: "%m-%d", Granularity.MONTH: "%Y-%m"}


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
            _segments(say("meter.period"), {days: say("meter.days", days=days) for days in PERIODS[chosen.by]},
                      chosen.days, lambda days: choose(chosen.by, days))  # fmt: skip
            attributes(parts.link(say("meter.csv"), _csv_path(visit, serial, chosen), "nb-button"), {"download": ""})

    def draw(found: _Found) -> None:
        with redrawn(consumption):
            _consumption(visit, found.consumption, chosen.by)
        with redrawn(index):
            _index(visit, found.readings)

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
    rows = await list_consumption(context.read, meter_id, chosen.by, first, last, context.zone)
    readings: list[ReadingRow] = []
    cursor = None
    since = max(midnight(first, context.zone), context.now() - timedelta(days=60))
    for _ in range(MAX_INDEX_PAGES):
        page = await list_readings(context.read, meter_id, since, context.now(), limit=MAX_LIMIT, cursor=cursor)
        readings += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return _Found(rows, readings)


def _span(visit: Visit, chosen: _Chosen) -> tuple[date, date]:
    today = visit.context.now().astimezone(visit.context.zone).date()
    return today - timedelta(days=chosen.days - 1), today


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


def _consumption(visit: Visit, rows: list[ConsumptionRow], by: Granularity) -> None:
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
    bars = [_bar(visit, row, by) for row in rows]
    look = charts.Look(say("meter.consumption"), visit.dark)
    kinds = charts.qualities({str(quality): say(f"quality.{quality}") for quality in Quality})
    ui.echart(charts.consumption(bars, kinds, unit, ml_per_unit, look)).classes("nb-chart")


def _bar(visit: Visit, row: ConsumptionRow, by: Granularity) -> charts.Bar:
    label = row.start.astimezone(visit.context.zone).strftime(LABELS[by])
    return charts.Bar(label, row.volume_ml, str(row.quality or Quality.MEASURED))


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
