"""What people said of a meter's readings: every version with its reason, and the form that gives or takes one away."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from nicegui import ui
from nicegui.element import Element

from api.amendment_rules import NEEDED_ROLE
from api.pages import parts
from api.pages.deciding import Changed, buttons, carry_out
from api.pages.parts import Words, box
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import ML_PER_L, index_m3
from api.queries.amendments import AmendmentRow, amend_reading, list_amendments, withdraw_amendment
from api.reasons import MAX_REASON_CHARACTERS
from api.roles import Principal
from metering.errors import RequestError
from metering.model import MeterId

INTERVAL_S = 10.0
SHOWN = 20

SAID = ("amend.done", "amend.refused")


async def of_meter(visit: Visit, meter_id: MeterId, serial: str, container: Element) -> None:
    async def load() -> list[AmendmentRow]:
        return await list_amendments(visit.context.read, meter_id, SHOWN)

    def draw(rows: list[AmendmentRow]) -> None:
        with redrawn(container):
            if visit.principal.role >= NEEDED_ROLE:
                with box("nb-actions"):
                    parts.button(visit.say("amend.give"), lambda: _ask(visit, serial, view.look))
            if not rows:
                parts.empty(visit.say("amend.none"))
            for row in rows:
                _draw(visit, serial, row, view.look)

    view = LiveView(visit, lambda: ("amendments of", serial), load, draw, INTERVAL_S)
    await view.start()


def _draw(visit: Visit, serial: str, row: AmendmentRow, changed: Changed) -> None:
    say = visit.say
    with box("nb-alert info"):
        with box("nb-alert-head"):
            parts.tag(
                say("amend.withdrawn" if row.withdrawn_at else "amend.in_force"), "" if row.withdrawn_at else "good"
            )
            value = say("amend.void") if row.index_ml is None else f"{index_m3(row.index_ml)} m³"
            Words(f"{say.instant(row.ts, seconds=True)}: {value}", "nb-digits", "span")
        why = say("amend.start_index") if row.source == "installation" else row.reason
        Words(why, "nb-said")
        facts = [say("amend.made", who=who_of(visit, row.made_by), time=say.instant(row.made_at))]
        if row.withdrawn_at is not None:
            facts.append(
                say("amend.withdrawn_at", who=who_of(visit, row.withdrawn_by or ""), time=say.instant(row.withdrawn_at),
                    why=say("amend.replaced") if row.withdrawn_why == "replaced" else row.withdrawn_why or "")
            )  # fmt: skip
        Words(" · ".join(facts), "nb-muted nb-small")
        if row.withdrawn_at is None and row.source == "person" and visit.principal.role >= NEEDED_ROLE:
            with box("nb-actions"):
                parts.button(say("amend.withdraw"), lambda: _ask_back(visit, serial, row, changed))


def who_of(visit: Visit, login: str) -> str:
    return visit.say("alerts.platform") if login == "platform" else login


def _ask(visit: Visit, serial: str, changed: Changed) -> None:
    say = visit.say
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{say('amend.give')} · {serial}", tag="h2")
        time = ui.input(label=say("amend.time")).props("outlined dense").props('placeholder="2026-03-01 00:00:00"')
        litres = ui.input(label=say("amend.index_l")).props("outlined dense")
        Words(say("amend.hint"), "nb-muted nb-small")
        reason = ui.textarea(label=say("amend.reason")).props(f"outlined autogrow maxlength={MAX_REASON_CHARACTERS}")

        async def act() -> None:
            async def amend(who: Principal) -> None:
                ts, index_ml = _instant(visit, time.value), millilitres(litres.value)
                context = visit.context
                await amend_reading(context.write, who, serial, ts, index_ml, reason.value or "", context.now())

            if await carry_out(visit, NEEDED_ROLE, amend, changed, SAID):
                dialog.close()

        buttons(visit, dialog, say("amend.give"), act)


def _ask_back(visit: Visit, serial: str, row: AmendmentRow, changed: Changed) -> None:
    say = visit.say
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{say('amend.withdraw')} · {serial}", tag="h2")
        reason = ui.textarea(label=say("amend.reason")).props(f"outlined autogrow maxlength={MAX_REASON_CHARACTERS}")

        async def act() -> None:
            async def withdraw(who: Principal) -> None:
                context = visit.context
                await withdraw_amendment(
                    context.write, who, serial, row.amendment_id, reason.value or "", context.now()
                )

            if await carry_out(visit, NEEDED_ROLE, withdraw, changed, SAID):
                dialog.close()

        buttons(visit, dialog, say("amend.withdraw"), act)


def _instant(visit: Visit, typed: Any) -> datetime:
    """Local time as people write it. Raises RequestError."""
    try:
        found = datetime.fromisoformat(str(typed or "").strip())
    except ValueError as error:
        raise RequestError(visit.say("amend.time_needed")) from error
    return found if found.tzinfo else found.replace(tzinfo=visit.context.zone)


def millilitres(typed: Any) -> int | None:
    """Litres as people write them; nothing takes the reading away. Raises RequestError."""
    text = str(typed or "").strip()
    if not text:
        return None
    try:
        return round(float(text) * ML_PER_L)
    except (ValueError, OverflowError) as error:
        raise RequestError(f"{text!r} is no number of litres") from error
