"""From a district's shifts to its alert: raised once, updated by further rises, ended by the repair. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from metering.consumption import HOUR_S
from metering.district_settings import DistrictSettings

from .balance import BAND
from .level_shifts import Shift

DISTRICT_LEAK = "district_leak"


class ZoneFinding(NamedTuple):
    """The newest burst of a district. Times in Unix seconds; rates in ml/h."""

    zone_id: int
    severity: str
    started_at_s: int
    raised_at_s: int
    seen_at_s: int
    ended_at_s: int | None
    rate_ml_h: int
    evidence: dict[str, Any]


def newest(
    zone_id: int, shifts: Iterable[Shift], first_s: int, rule: str, settings: DistrictSettings
) -> ZoneFinding | None:
    """What the shifts of one district, in order of time, say of its last burst. `first_s`: begin of hour 0."""
    finding: ZoneFinding | None = None
    for shift in shifts:
        lasting = finding is not None and finding.ended_at_s is None
        if shift.is_leak:
            finding = _risen(finding if lasting else None, zone_id, shift, first_s, rule)
            critical = finding.rate_ml_h >= settings.critical_share * shift.level
            finding = finding._replace(severity="critical" if critical else "warning")
        elif finding is not None and lasting and shift.size < -settings.mended_share * finding.rate_ml_h:
            finding = finding._replace(ended_at_s=_at(first_s, shift.start))
        elif finding is not None and lasting and shift.size < 0:
            finding = _of_rate(finding, finding.rate_ml_h + round(shift.size))
    return finding


def _of_rate(finding: ZoneFinding, rate_ml_h: int) -> ZoneFinding:
    return finding._replace(rate_ml_h=rate_ml_h, evidence={**finding.evidence, "rate_ml_h": rate_ml_h})


def _risen(before: ZoneFinding | None, zone_id: int, shift: Shift, first_s: int, rule: str) -> ZoneFinding:
    rate = round(shift.size) + (0 if before is None else before.rate_ml_h)
    evidence = {
        "rule": rule,
        "rate_ml_h": rate,
        "rate_error_ml_h": round(BAND * shift.size_sigma),
        "usual_inflow_ml_h": round(shift.level),
        "start_earliest_s": _at(first_s, shift.earliest),
        "start_latest_s": _at(first_s, shift.latest),
        "times_threshold": round(shift.score, 2),
        "rises": 1 if before is None else int(before.evidence["rises"]) + 1,
    }
    seen_s = _at(first_s, shift.seen + 1)
    if before is None:
        return ZoneFinding(zone_id, "warning", _at(first_s, shift.start), seen_s, seen_s, None, rate, evidence)
    for key in ("start_earliest_s", "start_latest_s"):
        evidence[key] = before.evidence[key]
    return before._replace(seen_at_s=seen_s, rate_ml_h=rate, evidence=evidence)


def _at(first_s: int, hour: int) -> int:
    return first_s + HOUR_S * hour
