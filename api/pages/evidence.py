"""An alert's evidence as sentences: what was seen, in figures an operator can argue with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from api.pages.wording import Wording

Evidence = Mapping[str, Any]


def kind_name(say: Wording, kind: str) -> str:
    """The name of a kind of alert; 'meter_alarm:leak' is named by its flag."""
    family, _, flag = kind.partition(":")
    if family == "meter_alarm":
        return f"{say('alerts.kind.meter_alarm')}：{say.value('alarm', flag)}"
    return say.value("alerts.kind", family)
