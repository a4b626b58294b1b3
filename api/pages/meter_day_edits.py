"""Days whose volume people gave or voided: every version with its reason, and the form that does it."""

from __future__ import annotations

from datetime import date
from typing import Any

from nicegui import ui
from nicegui.element import Element

from api.amendment_rules import NEEDED_ROLE
from api.pages import parts
from api.pages.deciding import Changed, buttons, carry_out
from api.pages.meter_amendments import SAID, millilitres, who_of
from api.pages.parts import Words, box
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import volume
from api.queries.day_edits import DayEditRow, edit_day, list_day_edits, withdraw_day_edit
from api.reasons import MAX_REASON_CHARACTERS
from api.roles import Principal
from metering.errors import RequestError
from metering.model import MeterId

INTERVAL_S = 10.0
SHOWN = 20


async def of_meter(visit: Visit, meter_id: MeterId, serial: str, container: Element) -> None:
    async def load() -> list[DayEditRow]:
        return await list_day_edits(visit.context.read, meter_id, SHOWN)

    def draw(rows: list[DayEditRow]) -> None:
        with redrawn(container):
            if visit.principal.role >= NEEDED_ROLE:
                with box("nb-actions"):
                    parts.button(visit.say("day_edit.give"), lambda: _ask(visit, serial, view.look))
            if not rows:
                parts.empty(visit.say("day_edit.none"))
            for row in rows:
                _draw(visit, serial, row, view.look)

    view = LiveView(visit, lambda: ("day edits of", serial), load, draw, INTERVAL_S)
    await view.start()


def _draw(visit: Visit, serial: str, row: DayEditRow, changed: Changed) -> None:
    say = visit.say
    with box("nb-alert info"):
        with box("nb-alert-head"):
            parts.tag(
                say("amend.withdrawn" if row.withdrawn_at else "amend.in_force"), "" if row.withdrawn_at else "good"
            )
            value = say("day_edit.void") if row.volume_ml is None else volume(row.volume_ml)
            Words(f"{row.day}: {value}", "nb-digits", "span")
        Words(row.reason, "nb-said")
        facts = [say("amend.made", who=row.made_by, time=say.instant(row.made_at))]
        if row.withdrawn_at is not None:
            why = say("amend.replaced") if row.withdrawn_why == "replaced" else row.withdrawn_why or ""
            by = who_of(visit, row.withdrawn_by or "")
            facts.append(say("amend.withdrawn_at", who=by, time=say.instant(row.withdrawn_at), why=why))
        Words(" · ".join(facts), "nb-muted nb-small")
        if row.withdrawn_at is None and visit.principal.role >= NEEDED_ROLE:
            with box("nb-actions"):
                parts.button(say("day_edit.withdraw"), lambda: _ask_back(visit, serial, row, changed))


def _ask(visit: Visit, serial: str, changed: Changed) -> None:
    say = visit.say
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{say('day_edit.give')} · {serial}", tag="h2")
        day = ui.input(label=say("day_edit.day")).props('outlined dense placeholder="2026-03-01"')
        litres = ui.input(label=say("day_edit.volume_l")).props("outlined dense")
        Words(say("day_edit.hint"), "nb-muted nb-small")
        reason = ui.textarea(label=say("amend.reason")).props(f"outlined autogrow maxlength={MAX_REASON_CHARACTERS}")

        async def act() -> None:
            async def edit(who: Principal) -> None:
                of, volume_ml, context = _day(visit, day.value), millilitres(litres.value), visit.context
                text = reason.value or ""
                await edit_day(context.write, who, serial, of, volume_ml, text, context.zone, context.now())

            if await carry_out(visit, NEEDED_ROLE, edit, changed, SAID):
                dialog.close()

        buttons(visit, dialog, say("day_edit.give"), act)


def _ask_back(visit: Visit, serial: str, row: DayEditRow, changed: Changed) -> None:
    say = visit.say
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{say('day_edit.withdraw')} · {row.day}", tag="h2")
        reason = ui.textarea(label=say("amend.reason")).props(f"outlined autogrow maxlength={MAX_REASON_CHARACTERS}")

        async def act() -> None:
            async def withdraw(who: Principal) -> None:
                context = visit.context
                await withdraw_day_edit(context.write, who, serial, row.edit_id, reason.value or "", context.now())

            if await carry_out(visit, NEEDED_ROLE, withdraw, changed, SAID):
                dialog.close()

        buttons(visit, dialog, say("day_edit.withdraw"), act)


def _day(visit: Visit, typed: Any) -> date:
    """Raises RequestError."""
    try:
        return date.fromisoformat(str(typed or "").strip())
    except ValueError as error:
        raise RequestError(visit.say("day_edit.day_needed")) from error
