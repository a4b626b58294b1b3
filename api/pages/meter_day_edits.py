"""Days whose volume people gave or voided: every version with its reason, and the form that does it."""

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
from api.pages.wording import exact
from api.queries.day_edits import DayEditRow, edit_day, list_day_edits, withdraw_day_edit
from api.roles import Principal
from metering.model import MeterId

NAMES = Names("day_edit.give", "day_edit.none")


async def of_meter(visit: Visit, meter_id: MeterId, serial: str, container: Element) -> None:
    async def load() -> list[DayEditRow]:
        return await list_day_edits(visit.context.read, meter_id, visit.context.zone, SHOWN)

    def draw(row: DayEditRow, changed: Changed) -> None:
        _draw(visit, serial, row, changed)

    await versions(visit, container, NAMES, serial, load, draw, lambda changed: _ask(visit, serial, changed))


def _draw(visit: Visit, serial: str, row: DayEditRow, changed: Changed) -> None:
    say = visit.say
    value = say("day_edit.void") if row.volume_ml is None else exact(row.volume_ml)
    take_back = (say("day_edit.withdraw"), lambda: _ask_back(visit, serial, row, changed))
    draw_version(visit, row, f"{row.day}: {value}", row.reason, take_back)


def _ask(visit: Visit, serial: str, changed: Changed) -> None:
    say = visit.say
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{say('day_edit.give')} · {serial}", tag="h2")
        day = ui.input(label=say("day_edit.day")).props('outlined dense placeholder="2026-03-01"')
        litres = ui.input(label=say("day_edit.volume_l")).props("outlined dense")
        Words(say("day_edit.hint"), "nb-muted nb-small")
        reason = reason_field(visit)

        async def edit(who: Principal) -> None:
            of, volume_ml, context = typed.day(say, day.value), millilitres(litres.value), visit.context
            text = reason.value or ""
            await edit_day(context.write, who, serial, of, volume_ml, text, context.zone, context.now())

        finish_form(visit, dialog, say("day_edit.give"), edit, changed)


def _ask_back(visit: Visit, serial: str, row: DayEditRow, changed: Changed) -> None:
    async def withdraw(who: Principal, reason: str) -> None:
        context = visit.context
        await withdraw_day_edit(context.write, who, serial, row.edit_id, reason, context.now())

    ask_back(visit, visit.say("day_edit.withdraw"), str(row.day), withdraw, changed)
