"""How many of the meters were read, by zone and local day (抄表成功率)."""

from __future__ import annotations

from datetime import timedelta

from api.pages import parts
from api.pages.parts import Words, box, place
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import DASH, count
from api.queries.completeness import ZoneDay, completeness_of_zones

INTERVAL_S = 300.0
DAYS = 3
"""Whole days before today."""


async def build(visit: Visit) -> None:
    say, settings = visit.say, visit.context.completeness
    with box("nb-head"):
        Words(say("frame.completeness"), tag="h1")
    midnight = say("completeness.midnight") if settings.success_needs_midnight else ""
    Words(say("completeness.intro", least=settings.success_readings, midnight=midnight), "nb-muted")
    with box("nb-card"):
        found = place()

    def draw(rows: list[ZoneDay]) -> None:
        with redrawn(found):
            if not any(row.meters for row in rows):
                parts.empty(say("completeness.empty"))
                return
            names = [(name, say(f"completeness.{name}")) for name in ("day", "zone", "rate", "meters", "readings")]
            parts.facts_table(names, [_cells(visit, row) for row in rows if row.meters], right_from=2)

    await LiveView(visit, lambda: "completeness", lambda: _load(visit), draw, INTERVAL_S).start()


async def _load(visit: Visit) -> list[ZoneDay]:
    context = visit.context
    last = context.now().astimezone(context.zone).date() - timedelta(days=1)
    first = last - timedelta(days=DAYS - 1)
    rows = await completeness_of_zones(context.read, first, last, context.completeness, context.zone)
    return sorted(rows, key=lambda row: (-row.day.toordinal(), row.zone))


def _cells(visit: Visit, row: ZoneDay) -> list[str]:
    return [
        row.day.isoformat(),
        parts.named(row.name, row.zone) or visit.say("completeness.all"),
        DASH if row.rate is None else f"{row.rate:.1%}",
        f"{count(row.read)} / {count(row.meters)}",
        f"{count(row.received_readings)} / {count(row.expected_readings)}",
    ]
