"""Devices that knock and are not in the registry: an engineer takes them in or dismisses them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from nicegui import ui

from api.database import WritePool
from api.pages import parts
from api.pages.deciding import buttons
from api.pages.listing import Listing
from api.pages.parts import Words, box, place
from api.pages.visit import LiveView, Visit, redrawn
from api.queries.paging import Page
from api.queries.strangers import StrangerRow, approve_stranger, dismiss_stranger, list_strangers
from api.roles import Principal, Role
from metering.errors import NotFoundError, RequestError, UnavailableError

PATH = "/unknown-devices"
INTERVAL_S = 5.0
PAGE_ROWS = 25
DISMISSED = "dismissed"
MAX_SERIAL_CHARACTERS = 32
_IMEI = re.compile(r"(?:urn:imei:)?[0-9]{15}")
_SERIAL = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,31}")

Work = Callable[[WritePool, Principal], Awaitable[object]]


async def build(visit: Visit) -> None:
    say = visit.say
    listing = Listing(visit, PATH, {"state": {DISMISSED}, "search": None})
    with box("nb-head"):
        Words(say("frame.unknown_devices"), tag="h1")
    Words(say("unknown_devices.intro"), "nb-muted")
    with box("nb-filters", "search"):
        listing.select(
            "state", say("alerts.state"), {DISMISSED: say("unknown_devices.dismissed")}, say("unknown_devices.waiting")
        )
        listing.search("search", say("unknown_devices.search"))
    if visit.principal.role < Role.ENGINEER:
        Words(say("unknown_devices.not_allowed"), "nb-muted")
    with box("nb-card"):
        found = place()

    def draw(page: Page[StrangerRow]) -> None:
        with redrawn(found):
            if not page.items:
                parts.empty(say("unknown_devices.none_found" if listing.filtered else "unknown_devices.empty"))
            for stranger in page.items:
                _stranger(visit, stranger, view)
            listing.pager(page.next_cursor)

    view = LiveView(visit, lambda: listing.key, lambda: _load(visit, listing), draw, INTERVAL_S)
    listing.changed = view.look
    await view.start()


async def _load(visit: Visit, listing: Listing) -> Page[StrangerRow]:
    return await list_strangers(
        visit.context.read,
        dismissed=listing.asked["state"] == DISMISSED,
        search=listing.asked["search"],
        limit=PAGE_ROWS,
        cursor=listing.cursor or None,
    )


def _stranger(visit: Visit, stranger: StrangerRow, view: LiveView[Page[StrangerRow]]) -> None:
    say = visit.say
    with box("nb-alert info", "article", **{"aria-label": stranger.name}):
        with box("nb-alert-head"):
            Words(stranger.name, "nb-alert-kind nb-digits", "span")
            parts.tag(say.value("door", stranger.door), "quiet")
            parts.tag(say.value("reason", stranger.reason), "fair")
        facts = [
            say("unknown_devices.source", source=stranger.source),
            say("unknown_devices.knocks", count=stranger.knocks),
            say("unknown_devices.first", time=say.instant(stranger.first_at)),
            say("unknown_devices.last", time=say.instant(stranger.last_at, seconds=True)),
        ]
        Words(" · ".join(facts), "nb-muted nb-small")
        if stranger.dismissed_at is not None:
            by, time = stranger.dismissed_by or "", say.instant(stranger.dismissed_at)
            Words(say("unknown_devices.dismissed_by", who=by, time=time), "nb-muted nb-small")
        if visit.principal.role >= Role.ENGINEER:
            with box("nb-actions"):
                parts.button(say("unknown_devices.approve"), lambda: _ask(visit, stranger, view), primary=True)
                if stranger.dismissed_at is None:
                    parts.button(say("unknown_devices.dismiss"), lambda: _dismiss(visit, stranger, view))


def _ask(visit: Visit, stranger: StrangerRow, view: LiveView[Page[StrangerRow]]) -> None:
    """Asks for the serial of its meter. The dialog belongs to the page, not to the row, which may be drawn again."""
    say = visit.say
    is_serial = _SERIAL.fullmatch(stranger.name) and not _IMEI.fullmatch(stranger.name)

    async def act() -> None:
        wanted = (serial.value or "").strip()
        if not _SERIAL.fullmatch(wanted):
            serial.props["error"] = True
            serial.props["error-message"] = say("unknown_devices.serial_needed")
            return
        dialog.close()
        await _do(visit, lambda pool, who: _approve(pool, who, stranger, wanted, bool(plain.value)), view)

    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(say("unknown_devices.approve_title", name=stranger.name), tag="h2")
        serial = ui.input(label=say("unknown_devices.serial"), value=stranger.name if is_serial else "")
        serial.props(f"outlined autofocus maxlength={MAX_SERIAL_CHARACTERS}")
        Words(say("unknown_devices.serial_hint"), "nb-muted nb-small")
        plain = ui.checkbox(say("unknown_devices.plain", source=stranger.source))
        Words(say("unknown_devices.plain_hint"), "nb-muted nb-small")
        buttons(visit, dialog, say("unknown_devices.approve"), act)


async def _approve(pool: WritePool, who: Principal, stranger: StrangerRow, serial: str, plain: bool) -> None:
    await approve_stranger(pool, stranger.name, serial, plain, actor=who.login, source=stranger.source)


async def _dismiss(visit: Visit, stranger: StrangerRow, view: LiveView[Page[StrangerRow]]) -> None:
    await _do(visit, lambda pool, who: dismiss_stranger(pool, stranger.name, actor=who.login), view)


async def _do(visit: Visit, work: Work, view: LiveView[Page[StrangerRow]]) -> None:
    say = visit.say
    try:
        who = await visit.still(Role.ENGINEER)
        if who is None:
            ui.notify(say("unknown_devices.not_allowed"), type="warning")
            return
        await work(visit.context.write, who)
        ui.notify(say("unknown_devices.done"), type="positive")
    except NotFoundError:
        ui.notify(say("unknown_devices.gone"), type="warning")
    except RequestError as error:
        ui.notify(say("unknown_devices.refused", why=say.refusal(error)), type="warning")
    except UnavailableError:
        ui.notify(say("frame.data_failed_first"), type="negative")
    visit.answers.forget()
    await view.look()
