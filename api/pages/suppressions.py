"""The windows in which no alert is raised: those in force and planned, and those that are over."""

from __future__ import annotations

from api.pages import evidence, frame, parts, suppress_form
from api.pages.listing import Listing
from api.pages.parts import Words, box, place
from api.pages.visit import LiveView, Visit, redrawn
from api.queries.paging import Page
from api.queries.suppressions import SuppressionRow, SuppressionState, end_suppression, list_suppressions
from api.roles import Principal, Role

PATH = "/alerts/suppressions"
INTERVAL_S = 10.0
PAGE_ROWS = 50
TONES: dict[SuppressionState, parts.Tone] = {
    SuppressionState.IN_FORCE: "fair", SuppressionState.PLANNED: "", SuppressionState.OVER: "quiet",
}  # fmt: skip
CURRENT = [SuppressionState.IN_FORCE, SuppressionState.PLANNED]


async def build(visit: Visit) -> None:
    say = visit.say
    frame.title(visit, say("suppressions.title"))
    listing = Listing(visit, PATH, {"state": {str(state) for state in SuppressionState}})
    with box("nb-head"):
        Words(say("suppressions.title"), tag="h1")
        parts.link(say("frame.alerts"), "/alerts", "nb-small")
    Words(say("suppressions.intro"), "nb-muted")
    with box("nb-filters", "search"):
        states = {str(state): say(f"suppressions.state.{state}") for state in SuppressionState}
        listing.select("state", say("alerts.state"), states, say("suppressions.current"))
    if visit.principal.role >= Role.OPERATOR:
        with box("nb-actions"):
            parts.button(say("suppressions.add"), lambda: _add(visit, view), primary=True)
    with box("nb-card"):
        found = place()

    async def load() -> Page[SuppressionRow]:
        state = listing.asked["state"]
        wanted = [SuppressionState(state)] if state else CURRENT
        now = visit.context.now()
        return await list_suppressions(visit.context.read, wanted, now, limit=PAGE_ROWS, cursor=listing.cursor or None)

    def draw(shown: Page[SuppressionRow]) -> None:
        with redrawn(found):
            if not shown.items:
                parts.empty(say("suppressions.none"))
            for row in shown.items:
                _draw(visit, row, view)
            listing.pager(shown.next_cursor)

    view: LiveView[Page[SuppressionRow]] = LiveView(visit, lambda: listing.key, load, draw, INTERVAL_S)
    listing.changed = view.look
    await view.start()


def _draw(visit: Visit, row: SuppressionRow, view: LiveView[Page[SuppressionRow]]) -> None:
    say = visit.say
    with box("nb-alert info", "article"):
        with box("nb-alert-head"):
            parts.tag(say(f"suppressions.state.{row.state}"), TONES[row.state])
            kind = say("suppressions.all_kinds") if row.kind is None else evidence.family_name(say, row.kind)
            Words(kind, "nb-alert-kind", "span")
            if row.serial:
                parts.link(say("alerts.meter_link", serial=row.serial), parts.meter_path(row.serial))
            else:
                Words(say("suppressions.of_zone", zone=parts.named(row.zone_name, row.zone_code)), tag="span")
            Words(f"{say.instant(row.valid_from)} → {say.instant(row.valid_to)}", "nb-digits", "span")
        Words(row.reason, "nb-alert-words")
        facts = [say("suppressions.made", who=row.created_by, time=say.instant(row.created_at))]
        if row.ended_by:
            facts.append(say("suppressions.ended", who=row.ended_by))
        Words(" · ".join(facts), "nb-muted nb-small")
        if row.state is not SuppressionState.OVER and visit.principal.role >= Role.OPERATOR:
            with box("nb-actions"):
                parts.button(say("suppressions.end"), lambda: _end(visit, row, view))


async def _add(visit: Visit, view: LiveView[Page[SuppressionRow]]) -> None:
    await suppress_form.ask(visit, suppress_form.Target(), "", view.look)


async def _end(visit: Visit, row: SuppressionRow, view: LiveView[Page[SuppressionRow]]) -> None:
    async def end(who: Principal) -> None:
        await end_suppression(visit.context.write, row.suppression_id, actor=who.login, now=visit.context.now())

    await suppress_form.carry_out(visit, end, view.look)
