"""A list with filters and pages: what is asked stands in the address, so that it can be sent to a colleague."""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlencode

from nicegui import ui

from api.pages.parts import attributes, box, button
from api.pages.visit import Visit

MAX_SEARCH_CHARACTERS = 100


class Listing:
    """Filters and the page of a list. `asked` holds the values, all of them texts, empty for "all"."""

    def __init__(self, visit: Visit, path: str, choices: Mapping[str, set[str] | None]) -> None:
        """`choices`: the names of the filters, each with the values it may have; None for free text."""
        self._visit, self._path = visit, path
        self.asked = {name: _searchable(visit.asked(name, allowed)) for name, allowed in choices.items()}
        self.cursor = ""
        self.changed: Callable[[], Awaitable[None]]

    @property
    def key(self) -> tuple[str, ...]:
        """What the list's answer depends on."""
        return (self._path, *self.asked.values(), self.cursor)

    @property
    def filtered(self) -> bool:
        return any(self.asked.values())

    def search(self, name: str, label: str) -> None:
        field = ui.input(label=label, value=self.asked[name]).props("outlined dense clearable debounce=350 type=search")
        attributes(field.classes("nb-search"), {"aria-label": label, "maxlength": MAX_SEARCH_CHARACTERS})
        field.on_value_change(lambda event: self._set(name, event.value))

    def select(self, name: str, label: str, options: Mapping[str, str], unset: str = "") -> None:
        """`unset` is the word for no choice; without it that is "all"."""
        shown = {"": unset or self._visit.say("frame.all"), **options}
        value = self.asked[name] if self.asked[name] in shown else ""
        field = ui.select(shown, label=label, value=value).props("outlined dense options-dense")
        attributes(field, {"aria-label": label})
        field.on_value_change(lambda event: self._set(name, event.value))

    def pager(self, next_cursor: str | None) -> None:
        """Links to the first and the next page, where there are such."""
        say = self._visit.say
        if not (self.cursor or next_cursor):
            return
        with box("nb-pager", "nav"):
            if self.cursor:
                button(say("frame.first"), lambda: self._turn(""))
            if next_cursor:
                button(say("frame.older"), lambda: self._turn(next_cursor))

    async def _set(self, name: str, value: object) -> None:
        self.asked[name] = _searchable(str(value or ""))
        await self._turn("")

    async def _turn(self, cursor: str) -> None:
        self.cursor = cursor
        parameters = {name: value for name, value in self.asked.items() if value}
        query = f"?{urlencode(parameters)}" if parameters else ""
        ui.navigate.history.replace(self._path + query)
        await self.changed()


def _searchable(text: str) -> str:
    """What the database can compare: bounded, and without the one character it cannot hold. Numbers and letters of
    full width, as Chinese input types them, are the plain ones."""
    bounded = text.replace("\0", "")[:MAX_SEARCH_CHARACTERS]
    plain = unicodedata.normalize("NFKC", bounded)
    return plain if plain.isascii() else bounded
