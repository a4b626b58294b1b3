"""How a meter's page shows what people said of a reading or a day: all versions, and the forms that give and take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

from nicegui import ui
from nicegui.element import Element

from api.amendment_rules import NEEDED_ROLE
from api.pages import parts
from api.pages.deciding import Act, Changed, Said, buttons, carry_out
from api.pages.parts import Words, box
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import ML_PER_L
from api.reasons import MAX_REASON_CHARACTERS
from api.roles import Principal
from metering.errors import RequestError

INTERVAL_S = 10.0
SHOWN = 20

SAID = Said("amend.done", "amend.refused")
BY_PLATFORM = {"replaced": "amend.replaced", "installation changed": "amend.installation_changed"}
"""Why the platform withdrew one, as stored, and the name of its words."""


class Names(NamedTuple):
    """Of the texts of one kind."""

    give: str
    none: str


class Version(Protocol):
    """In force while `withdrawn_at` is None."""

    @property
    def made_by(self) -> str: ...
    @property
    def made_at(self) -> datetime: ...
    @property
    def withdrawn_at(self) -> datetime | None: ...
    @property
    def withdrawn_by(self) -> str | None: ...
    @property
    def withdrawn_why(self) -> str | None: ...


T = TypeVar("T", bound=Version)
TakeBack = Callable[[Principal, str], Awaitable[object]]
"""Takes it back with the reason."""


async def versions(
    visit: Visit,
    container: Element,
    names: Names,
    serial: str,
    load: Callable[[], Awaitable[Sequence[T]]],
    draw: Callable[[T, Changed], None],
    ask: Callable[[Changed], None],
) -> None:
    """All of the meter, drawn again when they change. `ask` opens the form that gives one more."""

    def draw_all(rows: Sequence[T]) -> None:
        with redrawn(container):
            if visit.principal.role >= NEEDED_ROLE:
                with box("nb-actions"):
                    parts.button(visit.say(names.give), lambda: ask(view.look))
            if not rows:
                parts.empty(visit.say(names.none))
            for row in rows:
                draw(row, view.look)

    view = LiveView(visit, lambda: (names, serial), load, draw_all, INTERVAL_S)
    await view.start()


def draw_version(
    visit: Visit, row: Version, said: str, why: str, take_back: tuple[str, Callable[[], None]] | None
) -> None:
    """`take_back`: the name of the button for who may, and what it does."""
    say = visit.say
    with box("nb-alert info"):
        with box("nb-alert-head"):
            parts.tag(
                say("amend.withdrawn" if row.withdrawn_at else "amend.in_force"), "" if row.withdrawn_at else "good"
            )
            Words(said, "nb-digits", "span")
        Words(why, "nb-said")
        facts = [say("amend.made", who=_who(visit, row.made_by), time=say.instant(row.made_at))]
        if row.withdrawn_at is not None:
            ended_why = row.withdrawn_why or ""
            if ended_why in BY_PLATFORM:
                ended_why = say(BY_PLATFORM[ended_why])
            by = _who(visit, row.withdrawn_by or "")
            facts.append(say("amend.withdrawn_at", who=by, time=say.instant(row.withdrawn_at), why=ended_why))
        Words(" · ".join(facts), "nb-muted nb-small")
        if take_back and row.withdrawn_at is None and visit.principal.role >= NEEDED_ROLE:
            with box("nb-actions"):
                parts.button(*take_back)


def reason_field(visit: Visit) -> ui.textarea:
    return ui.textarea(label=visit.say("amend.reason")).props(f"outlined autogrow maxlength={MAX_REASON_CHARACTERS}")


def finish_form(visit: Visit, dialog: ui.dialog, name: str, act: Act, changed: Changed) -> None:
    """The form's last row, named after what it does; the form closes when that was done."""

    async def done() -> None:
        if await carry_out(visit, NEEDED_ROLE, act, changed, SAID):
            dialog.close()

    buttons(visit, dialog, name, done)


def ask_back(visit: Visit, name: str, of: str, take_back: TakeBack, changed: Changed) -> None:
    """The form that takes one back, with its reason."""
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{name} · {of}", tag="h2")
        reason = reason_field(visit)
        finish_form(visit, dialog, name, lambda who: take_back(who, reason.value or ""), changed)


def millilitres(typed: object) -> int | None:
    """Litres as people write them; nothing takes the value away. Raises RequestError."""
    text = str(typed or "").strip()
    if not text:
        return None
    try:
        return round(float(text) * ML_PER_L)
    except (ValueError, OverflowError) as error:
        raise RequestError(f"{text!r} is no number of litres") from error


def _who(visit: Visit, login: str) -> str:
    return visit.say("alerts.platform") if login == "platform" else login
