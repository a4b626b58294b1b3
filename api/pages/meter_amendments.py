"""What people said of a meter's readings: every version with its reason, and the form that gives or takes one away."""

from __future__ import annotations

from nicegui import ui
from nicegui.element import Element

from api.pages import typed
from api.pages.deciding import Changed
from api.pages.meter_versions import (
    SHOWN,
    Names,
    ask_back,
    draw_version,
    finish_form,
    millilitres,
    reason_field,
    versions,
)
from api.pages.parts import Words
from api.pages.visit import Visit
from api.pages.wording import index_m3
from api.queries.amendments import AmendmentRow, amend_reading, list_amendments, withdraw_amendment
from api.roles import Principal
from metering.model import MeterId

NAMES = Names("amend.give", "amend.none")


async def of_meter(visit: Visit, meter_id: MeterId, serial: str, container: Element) -> None:
    async def load() -> list[AmendmentRow]:
        return await list_amendments(visit.context.read, meter_id, SHOWN)

    def draw(row: AmendmentRow, changed: Changed) -> None:
        _draw(visit, serial, row, changed)

    await versions(visit, container, NAMES, serial, load, draw, lambda changed: _ask(visit, serial, changed))


def _draw(visit: Visit, serial: str, row: AmendmentRow, changed: Changed) -> None:
    say = visit.say
    value = say("amend.void") if row.index_ml is None else index_m3(row.index_ml)
    why = say("amend.start_index") if row.source == "installation" else row.reason
    take_back = (say("amend.withdraw"), lambda: _ask_back(visit, serial, row, changed))
    said = f"{say.instant(row.ts, seconds=True)}: {value}"
    draw_version(visit, row, said, why, take_back if row.source == "person" else None)


def _ask(visit: Visit, serial: str, changed: Changed) -> None:
    say = visit.say
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{say('amend.give')} · {serial}", tag="h2")
        time = ui.input(label=say("amend.time")).props("outlined dense").props('placeholder="2026-03-01 00:00:00"')
        litres = ui.input(label=say("amend.index_l")).props("outlined dense")
        Words(say("amend.hint"), "nb-muted nb-small")
        reason = reason_field(visit)

        async def amend(who: Principal) -> None:
            ts, index_ml, context = typed.instant(say, time.value), millilitres(litres.value), visit.context
            await amend_reading(context.write, who, serial, ts, index_ml, reason.value or "", context.now())

        finish_form(visit, dialog, say("amend.give"), amend, changed)


def _ask_back(visit: Visit, serial: str, row: AmendmentRow, changed: Changed) -> None:
    async def withdraw(who: Principal, reason: str) -> None:
        context = visit.context
        await withdraw_amendment(context.write, who, serial, row.amendment_id, reason, context.now())

    ask_back(visit, visit.say("amend.withdraw"), serial, withdraw, changed)
