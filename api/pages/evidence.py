"""An alert's evidence as sentences: what was seen, in figures an operator can argue with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from api.pages.wording import Wording
from api.queries.alerts import AlertRow

Evidence = Mapping[str, Any]


def kind_name(say: Wording, kind: str) -> str:
    """The name of a kind of alert; 'meter_alarm:leak' is named by its flag."""
    family, _, flag = kind.partition(":")
    if family == "meter_alarm":
        return f"{say('alerts.kind.meter_alarm')}：{say.value('alarm', flag)}"
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
    reported = say.instant(datetime.fromisoformat(evidence["reported_at"]))
    return [say("evidence.meter_alarm", alarm=alarm, bit=evidence["bit"], time=reported)]


_SENTENCES: Mapping[str, Callable[[Wording, Evidence], list[str]]] = {
    "meter_alarm": _meter_alarm,
}
