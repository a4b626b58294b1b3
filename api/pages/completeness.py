"""How many of the meters were read, by zone and local day (抄表成功率)."""

from __future__ import annotations

from datetime import date, timedelta

from api.pages import parts
from api.pages.parts import Words, attributes, box, place
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import DASH, count
from api.queries.completeness import MeterDay, ZoneDay, completeness_of_meters, completeness_of_zones
from api.queries.paging import Page

INTERVAL_S = 300.0
DAYS = 3
"""Whole days before today."""
SHOWN_METERS = 50


async def build(visit: Visit) -> None:
    say, settings = visit.say, visit.context.completeness
    with box("nb-head"):
        Words(say("frame.completeness"), tag="h1")
    midnight = say("completeness.midnight") if settings.success_needs_midnight else ""
    Words(say("completeness.intro", least=settings.success_readings, midnight=midnight), "nb-muted")
    first, last = _days(visit)
    with box("nb-actions"):
        target = f"/api/v1/completeness?from={first}&to={last}&format=csv"
        attributes(parts.link(say("completeness.csv"), target, "nb-button"), {"download": ""})
    with box("nb-card"):
        found = place()
    with parts.card(say("completeness.unread")):
        unread = place()

    def draw(rows: list[ZoneDay]) -> None:
        with redrawn(found):
            if not any(row.meters for row in rows):
                parts.empty(say("completeness.empty"))
                return
            names = [(name, say(f"completeness.{name}")) for name in ("day", "zone", "rate", "meters", "readings")]
            parts.facts_table(names, [_cells(visit, row) for row in rows if row.meters], right_from=2)

    def draw_unread(rows: Page[MeterDay]) -> None:
        with redrawn(unread):
            _draw_unread(visit, rows)

    await LiveView(visit, lambda: "completeness", lambda: _load(visit), draw, INTERVAL_S).start()
    await LiveView(visit, lambda: "unread", lambda: _load_unread(visit), draw_unread, INTERVAL_S).start()


def _draw_unread(visit: Visit, rows: Page[MeterDay]) -> None:
    say = visit.say
    Words(_days(visit)[1].isoformat(), "nb-muted nb-small")
    if not rows.items:
        parts.empty(say("completeness.all_read"))
    for row in rows.items:
        with box("nb-alert-head"):
            parts.link(row.serial, parts.meter_path(row.serial))
            Words(row.zone, "nb-muted", "span")
            Words(row.address, "nb-muted", "span")
    if rows.next_cursor:
        Words(say("completeness.more", shown=SHOWN_METERS), "nb-muted nb-small")


def _days(visit: Visit) -> tuple[date, date]:
    context = visit.context
    last = context.now().astimezone(context.zone).date() - timedelta(days=1)
    return last - timedelta(days=DAYS - 1), last


async def _load(visit: Visit) -> list[ZoneDay]:
    context, (first, last) = visit.context, _days(visit)
    rows = await completeness_of_zones(context.read, first, last, context.completeness, context.zone)
    return sorted(rows, key=lambda row: (-row.day.toordinal(), row.zone))


async def _load_unread(visit: Visit) -> Page[MeterDay]:
    context, (_, last) = visit.context, _days(visit)
    return await completeness_of_meters(
        context.read, last, context.completeness, context.zone, is_read=False, limit=SHOWN_METERS
    )


def _cells(visit: Visit, row: ZoneDay) -> list[str]:
    return [
        row.day.isoformat(),
        parts.named(row.name, row.zone) or visit.say("completeness.all"),
        DASH if row.rate is None else f"{row.rate:.1%}",
        f"{count(row.read)} / {count(row.meters)}",
        f"{count(row.received_readings)} / {count(row.expected_readings)}",
    ]
