"""All commands: what was filed, what waits for a second person, what became of each."""

from __future__ import annotations

from nicegui.element import Element

from api.pages import command_list, parts
from api.pages.listing import Listing
from api.pages.parts import Words, box, place
from api.pages.visit import LiveView, Visit, redrawn
from api.queries.commands import CommandFilter, CommandRow, list_commands
from api.queries.paging import Page
from metering.command_arguments import kind_name
from metering.commands import CommandKind, CommandState

INTERVAL_S = 5.0
PAGE_ROWS = 25
METER_ROWS = 10
KINDS = {kind_name(kind): kind for kind in CommandKind}


async def build(visit: Visit) -> None:
    say = visit.say
    choices: dict[str, set[str] | None] = {
        "state": {str(state) for state in CommandState}, "kind": set(KINDS), "serial": None,
    }  # fmt: skip
    listing = Listing(visit, "/commands", choices)
    with box("nb-head"):
        Words(say("frame.commands"), tag="h1")
    Words(say("commands.intro"), "nb-muted")
    with box("nb-filters", "search"):
        states = {str(state): say(f"commands.state.{state}") for state in CommandState}
        listing.select("state", say("alerts.state"), states)
        listing.select("kind", say("commands.kind"), {kind: say(f"commands.kind.{kind}") for kind in KINDS})
        listing.search("serial", say("commands.serial_search"))
    with box("nb-card"):
        found = place()
    opened: set[str] = set()

    def draw(page: Page[CommandRow]) -> None:
        with redrawn(found):
            if not page.items:
                parts.empty(say("commands.none_found" if listing.filtered else "commands.empty"))
            for row in page.items:
                command_list.draw(visit, row, opened, view.look)
            listing.pager(page.next_cursor)

    view = LiveView(visit, lambda: listing.key, lambda: _load(visit, listing), draw, INTERVAL_S)
    listing.changed = view.look
    await view.start()


async def _load(visit: Visit, listing: Listing) -> Page[CommandRow]:
    asked = listing.asked
    wanted = CommandFilter(
        (CommandState(asked["state"]),) if asked["state"] else (),
        KINDS[asked["kind"]] if asked["kind"] else None,
        asked["serial"].strip(),
    )
    return await list_commands(visit.context.read, wanted, limit=PAGE_ROWS, cursor=listing.cursor or None)


async def of_meter(visit: Visit, serial: str, container: Element) -> None:
    """The newest commands of a meter, and the form, on its own page."""
    opened: set[str] = set()

    async def load() -> list[CommandRow]:
        return (await list_commands(visit.context.read, CommandFilter(serial=serial), limit=METER_ROWS)).items

    def draw(rows: list[CommandRow]) -> None:
        with redrawn(container):
            with box("nb-actions"):
                command_list.offer(visit, serial, view.look)
            if not rows:
                parts.empty(visit.say("commands.empty"))
            for row in rows:
                command_list.draw(visit, row, opened, view.look, with_meter=False)

    view = LiveView(visit, lambda: ("commands of", serial), load, draw, INTERVAL_S)
    await view.start()
