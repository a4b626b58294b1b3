"""The form that suppresses alerts of a meter or a zone for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from nicegui import ui

from api.alert_kinds import OF_ZONES, SUPPRESSIBLE
from api.pages import clocks, deciding, evidence, parts, typed
from api.pages.deciding import Act, Changed, Said, buttons
from api.pages.parts import Words
from api.pages.visit import Visit
from api.queries.meters import list_zones
from api.queries.suppressions import suppress
from api.reasons import MAX_REASON_CHARACTERS
from api.roles import Principal, Role
from api.suppression_rules import Wanted
from metering.errors import RequestError

USUAL_LENGTH = timedelta(days=1)
FOR_INPUT = "%Y-%m-%dT%H:%M"
"""As the browser's own field for date and time has it."""
FOR_TIMES = "outlined dense type=datetime-local stack-label"

SAID = Said("suppressions.done", "suppressions.refused", "suppressions.not_allowed")


@dataclass(frozen=True, slots=True)
class Target:
    """Of an alert; both None: the form asks."""

    serial: str | None = None
    zone_code: str | None = None


def offer(visit: Visit, target: Target, kind: str, changed: Changed) -> None:
    """The button of an alert, where it is about a meter or a zone."""
    if target.serial or target.zone_code:
        family = next((known for known in SUPPRESSIBLE if known == kind or kind.startswith(known)), "")
        parts.button(visit.say("alerts.suppress"), lambda: ask(visit, target, family, changed))


async def ask(visit: Visit, target: Target, kind: str, changed: Changed) -> None:
    """Opens the form. `kind`: what it proposes; empty: all kinds."""
    say = visit.say
    zones = await list_zones(visit.context.read)
    names = {"": say("suppressions.only_meter"), **{zone.code: parts.named(zone.name, zone.code) for zone in zones}}
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(say("suppressions.add"), tag="h2")
        read = _fields(visit, target, kind, names)
        Words(say("suppressions.hint"), "nb-muted nb-small")
        if clocks.changes_clocks(say.zone, visit.context.now()):
            Words(say("suppressions.hint_twice"), "nb-muted nb-small")

        async def act() -> None:
            async def add(who: Principal) -> None:
                wanted = read()
                _check(visit, wanted)
                await suppress(visit.context.write, wanted, actor=who.login, now=visit.context.now())

            if await carry_out(visit, add, changed):
                dialog.close()

        buttons(visit, dialog, say("suppressions.add"), act)


def _fields(visit: Visit, target: Target, kind: str, zone_names: dict[str, str]) -> Callable[[], Wanted]:
    """Draws them; what is returned reads them and raises RequestError when a time is missing or is none."""
    say = visit.say
    serial = ui.input(label=say("suppressions.serial"), value=target.serial or "").props("outlined dense")
    of_zone = "" if target.serial or target.zone_code not in zone_names else target.zone_code
    zone = ui.select(zone_names, label=say("suppressions.zone"), value=of_zone).props("outlined dense options-dense")
    kinds = {"": say("suppressions.all_kinds"), **{one: evidence.family_name(say, one) for one in SUPPRESSIBLE}}
    chosen = ui.select(kinds, label=say("alerts.kind"), value=kind).props("outlined dense options-dense")
    now = visit.context.now()
    times = ((say("suppressions.from"), now), (say("suppressions.to"), now + USUAL_LENGTH))
    begin, end = (
        ui.input(label=label, value=at.astimezone(say.zone).strftime(FOR_INPUT)).props(FOR_TIMES) for label, at in times
    )
    reason = ui.textarea(label=say("suppressions.reason")).props(f"outlined autogrow maxlength={MAX_REASON_CHARACTERS}")

    def read() -> Wanted:
        window = typed.span(say, begin.value, end.value)
        of_meter = (serial.value or "").strip()
        return Wanted(of_meter or None, zone.value or None, chosen.value or None, *window, reason.value or "")

    return read


async def carry_out(visit: Visit, act: Act, changed: Changed) -> bool:
    """Whether it was done, by who is still signed in; says how it went."""
    return await deciding.carry_out(visit, Role.OPERATOR, act, changed, SAID)


def _check(visit: Visit, wanted: Wanted) -> None:
    """What people get wrong, in the reader's language. Raises RequestError."""
    say, now = visit.say, visit.context.now()
    if bool(wanted.serial) == bool(wanted.zone):
        raise RequestError(say("suppressions.one_target"))
    if wanted.serial and wanted.kind in OF_ZONES:
        raise RequestError(say("suppressions.zone_only"))
    if wanted.valid_to <= max(wanted.valid_from, now):
        raise RequestError(say("suppressions.end_later"))
    if not wanted.reason.strip():
        raise RequestError(say("alerts.reason_needed"))
