"""What dialogs of decisions share: their buttons, and carrying out what was decided as whoever is still signed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from nicegui import ui

from api.pages import parts
from api.pages.parts import box
from api.pages.visit import Visit
from api.roles import Principal, Role
from metering.errors import RequestError, UnavailableError

Changed = Callable[[], Awaitable[None]]
Act = Callable[[Principal], Awaitable[object]]


class Said(NamedTuple):
    """Names of texts: what to say when it is done, the words around a refusal, and what to whom it is not allowed."""

    done: str
    refused: str
    not_allowed: str = "amend.not_allowed"


def buttons(visit: Visit, dialog: ui.dialog, name: str, act: Callable[[], Awaitable[None]]) -> None:
    """The dialog's last row; opens it."""
    with box("nb-actions"):
        parts.button(name, act, primary=True)
        parts.button(visit.say("frame.cancel"), dialog.close)
    dialog.on("hide", dialog.delete)
    dialog.open()


async def carry_out(visit: Visit, role: Role, act: Act, changed: Changed, said: Said, done_words: str = "") -> bool:
    """Whether it was done; says how it went. `done_words`: said instead of `said.done`."""
    say, done = visit.say, False
    try:
        who = await visit.still(role)
        if who is None:
            ui.notify(say(said.not_allowed), type="warning")
            return False
        await act(who)
        done = True
        ui.notify(done_words or say(said.done), type="positive")
    except RequestError as error:
        ui.notify(say(said.refused, why=say.refusal(error)), type="warning")
    except UnavailableError:
        ui.notify(say("frame.data_failed_first"), type="negative")
    visit.answers.forget()
    await changed()
    return done
