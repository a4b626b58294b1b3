"""An alert's evidence as sentences: what was seen, in figures an operator can argue with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from api.pages.wording import DASH, ML_PER_L, Wording, rate, volume
from api.queries.alerts import AlertRow

Evidence = Mapping[str, Any]


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
    known = _SENTENCES.get(alert.kind.partition(":")[0])
    if known is not None:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            return known(say, alert.evidence)
    return [", ".join(f"{name}: {value}" for name, value in alert.evidence.items())]


def _meter_alarm(say: Wording, evidence: Evidence) -> list[str]:
    alarm = say.value("alarm", evidence["alarm"])
    reported = _time(say, evidence["reported_at"])
    return [say("evidence.meter_alarm", alarm=alarm, bit=evidence["bit"], time=reported)]


def _continuous_flow(say: Wording, evidence: Evidence) -> list[str]:
    span = {"start": _time(say, evidence["from"]), "end": _time(say, evidence["to"])}
    seen = say(
        "evidence.continuous_flow",
        hours=evidence["hours"],
        measured=evidence["measured_hours"],
        minimum=rate(evidence["minimum_ml_h"]),
        threshold=rate(evidence["threshold_ml_h"]),
        volume=volume(evidence["volume_ml"]),
        **span,
    )
    hourly = " ".join(DASH if flow is None else f"{flow / ML_PER_L:.0f}" for flow in evidence["hourly_ml"])
    return [seen, say("evidence.hourly", hourly=hourly)]


def _silent(say: Wording, evidence: Evidence) -> list[str]:
    limit = f"{evidence['silence_after_h']:g}"
    if evidence["last_report_at"] is None:
        return [say("evidence.never_heard", time=_time(say, evidence["installed_at"]), limit=limit)]
    return [say("evidence.silent", time=_time(say, evidence["last_report_at"]), limit=limit)]


def _time(say: Wording, text: str) -> str:
    return say.instant(datetime.fromisoformat(text))


_SENTENCES: Mapping[str, Callable[[Wording, Evidence], list[str]]] = {
    "continuous_flow": _continuous_flow,
    "silent": _silent,
    "meter_alarm": _meter_alarm,
}
