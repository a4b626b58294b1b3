"""The ledger of a closed period, in a dialog: what turned out different afterwards, and what it carries of others."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from api.pages import parts
from api.pages.parts import Words, attributes, box, place
from api.pages.visit import Visit, redrawn
from api.pages.wording import DASH, count, exact
from api.queries.billing import PeriodRow
from api.queries.billing_ledger import CorrectionRow, list_corrections
from metering.errors import RequestError, UnavailableError

PATH = "/api/v1/billing/periods"
SHOWN = 50
"""Of either list; the files have all of them."""


async def show_ledger(visit: Visit, row: PeriodRow) -> None:
    say = visit.say
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{say('billing.ledger')} · {row.name}", tag="h2")
        found = place()
        with box("nb-actions"):
            for name, carried in (("billing.ledger_csv", "false"), ("billing.carried_csv", "true")):
                target = f"{PATH}/{quote(row.name, safe='')}/corrections?format=csv&carried={carried}"
                attributes(parts.link(say(name), target, "nb-button"), {"download": ""})
            parts.button(say("billing.dismiss"), dialog.close)
    dialog.on("hide", dialog.delete)
    dialog.open()
    try:
        own = await list_corrections(visit.context.read, row.name, SHOWN)
        carried_with = await list_corrections(visit.context.read, row.name, SHOWN, carried=True)
    except RequestError as error:
        dialog.close()
        ui.notify(say("billing.refused", why=say.refusal(error)), type="warning")
        return
    except UnavailableError:
        dialog.close()
        ui.notify(say("frame.data_failed_first"), type="negative")
        return
    with redrawn(found):
        _draw(visit, "billing.own", own.items, is_own=True)
        _draw(visit, "billing.carried", carried_with.items, is_own=False)


def _draw(visit: Visit, title: str, rows: list[CorrectionRow], is_own: bool) -> None:
    say = visit.say
    Words(say(title), tag="h2")
    if not rows:
        parts.empty(say("billing.no_corrections"))
        return
    columns = [
        ("found", say("billing.found_at")), ("serial", say("meters.serial")),
        ("other", say("billing.carried_to" if is_own else "billing.corrects")), ("before", say("billing.before")),
        ("after", say("billing.after")), ("difference", say("billing.difference")),
    ]  # fmt: skip
    cells = [
        [
            say.instant(row.found_at), row.serial, (row.carried_to or DASH) if is_own else row.period,
            exact(row.before_ml), exact(row.after_ml), exact(row.difference_ml),
        ]
        for row in rows
    ]  # fmt: skip
    parts.facts_table(columns, cells, right_from=3)
    if len(rows) == SHOWN:
        Words(say("billing.more_in_file", shown=count(SHOWN)), "nb-muted nb-small")
