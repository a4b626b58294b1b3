"""Billing periods with their sums, and their files."""

from __future__ import annotations

from urllib.parse import quote

from api.billing_export import ExportForm
from api.pages import parts
from api.pages.parts import Words, attributes, box, place
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import count, volume
from api.queries.billing import PeriodRow, list_periods

INTERVAL_S = 30.0


async def build(visit: Visit) -> None:
    say = visit.say
    with box("nb-head"):
        Words(say("frame.billing"), tag="h1")
    Words(say("billing.intro"), "nb-muted")
    with box("nb-card"):
        found = place()

    def draw(rows: list[PeriodRow]) -> None:
        with redrawn(found):
            if not rows:
                parts.empty(say("billing.empty"))
            for row in rows:
                _draw(visit, row)

    await LiveView(visit, lambda: "billing", lambda: list_periods(visit.context.read), draw, INTERVAL_S).start()


def _draw(visit: Visit, row: PeriodRow) -> None:
    say = visit.say
    with box("nb-alert info"):
        with box("nb-alert-head"):
            parts.tag(say(f"billing.state.{row.state}"), "good" if row.state == "closed" else "fair")
            Words(row.name, "nb-alert-kind", "span")
            Words(say("billing.days", first=row.first_day, last=row.last_day), "nb-digits", "span")
        parts.text_pairs(
            [
                (say("billing.entries"), count(row.entries)),
                (say("billing.billed"), volume(row.billed_ml)),
                (say("billing.corrections"), count(row.corrections)),
                (say("billing.corrected"), volume(row.corrected_ml)),
            ]
        )
        with box("nb-actions"):
            for form in ExportForm:
                target = f"/api/v1/billing/periods/{quote(row.name, safe='')}/export?format={form}"
                attributes(parts.link(form.upper(), target, "nb-button"), {"download": ""})
