"""Alerts as pages show them: in brief, and in full with their evidence and what may be done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from api.alert_life import REASON_NEEDED, AlertAction, AlertState, actions
from api.auth import Role
from api.pages import evidence, parts
from api.pages.parts import Words, box
from api.pages.visit import Visit
from api.pages.wording import rate, volume
from api.queries.alerts import AlertRow, move_alert
from metering.errors import ConflictError, RequestError, UnavailableError

STATE_TONES: dict[AlertState, parts.Tone] = {
    AlertState.OPEN: "poor",
    AlertState.ACKNOWLEDGED: "fair",
    AlertState.RESOLVED: "good",
    AlertState.DISMISSED: "quiet",
}
SEVERITY_TONES: dict[str, parts.Tone] = {"critical": "poor", "warning": "fair", "info": ""}
Changed = Callable[[], Awaitable[None]]


def brief(visit: Visit, alert: AlertRow) -> None:
    """One line: what, where, since when, how much."""
    with box(f"nb-alert {_severity(alert)}"), box("nb-alert-head"):
        _heading(visit, alert)
        Words(visit.say.ago(alert.raised_at, visit.context.now()), "nb-muted nb-small", "span")


def full(visit: Visit, alert: AlertRow, changed: Changed, with_meter: bool = True) -> None:
    """Everything about an alert; `changed` is awaited after somebody has acted on it here."""
    say = visit.say
    with box(f"nb-alert {_severity(alert)}", "article", **{"aria-label": evidence.kind_name(say, alert.kind)}):
        with box("nb-alert-head"):
            _heading(visit, alert, with_meter)
            parts.tag(say(f"alerts.state.{alert.state}"), STATE_TONES[alert.state])
        for sentence in evidence.sentences(say, alert):
            Words(sentence, "nb-alert-words")
        Words(" · ".join(_facts(visit, alert)), "nb-muted nb-small")
        if alert.state in (AlertState.OPEN, AlertState.ACKNOWLEDGED) and visit.principal.role >= Role.OPERATOR:
            with box("nb-actions"):
                for action in actions(alert.state):
                    _action(visit, alert, action, changed)


def _severity(alert: AlertRow) -> str:
    return alert.severity if alert.severity in SEVERITY_TONES else "info"


def _heading(visit: Visit, alert: AlertRow, with_meter: bool = True) -> None:
    say = visit.say
    parts.tag(say.value("alerts.severity", alert.severity), SEVERITY_TONES.get(alert.severity, ""))
    Words(evidence.kind_name(say, alert.kind), "nb-alert-kind", "span")
    if alert.rate_ml_h:
        Words(rate(alert.rate_ml_h), "nb-digits", "span")
    if with_meter and alert.serial:
        parts.link(say("alerts.meter_link", serial=alert.serial), parts.meter_path(alert.serial))
        if alert.address:
            Words(alert.address, "nb-muted nb-small", "span")


def _facts(visit: Visit, alert: AlertRow) -> list[str]:
    say = visit.say
    facts = [
        say("alerts.started", time=say.instant(alert.started_at)),
        say("alerts.raised", time=say.instant(alert.raised_at)),
        say("alerts.last_seen", time=say.instant(alert.last_seen_at)),
    ]
    if alert.ended_at is not None:
        facts.append(say("alerts.ended", time=say.instant(alert.ended_at)))
    if alert.loss_ml:
        facts.append(say("alerts.loss", volume=volume(alert.loss_ml)))
    return facts


def _action(visit: Visit, alert: AlertRow, action: AlertAction, changed: Changed) -> None:
    text = visit.say(f"alerts.{action}")
    parts.button(text, lambda: _ask(visit, alert, action, changed), primary=action is AlertAction.ACKNOWLEDGE)


def _ask(visit: Visit, alert: AlertRow, action: AlertAction, changed: Changed) -> None:
    """Asks for the reason, then acts. The dialog belongs to the page, not to the alert, which may be drawn again."""
    say = visit.say

    async def act() -> None:
        if action in REASON_NEEDED and not (reason.value or "").strip():
            reason.props["error"] = True
            reason.props["error-message"] = say("alerts.reason_needed")
            return
        dialog.close()
        await _move(visit, alert, action, reason.value or "", changed)

    with visit.client.content, ui.dialog() as dialog, ui.card().classes("nb-dialog"):
        Words(f"{say(f'alerts.{action}')} · {evidence.kind_name(say, alert.kind)}", tag="h2")
        reason = ui.textarea(label=say("alerts.reason")).props("outlined autofocus autogrow maxlength=500")
        with box("nb-actions"):
            parts.button(say(f"alerts.{action}"), act, primary=True)
            parts.button(say("frame.cancel"), dialog.close)
    dialog.on("hide", dialog.delete)
    dialog.open()


async def _move(visit: Visit, alert: AlertRow, action: AlertAction, reason: str, changed: Changed) -> None:
    say, context = visit.say, visit.context
    try:
        who = await visit.still(Role.OPERATOR)
        if who is None:
            ui.notify(say("alerts.not_allowed"), type="warning")
            return
        state = await move_alert(
            context.write, alert.alert_id, action, actor=who.login, reason=reason, expected=alert.state
        )
        ui.notify(say("alerts.done", state=say(f"alerts.state.{state}")), type="positive")
    except ConflictError:
        ui.notify(say("alerts.conflict"), type="warning")
    except (RequestError, UnavailableError):
        ui.notify(say("frame.data_failed_first"), type="negative")
    visit.answers.forget()
    await changed()
