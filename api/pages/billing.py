"""Billing periods with their sums and files; engineers open them, look at what closing would write down, and close."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from api import billing_parquet
from api.billing_export import ExportForm
from api.billing_rules import MAX_NAME_CHARACTERS, NEEDED_ROLE
from api.pages import parts, typed
from api.pages.billing_ledger import PATH, show_ledger
from api.pages.billing_preview import show_preview
from api.pages.deciding import Changed, Said, buttons, carry_out
from api.pages.parts import Words, attributes, box, place
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import count, exact
from api.queries.billing import PeriodRow, close_period, drop_period, list_periods, open_period
from api.reasons import MAX_REASON_CHARACTERS
from api.roles import Principal
from metering.errors import RequestError

INTERVAL_S = 30.0

SAID = Said("billing.done", "billing.refused")


async def build(visit: Visit) -> None:
    say = visit.say
    with box("nb-head"):
        Words(say("frame.billing"), tag="h1")
    Words(say("billing.intro"), "nb-muted")
    actions = place("nb-actions")
    with box("nb-card"):
        found = place()

    def draw(rows: list[PeriodRow]) -> None:
        with redrawn(found):
            if not rows:
                parts.empty(say("billing.empty"))
            for row in rows:
                _draw(visit, row, view.look)

    view = LiveView(visit, lambda: "billing", lambda: list_periods(visit.context.read), draw, INTERVAL_S)
    await view.start()
    if visit.principal.role >= NEEDED_ROLE:
        with actions:
            parts.button(say("billing.open"), lambda: _ask_open(visit, view.look))


def _draw(visit: Visit, row: PeriodRow, changed: Changed) -> None:
    say, path = visit.say, f"{PATH}/{quote(row.name, safe='')}"
    with box("nb-alert info"):
        with box("nb-alert-head"):
            parts.tag(say(f"billing.state.{row.state}"), "good" if row.state == "closed" else "fair")
            Words(row.name, "nb-alert-kind", "span")
            Words(say("billing.days", first=row.first_day, last=row.last_day), "nb-digits", "span")
        if row.closed_by is not None:
            parts.text_pairs(
                [
                    (say("billing.entries"), count(row.entries)),
                    (say("billing.billed"), exact(row.billed_ml)),
                    (say("billing.corrections"), count(row.corrections)),
                    (say("billing.corrected"), exact(row.corrected_ml)),
                ]
            )
            Words(say("billing.closed", who=row.closed_by, time=say.instant(row.closed_at)), "nb-muted nb-small")
        with box("nb-actions"):
            if row.state == "open":
                parts.button(say("billing.preview"), lambda: show_preview(visit, row))
                if visit.principal.role >= NEEDED_ROLE:
                    parts.button(say("billing.close"), lambda: _ask_close(visit, row, changed), primary=True)
                    parts.button(say("billing.drop"), lambda: _ask_drop(visit, row, changed))
            else:
                parts.button(say("billing.ledger"), lambda: show_ledger(visit, row))
            for form in ExportForm:
                if form is ExportForm.PARQUET and not billing_parquet.available():
                    continue
                target = f"{path}/export?format={form}"
                attributes(parts.link(say(f"billing.export.{form}"), target, "nb-button"), {"download": ""})


def _ask_open(visit: Visit, changed: Changed) -> None:
    say, context = visit.say, visit.context
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(say("billing.open"), tag="h2")
        name = ui.input(label=say("billing.name")).props(f"outlined dense maxlength={MAX_NAME_CHARACTERS}")
        first = ui.input(label=say("billing.first")).props('outlined dense placeholder="2026-03-01"')
        last = ui.input(label=say("billing.last")).props('outlined dense placeholder="2026-03-31"')

        async def act() -> None:
            async def open_(who: Principal) -> None:
                begin, end = (typed.day(say, field.value) for field in (first, last))
                await open_period(context.write, who, name.value or "", begin, end, context.now())

            if await carry_out(visit, NEEDED_ROLE, open_, changed, SAID):
                dialog.close()

        buttons(visit, dialog, say("billing.open"), act)


def _ask_close(visit: Visit, row: PeriodRow, changed: Changed) -> None:
    """The name is typed once more: a closed period never opens again."""
    say, context = visit.say, visit.context
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{say('billing.close')} · {row.name}", tag="h2")
        Words(say("billing.close_hint"), "nb-muted nb-small")
        reason = ui.textarea(label=say("amend.reason")).props(f"outlined autogrow maxlength={MAX_REASON_CHARACTERS}")
        again = ui.input(label=say("billing.type_name", name=row.name)).props("outlined dense")

        async def act() -> None:
            async def close(who: Principal) -> None:
                text = (reason.value or "").strip()
                if (again.value or "").strip() != row.name or not text:
                    raise RequestError(say("billing.not_confirmed"))
                day = context.billing.settlement_day
                await close_period(context.write, who, row.name, context.zone, day, context.now(), text)

            if await carry_out(visit, NEEDED_ROLE, close, changed, SAID):
                dialog.close()

        buttons(visit, dialog, say("billing.close"), act)


def _ask_drop(visit: Visit, row: PeriodRow, changed: Changed) -> None:
    say, context = visit.say, visit.context
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{say('billing.drop')} · {row.name}", tag="h2")
        Words(say("billing.drop_hint"), "nb-muted nb-small")
        reason = ui.textarea(label=say("amend.reason")).props(f"outlined autogrow maxlength={MAX_REASON_CHARACTERS}")

        async def act() -> None:
            async def drop(who: Principal) -> None:
                text = (reason.value or "").strip()
                if not text:
                    raise RequestError(say("billing.reason_needed"))
                await drop_period(context.write, who, row.name, text)

            if await carry_out(visit, NEEDED_ROLE, drop, changed, SAID):
                dialog.close()

        buttons(visit, dialog, say("billing.drop"), act)
