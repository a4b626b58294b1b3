"""What is known of one report, in the order in which it happened."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.database import ReadPool
from api.queries.reports import minted_at, parse_report_id, received_between


@dataclass(frozen=True, slots=True)
class Step:
    """`at` None: when it happened is not recorded. `detail`: plain values by name."""

    key: str
    at: datetime | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    report_id: str
    minted_at: datetime
    """When a gateway made the id, as the id itself says."""
    outcome: str | None
    """None: not in the database. It may still be in flight, or was never taken."""
    steps: list[Step]


_REPORT = """
SELECT r.*, m.serial, w.sequence AS watermark, (
        SELECT count(*) FROM raw_reports raw
        WHERE raw.received_at = r.received_at AND raw.report_id = r.report_id) > 0 AS has_bytes
FROM reports r LEFT JOIN meters m USING (meter_id)
LEFT JOIN (SELECT max(sequence) AS sequence FROM watermarks) w ON true
WHERE r.report_id = $1::text::uuid AND r.received_at >= $2 AND r.received_at < $3
"""
_LETTER = """
SELECT dead_letter_id, reason, message, replayed_at, attempts FROM dead_letters WHERE report_id = $1::text::uuid
"""
_CONFLICTS = "SELECT count(*) FROM conflicts WHERE meter_id = $1 AND report_id = $2::text::uuid"
_CORRECTIONS = """
SELECT replay_id, max(corrected_at) AS at, count(*) AS readings FROM corrections
WHERE meter_id = $1 AND report_id = $2::text::uuid GROUP BY replay_id ORDER BY replay_id
"""
_SETTLED = """
SELECT count(*) AS days, max(settled_at) AS at,
    (SELECT count(*) FROM touched_spans t
     WHERE t.meter_id = $1 AND t.from_ts <= $3 AND t.to_ts >= $2) AS waiting
FROM settled_days
WHERE meter_id = $1 AND day BETWEEN ($2 AT TIME ZONE $4::text)::date AND ($3 AT TIME ZONE $4::text)::date
"""


async def get_trace(pool: ReadPool, report_id: str, zone: str) -> Trace:
    """`zone`: IANA name of the utility's time zone. Raises RequestError when it is no report id, NotFoundError when it
    was minted at no time a gateway can have lived."""
    identity = parse_report_id(report_id)
    minted = minted_at(identity)
    steps = [Step("minted", minted, {})]
    rows = await pool.records(_REPORT, str(identity), *received_between(identity))
    if not rows:
        return Trace(str(identity), minted, None, steps)
    row = rows[0]
    steps.append(Step("received", row["received_at"], {
        "door": row["door"], "device": row["device"], "source": row["source"], "authentication": row["authentication"],
        "payload_bytes": row["payload_bytes"], "raw": row["has_bytes"],
    }))  # fmt: skip
    if row["stream_sequence"] is not None:
        steps.append(Step("stream", None, {"sequence": row["stream_sequence"], "watermark": row["watermark"]}))
    steps.append(Step("taken", row["taken_at"], {
        "seconds": (row["taken_at"] - row["received_at"]).total_seconds(), "decoder": row["decoder"],
        "serial": row["serial"],
    }))  # fmt: skip
    steps.append(Step("ended", row["taken_at"], {
        "outcome": row["outcome"], "reason": row["reason"], "readings": row["readings"],
        "readings_stored": row["readings_stored"], "first_ts": row["first_ts"], "last_ts": row["last_ts"],
    }))  # fmt: skip
    steps += await _afterwards(pool, identity, row, zone)
    return Trace(str(identity), minted, row["outcome"], steps)


async def _afterwards(pool: ReadPool, identity: uuid.UUID, row: Any, zone: str) -> list[Step]:
    steps = [
        Step("dead_letter", letter["replayed_at"], {
            "dead_letter_id": letter["dead_letter_id"], "reason": letter["reason"], "message": letter["message"],
            "attempts": letter["attempts"], "replayed": letter["replayed_at"] is not None,
        })
        for letter in await pool.records(_LETTER, str(identity))
    ]  # fmt: skip
    if row["meter_id"] is None:
        return steps
    if conflicts := await pool.value(_CONFLICTS, row["meter_id"], str(identity)):
        steps.append(Step("conflicts", None, {"readings": conflicts}))
    corrections = await pool.records(_CORRECTIONS, row["meter_id"], str(identity))
    steps += [Step("corrected", c["at"], {"replay_id": c["replay_id"], "readings": c["readings"]}) for c in corrections]
    if row["first_ts"] is not None and row["readings_stored"]:
        settled = (await pool.records(_SETTLED, row["meter_id"], row["first_ts"], row["last_ts"], zone))[0]
        steps.append(Step("settled", settled["at"], {"days": settled["days"], "waiting": settled["waiting"]}))
    return steps
