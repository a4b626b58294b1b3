"""From what the detector found to what the alerts are to say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from ingest.leaks.alerts import Finding, instant
from ingest.leaks.detector import leak_rate
from ingest.leaks.events import Event, Kind, Phase
from ingest.leaks.habits import CYCLIC, DAY_H, NONE, RECENT_H, TESTS, Floats, sizes
from ingest.leaks.rules import URGENT_Q3_SHARE
from ingest.meters import Meters
from metering.consumption import HOUR_S, Ints
from metering.leak_settings import LeakSettings

from . import evidence
from .days import Followed, raised_share
from .incidents import RAISED, Incident
from .local_hours import hour_begin_s

LEAST_RATE_H = 6
"""A rate is read off so many hours at least."""
BURST_LOW = 0.8
"""As in `faults`."""
Interval = tuple[float, float] | None


class Seen(NamedTuple):
    """What was read of meters: positions in `meters`, readings sorted by meter and time."""

    meters: Meters
    meter: Ints
    ts_s: Ints
    index_ml: Ints
    zone: ZoneInfo

    def last(self, at: int, before_s: int) -> int | None:
        """Position of the meter's last reading before that, if it was read."""
        low, high = np.searchsorted(self.meter, [at, at + 1])
        found = int(low + np.searchsorted(self.ts_s[low:high], before_s)) - 1
        return found if found >= low else None


class Told(NamedTuple):
    """What is to be said of one fault of one meter, in this order."""

    meter_id: int
    kind: str
    finding: Finding | None
    """None: nothing new is known of a fault that is raised already."""
    notes: list[tuple[Phase, int, dict[str, Any]]]
    """Suspected and confirmed: when (Unix seconds of the last reading needed), and what was known then."""
    ended_s: int | None


class _Picture(NamedTuple):
    """A fault at the begin of local hour `until_h`."""

    until_h: int
    began_h: int
    rate_l_h: float | None
    interval_l_h: Interval
    evidence_h: int
    """So many hours carry the evidence."""
    figures: dict[str, Any]


class Findings:
    """Of one slice of meters that were followed."""

    def __init__(self, followed: Followed, seen: Seen, settings: LeakSettings) -> None:
        self._followed, self._seen, self._settings = followed, seen, settings
        self._test, self._share = raised_share(followed.now, settings)

    def told(self, incidents: Iterable[Incident]) -> Iterator[Told]:
        for incident in incidents:
            at = incident.meter
            picture = self._leak(incident) if incident.kind is Kind.LEAK else self._other(incident)
            yield Told(
                int(self._seen.meters.meter_id[at]), incident.kind.value,
                None if picture is None else self._finding(incident, picture),
                [(event.phase, self._reading_s(event), self._noted(event)) for event in incident.events
                 if event.phase is not Phase.CLEARED],
                None if incident.cleared is None else self._reading_s(incident.cleared),
            )  # fmt: skip

    def standing(self) -> set[tuple[int, str]]:
        """Meters and kinds whose fault is raised by now."""
        meter_id, now = self._seen.meters.meter_id, self._followed.now
        return {(int(meter_id[at]), kind.value) for kind, name in RAISED.items()
                for at in np.flatnonzero(now[name] != NONE).tolist()}  # fmt: skip

    def _leak(self, incident: Incident) -> _Picture | None:
        """As of now while it is sure; else as of when something was last said of it; None: nothing new is."""
        at, followed = incident.meter, self._followed
        until_h = int(followed.until_h[at])
        lasts = incident.cleared is None
        said = incident.confirmed or incident.raised
        raised_h = int(followed.now["leak_h"][at]) if incident.raised is None else incident.raised.at_h
        sure_h = followed.sure_h.get((at, raised_h), NONE)
        if lasts and sure_h == until_h - 1:
            test, share = int(self._test[at]), float(self._share[at])
            began_h = int(followed.now["began"][at, test])
            hours = followed.hours(at, until_h)
            lasting = hours[-min(max(until_h - began_h, LEAST_RATE_H), RECENT_H) :]
            rate, interval = self._rate(at, lasting[~np.isnan(lasting)], test)
        elif said is not None:
            test, share, began_h, rate, interval = said.test, said.certainty, said.began_h, *said[5:7]
            until_h = max(said.at_h, sure_h) + 1
            hours = followed.hours(at, until_h)
        else:
            return None
        if incident.raised is not None:
            began_h = incident.raised.began_h
        figures = evidence.leak(followed.now, at, hours, until_h, began_h, test, share, lasts, self._settings)
        return _Picture(until_h, began_h, rate, interval, self._settings.least_hours, figures)

    def _rate(self, at: int, hours: Floats, test: int) -> tuple[float | None, Interval]:
        size = float(sizes(self._followed.now[at : at + 1])[0])
        rate, interval = leak_rate(hours / size, test >= CYCLIC, TESTS[test].level)
        if rate is None or interval is None:
            return None, None
        return rate * size, (interval[0] * size, interval[1] * size)

    def _other(self, incident: Incident) -> _Picture:
        at, kind, followed, settings = incident.meter, incident.kind, self._followed, self._settings
        said, now = incident.raised, followed.now
        until_h = int(followed.until_h[at])
        if incident.cleared is not None:
            until_h = min(until_h, incident.cleared.at_h + 1)
        elif kind is Kind.REVERSE:
            until_h = min(until_h, int(now["reverse_h"][at]) + 1)
        hours = followed.hours(at, until_h)
        if kind is Kind.BURST:
            rate, interval = _burst_rate(hours) if said is None else (said.rate_l_h, said.interval_l_h)
            began_h = int(now["burst_h"][at]) - 1 if said is None else said.began_h
            figures = evidence.burst(now, at, said, hours[-max(until_h - began_h, 2) :])
            return _Picture(until_h, began_h, rate, interval, 2, figures)
        if kind is Kind.REVERSE:
            began_h = until_h - 1 if said is None else said.began_h
            return _Picture(until_h, began_h, None, None, 1, evidence.reverse(hours[-max(until_h - began_h, 1) :]))
        if kind is Kind.STUCK:
            began_h = until_h - int(now["still"][at]) if said is None else said.began_h
            last = self._seen.last(at, hour_begin_s(self._seen.zone, until_h))
            index_ml = int(self._seen.index_ml[last]) if last is not None else None
            figures = evidence.stuck(now, at, until_h - began_h, index_ml, settings)
            return _Picture(until_h, began_h, None, None, int(settings.stuck_days * DAY_H), figures)
        began_h = int(now["under_h"][at]) + 1 - settings.under_days * DAY_H if said is None else said.began_h
        figures = evidence.under(now, at, settings)
        return _Picture(until_h, began_h, None, None, settings.under_days * DAY_H, figures)

    def _finding(self, incident: Incident, picture: _Picture) -> Finding:
        at, zone = incident.meter, self._seen.zone
        end_s = hour_begin_s(zone, picture.until_h)
        last = self._seen.last(at, end_s)
        seen_s = int(self._seen.ts_s[last]) if last is not None else end_s
        began_s = min(hour_begin_s(zone, picture.began_h), seen_s)
        if incident.raised is not None:
            raised_s = self._reading_s(incident.raised)
        else:
            raised_s = hour_begin_s(zone, int(self._followed.now[RAISED[incident.kind]][at]))
        rate_ml_h = _ml(picture.rate_l_h)
        low, high = (None, None) if picture.interval_l_h is None else map(_ml, picture.interval_l_h)
        window = {"from": instant(began_s).isoformat(), "to": instant(seen_s).isoformat()}
        critical = (rate_ml_h or 0) >= URGENT_Q3_SHARE * 1_000 * int(self._seen.meters.q3_l_h[at])
        return Finding(
            int(self._seen.meters.meter_id[at]), incident.kind.value, "critical" if critical else "warning", began_s,
            max(began_s, seen_s - picture.evidence_h * HOUR_S), min(raised_s, seen_s), seen_s, rate_ml_h,
            picture.figures | window, self._certainty(incident), low, high,
        )  # fmt: skip

    def _certainty(self, incident: Incident) -> str:
        if incident.kind is Kind.LEAK and incident.cleared is None:
            return Phase.CONFIRMED if self._followed.now["confirmed"][incident.meter] else Phase.SUSPECTED
        if incident.kind in (Kind.BURST, Kind.REVERSE) or incident.confirmed is not None:
            return Phase.CONFIRMED
        return Phase.SUSPECTED

    def _reading_s(self, event: Event) -> int:
        """Of the last reading that was needed; of one that was not read here, the begin of its hour."""
        past, first_h = self._followed.past[event.meter], self._followed.past_h
        known = np.flatnonzero(~np.isnan(past[: event.at_h + 1 - first_h]))
        last_h = first_h + int(known[-1]) if len(known) else event.at_h
        last = self._seen.last(event.meter, hour_begin_s(self._seen.zone, last_h + 1))
        return hour_begin_s(self._seen.zone, last_h) if last is None else int(self._seen.ts_s[last])

    def _noted(self, event: Event) -> dict[str, Any]:
        return {
            "certainty": event.phase.value, "at": instant(self._reading_s(event)).isoformat(),
            "from": instant(hour_begin_s(self._seen.zone, event.began_h)).isoformat(), "rate_ml_h": _ml(event.rate_l_h),
        }  # fmt: skip


def _burst_rate(hours: Floats) -> tuple[float | None, Interval]:
    """Of one that goes on: the lesser of its two last known hours, as when it was raised."""
    last = hours[~np.isnan(hours)][-2:]
    if not len(last):
        return None, None
    rate = float(last.min())
    return rate, (BURST_LOW * rate, float(last.max()))


def _ml(litres: float | None) -> int | None:
    return None if litres is None else round(litres * 1_000)
