"""From the makers' rules to alerts: continuous flow, when settlement has new readings.

Several rules make one alert per meter: the one that asks least raises it, its evidence names all that hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np

from ingest.meters import Meters
from metering.consumption import HOUR_S, Curve, Ints
from metering.leak_settings import VendorRule

from . import alerts, rules
from .closed_by_platform import CONTINUOUS_FLOW, close_of_bulk_meters

NEVER_S = 2**40

_LASTING = """
SELECT meter_id, extract(epoch FROM last_seen_at)::bigint FROM alerts
WHERE kind = $1 AND meter_id = ANY($2::bigint[]) AND state <> 'resolved' AND ended_at IS NULL"""


async def find_continuous_flow(
    connection: Any,
    curve: Curve,
    meters: Meters,
    chosen: Sequence[VendorRule] = (),
    watched: Set[int] = frozenset(),
    bulk: Set[int] = frozenset(),
) -> None:
    """Raises, updates and ends the alerts of the meters on the curve, inside the caller's transaction.

    `meters` has an entry for each position of a meter in the curve; one meter may stand at several. `chosen`: the
    utility's rules, for all meters. Without any, any flow in 24 hours raises, but for meters that are `watched` by our
    own detector: their alerts that last already are only ended. `bulk`: meters behind which there is no customer; none
    is raised, and what was raised is closed.
    """
    thresholds = {
        rule: rules.threshold_ml_h(rule, meters.dn_mm, meters.q3_l_h, meters.pulse_ml)
        for rule in chosen or (VendorRule.FLOW_24H,)
    }
    left_out = bulk if chosen else bulk | watched
    hours = rules.hours(curve, np.min(list(thresholds.values()), axis=0))
    newest: dict[int, alerts.Finding] = {}
    ended: dict[int, alerts.Ended] = {}
    for flow in rules.continuous_flow(hours):
        if int(meters.meter_id[flow.meter]) in left_out:
            continue
        asked = {rule: int(threshold[flow.meter]) for rule, threshold in thresholds.items()}
        finding = _finding(flow, int(meters.meter_id[flow.meter]), asked, int(meters.q3_l_h[flow.meter]))
        if finding.meter_id not in newest or newest[finding.meter_id].seen_at_s < finding.seen_at_s:
            newest[finding.meter_id] = finding
            ended.pop(finding.meter_id, None)
            if flow.ended_at_s is not None:
                ended[finding.meter_id] = alerts.Ended(finding.meter_id, CONTINUOUS_FLOW, flow.ended_at_s)
    await alerts.raise_or_update(connection, list(newest.values()))
    lasting = await connection.fetch(_LASTING, CONTINUOUS_FLOW, np.unique(meters.meter_id).tolist())
    ended.update((end.meter_id, end) for end in _ended(hours, meters.meter_id, dict(map(tuple, lasting)), bulk))
    await alerts.end(connection, list(ended.values()))
    if bulk:
        await close_of_bulk_meters(connection, sorted(bulk))


def _ended(hours: rules.Hours, meter_id: Ints, last_seen_s: dict[int, int], bulk: Set[int]) -> Iterator[alerts.Ended]:
    """Which lasting alerts (meter → last seen) found an hour without flow since, or are of a bulk meter by now."""
    for meter in bulk & last_seen_s.keys():
        yield alerts.Ended(meter, CONTINUOUS_FLOW, last_seen_s[meter])
    after_s = np.array([last_seen_s.get(meter, NEVER_S) for meter in meter_id.tolist()], np.int64)
    for at, end_s in rules.first_rests(hours, after_s).items():
        yield alerts.Ended(int(meter_id[at]), CONTINUOUS_FLOW, end_s)


def _finding(
    flow: rules.ContinuousFlow, meter_id: int, asked_ml_h: Mapping[VendorRule, int], q3_l_h: int
) -> alerts.Finding:
    measured = [volume for volume in flow.hourly_ml if volume is not None]
    from_s = flow.seen_at_s - rules.WINDOW_H * HOUR_S
    evidence = {
        "rules": [rule for rule, threshold in asked_ml_h.items() if flow.rate_ml_h >= threshold],
        "hours": rules.WINDOW_H,
        "measured_hours": len(measured),
        "threshold_ml_h": min(asked_ml_h.values()),
        "minimum_ml_h": flow.rate_ml_h,
        "volume_ml": sum(measured),
        "from": alerts.instant(from_s).isoformat(),
        "to": alerts.instant(flow.seen_at_s).isoformat(),
        "hourly_ml": flow.hourly_ml,
    }
    urgent = flow.rate_ml_h >= rules.URGENT_Q3_SHARE * q3_l_h * 1_000
    return alerts.Finding(
        meter_id, CONTINUOUS_FLOW, "critical" if urgent else "warning", flow.started_at_s, from_s, flow.raised_at_s,
        flow.seen_at_s, flow.rate_ml_h, evidence,
    )  # fmt: skip
