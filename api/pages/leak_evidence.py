"""The evidence of our own detector as sentences: what was seen against the home's habits, how sure that makes, what it
costs, what would clear it. Whatever is missing in the evidence is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from api.pages import hourly_bars
from api.pages.wording import ML_PER_L, Wording, index_m3, rate, volume, yearly
from api.queries.alerts import AlertRow

Evidence = Mapping[str, Any]
Teller = Callable[[Wording, AlertRow], str]

HOUR = timedelta(hours=1)
OWN = "own"
"""Our own detector, as its evidence names it."""
QUIET_SHARE = hourly_bars.SELDOM
"""At an hour that meets the level by habit no more often, water that runs says much."""
DRIPPING_ML_H = 10_000
RUNNING_ML_H = 100_000
"""Up to the first a tap or cistern drips; up to the second a float valve or toilet runs; beyond that a pipe is open."""
UNDER_SIZES = ("small", "middling", "large")
"""Flows of a day: its hours with flow up to the middle one, up to three in four, and the largest."""
MUCH, RAREST = 0.01, 1e-9
"""A chance above the first is said in percent; at the second and below one that is below."""
MISSING = (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError)


class Seen(NamedTuple):
    """An hour of the evidence, or several together."""

    start: datetime
    """Of its last hour, in the utility's zone."""
    volume_ml: int | None
    """None: not known."""
    usual: float
    """How often the home uses the level at that hour, 0..1."""


def told(say: Wording, alert: AlertRow, *tellers: Teller) -> list[str]:
    """What they can tell, in their order."""
    said = []
    for teller in tellers:
        with contextlib.suppress(*MISSING):
            said.append(teller(say, alert))
    return [sentence for sentence in said if sentence]


def leak(say: Wording, alert: AlertRow) -> list[str]:
    last = where_to_look if alert.ended_at is None else _cleared
    return told(say, alert, _against_habits, _quiet_hours, _night_minimum, _how_sure, _meters_alarms, _clears, last)


def burst(say: Wording, alert: AlertRow) -> list[str]:
    return told(say, alert, _burst, _meters_alarms, where_to_look)


def stuck(say: Wording, alert: AlertRow) -> list[str]:
    return told(say, alert, _stuck, lambda say, alert: _advice(say, alert, "stuck"))


def under_registering(say: Wording, alert: AlertRow) -> list[str]:
    return told(say, alert, _under_registering, lambda say, alert: _advice(say, alert, "under_registering"))


def reverse_flow(say: Wording, alert: AlertRow) -> list[str]:
    return told(say, alert, _reverse_flow, lambda say, alert: _advice(say, alert, "reverse_flow"))


def cost(say: Wording, alert: AlertRow) -> str:
    """The rate with its interval, and what it cost and would cost; empty where no rate is known. The rate of a leak
    that comes and goes is that of the hours in which it runs; what it loses counts these only."""
    if not alert.rate_ml_h:
        return ""
    interval = ""
    if alert.rate_low_ml_h is not None and alert.rate_high_ml_h is not None:
        interval = say("evidence.interval", low=rate(alert.rate_low_ml_h), high=rate(alert.rate_high_ml_h))
    pauses = alert.evidence.get("pattern") == "cyclic"
    end = alert.ended_at
    running = ("evidence.rate_while_running", "evidence.rate_while_running_over")
    key = (running if pauses else ("evidence.rate", "evidence.rate_over"))[end is not None]
    times = {"start": say.instant(alert.started_at)} | ({} if end is None else {"end": say.instant(end)})
    said = [say(key, rate=rate(alert.rate_ml_h), interval=interval, **times)]
    if alert.loss_ml:
        money = say.money(alert.loss_money, alert.currency)
        lost = "evidence.lost" if end is None else "evidence.lost_over"
        said.append(say(lost, volume=volume(alert.loss_ml), money=money))
    if alert.loss_year_ml:
        money = say.money(alert.loss_year_money, alert.currency)
        said.append(say("evidence.lost_a_year", volume=yearly(alert.loss_year_ml), money=money))
    return say("evidence.comma").join(said) + say("evidence.stop")


def hours_seen(say: Wording, evidence: Evidence) -> list[Seen]:
    """The hours up to `to`, one by one. Raises one of MISSING."""
    flows, usual = evidence["hourly_ml"], evidence["usual_share"]
    return [
        Seen(start, None if flow is None else int(flow), float(usual[start.hour]))
        for start, flow in zip(hour_starts(say, evidence), flows, strict=True)
    ]


def hour_starts(say: Wording, evidence: Evidence) -> list[datetime]:
    """When each of `hourly_ml` begins: they end with the hour of `to`, where that is known. Raises one of MISSING.

    The hours of our own detector are those of the clock, 24 in every local day: one that a change of the clock skips is
    among them, and one that it repeats is there once. Those of the vendors' rules are all that went by.
    """
    count = len(evidence["hourly_ml"])
    if evidence.get("detector") != OWN:
        begin = _utc(evidence["to"]) - count * HOUR if "to" in evidence else _utc(evidence["from"])
        return [(begin + at * HOUR).astimezone(say.zone) for at in range(count)]
    if "to" not in evidence:
        first = _local(say, evidence["from"])
    else:
        last = (_utc(evidence["to"]) - timedelta.resolution).astimezone(say.zone)
        first = last.replace(minute=0, second=0, microsecond=0) - (count - 1) * HOUR
    return [first + at * HOUR for at in range(count)]


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _local(say: Wording, text: str) -> datetime:
    return _utc(text).astimezone(say.zone)


def _stretches(hours: Sequence[Seen], together: int) -> list[Seen]:
    """So many hours taken together, from the newest back; each as unusual as its last hour."""
    found = []
    for end in range(len(hours), together - 1, -together):
        part = hours[end - together : end]
        flows = [hour.volume_ml for hour in part]
        total = None if None in flows else sum(flow for flow in flows if flow is not None)
        found.append(Seen(part[-1].start, total, part[-1].usual))
    return found[::-1]


def _against_habits(say: Wording, alert: AlertRow) -> str:
    """In how many of the hours the level was met, and in how many it usually is."""
    evidence = alert.evidence
    together, level_ml = int(evidence.get("over_hours", 1)), float(evidence["level_l"]) * ML_PER_L
    hours = hours_seen(say, evidence)
    known = [hour for hour in _stretches(hours, together) if hour.volume_ml is not None]
    pattern = "steady" if evidence["pattern"] == "drip" and together == 1 else evidence["pattern"]
    return say(
        f"evidence.leak.{pattern}",
        start=say.instant(hours[0].start),
        end=say.instant(hours[-1].start + HOUR),
        together=together,
        known=len(known),
        met=sum(hour.volume_ml is not None and hour.volume_ml >= level_ml for hour in known),
        level=f"{evidence['level_l']:g}",
        usual=_share(sum(hour.usual for hour in known) / len(known)),
    )


def _quiet_hours(say: Wording, alert: AlertRow) -> str:
    """The hours of the day that argue most: quiet by habit, now with water."""
    evidence = alert.evidence
    together, level_ml = int(evidence.get("over_hours", 1)), float(evidence["level_l"]) * ML_PER_L
    hours = _stretches(hours_seen(say, evidence), together)
    quiet = [hour for hour in hours if hour.usual <= QUIET_SHARE and hour.volume_ml is not None]
    met = [hour for hour in quiet if hour.volume_ml is not None and hour.volume_ml >= level_ml]
    if not met:
        return ""
    return say(
        "evidence.leak_quiet_hours",
        hours=say("evidence.listed").join(_ranges(sorted({hour.start.hour for hour in quiet}))),
        usual=_share(sum(hour.usual for hour in quiet) / len(quiet)),
        known=len(quiet),
        met=len(met),
    )


def _ranges(hours: Sequence[int]) -> Iterator[str]:
    """Hours of the day as stretches of time: 1, 2, 3 and 5 as 01:00–04:00 and 05:00–06:00."""
    first = hours[0]
    for hour, following in zip(hours, [*hours[1:], None], strict=True):
        if following != hour + 1:
            yield f"{first:02d}:00–{hour + 1:02d}:00"
            first = following or 0


def _night_minimum(say: Wording, alert: AlertRow) -> str:
    before, now = alert.evidence["night_minimum_before_ml_h"], alert.evidence["night_minimum_now_ml_h"]
    return "" if before is None or now is None else say("evidence.night_minimum", before=rate(before), now=rate(now))


def _how_sure(say: Wording, alert: AlertRow) -> str:
    evidence = alert.evidence
    said = [say("evidence.times_needed", times=f"{evidence['certainty_times']:.1f}")]
    if evidence.get("chance") is not None:
        said.append(say("evidence.chance", chance=_chance(say, float(evidence["chance"]))))
    if evidence.get("hours_counted"):
        said.append(say("evidence.hours_counted", hours=int(evidence["hours_counted"])))
    return say("evidence.comma").join(said) + say("evidence.stop")


def _chance(say: Wording, chance: float) -> str:
    """As one in so many, with two figures."""
    if chance <= RAREST:
        return say("evidence.rarer")
    if chance > MUCH:
        return say("evidence.in_hundred", share=_share(chance))
    return say("evidence.one_in", one_in=f"{float(f'{1 / chance:.2g}'):,.0f}")


def _meters_alarms(say: Wording, alert: AlertRow) -> str:
    """What the meter itself says at the same time."""
    names = [say.value("alarm", alarm) for alarm in alert.evidence.get("meter_alarms", ())]
    return say("evidence.meter_alarms", alarms=say("evidence.listed").join(names)) if names else ""


def _clears(say: Wording, alert: AlertRow) -> str:
    if alert.ended_at is not None:
        return ""
    needed = alert.evidence["clears_when"]
    return say("evidence.clears", hours=int(needed["hours"]), limit=rate(needed["hours_without_ml_h_above"]))


def _cleared(say: Wording, alert: AlertRow) -> str:
    return say("evidence.leak_cleared", time=say.instant(alert.ended_at))


def where_to_look(say: Wording, alert: AlertRow) -> str:
    if alert.ended_at is not None:
        return say("evidence.rested", time=say.instant(alert.ended_at))
    lost = alert.rate_ml_h or 0
    size = "drips" if lost < DRIPPING_ML_H else "runs" if lost < RUNNING_ML_H else "bursts"
    return say(f"evidence.leak_{size}")


def _burst(say: Wording, alert: AlertRow) -> str:
    evidence = alert.evidence
    peak, own = evidence["peak_ml_h"], evidence.get("own_maximum_ml_h") or 0
    start, end = (say.instant(_local(say, evidence[name])) for name in ("from", "to"))
    if own <= 0:
        return say("evidence.burst_alone", start=start, end=end, peak=rate(peak))
    return say("evidence.burst", start=start, end=end, peak=rate(peak), own=rate(own), times=f"{peak / own:.1f}")


def _stuck(say: Wording, alert: AlertRow) -> str:
    evidence = alert.evidence
    seen = say(
        "evidence.stuck",
        index=index_m3(evidence["last_index_ml"]),
        still=say.span(timedelta(hours=evidence["still_h"])),
        before=say.span(timedelta(hours=evidence["longest_before_h"])),
    )
    if evidence.get("limit_h") is None:  # evidence of a detector before version 4
        return seen
    limit = say.span(timedelta(hours=evidence["limit_h"]))
    return seen + say("evidence.stuck_limit", days=evidence["past_days"], times=evidence["away_times"], limit=limit)


def _under_registering(say: Wording, alert: AlertRow) -> str:
    evidence = alert.evidence
    if evidence.get("rule") == "all_sizes":
        return _all_sizes(say, evidence)
    return say(
        "evidence.under_registering",
        days=int(evidence["days"]),
        now=rate(evidence["now_peak_ml_h"]),
        usual=rate(evidence["usual_peak_ml_h"]),
        share=_share(evidence["share"]),
    )


def _all_sizes(say: Wording, evidence: Evidence) -> str:
    """Each size of flow before and now, then the hours with flow, which have not shrunk."""
    sizes = [
        say(f"evidence.under.{name}", usual=rate(usual), now=rate(now), share=_share(now / usual))
        for name, usual, now in zip(UNDER_SIZES, evidence["usual_sizes_ml_h"], evidence["now_sizes_ml_h"], strict=True)
    ]
    return say(
        "evidence.under.all_sizes",
        days=int(evidence["days"]),
        sizes=say("evidence.comma").join(sizes),
        limit=_share(evidence["limit_share"]),
        usual_h=f"{evidence['usual_flow_h']:g}",
        now_h=f"{evidence['now_flow_h']:g}",
    )


def _reverse_flow(say: Wording, alert: AlertRow) -> str:
    evidence = alert.evidence
    start, end = (say.instant(_local(say, evidence[name])) for name in ("from", "to"))
    words = "evidence.reverse_flow_at" if start == end else "evidence.reverse_flow"
    return say(words, start=start, end=end, volume=volume(abs(evidence["volume_ml"])))


def _advice(say: Wording, alert: AlertRow, kind: str) -> str:
    if alert.ended_at is not None:
        return say("evidence.gone", time=say.instant(alert.ended_at))
    return say(f"evidence.advice.{kind}")


def _share(share: float) -> str:
    return f"{100 * share:.0f} %"
