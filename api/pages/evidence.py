"""An alert's evidence as sentences: what was seen, in figures an operator can argue with, and what to do about it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from api.pages import hourly_bars, leak_evidence
from api.pages.wording import DASH, ML_PER_L, Wording, rate, volume
from api.queries.alerts import AlertRow

Evidence = Mapping[str, Any]

CLEAR_TIMES = 5
"""A least flow so many times the threshold is no matter of how one reads the register."""
DOUBTFUL_TIMES = 2
CLEAR_AFTER = timedelta(hours=72)
"""Nobody uses water in each of so many hours: what seldom rests in a day does in three."""
DOUBTFUL_BEFORE = timedelta(hours=36)


class Drawing(NamedTuple):
    """Hours as SVG, the same in words, and how to read it."""

    svg: str
    words: str
    hint: str


class Certainty(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def certainty(times_threshold: float, lasting: timedelta, all_measured: bool) -> Certainty:
    """How sure it is that a flow without a rest is a leak, from how strong it is, how long it lasts and how well it
    was measured."""
    if times_threshold < DOUBTFUL_TIMES and lasting < DOUBTFUL_BEFORE:
        return Certainty.LOW
    if lasting >= CLEAR_AFTER or (times_threshold >= CLEAR_TIMES and all_measured):
        return Certainty.HIGH
    return Certainty.MEDIUM


def kind_name(say: Wording, kind: str) -> str:
    """The name of a kind of alert; 'meter_alarm:leak' is named by its flag."""
    family, _, flag = kind.partition(":")
    if family == "meter_alarm":
        return say("alerts.kind.meter_alarm_of", alarm=say.value("alarm", flag))
    return say.value("alerts.kind", family)


def family_name(say: Wording, kind: str) -> str:
    """The name of a kind, or of all kinds that begin with 'meter_alarm:'."""
    return say(f"alerts.kind.{kind.rstrip(':')}")


def sentences(say: Wording, alert: AlertRow) -> list[str]:
    """What was seen, in the order of its weight. Figures nobody has words for are shown as they are stored."""
    known = SENTENCES.get(alert.kind.partition(":")[0])
    if known is not None:
        with contextlib.suppress(*leak_evidence.MISSING):
            if said := known(say, alert):
                return said
    return [", ".join(f"{name}: {value}" for name, value in alert.evidence.items())]


def drawing(say: Wording, alert: AlertRow) -> Drawing | None:
    """The hours of a flow, against the home's habits where those are known; None where there is nothing to draw."""
    limit_key = LIMITS.get(alert.kind)
    if limit_key is None:
        return None
    evidence = alert.evidence
    with contextlib.suppress(*leak_evidence.MISSING):
        flows, limit_ml = evidence["hourly_ml"], _limit(evidence, limit_key)
        starts = leak_evidence.hour_starts(say, evidence)
        usual = [seen.usual for seen in leak_evidence.hours_seen(say, evidence)] if "usual_share" in evidence else None
        titles = [
            f"{say.instant(starts[at])} {DASH if flow is None else volume(flow)}"
            + ("" if usual is None else say("evidence.usual_of_hour", usual=f"{100 * usual[at]:.0f} %"))
            for at, flow in enumerate(flows)
        ]
        litres = " ".join(DASH if flow is None else f"{flow / ML_PER_L:.0f}" for flow in flows)
        kind = alert.kind if limit_ml is not None else "together"
        hint = say(f"evidence.hourly_hint.{kind}", limit=volume(limit_ml))
        svg = hourly_bars.drawing(flows, limit_ml, titles, usual)
        return Drawing(svg, say("evidence.hourly", hourly=litres), hint)
    return None


def _limit(evidence: Evidence, key: str) -> int | None:
    """The line across the hours: none where the level is of several hours together."""
    if key != "level_l":
        return int(evidence[key])
    return int(evidence[key] * ML_PER_L) if int(evidence.get("over_hours", 1)) == 1 else None


def _meter_alarm(say: Wording, alert: AlertRow) -> list[str]:
    flag = alert.evidence["alarm"]
    seen = say("evidence.meter_alarm", alarm=say.value("alarm", flag), time=_time(say, alert.evidence["reported_at"]))
    return [seen, say(f"evidence.advice.{flag}")]


def _continuous_flow(say: Wording, alert: AlertRow) -> list[str]:
    evidence = alert.evidence
    minimum, threshold = evidence["minimum_ml_h"], evidence["threshold_ml_h"]
    lasting = (alert.ended_at or alert.last_seen_at) - alert.started_at
    times = minimum / threshold
    sure = certainty(times, lasting, evidence["measured_hours"] == evidence["hours"])
    seen = say(
        "evidence.continuous_flow",
        hours=evidence["hours"],
        measured=evidence["measured_hours"],
        minimum=rate(minimum),
        threshold=rate(threshold),
        volume=volume(evidence["volume_ml"]),
        start=_time(say, evidence["from"]),
        end=_time(say, evidence["to"]),
    )
    why = say(
        "evidence.certainty",
        certainty=say(f"evidence.certainty.{sure}"),
        lasting=say.span(lasting),
        times=f"{times:.0f}" if times >= CLEAR_TIMES else f"{times:.1f}",
    )
    rules = say("evidence.listed").join(say.value("evidence.rule", rule) for rule in evidence.get("rules", ()))
    held = [say("evidence.rules", rules=rules)] if rules else []
    return [seen, *held, why, leak_evidence.where_to_look(say, alert)]


def _district_leak(say: Wording, alert: AlertRow) -> list[str]:
    evidence = alert.evidence
    seen = say(
        f"evidence.district_leak_{evidence['rule']}",
        rate=rate(evidence["rate_ml_h"]),
        error=rate(evidence["rate_error_ml_h"]),
        share=f"{100 * evidence['rate_ml_h'] / evidence['usual_inflow_ml_h']:.0f} %",
        usual=rate(evidence["usual_inflow_ml_h"]),
    )
    earliest, latest = (
        say.instant(datetime.fromtimestamp(evidence[f"start_{end}_s"], say.zone)) for end in ("earliest", "latest")
    )
    when = say(
        "evidence.district_leak_start_at" if earliest == latest else "evidence.district_leak_start",
        earliest=earliest,
        latest=latest,
        times=f"{evidence['times_threshold']:.1f}",
    )
    if alert.ended_at is not None:
        return [seen, when, say("evidence.district_leak_over", time=say.instant(alert.ended_at))]
    return [seen, when, say("evidence.district_leak_advice")]


def _flow_after_close(say: Wording, alert: AlertRow) -> list[str]:
    evidence = alert.evidence
    seen = say(
        "evidence.flow_after_close",
        closed=_time(say, evidence["closed_at"]),
        start=_time(say, evidence["from"]),
        end=_time(say, evidence["to"]),
        volume=volume(evidence["volume_ml"]),
    )
    if alert.ended_at is not None:
        return [seen, say("evidence.valve_opened", time=say.instant(alert.ended_at))]
    return [seen, say("evidence.flow_after_close_advice")]


def _silent(say: Wording, alert: AlertRow) -> list[str]:
    evidence = alert.evidence
    limit = f"{evidence['silence_after_h']:g}"
    merged = [say("evidence.silent_merged", event=evidence["outage"])] if "outage" in evidence else []
    if evidence["last_report_at"] is None:
        return [say("evidence.never_heard", time=_time(say, evidence["installed_at"]), limit=limit), *merged]
    return [say("evidence.silent", time=_time(say, evidence["last_report_at"]), limit=limit), *merged]


def _outage(say: Wording, alert: AlertRow) -> list[str]:
    evidence = alert.evidence
    group = say.value("evidence.outage_group", evidence["group"])
    seen = say(
        "evidence.outage",
        name=f"{group} {evidence['key']}".strip(),
        since=say.instant(alert.started_at),
        silent=evidence["silent"],
        heard=evidence["meters"] - evidence["silent"],
    )
    return [seen, say("evidence.outage_sample", serials=" ".join(evidence["sample"])), say("evidence.advice.outage")]


def _time(say: Wording, text: str) -> str:
    return say.instant(datetime.fromisoformat(text))


SENTENCES: Mapping[str, Callable[[Wording, AlertRow], list[str]]] = {
    "continuous_flow": _continuous_flow,
    "district_leak": _district_leak,
    "flow_after_close": _flow_after_close,
    "silent": _silent,
    "outage": _outage,
    "meter_alarm": _meter_alarm,
    "leak": leak_evidence.leak,
    "burst": leak_evidence.burst,
    "stuck": leak_evidence.stuck,
    "under_registering": leak_evidence.under_registering,
    "reverse_flow": leak_evidence.reverse_flow,
}
LIMITS = {"continuous_flow": "threshold_ml_h", "leak": "level_l", "burst": "own_maximum_ml_h"}
"""Of which alerts hours are drawn, and what of their evidence is the line across."""
