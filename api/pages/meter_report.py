"""One report of a meter: its line in the list, its decoded fields, its raw bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from api.pages import parts
from api.pages.parts import Words
from api.pages.visit import Visit
from api.pages.wording import DASH, index_m3, scaled
from api.queries.reports import ReportRow
from metering.alarms import names

OUTCOME_TONES: dict[str, parts.Tone] = {
    "stored": "good",
    "partial": "fair",
    "duplicate": "quiet",
    "dead_lettered": "poor",
}


def draw(visit: Visit, report: ReportRow, opened: set[str]) -> None:
    say = visit.say
    with parts.disclosure("nb-report", report.report_id, opened) as (heading, body):
        with heading:
            Words(say.instant(report.received_at, seconds=True), "nb-digits", "span")
            parts.tag(say.value("outcome", report.outcome), OUTCOME_TONES.get(report.outcome, "quiet"))
            parts.tag(say.value("door", report.door), "quiet")
            parts.tag(
                say.value("authentication", report.authentication),
                "fair" if report.authentication == "claimed" else "good",
            )
            if report.reason:
                Words(_reason(visit, report.reason), "nb-small", "span")
            Words(f"{say('meter.report_readings')} {report.readings_stored} / {report.readings}", "nb-muted", "span")
        with body:
            Words(say("meter.report_decoded"), "nb-muted nb-small")
            parts.text_pairs(_fields(visit, report))
            if report.payload_hex is None:
                Words(say("meter.report_raw_gone"), "nb-muted nb-small")
            else:
                Words(say("meter.report_raw", bytes=report.payload_bytes), "nb-muted nb-small")
                parts.hexadecimal(report.payload_hex)


def _fields(visit: Visit, report: ReportRow) -> list[tuple[str, str]]:
    """Names and values of what the report said; what it did not say is left out."""
    say = visit.say
    span = f"{say.instant(report.first_ts)} … {say.instant(report.last_ts)}" if report.first_ts else DASH
    flags = say("frame.comma").join(say.value("alarm", name) for name in names(report.alarms)) or say(
        "meter.no_alarm_flags"
    )
    rows = [
        (say("meter.report_decoder"), report.decoder or DASH),
        (say("meter.report_format"), say.value("format", report.content_format)),
        (say("meter.report_source"), report.source),
        (say("meter.report_reason"), _reason(visit, report.reason)),
        (say("meter.report_span"), span),
        (say("meter.report_seq"), DASH if report.device_seq is None else str(report.device_seq)),
        (say("meter.report_device_time"), say.instant(report.device_time, seconds=True)),
        (say("meter.battery"), scaled(report.battery_mv, 1000, "V", 3)),
        (say("meter.rsrp"), scaled(report.rsrp_ddbm, 10, "dBm")),
        (say("meter.snr"), scaled(report.snr_ddb, 10, "dB")),
        (say("meter.ecl"), DASH if report.ecl is None else str(report.ecl)),
        (say("meter.cell"), DASH if report.cell_id is None else str(report.cell_id)),
        (say("meter.temperature"), scaled(report.temperature_dc, 10, "°C")),
        (say("meter.valve"), say.value("valve", report.valve)),
        (say("meter.alarm_flags"), flags),
    ]
    return [(name, value) for name, value in rows if value != DASH] + _extra(visit, report.extra or {})


def _extra(visit: Visit, extra: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the decoder kept without interpreting it. A name nobody has words for is shown as the decoder wrote it."""
    say = visit.say
    rows = []
    for name, value in extra.items():
        if name.endswith("_index_ml") and isinstance(value, int):
            text = index_m3(value)
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append((say.value("extra", name), text))
    return rows


def _reason(visit: Visit, reason: str | None) -> str:
    return visit.say.value("reason", reason) if reason else DASH
