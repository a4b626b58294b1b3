"""The list of alerts, and what people do about them."""

from __future__ import annotations

from api.alert_life import AlertState
from api.pages import alert_list, evidence, parts
from api.pages.listing import Listing
from api.pages.parts import Words, box, place
from api.pages.visit import LiveView, Visit, redrawn
from api.queries.alerts import ACTIVE, SEVERITIES, AlertFilter, AlertOrder
from api.roles import Role

INTERVAL_S = 5.0
PAGE_ROWS = 25
ALL_STATES = "all"
KINDS = ("continuous_flow", "flow_after_close", "silent", "outage:", "meter_alarm:")


async def build(visit: Visit) -> None:
    say = visit.say
    states = {ALL_STATES, *AlertState}
    choices = {"state": states, "kind": set(KINDS), "severity": set(SEVERITIES), "order": {str(AlertOrder.NEWEST)}}
    listing = Listing(visit, "/alerts", choices)
    with box("nb-head"):
        Words(say("frame.alerts"), tag="h1")
    with box("nb-filters", "search"):
        listing.select("state", say("alerts.state"), _states(visit), say("alerts.active"))
        listing.select("kind", say("alerts.kind"), {kind: evidence.family_name(say, kind) for kind in KINDS})
        listing.select(
            "severity", say("alerts.severity"), {level: say(f"alerts.severity.{level}") for level in SEVERITIES}
        )
        newest = {str(AlertOrder.NEWEST): say("alerts.order.newest")}
        listing.select("order", say("alerts.order"), newest, say("alerts.order.worst"))
    if visit.principal.role < Role.OPERATOR:
        Words(say("alerts.not_allowed"), "nb-muted")
    with box("nb-card"):
        found = place()

    def draw(shown: alert_list.Alerts) -> None:
        with redrawn(found):
            if not shown.rows:
                parts.empty(say("alerts.none_found" if listing.filtered else "alerts.empty"))
            for alert in shown.rows:
                alert_list.full(visit, alert, shown.lives[alert.alert_id], view.look)
            listing.pager(shown.next_cursor)

    view = LiveView(visit, lambda: listing.key, lambda: _load(visit, listing), draw, INTERVAL_S)
    listing.changed = view.look
    await view.start()


def _states(visit: Visit) -> dict[str, str]:
    say = visit.say
    return {**{str(state): say(f"alerts.state.{state}") for state in AlertState}, ALL_STATES: say("frame.all")}


async def _load(visit: Visit, listing: Listing) -> alert_list.Alerts:
    asked = listing.asked
    state = asked["state"]
    wanted = AlertFilter(
        states=() if state == ALL_STATES else (AlertState(state),) if state else ACTIVE,
        kind=asked["kind"],
        severity=asked["severity"],
    )
    still_active = bool(wanted.states) and set(wanted.states) <= set(ACTIVE)
    order = AlertOrder.WORST if still_active and not asked["order"] else AlertOrder.NEWEST
    return await alert_list.load(visit.context.read, wanted, PAGE_ROWS, listing.cursor or None, order)
