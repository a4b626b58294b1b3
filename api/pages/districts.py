"""Districts: the tree of zones, and of one its balance with the band, night flow, alerts and IWA balance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import urlencode

from nicegui import ui

from api.pages import alert_list, charts, parts
from api.pages.listing import Listing
from api.pages.parts import Words, box, card, place
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import DASH, ML_PER_M3, Wording, rate, volume
from api.queries.accounting import midnight
from api.queries.alerts import ACTIVE, AlertFilter, AlertOrder
from api.queries.districts import (
    BalanceRow,
    DistrictRow,
    FlowMeter,
    PeriodBalance,
    balance_days,
    balance_hours,
    flow_meters,
    list_districts,
    period_balance,
)
from api.queries.meters import MeterState

PATH = "/districts"
INTERVAL_S = 60.0
HOURLY_DAYS, DAILY_DAYS, YEAR_DAYS = 7, 60, 365
HALF_WIDTH = 1.96
"""Of a 95 % band, in standard uncertainties."""
MAX_ALERTS = 10
KIND = "district_leak"
INDENT = "\u3000"


@dataclass(frozen=True, slots=True)
class _Found:
    tree: list[DistrictRow]
    shown: DistrictRow | None
    hours: list[BalanceRow]
    days: list[BalanceRow]
    periods: list[PeriodBalance]
    """Yesterday's month, the month before it, a year."""
    flows: list[FlowMeter]
    alerts: alert_list.Alerts | None


async def build(visit: Visit) -> None:
    say = visit.say
    today = visit.context.now().astimezone(visit.context.zone).date()
    tree = await list_districts(visit.context.read, today)
    listing = Listing(visit, PATH, {"zone": {row.code for row in tree}})
    with box("nb-head"):
        Words(say("frame.districts"), tag="h1")
    Words(say("districts.intro"), "nb-muted")
    if not tree:
        parts.empty(say("districts.empty"))
        return
    first = max(tree, key=lambda row: (row.alerts > 0, row.day is not None))  # the first that needs a look
    with box("nb-filters", "search"):
        listing.select(
            "zone",
            say("districts.choose"),
            {row.code: _indented(row) for row in tree},
            parts.named(first.name, first.code),
        )
    content = place("nb-stack")

    async def load() -> _Found:
        return await _load(visit, listing.asked["zone"] or first.code)

    def draw(found: _Found) -> None:
        with redrawn(content):
            _draw(visit, found, view)

    view = LiveView(visit, lambda: ("districts", listing.key), load, draw, INTERVAL_S)
    listing.changed = view.look
    await view.start()


def _indented(row: DistrictRow) -> str:
    return INDENT * row.depth + parts.named(row.name, row.code)


async def _load(visit: Visit, code: str) -> _Found:
    pool, zone = visit.context.read, visit.context.zone
    today = visit.context.now().astimezone(zone).date()
    tree = await list_districts(pool, today)
    shown = next((row for row in tree if row.code == code), None)
    if shown is None:
        return _Found(tree, None, [], [], [], [], None)
    yesterday, price = today - timedelta(days=1), visit.context.utility.water_price
    since = midnight(today - timedelta(days=HOURLY_DAYS), zone)
    month = yesterday.replace(day=1)
    before = month - timedelta(days=1)
    periods = [(month, yesterday), (before.replace(day=1), before), (today - timedelta(days=YEAR_DAYS), yesterday)]
    return _Found(
        tree,
        shown,
        await balance_hours(pool, shown.zone_id, since, visit.context.now()),
        await balance_days(pool, shown.zone_id, today - timedelta(days=DAILY_DAYS), yesterday),
        [await period_balance(pool, shown.zone_id, first, last, price) for first, last in periods],
        await flow_meters(pool, shown.zone_id, visit.context.now()),
        await alert_list.load(visit, AlertFilter(ACTIVE, kind=KIND, zone=code), MAX_ALERTS, None, AlertOrder.WORST),
    )


def _draw(visit: Visit, found: _Found, view: LiveView[_Found]) -> None:
    say = visit.say
    if found.shown:
        _ways_to_meters(say, found.shown.code)
    for alert in found.alerts.rows if found.alerts else ():
        alert_list.full(visit, alert, (found.alerts.lives if found.alerts else {}).get(alert.alert_id, []), view.look)
    if not found.hours and not found.days:
        parts.empty(say("districts.no_inlet"))
    else:
        with card(say("districts.hourly")):
            _band(visit, found.hours, say("districts.hourly"))
        with box("nb-thirds"):
            with card(say("districts.daily")):
                _band(visit, found.days, say("districts.daily"))
            with card(say("districts.nightly")):
                _nights(visit, found.days)
        with card(say("districts.iwa")):
            _iwa(visit, found.periods)
    if found.flows:
        with card(say("districts.flows")):
            _flows(visit, found.flows)
    with card(say("districts.tree")):
        _tree(visit, found.tree)


def _ways_to_meters(say: Wording, code: str) -> None:
    """The silent ones apart: their water is estimated, which widens the band."""
    with box("nb-actions"):
        parts.link(say("districts.meters"), f"/meters?{urlencode({'zone': code})}", "nb-small")
        silent = {"zone": code, "state": MeterState.SILENT}
        parts.link(say("districts.silent"), f"/meters?{urlencode(silent)}", "nb-small")


def _flows(visit: Visit, flows: Sequence[FlowMeter]) -> None:
    say = visit.say
    columns = [
        ("serial", say("meters.serial")), ("direction", say("districts.direction")),
        ("last", say("districts.last_reading")), ("since", say("districts.since")),
    ]  # fmt: skip
    rows = [
        [of.serial, say(f"districts.direction.{of.direction}"), say.instant(of.last_ts), say.day(of.valid_from)]
        for of in flows
    ]
    parts.facts_table(columns, rows, 2, [parts.meter_path(of.serial) for of in flows])


def _label(visit: Visit, start: datetime | date) -> str:
    if isinstance(start, datetime):
        return start.astimezone(visit.context.zone).strftime("%m-%d %H:%M")
    return start.strftime("%m-%d")


def _band(visit: Visit, rows: Sequence[BalanceRow], title: str) -> None:
    say = visit.say
    figures = [
        None if row.unaccounted_ml is None
        else (row.unaccounted_ml / ML_PER_M3, HALF_WIDTH * row.sigma_ml / ML_PER_M3)
        for row in rows
    ]  # fmt: skip
    names = say("districts.unaccounted"), say("districts.band")
    labels = [_label(visit, row.start) for row in rows]
    ui.echart(charts.band(labels, figures, names, "m³", charts.Look(title, visit.dark))).classes("nb-chart")


def _nights(visit: Visit, rows: Sequence[BalanceRow]) -> None:
    say = visit.say

    def cubic(value_ml: int | None) -> float | None:
        return None if value_ml is None else round(value_ml / ML_PER_M3, 3)

    series = {
        say("districts.night"): [cubic(row.night_inflow_ml_h) for row in rows],
        say("districts.night_use"): [cubic(row.night_use_ml_h) for row in rows],
        say("districts.night_net"): [cubic(_net_night(row)) for row in rows],
    }
    labels = [_label(visit, row.start) for row in rows]
    look = charts.Look(say("districts.nightly"), visit.dark)
    ui.echart(charts.lines(labels, series, "m³/h", look)).classes("nb-chart")


def _net_night(row: BalanceRow | DistrictRow) -> int | None:
    if row.night_inflow_ml_h is None or row.night_use_ml_h is None:
        return None
    return row.night_inflow_ml_h - row.night_use_ml_h


def _iwa(visit: Visit, periods: Sequence[PeriodBalance]) -> None:
    say = visit.say
    columns = [
        ("part", say("districts.part")),
        *((name, of.first.strftime("%Y-%m")) for name, of in zip(("month", "before"), periods, strict=False)),
        ("year", say("districts.year")),
    ]
    figures = [_iwa_figures(visit, of) for of in periods]
    names = (
        say("districts.input"), say("districts.billed"), say("districts.unbilled"), say("districts.apparent"),
        say("districts.real"), say("districts.nrw"), say("districts.money"), say("districts.carl"),
        say("districts.uarl"), say("districts.ili"), "",
    )  # fmt: skip
    parts.facts_table(columns, [list(row) for row in zip(names, *figures, strict=True)], 1)


def _iwa_figures(visit: Visit, of: PeriodBalance) -> list[str]:
    known = visit.say("districts.days_known", known=of.days_known, days=of.days)
    if of.balance is None:
        return [DASH] * 10 + [known]
    it = of.balance
    volumes = (it.input_ml, it.billed_ml, it.unbilled_ml, it.apparent_ml, it.real_ml, it.non_revenue_ml)
    return [
        *(volume(part) for part in volumes),
        visit.say.money(of.non_revenue_money, visit.context.utility.currency),
        volume(round(it.carl_l_day * 1_000)),
        DASH if it.uarl_l_day is None else volume(round(it.uarl_l_day * 1_000)),
        DASH if it.ili is None else f"{it.ili:.1f}",
        known,
    ]


def _tree(visit: Visit, tree: Sequence[DistrictRow]) -> None:
    say = visit.say
    columns = [
        ("name", say("districts.name")), ("day", say("districts.day")), ("inflow", say("districts.inflow")),
        ("customers", say("districts.customers")), ("unaccounted", say("districts.unaccounted")),
        ("night", say("districts.night_net")), ("alerts", say("districts.alerts")),
    ]  # fmt: skip
    parts.facts_table(columns, [_cells(visit, row) for row in tree], 2, [parts.district_path(row.code) for row in tree])


def _cells(visit: Visit, row: DistrictRow) -> list[str]:
    unaccounted = DASH
    if row.inflow_ml is not None and row.customers_ml is not None:
        half = HALF_WIDTH * (row.sigma_ml or 0)
        unaccounted = f"{volume(row.inflow_ml - row.customers_ml)} ± {volume(round(half))}"
    return [
        _indented(row), visit.say.day(row.day), volume(row.inflow_ml), volume(row.customers_ml), unaccounted,
        rate(_net_night(row)), str(row.alerts) if row.alerts else DASH,
    ]  # fmt: skip
