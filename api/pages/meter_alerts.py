"""The alerts on a meter's page: the open, the worst first, then the newest that are closed; the list has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from nicegui import ui

from api.alert_life import CLOSED
from api.pages import alert_list, alerts, parts
from api.pages.visit import LiveView, Visit, redrawn
from api.queries.alerts import ACTIVE, AlertEventRow, AlertFilter, AlertOrder, AlertRow

INTERVAL_S = 10.0
SHOWN = 10


@dataclass(frozen=True, slots=True)
class _Shown:
    rows: list[AlertRow]
    lives: dict[int, list[AlertEventRow]]
    are_all: bool


async def of_meter(visit: Visit, serial: str, container: ui.element) -> None:
    """Of those that are closed the details are behind a fold."""
    opened: set[int] = set()

    def draw(found: _Shown) -> None:
        with redrawn(container):
            if not found.rows:
                parts.empty(visit.say("meter.no_alerts"))
            for alert in found.rows:
                folded = opened if alert.state in CLOSED else None
                life = found.lives[alert.alert_id]
                alert_list.full(visit, alert, life, view.look, with_meter=False, opened=folded)
            if not found.are_all:
                asked = urlencode({"serial": serial, "state": alerts.ALL_STATES})
                parts.link(visit.say("meter.all_alerts"), f"{alerts.PATH}?{asked}", "nb-small")

    view = LiveView(visit, lambda: ("alerts of", serial), lambda: _load(visit, serial), draw, INTERVAL_S)
    await view.start()


async def _load(visit: Visit, serial: str) -> _Shown:
    wanted = AlertFilter(ACTIVE, serial=serial)
    found = await alert_list.load(visit, wanted, SHOWN, None, AlertOrder.WORST)
    left = SHOWN - len(found.rows)
    if not left:
        return _Shown(found.rows, found.lives, are_all=False)
    wanted = AlertFilter(tuple(CLOSED), serial=serial)
    closed = await alert_list.load(visit, wanted, left, None, AlertOrder.NEWEST)
    return _Shown(found.rows + closed.rows, found.lives | closed.lives, closed.next_cursor is None)
