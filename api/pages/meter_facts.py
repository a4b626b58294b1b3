"""What a meter is and where it stands; what its device said of itself."""

from __future__ import annotations

from datetime import UTC, datetime

from api.pages import grades, parts
from api.pages.grades import Grade
from api.pages.parts import Words
from api.pages.visit import Visit
from api.pages.wording import DASH, count, scaled
from api.queries.meters import MeterDetail
from metering.alarms import names

VALVE_TONES: dict[int, parts.Tone] = {0: "good", 1: "fair", 2: "poor"}
ECL_MAX = 2
UNKNOWN_SINCE = datetime(1971, 1, 1, tzinfo=UTC)
"""A meter imported without its date of installation counts as installed since 1970, so that no reading is lost."""


def identity(visit: Visit, detail: MeterDetail) -> None:
    say, meter, facts = visit.say, detail.meter, detail.facts
    here = next((row for row in detail.installations if row.valid_to is None), None)
    zone = parts.named(meter.zone_name, meter.zone_code) or DASH
    rows = [
        (say("meter.serial"), meter.serial),
        (say("meter.imei"), meter.imei or DASH),
        (say("meter.maker"), " / ".join(filter(None, (meter.maker, meter.model))) or DASH),
        (say("meter.size"), f"DN{meter.dn_mm} / {facts.q3_l_h / 1000:g} m³/h"),
        (say("meter.address"), meter.address or DASH),
        (say("meter.zone"), zone),
        (say("meter.installed"), say.day(here.valid_from) if here and here.valid_from > UNKNOWN_SINCE else DASH),
        (say("meter.use_class"), say.value("use", facts.use_class)),
    ]
    if facts.customer:
        rows.append((say("meter.customer"), facts.customer))
    if meter.latitude is not None and meter.longitude is not None:
        rows.append((say("meter.location"), f"{meter.latitude:.5f}, {meter.longitude:.5f}"))
    parts.text_pairs(rows)


def device_state(visit: Visit, detail: MeterDetail) -> None:
    say, meter, facts = visit.say, detail.meter, detail.facts
    if meter.last_report_at is None:
        parts.empty(say("meter.no_device_state"))
        return
    ecl = DASH if meter.ecl is None else f"{meter.ecl} / {ECL_MAX}"
    with parts.pairs():
        _graded(visit, "meter.battery", scaled(meter.battery_mv, 1000, "V", 3), grades.battery(meter.battery_mv))
        _graded(visit, "meter.rsrp", scaled(meter.rsrp_ddbm, 10, "dBm"), grades.rsrp(meter.rsrp_ddbm))
        _graded(visit, "meter.snr", scaled(meter.snr_ddb, 10, "dB"), grades.snr(meter.snr_ddb))
        _graded(visit, "meter.ecl", ecl, grades.ecl(meter.ecl))
        with parts.pair(say("meter.valve")):
            tone = VALVE_TONES.get(meter.valve, "quiet") if meter.valve is not None else "quiet"
            parts.tag(say("grade.unknown") if meter.valve is None else say.value("valve", meter.valve), tone)
        with parts.pair(say("meter.alarm_flags")):
            flags = names(meter.alarms)
            for flag in flags:
                parts.tag(say.value("alarm", flag), "poor")
            if not flags:
                Words(say("meter.no_alarm_flags"), tag="span")
        _plain(say("meter.temperature"), scaled(facts.temperature_dc, 10, "°C"))
        if facts.pressure_kpa is not None:
            _plain(say("meter.pressure"), f"{count(facts.pressure_kpa)} kPa")
        _plain(say("meter.cell"), DASH if facts.cell_id is None else str(facts.cell_id))
        _plain(say("meter.firmware"), facts.firmware or DASH)


def _graded(visit: Visit, key: str, value: str, grade: Grade) -> None:
    with parts.pair(visit.say(key)):
        if grade is not Grade.UNKNOWN:
            Words(value, "nb-digits", "span")
        parts.tag(visit.say(f"grade.{grade}"), parts.GRADE_TONES[grade])


def _plain(name: str, value: str) -> None:
    with parts.pair(name):
        Words(value, "nb-digits", "span")
