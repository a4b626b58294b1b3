"""One meter: what it is, what it shows now, how much water went through, what its device said last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from nicegui import ui

from api.pages import (
    commands,
    meter_alerts,
    meter_amendments,
    meter_charts,
    meter_day_edits,
    meter_keys,
    meter_pressure,
    meter_report,
    parts,
)
from api.pages.frame import title
from api.pages.meter_facts import device_state, identity
from api.pages.meter_keys import Vouchers
from api.pages.meters import STATE_TONES
from api.pages.parts import Words, box, card, figure, place
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import index_m3, volume
from api.queries.consumption import Granularity, list_consumption
from api.queries.credentials import keys_of_meter
from api.queries.meters import MeterDetail, get_meter
from api.queries.pushers import bindings_of_meter
from api.queries.reports import ReportRow, list_reports
from api.queries.settled_days import ConsumptionRow
from api.roles import Role
from metering.errors import NotFoundError
from metering.model import MeterId

NOW_S = 5.0
REPORTS_S = 5.0
KEYS_S = 10.0
REPORTS = 20


@dataclass(frozen=True, slots=True)
class _Now:
    detail: MeterDetail
    today: ConsumptionRow | None


async def build(visit: Visit) -> None:
    say = visit.say
    serial = str(visit.request.path_params["serial"])
    title(visit, say("meter.title", serial=serial))
    try:
        now = (await visit.answers.get(("meter", serial), NOW_S, lambda: _load(visit, serial))).value
    except NotFoundError:
        _unknown(visit, serial)
        return
    parts.link(f"← {say('meter.to_list')}", "/meters", "nb-small")
    head, figures = place("nb-head"), place("nb-figures nb-four")
    await meter_charts.build(visit, now.detail.meter.meter_id, serial)
    await meter_pressure.build(visit, now.detail.meter.meter_id)
    with box("nb-halves"):
        with card(say("meter.installation")):
            facts = place()
        with card(say("meter.device_state")):
            state = place()
    amended, edited = _card(say("amend.title")), _card(say("day_edit.title"))
    alerts = _card(say("meter.alerts"))
    if visit.principal.role >= Role.ENGINEER:
        with card(say("keys.title")):
            await _keys(visit, serial, place())
    reports, told = _card(say("meter.reports")), _card(say("meter.commands"))

    def draw_now(found: _Now) -> None:
        with redrawn(head):
            _head(visit, found.detail)
        with redrawn(figures):
            _figures(visit, found)
        with redrawn(facts):
            identity(visit, found.detail)
        with redrawn(state):
            device_state(visit, found.detail)

    meter_id = now.detail.meter.meter_id
    await LiveView(visit, lambda: ("meter", serial), lambda: _load(visit, serial), draw_now, NOW_S).start()
    await meter_amendments.of_meter(visit, meter_id, serial, amended)
    await meter_day_edits.of_meter(visit, meter_id, serial, edited)
    await meter_alerts.of_meter(visit, serial, alerts)
    await commands.of_meter(visit, serial, told)
    await _reports(visit, meter_id, reports)


def _card(title: str) -> ui.element:
    """The body of a card, to draw into later."""
    with card(title):
        return place()


async def _load(visit: Visit, serial: str) -> _Now:
    context = visit.context
    now = context.now()
    detail = await get_meter(context.read, serial, now=now, silence_after=context.silence_after)
    today = now.astimezone(context.zone).date()
    days = await list_consumption(
        context.read,
        detail.meter.meter_id,
        Granularity.DAY,
        today - timedelta(days=1),
        today,
        context.zone,
        context.consumption.rules,
    )
    return _Now(detail, next((day for day in days if day.start.astimezone(context.zone).date() == today), None))


async def _reports(visit: Visit, meter_id: MeterId, container: ui.element) -> None:
    opened: set[str] = set()

    async def load() -> list[ReportRow]:
        return (await list_reports(visit.context.read, meter_id, limit=REPORTS)).items

    def draw(found: list[ReportRow]) -> None:
        with redrawn(container):
            if not found:
                parts.empty(visit.say("meter.no_reports"))
            for report in found:
                meter_report.draw(visit, report, opened)

    await LiveView(visit, lambda: ("reports", meter_id), load, draw, REPORTS_S).start()


async def _keys(visit: Visit, serial: str, container: ui.element) -> None:
    async def load() -> Vouchers:
        read = visit.context.read
        return Vouchers(await keys_of_meter(read, serial), await bindings_of_meter(read, serial))

    def draw(found: Vouchers) -> None:
        with redrawn(container):
            meter_keys.draw(visit, found, visit.context.now())

    await LiveView(visit, lambda: ("keys of", serial), load, draw, KEYS_S).start()


def _head(visit: Visit, detail: MeterDetail) -> None:
    say, meter = visit.say, detail.meter
    Words(say("meter.title", serial=meter.serial), tag="h1")
    parts.tag(say(f"meters.state.{meter.state}"), STATE_TONES[meter.state])
    if meter.critical:
        parts.tag(say("meter.critical"), "fair")
    if meter.address:
        Words(meter.address, "nb-muted", "span")


def _figures(visit: Visit, found: _Now) -> None:
    say, meter = visit.say, found.detail.meter
    read = say("meter.index_at", time=say.instant(meter.last_ts)) if meter.last_ts else say("meter.no_index")
    figure(say("meter.index_now"), index_m3(meter.last_index_ml), detail=read)
    figure(say("meter.today"), volume(found.today.volume_ml if found.today else None), detail=_today(visit, found))
    last = say.ago(meter.last_report_at, visit.context.now()) if meter.last_report_at else say("meters.never")
    figure(say("meter.last_report"), last, detail=say.instant(meter.last_report_at, seconds=True))
    figure(say("overview.open_alerts"), str(meter.open_alerts))


def _today(visit: Visit, found: _Now) -> str:
    """How today's water came about, and up to when."""
    if found.today is None or found.detail.meter.last_ts is None:
        return ""
    time = visit.say.instant(found.detail.meter.last_ts)
    return visit.say("meter.today_quality", quality=visit.say.value("quality", found.today.quality), time=time)


def _unknown(visit: Visit, serial: str) -> None:
    say = visit.say
    visit.client.status_code = 404
    with box("nb-card"):
        parts.empty(say("meter.unknown", serial=serial))
        parts.empty(say("meter.unknown_hint"))
        with box("nb-empty"):
            parts.link(say("meter.to_list"), "/meters", "nb-button")
