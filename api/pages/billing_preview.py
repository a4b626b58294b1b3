"""What closing a billing period would write down, in a dialog: sums, what is estimated, and the meters to look at."""

from __future__ import annotations

from nicegui import ui
from nicegui.element import Element

from api.pages import parts
from api.pages.parts import Words, box, place
from api.pages.visit import Visit, redrawn
from api.pages.wording import count, exact
from api.queries.billing import PeriodRow
from api.queries.billing_preview import DoubtfulLine, Preview, preview_period
from metering.errors import RequestError, UnavailableError


async def show_preview(visit: Visit, row: PeriodRow) -> None:
    say = visit.say
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{say('billing.preview')} · {row.name}", tag="h2")
        found = place()
        with found:
            Words(say("billing.computing"), "nb-muted")
        with box("nb-actions"):
            parts.button(say("billing.dismiss"), dialog.close)
    dialog.on("hide", dialog.delete)
    dialog.open()
    context = visit.context
    try:
        preview = await preview_period(context.read, row, context.zone, context.now())
    except RequestError as error:
        dialog.close()
        ui.notify(say("billing.refused", why=say.refusal(error)), type="warning")
        return
    except UnavailableError:
        dialog.close()
        ui.notify(say("frame.data_failed_first"), type="negative")
        return
    _draw(visit, found, preview)


def _draw(visit: Visit, container: Element, preview: Preview) -> None:
    say = visit.say
    with redrawn(container):
        if not preview.is_over:
            Words(say("billing.not_over"), "nb-said")
        if preview.waiting_spans:
            Words(say("billing.waiting", spans=count(preview.waiting_spans)), "nb-said")
        estimated = say("billing.estimated_of", lines=count(preview.estimated), volume=exact(preview.estimated_ml))
        parts.text_pairs(
            [
                (say("billing.entries"), count(preview.entries)),
                (say("billing.billed"), exact(preview.billed_ml)),
                (say("quality.estimated"), estimated),
                (say("quality.interpolated"), count(preview.interpolated)),
                (say("quality.edited"), count(preview.edited)),
                (say("billing.incomplete"), count(preview.incomplete)),
                (say("billing.missing_days"), count(preview.missing_days)),
                (say("billing.silent"), count(preview.silent)),
                (say("billing.carried"), f"{count(preview.corrections)} · {exact(preview.corrected_ml)}"),
            ]
        )
        if preview.doubtful:
            Words(say("billing.doubtful"), tag="h2")
            _lines(visit, preview.doubtful)
        if preview.silent_serials:
            Words(say("billing.silent"), tag="h2")
            with box("nb-actions"):
                for serial in preview.silent_serials:
                    parts.link(serial, parts.meter_path(serial))
                if preview.silent > len(preview.silent_serials):
                    Words("…", tag="span")


def _lines(visit: Visit, lines: list[DoubtfulLine]) -> None:
    say = visit.say
    columns = [
        ("serial", say("meters.serial")), ("quality", say("billing.quality")), ("volume", say("billing.billed")),
        ("estimated", say("billing.estimated_days")), ("missing", say("billing.missing_days")),
    ]  # fmt: skip
    rows = [
        [
            line.serial, say(f"quality.{line.quality}"), exact(line.billed_ml), count(line.estimated_days),
            count(line.missing_days),
        ]
        for line in lines
    ]  # fmt: skip
    parts.facts_table(columns, rows, right_from=2)
