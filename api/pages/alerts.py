"""The list of alerts, and what people do about them."""

from __future__ import annotations

from api.alert_kinds import KINDS, LOSING
from api.alert_life import AlertState
from api.pages import alert_list, evidence, parts, suppressions
from api.pages.listing import Listing
from api.pages.parts import Words, box, place
from api.pages.visit import LiveView, Visit, redrawn
from api.queries.alerts import ACTIVE, CERTAINTIES, SEVERITIES, AlertFilter, AlertOrder
from api.roles import Role

PATH = "/alerts"
INTERVAL_S = 5.0
PAGE_ROWS = 25
ALL_STATES = "all"
ORDERS = (AlertOrder.WORST, AlertOrder.LOSS, AlertOrder.LOST, AlertOrder.NEWEST)


async def build(visit: Visit) -> None:
    say = visit.say
    states = {ALL_STATES, *AlertState}
    choices: dict[str, set[str] | None] = {
        "state": states, "kind": set(KINDS), "certainty": set(CERTAINTIES), "severity": set(SEVERITIES),
        "order": {str(order) for order in ORDERS}, "serial": None,
    }  # fmt: skip
    listing = Listing(visit, PATH, choices)
    with box("nb-head"):
        Words(say("frame.alerts"), tag="h1")
        parts.link(say("suppressions.title"), suppressions.PATH, "nb-small")
    with box("nb-filters", "search"):
        _filters(visit, listing)
    if visit.principal.role < Role.OPERATOR:
        Words(say("alerts.not_allowed"), "nb-muted")
    with box("nb-card"):
        found = place()
    opened: set[int] = set()

    def draw(shown: alert_list.Alerts) -> None:
        with redrawn(found):
            if not shown.rows:
                parts.empty(say("alerts.none_found" if listing.filtered else "alerts.empty"))
            for alert in shown.rows:
                alert_list.full(visit, alert, shown.lives[alert.alert_id], view.look, opened=opened)
            listing.pager(shown.next_cursor)

    view = LiveView(visit, lambda: listing.key, lambda: _load(visit, listing), draw, INTERVAL_S)
    listing.changed = view.look
    await view.start()


def _filters(visit: Visit, listing: Listing) -> None:
    say = visit.say
    listing.select("state", say("alerts.state"), _states(visit), say("alerts.active"))
    listing.select("kind", say("alerts.kind"), {kind: evidence.family_name(say, kind) for kind in KINDS})
    certainties = {certainty: say(f"alerts.certainty.{certainty}") for certainty in CERTAINTIES}
    listing.select("certainty", say("alerts.certainty"), certainties)
    listing.select("severity", say("alerts.severity"), {level: say(f"alerts.severity.{level}") for level in SEVERITIES})
    listing.search("serial", say("alerts.serial"))
    orders = {str(order): say(f"alerts.order.{order}") for order in ORDERS}
    listing.select("order", say("alerts.order"), orders, say("alerts.order.usual"))


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
        certainty=asked["certainty"],
        serial=asked["serial"].strip(),
    )
    order = AlertOrder(asked["order"]) if asked["order"] else _usual_order(wanted)
    return await alert_list.load(visit, wanted, PAGE_ROWS, listing.cursor or None, order)


def _usual_order(wanted: AlertFilter) -> AlertOrder:
    """Closed alerts, of which there may be many, the newest first; leaks by what they lose."""
    if not wanted.states or not set(wanted.states) <= set(ACTIVE):
        return AlertOrder.NEWEST
    return AlertOrder.LOSS if wanted.kind in LOSING or wanted.certainty else AlertOrder.WORST
