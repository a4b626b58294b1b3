"""The data path, stage by stage from left to right; whether every report is accounted for; the way of one report."""

from __future__ import annotations

from nicegui import ui

from api.pages import overview, parts
from api.pages.parts import Tone, Words, attributes, box, card, place
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import DASH, Wording, count
from api.path import Figure, Path, Stage, State, Unit
from api.queries.trace import Step, Trace, get_trace
from metering.errors import NotFoundError, RequestError

INTERVAL_S = 3.0
MAX_ID_CHARACTERS = 64
TONES: dict[State, Tone] = {State.OK: "good", State.WARN: "fair", State.BAD: "poor", State.UNKNOWN: "quiet"}
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")


async def build(visit: Visit) -> None:
    say = visit.say
    with box("nb-head"):
        Words(say("frame.path"), tag="h1")
    Words(say("path.intro"), "nb-muted")
    stages = place("nb-path")
    with card(say("overview.accounting"), say("overview.accounting_identity")):
        accounts = place()
    with card(say("path.find"), say("path.find_hint")):
        await _search(visit)

    def draw(found: Path) -> None:
        with redrawn(stages):
            for stage in found.stages:
                _stage(say, stage)
        with redrawn(accounts):
            overview.account_table(say, found.accounting, found.in_flight)
            if found.in_flight.reports and found.in_flight.oldest_at:
                said = say(
                    "path.in_flight_since", count=count(found.in_flight.reports),
                    time=say.instant(found.in_flight.oldest_at, seconds=True),
                )  # fmt: skip
                Words(said, "nb-muted nb-small")

    await LiveView(visit, lambda: "path", visit.context.path.read, draw, INTERVAL_S).start()


def _stage(say: Wording, stage: Stage) -> None:
    tone = TONES[stage.state]
    title = say.value("path.stage", stage.key)
    with box(f"nb-stage {tone}", "section", **{"aria-label": title}):
        with box("nb-stage-head"):
            Words(title, tag="h2")
            parts.tag(say.value("path.state", stage.state), tone)
        if stage.reason:
            Words(say.value("path.reason", stage.reason), "nb-small nb-stage-reason")
        with box("nb-stage-figures", "dl"):
            for figure in stage.figures:
                Words(say(f"path.{stage.key}.{figure.key}"), tag="dt")
                Words(shown(say, figure), "nb-digits", "dd")


def shown(say: Wording, figure: Figure) -> str:
    """A figure with its unit, as short as it can be said."""
    value = figure.value
    if value is None:
        return DASH
    if figure.unit is Unit.PER_SECOND:
        return say("path.unit.per_second", value=f"{value:,.1f}" if value < 100 else f"{value:,.0f}")
    if figure.unit is Unit.SECONDS:
        return _duration(say, value)
    if figure.unit is Unit.BYTES:
        return _bytes(value)
    if figure.unit is Unit.PERCENT:
        return f"{value:.1f} %"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _duration(say: Wording, seconds: float) -> str:
    if 0 < seconds < 1:
        return say(
            "path.unit.milliseconds", value=f"{1000 * seconds:.1f}" if seconds < 0.1 else f"{1000 * seconds:.0f}"
        )
    if seconds < 120:
        return say("path.unit.seconds", value=f"{seconds:.1f}" if 0 < seconds < 10 else f"{seconds:.0f}")
    if seconds < 7200:
        return say("path.unit.minutes", value=f"{seconds / 60:.0f}")
    return say("path.unit.hours", value=f"{seconds / 3600:.1f}")


def _bytes(value: float) -> str:
    power = 0
    while value >= 1024 and power < len(_BINARY) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.0f} {_BINARY[power]}" if power == 0 else f"{value:.1f} {_BINARY[power]}"


async def _search(visit: Visit) -> None:
    say = visit.say
    asked = visit.asked("report")[:MAX_ID_CHARACTERS]
    label = say("path.find_label")
    with box("nb-filters", "search"):
        field = ui.input(label=label, value=asked).props("outlined dense clearable debounce=350 type=search")
        attributes(field.classes("nb-search"), {"aria-label": label, "maxlength": MAX_ID_CHARACTERS})
    found = place()

    async def look(text: str) -> None:
        text = text.strip()
        with redrawn(found):
            if text:
                await _trace(visit, text)

    async def changed(text: str) -> None:
        ui.navigate.history.replace(f"/path?report={text.strip()}" if text.strip().isprintable() else "/path")
        await look(text)

    field.on_value_change(lambda event: changed(str(event.value or "")))
    await look(asked)


async def _trace(visit: Visit, report_id: str) -> None:
    say = visit.say
    try:
        trace = await get_trace(visit.context.read, report_id.replace("\0", ""), visit.context.zone.key)
    except NotFoundError:
        parts.empty(say("path.not_found"))
        return
    except RequestError:
        parts.empty(say("path.not_an_id"))
        return
    with box("nb-life", "ol"):
        for step in trace.steps:
            _step(say, step)
    if trace.outcome is None:
        parts.empty(say("path.not_found"))
    _to_meter(say, trace)


def _step(say: Wording, step: Step) -> None:
    with box(tag="li"):
        Words(say.instant(step.at, seconds=True), "nb-digits", "span")
        Words(say.value("path.step", step.key), "nb-actor", "span")
        Words(_detail(say, step), "nb-said", "span")


def _detail(say: Wording, step: Step) -> str:
    detail = step.detail
    match step.key:
        case "received":
            return say(
                "path.detail.received", door=say.value("door", detail["door"]), device=detail["device"],
                source=detail["source"], bytes=count(detail["payload_bytes"]),
            )  # fmt: skip
        case "stream":
            return say("path.detail.stream", sequence=count(detail["sequence"]))
        case "taken":
            return say("path.detail.taken", seconds=f"{detail['seconds']:.3f}", decoder=detail["decoder"] or DASH)
        case "ended":
            outcome = say.value("outcome", detail["outcome"])
            if detail["reason"]:
                outcome += f"{say('frame.and')}{say.value('reason', detail['reason'])}"
            stored = count(detail["readings_stored"])
            return say("path.detail.ended", outcome=outcome, readings=count(detail["readings"]), stored=stored)
        case "dead_letter":
            reason = say.value("reason", detail["reason"])
            return say("path.detail.dead_letter", reason=reason, attempts=count(detail["attempts"]))
        case "conflicts" | "corrected":
            return say("path.detail.readings", readings=count(detail["readings"]))
        case "settled":
            key = "path.detail.settling" if detail["waiting"] else "path.detail.settled"
            return say(key, days=count(detail["days"]))
    return ""


def _to_meter(say: Wording, trace: Trace) -> None:
    serials = [step.detail["serial"] for step in trace.steps if step.detail.get("serial")]
    if serials:
        parts.link(f"{say('frame.meters')} {serials[0]}", parts.meter_path(serials[0]), "nb-small")
