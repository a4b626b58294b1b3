"""The overview: is everything reporting, is everything accounted for, what needs a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from nicegui import ui

from api.pages import charts, parts
from api.pages.alert_list import brief
from api.pages.parts import Words, box, card, facts_table, figure, place
from api.pages.rate_history import RateHistory, RateSample
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import DASH, ML_PER_M3, Wording, count, percent, volume
from api.queries.accounting import AccountingRow, list_accounting
from api.queries.alerts import ACTIVE, AlertFilter, AlertOrder, AlertRow, list_alerts, valued
from api.queries.overview import DayPoint, Overview
from api.stream import InFlight

FIGURES_S = 5.0
RATE_S = 5.0
ACCOUNTING_S = 10.0
ALERTS_S = 10.0
ACCOUNTING_DAYS = 7
WORST_ALERTS = 5


@dataclass(frozen=True, slots=True)
class _Accounts:
    rows: list[AccountingRow]
    in_flight: InFlight


async def build(visit: Visit, history: RateHistory) -> None:
    say = visit.say
    with box("nb-head"):
        Words(say("frame.overview"), tag="h1")
    with box("nb-figures"):
        figures, rate_figure = place("nb-through"), place("nb-through")
    with card(say("overview.worst_alerts")):
        worst = place()
    with box("nb-halves"):
        with card(say("overview.rate_chart")):
            rate_chart = place()
        with card(say("overview.consumption_chart")):
            days_chart = place()
    with card(say("overview.accounting"), say("overview.accounting_identity")):
        accounts = place()

    def draw_figures(found: Overview) -> None:
        with redrawn(figures):
            _figures(say, found, visit.context.silence_after)
        with redrawn(days_chart):
            _days(visit, found.series)

    def draw_rate(found: list[RateSample]) -> None:
        with redrawn(rate_figure):
            _rate_figure(say, found)
        with redrawn(rate_chart):
            _rate_chart(visit, found)

    def draw_accounts(found: _Accounts) -> None:
        with redrawn(accounts):
            account_table(say, found.rows, found.in_flight)

    def draw_worst(found: list[AlertRow]) -> None:
        with redrawn(worst):
            _worst(visit, found)

    await LiveView(visit, lambda: "overview", visit.context.live.overview, draw_figures, FIGURES_S).start()
    await LiveView(visit, lambda: "rate", lambda: _samples(history), draw_rate, RATE_S).start()
    await LiveView(visit, lambda: "accounting", lambda: _load_accounts(visit), draw_accounts, ACCOUNTING_S).start()
    await LiveView(visit, lambda: "worst", lambda: _load_worst(visit), draw_worst, ALERTS_S).start()


async def _samples(history: RateHistory) -> list[RateSample]:
    return history.samples()


async def _load_accounts(visit: Visit) -> _Accounts:
    context = visit.context
    in_flight = await context.stream.in_flight()
    today = context.now().astimezone(context.zone).date()
    first = today - timedelta(days=ACCOUNTING_DAYS - 1)
    return _Accounts(await list_accounting(context.read, first, today, context.zone), in_flight)


async def _load_worst(visit: Visit) -> list[AlertRow]:
    wanted = AlertFilter(states=ACTIVE)
    found = await list_alerts(visit.context.read, wanted, limit=WORST_ALERTS, order=AlertOrder.WORST)
    return [valued(row, visit.context.utility.water_price, visit.context.utility.currency) for row in found.items]


def _figures(say: Wording, found: Overview, silence_after: timedelta) -> None:
    yesterday = found.series[-2].consumption_ml if len(found.series) > 1 else None
    counted = {"meters": count(found.series[-1].metered), "yesterday": volume(yesterday)}
    hours = f"{silence_after.total_seconds() / 3600:g}"
    active = sum(found.open_alerts.values())
    figure(say("overview.meters"), count(found.meters), say("overview.meters_unit"), target="/meters")
    figure(
        say("overview.reporting"),
        percent(found.reporting, found.meters),
        detail=say("overview.reporting_detail", reporting=count(found.reporting), hours=hours),
        target="/meters?state=silent" if found.reporting < found.meters else None,
        hint=say("overview.reporting_hint", hours=hours),
    )
    figure(
        say("overview.today"),
        volume(found.today_ml),
        detail=say("overview.today_detail", **counted),
        hint=say("overview.today_hint", **counted),
    )
    figure(
        say("overview.open_alerts"),
        count(active),
        detail=say("overview.alerts_detail", critical=count(found.open_alerts["critical"])),
        hint=say("overview.alerts_hint"),
        target="/alerts",
    )
    if not found.meters:
        parts.empty(say("overview.no_meters"))


def _rate_figure(say: Wording, samples: list[RateSample]) -> None:
    value = f"{samples[-1].reports_per_s:,.1f}" if samples else DASH
    figure(say("overview.rate"), value, say("overview.reports_per_s"), say("overview.rate_detail"))


def _rate_chart(visit: Visit, samples: list[RateSample]) -> None:
    say = visit.say
    if len(samples) < 2:
        parts.empty(say("overview.no_rate"))
        return
    labels = [sample.at.astimezone(say.zone).strftime("%H:%M:%S") for sample in samples]
    look = charts.Look(say("overview.rate_chart"), visit.dark)
    rates = [sample.reports_per_s for sample in samples]
    ui.echart(charts.rate(labels, rates, say("overview.reports_per_s"), look)).classes("nb-chart")


def _days(visit: Visit, series: list[DayPoint]) -> None:
    say = visit.say
    if not any(day.metered for day in series):
        parts.empty(say("overview.no_consumption"))
        return
    kinds = [
        charts.Series("whole", say("overview.whole_days"), charts.WHOLE_COLOUR),
        charts.Series("running", say("overview.running_days"), charts.RUNNING_COLOUR, charts.RUNNING_PATTERN),
    ]
    bars = [
        charts.Bar(
            day.day.strftime("%m-%d"),
            day.consumption_ml if day.metered else None,
            "running" if day.incomplete else "whole",
        )
        for day in series
    ]
    look = charts.Look(say("overview.consumption_chart"), visit.dark)
    ui.echart(charts.consumption(bars, kinds, "m³", ML_PER_M3, look)).classes("nb-chart")


def account_table(say: Wording, accounting: list[AccountingRow], in_flight: InFlight) -> None:
    with box("nb-head"):
        _in_flight(say, in_flight)
        wrong = [row for row in accounting if not row.adds_up]
        if accounting and not wrong:
            parts.tag(say("overview.accounting_ok"), "good")
    for row in wrong:
        ended = row.stored + row.partial + row.duplicate + row.dead_lettered
        difference = (row.recounted if row.rows_agree is False and row.recounted is not None else row.received) - ended
        text = say("overview.accounting_bad", received=count(row.received), sum=count(ended), difference=difference)
        parts.attributes(
            Words(f"{row.day:%Y-%m-%d} {say.value('door', row.door)}: {text}", "nb-banner"), {"role": "alert"}
        )
    if not accounting:
        parts.empty(say("overview.no_accounting"))
        return
    columns = ["day", "door", "received", "stored", "partial", "duplicate", "dead_lettered", "repeats", "check"]
    rows = [_account_row(say, row) for row in accounting]
    facts_table([(name, say(f"overview.{name}")) for name in columns], rows, right_from=2)
    Words(say("overview.accounting_note"), "nb-muted nb-small")


def _account_row(say: Wording, row: AccountingRow) -> list[str]:
    figures = (row.received, row.stored, row.partial, row.duplicate, row.dead_lettered, row.repeats)
    sign = "✓" if row.adds_up else "✗"
    return [f"{row.day:%m-%d}", say.value("door", row.door), *(count(figure) for figure in figures), sign]


def _in_flight(say: Wording, found: InFlight) -> None:
    if found.reports is None:
        parts.tag(say("overview.in_flight_unknown"), "fair")
        return
    parts.tag(say("overview.in_flight", count=("≥ " if found.at_least else "") + count(found.reports)), "quiet")


def _worst(visit: Visit, alerts: list[AlertRow]) -> None:
    say = visit.say
    if not alerts:
        parts.empty(say("overview.no_alerts"))
        return
    for alert in alerts:
        brief(visit, alert)
    parts.link(say("overview.all_alerts"), "/alerts", "nb-small")
