"""Commands as pages show them: each with its life and what may be done, and the form that files one."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from api.command_rules import NEEDED_ROLE
from api.pages import deciding, parts
from api.pages.deciding import Act, Changed, Said, buttons
from api.pages.parts import Words, box
from api.pages.visit import Visit
from api.pages.wording import Wording
from api.queries.commanding import Filing, Order, approve_command, cancel_command, file_commands
from api.queries.commands import CommandRow, get_command
from api.reasons import MAX_REASON_CHARACTERS
from api.roles import Principal, Role
from metering.command_arguments import kind_name, may_close, read_arguments
from metering.commands import OPEN_STATES, CommandKind, CommandState, Recall
from metering.errors import RequestError, UnavailableError
from metering.model import Door

STATE_TONES: dict[CommandState, parts.Tone] = {
    CommandState.AWAITING_APPROVAL: "fair",
    CommandState.QUEUED: "fair",
    CommandState.HANDED_OVER: "fair",
    CommandState.CONFIRMED: "good",
    CommandState.FAILED: "poor",
    CommandState.REFUSED: "poor",
    CommandState.EXPIRED: "quiet",
    CommandState.CANCELLED: "quiet",
}
FIELDS: dict[CommandKind, tuple[str, ...]] = {
    CommandKind.REPORT_NOW: (),
    CommandKind.SET_CLOCK: (),
    CommandKind.READ_HISTORY: ("from_s", "to_s"),
    CommandKind.VALVE: ("valve",),
    CommandKind.REPORTING_PLAN: ("period_s", "offset_s", "interval_s"),
    CommandKind.RAW: ("frame",),
}
"""What the form asks for; firmware is for campaigns."""
DOORS = frozenset(map(str, Door))
"""By which a command was handed over, as against people."""
SAID = Said("commands.done", "commands.refused", "commands.not_allowed")


def draw(visit: Visit, row: CommandRow, opened: set[str], changed: Changed, with_meter: bool = True) -> None:
    """One line that opens; `changed` is awaited after somebody has acted on it here."""
    say = visit.say
    with parts.disclosure("nb-report", row.command_id, opened) as (heading, body):
        with heading:
            parts.tag(say(f"commands.state.{row.state}"), STATE_TONES[row.state])
            if row.recall is Recall.NOT_RECALLED:
                parts.tag(say("commands.state.not_recalled"), "poor")
            Words(say.value("commands.kind", row.kind) + _brief(visit, row), tag="span")
            if with_meter and row.serial:
                parts.link(row.serial, parts.meter_path(row.serial), "nb-digits")
            Words(say("commands.filed", login=row.filed_by, time=say.instant(row.filed_at)), "nb-muted", "span")
        with body:
            _details(visit, row)
            life = parts.place()
            _life_when_opened(visit, row, life, row.command_id in opened, heading)
            with box("nb-actions"):
                _actions(visit, row, changed)


def _brief(visit: Visit, row: CommandRow) -> str:
    """The one argument that matters at a glance."""
    valve = row.arguments.get("valve")
    return f" · {visit.say.value('commands.valve', valve)}" if valve else ""


def _details(visit: Visit, row: CommandRow) -> None:
    say = visit.say
    rows = [(say.value("commands.argument", name), _shown(visit, value)) for name, value in row.arguments.items()]
    if row.reason:
        rows.append((say("commands.reason"), say.remark(row.reason)))
    parts.text_pairs(rows)
    if row.recall is Recall.NOT_RECALLED:
        Words(say("commands.not_recalled_hint"), "nb-small")
    facts = [say("commands.expires", time=say.instant(row.expires_at))]
    if row.approved_by:
        facts.append(say("commands.approved", login=row.approved_by))
    if row.handovers:
        facts.append(say("commands.handovers", count=row.handovers))
    Words(" · ".join(facts), "nb-muted nb-small")
    Words(row.command_id, "nb-muted nb-small nb-digits")


def _shown(visit: Visit, value: Any) -> str:
    return visit.say.value("commands.valve", value)


def _life_when_opened(visit: Visit, row: CommandRow, life: Any, is_open: bool, heading: Any) -> None:
    """Asked for when somebody opens the line: lists stay quick."""

    async def show() -> None:
        if life.default_slot.children:
            return
        try:
            found = await get_command(visit.context.read, row.command_id)
        except (RequestError, UnavailableError):
            return
        say = visit.say
        with life, box("nb-life", "ol", **{"aria-label": say("commands.events")}):
            for event in found.events:
                with box("", "li"):
                    Words(say.instant(event.at, seconds=True), "nb-digits nb-muted", "span")
                    Words(_actor(say, event.actor), "nb-actor", "span")
                    Words(say.value("commands.state", event.state), tag="span")
                    if event.detail:
                        Words(say.remark(event.detail), "nb-said", "span")

    heading.on("click", show)
    if is_open:
        ui.timer(0.05, show, once=True)


def _actor(say: Wording, actor: str) -> str:
    return say.value("door", actor) if actor in DOORS else say.value("commands.actor", actor)


def _actions(visit: Visit, row: CommandRow, changed: Changed) -> None:
    who, kind = visit.principal, CommandKind[row.kind.upper()]
    if row.state not in OPEN_STATES or who.role < NEEDED_ROLE[kind]:
        return
    say, context = visit.say, visit.context
    if row.state is CommandState.AWAITING_APPROVAL and who.login != row.filed_by:

        async def approve(still: Principal) -> None:
            await approve_command(context.write, still, row.command_id, context.commands, context.now())

        parts.button(say("commands.approve"), lambda: carry_out(visit, kind, approve, changed), primary=True)

    async def cancel(still: Principal) -> None:
        await cancel_command(context.write, still, row.command_id, "", context.now())

    parts.button(say("commands.cancel"), lambda: carry_out(visit, kind, cancel, changed))


async def carry_out(visit: Visit, kind: CommandKind, act: Act, changed: Changed, done: str = "") -> bool:
    """Whether it was done, by who is still signed in and may file this kind; says how it went."""
    return await deciding.carry_out(visit, NEEDED_ROLE[kind], act, changed, SAID, done)


def offer(visit: Visit, serial: str, changed: Changed) -> None:
    """The button that opens the form, for who may file anything at all."""
    if visit.principal.role >= Role.OPERATOR:
        parts.button(visit.say("commands.file"), lambda: _ask(visit, serial, changed), primary=True)


def _ask(visit: Visit, serial: str, changed: Changed) -> None:
    say = visit.say
    kinds = [kind for kind in FIELDS if visit.principal.role >= NEEDED_ROLE[kind]]
    inputs: dict[str, Any] = {}
    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{say('commands.file')} · {serial}", tag="h2")
        shown = {kind_name(kind): say(f"commands.kind.{kind_name(kind)}") for kind in kinds}
        chosen = ui.select(shown, label=say("commands.kind"), value=kind_name(kinds[0])).props("outlined dense")
        fields = parts.place()
        reason = ui.textarea(label=say("commands.reason")).props(f"outlined autogrow maxlength={MAX_REASON_CHARACTERS}")
        Words(say("commands.close_hint"), "nb-muted nb-small")

        def redraw() -> None:
            fields.clear()
            inputs.clear()
            with fields:
                for name in FIELDS[CommandKind[chosen.value.upper()]]:
                    inputs[name] = _field(visit, name)

        async def act() -> None:
            kind = CommandKind[chosen.value.upper()]
            arguments = {name: _typed(name, field.value) for name, field in inputs.items()}
            if await _file(visit, serial, kind, arguments, reason.value or "", changed):
                dialog.close()

        chosen.on_value_change(redraw)
        redraw()
        buttons(visit, dialog, say("commands.file"), act)


def _field(visit: Visit, name: str) -> Any:
    say, label = visit.say, visit.say.value("commands.argument", name)
    if name == "valve":
        actions = {action: say(f"commands.valve.{action}") for action in ("open", "close")}
        return ui.select(actions, label=label, value="open").props("outlined dense")
    return ui.input(label=label).props("outlined dense")


def _typed(name: str, value: Any) -> Any:
    text = str(value or "").strip()
    return int(text) if name.endswith("_s") and text.isdecimal() and len(text) < 12 else text


async def _file(
    visit: Visit, serial: str, kind: CommandKind, arguments: dict[str, Any], reason: str, changed: Changed
) -> bool:
    context, say = visit.context, visit.say

    async def file(who: Principal) -> None:
        filing = Filing(kind, [Order(serial, arguments)], reason)
        await file_commands(context.write, who, filing, context.commands, context.now())

    done = say("commands.waits_for_another") if _waits(kind, arguments) else ""
    return await carry_out(visit, kind, file, changed, done)


def _waits(kind: CommandKind, arguments: dict[str, Any]) -> bool:
    try:
        return may_close(kind, read_arguments(kind, arguments))
    except RequestError:
        return False
