"""The list of meters: search, filter, and what of each one a dispatcher asks first."""

from __future__ import annotations

from typing import Any

from nicegui import ui
from nicegui.elements.table import Table

from api.pages import grades, parts
from api.pages.listing import Listing
from api.pages.parts import Words, box, place
from api.pages.visit import LiveView, Visit
from api.pages.wording import index_m3, scaled
from api.queries.meters import MeterFilter, MeterRow, MeterState, list_meters, list_zones
from api.queries.paging import Page

INTERVAL_S = 10.0
ZONES_S = 60.0
PAGE_ROWS = 50
TABLE_FROM_PX = 1_280
"""Of a window in which all columns have room beside the menu; below it each meter is a card."""
WITH_ALERT = "alert"
STATE_TONES: dict[MeterState, parts.Tone] = {
    MeterState.REPORTING: "good",
    MeterState.SILENT: "poor",
    MeterState.NEVER: "fair",
    MeterState.DISABLED: "quiet",
    MeterState.REMOVED: "quiet",
}
COLUMNS = ("serial", "state", "alerts", "address", "zone", "index", "last_report", "battery", "signal")
RIGHT = frozenset({"index", "battery", "signal"})

# Vue templates of the table's cells: constants. What a row holds is put in by Vue as text.
_SERIAL = '<q-td :props="props"><a :href="props.row.path">{{ props.row.serial }}</a></q-td>'
_TAG = '<q-td :props="props"><span class="nb-tag" :class="props.row.%s_tone">{{ props.row.%s }}</span></q-td>'
_WIDE = '<q-td :props="props"><div class="nb-wide">{{ props.row.address }}</div></q-td>'
_NARROW = '<q-td :props="props"><div class="nb-narrow">{{ props.row.zone }}</div></q-td>'
_ALERTS = """<q-td :props="props"><a v-if="props.row.alerts" :href="props.row.path" class="nb-tag poor">{{
 props.row.alerts }}</a></q-td>"""
_CARD = """<div class="nb-item" role="listitem">
<div class="nb-item-head"><a :href="props.row.path"><b>{{ props.row.serial }}</b></a>
<span class="nb-tag" :class="props.row.state_tone">{{ props.row.state }}</span>
<a v-if="props.row.alerts" :href="props.row.path" class="nb-tag poor">{{ props.row.alerts }}</a></div>
<div v-if="props.row.address" class="nb-muted">{{ props.row.address }}</div>
<dl class="nb-item-grid"><template v-for="column in props.cols" :key="column.name">
<template v-if="['index', 'last_report', 'battery', 'signal'].includes(column.name)">
<dt>{{ column.label }}</dt><dd class="nb-digits">{{ props.row[column.name] }}</dd></template></template></dl></div>"""


async def build(visit: Visit) -> None:
    say = visit.say
    states = {str(state) for state in MeterState} | {WITH_ALERT}
    listing = Listing(visit, "/meters", {"search": None, "zone": None, "state": states})
    zones = (await visit.answers.get("zones", ZONES_S, lambda: list_zones(visit.context.read))).value
    with box("nb-head"):
        Words(say("frame.meters"), tag="h1")
        shown = Words("", "nb-muted", "span")
    with box("nb-filters", "search"):
        listing.search("search", say("meters.search"))
        if zones:
            listing.select("zone", say("meters.zone"), {zone.code: parts.named(zone.name, zone.code) for zone in zones})
        names = {str(state): say(f"meters.state.{state}") for state in MeterState}
        listing.select("state", say("meters.state"), {**names, WITH_ALERT: say("meters.state.alert")})
    with box("nb-card"):
        table = _table(visit)
        pager = place()

    def draw(page: Page[MeterRow]) -> None:
        shown.text = say("meters.shown", count=len(page.items))
        table.props["no-data-label"] = say("meters.none_found" if listing.filtered else "meters.empty")
        table.rows = [_row(visit, meter) for meter in page.items]
        pager.clear()
        with pager:
            listing.pager(page.next_cursor)

    view = LiveView(visit, lambda: listing.key, lambda: _load(visit, listing), draw, INTERVAL_S)
    listing.changed = view.look
    await view.start()


async def _load(visit: Visit, listing: Listing) -> Page[MeterRow]:
    context, asked = visit.context, listing.asked
    wanted = MeterFilter(
        search=asked["search"] or None,
        zone=asked["zone"] or None,
        state=MeterState(asked["state"]) if asked["state"] not in ("", WITH_ALERT) else None,
        has_alert=True if asked["state"] == WITH_ALERT else None,
    )
    return await list_meters(
        context.read, wanted,
        now=context.now(), silence_after=context.silence_after, limit=PAGE_ROWS, cursor=listing.cursor or None,
    )  # fmt: skip


def _table(visit: Visit) -> Table:
    columns = [
        {
            "name": name,
            "label": visit.say(f"meters.{name}"),
            "field": name,
            "align": "right" if name in RIGHT else "left",
        }
        for name in COLUMNS
    ]
    table = ui.table(rows=[], columns=columns, row_key="serial").classes("nb-table")
    table.props(f'flat dense :grid="Quasar.Screen.width < {TABLE_FROM_PX}"')
    table.add_slot("body-cell-serial", _SERIAL)
    table.add_slot("body-cell-state", _TAG % ("state", "state"))
    table.add_slot("body-cell-address", _WIDE)
    table.add_slot("body-cell-zone", _NARROW)
    table.add_slot("body-cell-battery", _TAG % ("battery", "battery"))
    table.add_slot("body-cell-signal", _TAG % ("signal", "signal"))
    table.add_slot("body-cell-alerts", _ALERTS)
    table.add_slot("item", _CARD)
    return table


def _row(visit: Visit, meter: MeterRow) -> dict[str, Any]:
    say = visit.say
    battery, signal = grades.battery(meter.battery_mv), grades.rsrp(meter.rsrp_ddbm)
    last = meter.last_report_at
    return {
        "serial": meter.serial,
        "path": parts.meter_path(meter.serial),
        "state": say(f"meters.state.{meter.state}"),
        "state_tone": STATE_TONES[meter.state],
        "address": meter.address,
        "zone": meter.zone_name or meter.zone_code or "",
        "index": index_m3(meter.last_index_ml),
        "last_report": say.ago(last, visit.context.now()) if last else say("meters.never"),
        "battery": scaled(meter.battery_mv, 1000, "V", 2),
        "battery_tone": parts.GRADE_TONES[battery],
        "signal": scaled(meter.rsrp_ddbm, 10, "dBm", 0),
        "signal_tone": parts.GRADE_TONES[signal],
        "alerts": say("meters.alert_count", count=meter.open_alerts) if meter.open_alerts else "",
    }
