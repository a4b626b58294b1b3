"""Firmware campaigns: how far each is, wave by wave, and what an engineer may do about it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nicegui import ui

from api.command_rules import NEEDED_ROLE
from api.pages import parts
from api.pages.command_list import carry_out
from api.pages.deciding import Changed, buttons
from api.pages.parts import Words, box, place
from api.pages.visit import LiveView, Visit, redrawn
from api.queries.campaigns import (
    CampaignDetail,
    ImageRow,
    Start,
    get_detail,
    list_campaigns,
    list_images,
    next_wave,
    start_campaign,
    stop_campaign,
)
from api.reasons import MAX_REASON_CHARACTERS
from api.roles import Principal
from metering.commands import CommandKind
from metering.errors import RequestError

PATH = "/campaigns"
INTERVAL_S = 5.0
SHOWN = 20
"""The newest campaigns; the others are in the REST interface."""

MAX_SERIALS_CHARACTERS = 200_000
STATE_TONES: Mapping[str, parts.Tone] = MappingProxyType({"running": "fair", "finished": "good", "stopped": "poor"})


async def build(visit: Visit) -> None:
    say = visit.say
    with box("nb-head"):
        Words(say("frame.campaigns"), tag="h1")
    Words(say("campaigns.intro"), "nb-muted")
    actions = place("nb-actions")
    with box("nb-card"):
        found = place()
    opened: set[int] = set()

    def draw(details: list[CampaignDetail]) -> None:
        with redrawn(found):
            if not details:
                parts.empty(say("campaigns.empty"))
            for detail in details:
                _campaign(visit, detail, opened, view.look)

    view = LiveView(visit, lambda: "campaigns", lambda: _load(visit), draw, INTERVAL_S)
    await view.start()
    if _may_act(visit):
        images = await list_images(visit.context.read)
        with actions:
            parts.button(say("campaigns.start"), lambda: _ask(visit, images, view.look), primary=True)


async def _load(visit: Visit) -> list[CampaignDetail]:
    read = visit.context.read
    return [await get_detail(read, row.campaign_id) for row in (await list_campaigns(read))[:SHOWN]]


def _may_act(visit: Visit) -> bool:
    return visit.principal.role >= NEEDED_ROLE[CommandKind.FIRMWARE]


def _campaign(visit: Visit, detail: CampaignDetail, opened: set[int], changed: Changed) -> None:
    say, row = visit.say, detail.campaign
    with parts.disclosure("nb-report", row.campaign_id, opened) as (heading, body):
        with heading:
            parts.tag(say(f"campaigns.state.{row.state}"), STATE_TONES[row.state])
            Words(f"{row.campaign_id} · {row.name}", tag="span")
            Words(say("campaigns.wave_of", wave=row.wave, waves=row.waves), "nb-digits", "span")
            said = say(
                "campaigns.progress", meters=row.meters, confirmed=row.confirmed, failed=row.failed, open=row.open
            )
            Words(said, "nb-muted", "span")
        with body:
            _details(visit, detail)
            with box("nb-actions"):
                _actions(visit, detail, changed)


def _details(visit: Visit, detail: CampaignDetail) -> None:
    say, row = visit.say, detail.campaign
    rule = say("campaigns.rule", share=f"{row.stop_share:.0%}", after=row.stop_after)
    rows = [
        (say("campaigns.started"), say("commands.filed", login=row.started_by, time=say.instant(row.started_at))),
        (say("campaigns.stop_rule"), rule),
        (say("campaigns.address"), row.uri),
        (say("campaigns.size"), f"{row.size_bytes:,} B"),
    ]
    if row.why:
        rows.append((say("campaigns.why"), say.remark(row.why)))
    parts.text_pairs(rows)
    columns = [
        ("wave", say("campaigns.wave")), ("meters", say("campaigns.meters")), ("told", say("campaigns.told")),
        ("confirmed", say("campaigns.confirmed")), ("failed", say("campaigns.failed")),
        ("open", say("campaigns.open")), ("other", say("campaigns.other")),
    ]  # fmt: skip
    waves = [
        [str(value) for value in (w.wave, w.meters, w.told, w.confirmed, w.failed, w.open, w.other)]
        for w in detail.progress
    ]
    parts.facts_table(columns, waves, right_from=1)
    Words(row.sha256, "nb-muted nb-small nb-digits nb-break")


def _actions(visit: Visit, detail: CampaignDetail, changed: Changed) -> None:
    say, context, row = visit.say, visit.context, detail.campaign
    if row.state != "running" or not _may_act(visit):
        return

    async def send(who: Principal) -> None:
        await next_wave(context.read, context.write, who, row.campaign_id, context.commands, context.now())

    if row.wave < row.waves:
        go = say("campaigns.next", wave=row.wave + 1)
        parts.button(go, lambda: carry_out(visit, CommandKind.FIRMWARE, send, changed), primary=True)
    parts.button(say("campaigns.stop"), lambda: _ask_why(visit, row.campaign_id, changed))


def _ask_why(visit: Visit, campaign_id: int, changed: Changed) -> None:
    say, context = visit.say, visit.context
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(say("campaigns.stop"), tag="h2")
        Words(say("campaigns.stop_hint"), "nb-muted nb-small")
        why = ui.textarea(label=say("campaigns.why")).props(f"outlined autogrow maxlength={MAX_REASON_CHARACTERS}")

        async def act() -> None:
            async def stop(who: Principal) -> None:
                await stop_campaign(context.write, who, campaign_id, (why.value or "").strip(), context.now())

            if await carry_out(visit, CommandKind.FIRMWARE, stop, changed):
                dialog.close()

        buttons(visit, dialog, say("campaigns.stop"), act)


def _ask(visit: Visit, images: list[ImageRow], changed: Changed) -> None:
    say = visit.say
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(say("campaigns.start"), tag="h2")
        if not images:
            Words(say("campaigns.no_image"), "nb-muted")
        names = {image.sha256: f"{image.name} ({image.sha256[:8]})" for image in images}
        first = images[0].sha256 if images else None
        image = ui.select(names, label=say("campaigns.image"), value=first).props("outlined dense")
        serials = ui.textarea(label=say("campaigns.serials")).props(f"outlined maxlength={MAX_SERIALS_CHARACTERS}")
        waves = ui.input(label=say("campaigns.sizes"), value="10, 10%, 50%").props("outlined dense")
        share = ui.number(label=say("campaigns.stop_share"), value=5, min=0, max=100).props("outlined dense")
        after = ui.number(label=say("campaigns.stop_after"), value=3, min=1).props("outlined dense")
        Words(say("campaigns.start_hint"), "nb-muted nb-small")

        async def act() -> None:
            typed = [image.value, serials.value, waves.value, share.value, after.value]
            if await _start(visit, [str("" if each is None else each) for each in typed], changed):
                dialog.close()

        buttons(visit, dialog, say("campaigns.start"), act)


async def _start(visit: Visit, typed: list[str], changed: Changed) -> bool:
    context = visit.context

    async def start(who: Principal) -> None:
        image, serials, waves, share, after = typed
        sizes = [part.strip() for part in waves.split(",") if part.strip()]
        try:
            rule = float(share) / 100, int(float(after))
        except (ValueError, OverflowError) as error:
            raise RequestError("the rule that stops a campaign is two numbers") from error
        if not image or not (0 <= rule[0] <= 1 and 1 <= rule[1] < 1 << 31):
            raise RequestError("a campaign has an image, a share from 0 to 100 % and a number of failures from 1")
        wanted = Start(image, serials.split(), sizes, *rule, context.firmware.uri_base)
        await start_campaign(context.write, who, wanted)

    return await carry_out(visit, CommandKind.FIRMWARE, start, changed)
