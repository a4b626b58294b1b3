"""Alerts as pages show them: in brief, and in full with their evidence, their life and what may be done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from nicegui import ui

from api.alert_life import REASON_NEEDED, AlertAction, AlertState, actions
from api.pages import evidence, leak_evidence, parts, suppress_form
from api.pages.parts import Words, attributes, box
from api.pages.visit import Visit
from api.pages.wording import rate, volume, yearly
from api.queries.alerts import (
    CERTAINTIES,
    AlertEventRow,
    AlertFilter,
    AlertOrder,
    AlertRow,
    list_alert_events,
    list_alerts,
    move_alert,
    valued,
)
from api.roles import Role
from metering.errors import ConflictError, RequestError, UnavailableError

STATE_TONES: dict[AlertState, parts.Tone] = {
    AlertState.OPEN: "poor",
    AlertState.ACKNOWLEDGED: "fair",
    AlertState.RESOLVED: "good",
    AlertState.DISMISSED: "quiet",
}
SEVERITY_TONES: dict[str, parts.Tone] = {"critical": "poor", "warning": "fair", "info": ""}
CERTAINTY_TONES: dict[str, parts.Tone] = {"suspected": "fair", "confirmed": "poor", "cleared": "good"}
PLATFORM = "platform"
OUTAGE = "outage:"
Changed = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Alerts:
    """Some alerts with their lives, by alert id."""

    rows: list[AlertRow]
    lives: dict[int, list[AlertEventRow]]
    next_cursor: str | None


async def load(visit: Visit, wanted: AlertFilter, limit: int, cursor: str | None, order: AlertOrder) -> Alerts:
    pool, utility = visit.context.read, visit.context.utility
    page = await list_alerts(pool, wanted, limit=limit, cursor=cursor, order=order)
    rows = [valued(row, utility.water_price, utility.currency) for row in page.items]
    return Alerts(rows, await list_alert_events(pool, rows), page.next_cursor)


def brief(visit: Visit, alert: AlertRow) -> None:
    """One line: what, how much, where, since when."""
    with box(f"nb-alert {_severity(alert)}"), box("nb-alert-head"):
        _heading(visit, alert)
        Words(_since(visit, alert), "nb-muted nb-small", "span")


def full(
    visit: Visit, alert: AlertRow, life: Sequence[AlertEventRow], changed: Changed, *, with_meter: bool = True,
    opened: set[int] | None = None,
) -> None:  # fmt: skip
    """Everything about an alert; `changed` is awaited after somebody has acted on it here. `opened`: the alerts whose
    details the reader has open; None: all is shown at once."""
    say = visit.say
    with box(f"nb-alert {_severity(alert)}", "article", **{"aria-label": evidence.kind_name(say, alert.kind)}):
        with box("nb-alert-head"):
            parts.tag(say(f"alerts.state.{alert.state}"), STATE_TONES[alert.state])
            _heading(visit, alert, with_meter, handed := _closing(visit, life))
        first, *more = evidence.sentences(say, alert)
        if handed:  # what the last sentence says of an end is not so: the platform closed it for another reason
            more[-1:] = [handed]
        more[-1:-1] = filter(None, [leak_evidence.cost(say, alert)])
        Words(first, "nb-alert-words")
        _drawing(visit, alert)
        with _unfolded(visit, alert, opened):
            for sentence in more:
                Words(sentence, "nb-alert-words")
            if alert.kind.startswith(OUTAGE):
                file = parts.link(say("alerts.outage_meters"), f"/api/v1/alerts/{alert.alert_id}/meters?format=csv")
                attributes(file, {"download": ""})
            Words(" · ".join(_facts(visit, alert, gone=not handed)), "nb-muted nb-small")
            _life(visit, life)
        if alert.state in (AlertState.OPEN, AlertState.ACKNOWLEDGED) and visit.principal.role >= Role.OPERATOR:
            with box("nb-actions"):
                for action in actions(alert.state):
                    _action(visit, alert, action, changed)
                suppress_form.offer(visit, suppress_form.Target(alert.serial, alert.zone_code), alert.kind, changed)


@contextmanager
def _unfolded(visit: Visit, alert: AlertRow, opened: set[int] | None) -> Iterator[None]:
    """Where the rest of an alert goes."""
    if opened is None:
        yield
        return
    with parts.disclosure("nb-report nb-alert-more", alert.alert_id, opened) as (line, body):
        with line:
            Words(visit.say("alerts.details"), tag="span")
        with body:
            yield


def _drawing(visit: Visit, alert: AlertRow) -> None:
    drawn = evidence.drawing(visit.say, alert)
    if drawn is None:
        return
    with box("nb-hours", "figure", role="img", **{"aria-label": drawn.words}):
        ui.html(drawn.svg, sanitize=False)  # numbers and our own words only, see hourly_bars
        Words(drawn.hint, "nb-muted nb-small", "figcaption")


def _life(visit: Visit, life: Sequence[AlertEventRow]) -> None:
    """Who did what when, and when the platform became how sure. That it raised it is among the facts already."""
    say = visit.say
    if not any(event.from_state or event.to_state in CERTAINTIES for event in life):
        return
    with box("nb-life", "ol", **{"aria-label": say("alerts.life")}):
        for event in life:
            with box("", "li"):
                Words(say.instant(event.at), "nb-digits nb-muted", "span")
                Words(say("alerts.platform") if event.actor == PLATFORM else event.actor, "nb-actor", "span")
                Words(_moved(visit, event), tag="span")
                if event.reason and event.actor != PLATFORM:
                    Words(event.reason, "nb-said", "span")


def _moved(visit: Visit, event: AlertEventRow) -> str:
    say = visit.say
    if event.to_state in CERTAINTIES:
        return say(f"alerts.certainty.{event.to_state}")
    if event.from_state is None:
        return say("alerts.life_raised")
    if event.actor == PLATFORM and event.reason:
        return say.value("alerts.closed_by_platform", event.reason)
    before, after = (say.value("alerts.state", state) for state in (event.from_state, event.to_state))
    return say("alerts.life_moved", before=before, after=after)


def _severity(alert: AlertRow) -> str:
    return alert.severity if alert.severity in SEVERITY_TONES else "info"


def _closing(visit: Visit, life: Sequence[AlertEventRow]) -> str:
    """Why the platform itself closed the alert; empty where it did not."""
    last = life[-1] if life else None
    return _moved(visit, last) if last and last.from_state and last.actor == PLATFORM and last.reason else ""


def _heading(visit: Visit, alert: AlertRow, with_meter: bool = True, handed: str = "") -> None:
    """`handed`: why the platform itself closed it, said in place of that it seems over."""
    say = visit.say
    parts.tag(say.value("alerts.severity", alert.severity), SEVERITY_TONES.get(alert.severity, ""))
    Words(evidence.kind_name(say, alert.kind), "nb-alert-kind", "span")
    if alert.certainty is not None:
        parts.tag(say.value("alerts.certainty", alert.certainty), CERTAINTY_TONES.get(alert.certainty, ""))
    if alert.rate_ml_h:
        words = "alerts.loss_rate" if alert.ended_at is None else "alerts.loss_rate_over"
        Words(say(words, rate=rate(alert.rate_ml_h)), "nb-digits nb-loss", "span")
    if alert.loss_year_ml and alert.loss_year_money is not None:
        money = say.money(alert.loss_year_money, alert.currency)
        Words(say("alerts.loss_year", volume=yearly(alert.loss_year_ml), money=money), "nb-digits", "span")
    if alert.ended_at is not None and alert.certainty is None:
        parts.tag(handed or say("alerts.over"), "quiet")
    if with_meter and alert.serial:
        parts.link(say("alerts.meter_link", serial=alert.serial), parts.meter_path(alert.serial))
        if alert.address:
            Words(alert.address, "nb-muted nb-small", "span")
    if with_meter and not alert.serial and alert.zone_code:
        parts.link(parts.named(alert.zone_name, alert.zone_code), parts.district_path(alert.zone_code))


def _since(visit: Visit, alert: AlertRow) -> str:
    """Since when it lasts, and what it has cost so far."""
    say = visit.say
    facts = [say("alerts.started", time=say.instant(alert.started_at))]
    if alert.loss_ml:
        facts.append(say("alerts.loss", volume=volume(alert.loss_ml)))
    return " · ".join(facts)


def _facts(visit: Visit, alert: AlertRow, gone: bool = True) -> list[str]:
    """Its times; `gone`: whether its end means that what it warns of is over."""
    say = visit.say
    again = alert.started_at > alert.raised_at  # it had rested since it was raised
    facts = [
        say("alerts.started_again" if again else "alerts.started", time=say.instant(alert.started_at)),
        say("alerts.first_raised" if again else "alerts.raised", time=say.instant(alert.raised_at)),
        say("alerts.last_seen", time=say.instant(alert.last_seen_at)),
    ]
    if alert.ended_at is not None and gone:
        facts.append(say("alerts.ended", time=say.instant(alert.ended_at)))
    if alert.loss_ml and not alert.rate_ml_h:
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
    except RequestError as error:
        ui.notify(say("frame.refused", why=say.refusal(error)), type="warning")
    except UnavailableError:
        ui.notify(say("frame.data_failed_first"), type="negative")
    visit.answers.forget()
    await changed()
