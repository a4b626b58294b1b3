"""Meters: the list with search and filters, one meter with its past, and the zones to filter by."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from api.database import ReadPool
from api.queries.paging import Page, check_limit, decode_cursor, page
from metering.errors import NotFoundError, RequestError
from metering.model import MeterId

MAX_SEARCH_CHARACTERS = 100


class MeterState(StrEnum):
    """REPORTING: heard of within the silence limit. SILENT: not. NEVER: no report yet. DISABLED: its device is locked
    out. REMOVED: not installed anywhere now."""

    REPORTING = "reporting"
    SILENT = "silent"
    NEVER = "never"
    DISABLED = "disabled"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class MeterFilter:
    """`search`: part of serial, IMEI or address; a whole serial or IMEI, where nothing else is asked, finds that meter
    alone. `zone`: a zone's code, the zones below it included. `silent`: True for meters not heard of (silent or
    never), False for the others. `has_alert`: an open or acknowledged alert."""

    search: str | None = None
    zone: str | None = None
    state: MeterState | None = None
    silent: bool | None = None
    has_alert: bool | None = None


@dataclass(frozen=True, slots=True)
class MeterRow:
    """A meter as lists show it. None: unknown, or never reported."""

    meter_id: MeterId
    serial: str
    maker: str
    model: str
    dn_mm: int
    imei: str | None
    device: str | None
    address: str
    zone_code: str | None
    zone_name: str | None
    latitude: float | None
    longitude: float | None
    critical: bool
    state: MeterState
    last_report_at: datetime | None
    last_ts: datetime | None
    """Time of the newest reading."""
    last_index_ml: int | None
    battery_mv: int | None
    rsrp_ddbm: int | None
    snr_ddb: int | None
    ecl: int | None
    valve: int | None
    alarms: int
    """Bits of `metering.alarms.Alarm`."""
    open_alerts: int
    """Open or acknowledged."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", MeterState(self.state))


@dataclass(frozen=True, slots=True)
class InstallationRow:
    """Where a meter was and what spoke for it. `valid_to` None: still there."""

    installation_id: int
    service_point_id: int
    address: str
    zone_code: str | None
    device: str
    valid_from: datetime
    valid_to: datetime | None
    start_index_ml: int | None
    multiplier: int


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """What only the meter's own page shows."""

    q3_l_h: int
    register_max_ml: int
    pulse_ml: int
    service_point_id: int | None
    use_class: str | None
    customer: str | None
    firmware: str | None
    has_key: bool | None
    plain_sources: list[str]
    cell_id: int | None
    temperature_dc: int | None
    pressure_kpa: int | None
    last_report_id: str | None


@dataclass(frozen=True, slots=True)
class MeterDetail:
    meter: MeterRow
    facts: MeterFacts
    installations: list[InstallationRow] = field(default_factory=list)
    """Newest first."""


@dataclass(frozen=True, slots=True)
class ZoneRow:
    code: str
    name: str
    kind: str
    parent_code: str | None
    meters: int
    """Installed in this very zone, not below it."""


_PRESENT = "LEFT JOIN installations i ON i.meter_id = m.meter_id AND i.valid_to IS NULL"
_LAST = """LEFT JOIN LATERAL (SELECT installation_id, device_id, service_point_id, valid_to FROM installations
    WHERE meter_id = m.meter_id ORDER BY valid_to DESC NULLS FIRST, valid_from DESC LIMIT 1) i ON true"""
"""Of one meter: where it was last, so that what it showed when it was taken out can be seen."""

_FROM = """
FROM meters m
{installation}
LEFT JOIN devices d ON d.device_id = i.device_id
LEFT JOIN service_points sp ON sp.service_point_id = i.service_point_id
LEFT JOIN zones z ON z.zone_id = sp.zone_id
LEFT JOIN device_latest l ON l.device_id = d.device_id AND l.meter_id = m.meter_id
CROSS JOIN LATERAL (SELECT CASE
    WHEN i.installation_id IS NULL OR i.valid_to IS NOT NULL THEN 'removed'
    WHEN NOT d.enabled THEN 'disabled'
    WHEN l.last_report_at IS NULL THEN 'never'
    WHEN l.last_report_at < $1::timestamptz THEN 'silent'
    ELSE 'reporting' END AS state) s
CROSS JOIN LATERAL (SELECT count(*) AS open_alerts FROM alerts a
    WHERE a.meter_id = m.meter_id AND a.state IN ('open', 'acknowledged')) n
"""

_ROW = """
SELECT m.meter_id, m.serial, m.maker, m.model, m.dn_mm, d.imei, d.device, COALESCE(sp.address, '') AS address,
    z.code AS zone_code, z.name AS zone_name, sp.latitude, sp.longitude, COALESCE(sp.critical, false) AS critical,
    s.state, l.last_report_at, l.last_ts, l.last_index_ml, l.battery_mv, l.rsrp_ddbm, l.snr_ddb, l.ecl, l.valve,
    COALESCE(l.alarms, 0) AS alarms, n.open_alerts
"""

_LIST_WHERE = r"""
WHERE ($2::text IS NULL OR m.serial > $2)
  AND ($3::text IS NULL OR m.serial ILIKE $3 OR d.imei ILIKE $3 OR sp.address ILIKE $3)
  AND ($4::text IS NULL OR sp.zone_id IN (
      WITH RECURSIVE below AS (
          SELECT zone_id FROM zones WHERE code = $4
          UNION SELECT child.zone_id FROM zones child JOIN below ON child.parent_id = below.zone_id)
      SELECT zone_id FROM below))
  AND ($5::text IS NULL OR s.state = $5)
  AND ($6::boolean IS NULL OR (s.state IN ('silent', 'never')) = $6)
  AND ($7::boolean IS NULL OR (n.open_alerts > 0) = $7)
ORDER BY m.serial
LIMIT $8
"""

_LIST = _ROW + _FROM.format(installation=_PRESENT) + _LIST_WHERE

_ONE = _ROW + _FROM.format(installation=_LAST) + "WHERE m.serial = $2"

_FACTS = f"""
SELECT m.q3_l_h, m.register_max_ml, m.pulse_ml, sp.service_point_id, sp.use_class, sp.customer, d.firmware,
    d.has_key OR EXISTS (SELECT FROM credentials c WHERE c.device_id = d.device_id) AS has_key,
    COALESCE(d.plain_sources::text[], '{{}}') AS plain_sources, l.cell_id, l.temperature_dc, l.pressure_kpa,
    l.last_report_id::text AS last_report_id
FROM meters m
{_LAST}
LEFT JOIN devices d ON d.device_id = i.device_id
LEFT JOIN service_points sp ON sp.service_point_id = i.service_point_id
LEFT JOIN device_latest l ON l.device_id = d.device_id AND l.meter_id = m.meter_id
WHERE m.meter_id = $1
"""  # noqa: S608 - a constant

_INSTALLATIONS = """
SELECT i.installation_id, i.service_point_id, sp.address, z.code AS zone_code, d.device, i.valid_from, i.valid_to,
    i.start_index_ml, i.multiplier
FROM installations i
JOIN service_points sp ON sp.service_point_id = i.service_point_id
LEFT JOIN zones z ON z.zone_id = sp.zone_id
JOIN devices d ON d.device_id = i.device_id
WHERE i.meter_id = $1
ORDER BY i.valid_from DESC, i.installation_id DESC
LIMIT 100
"""

_ZONES = """
SELECT z.code, z.name, z.kind, parent.code AS parent_code, COALESCE(installed.meters, 0) AS meters
FROM zones z LEFT JOIN zones parent ON parent.zone_id = z.parent_id
LEFT JOIN (
    SELECT sp.zone_id, count(*) AS meters FROM installations i JOIN service_points sp USING (service_point_id)
    WHERE i.valid_to IS NULL GROUP BY sp.zone_id) installed ON installed.zone_id = z.zone_id
ORDER BY z.code
LIMIT 5000
"""
"""All are counted at once: zone by zone a million meters took sixteen times as long."""

_WHOLE = """
SELECT serial FROM meters WHERE serial = $1::text
UNION ALL
SELECT m.serial FROM devices d JOIN installations i ON i.device_id = d.device_id AND i.valid_to IS NULL
JOIN meters m USING (meter_id) WHERE d.imei = $1
LIMIT 1
"""


async def list_meters(
    pool: ReadPool,
    wanted: MeterFilter,
    *,
    now: datetime,
    silence_after: timedelta,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[MeterRow]:
    """Meters by serial. Raises RequestError on a bad cursor, limit or search."""
    pattern, most = like_pattern(wanted.search), check_limit(limit) + 1
    if pattern and cursor is None and wanted == MeterFilter(search=wanted.search):
        serial = await pool.value(_WHOLE, str(wanted.search).strip())
        if serial is not None:  # looking through a million meters for it takes seconds
            return Page(await pool.fetch(MeterRow, _ONE, now - silence_after, serial), None)
    after = decode_cursor(cursor, str)[0] if cursor else None
    rows = await pool.fetch(
        MeterRow,
        _LIST,
        now - silence_after,
        after,
        pattern,
        wanted.zone,
        wanted.state,
        wanted.silent,
        wanted.has_alert,
        most,
    )
    return page(rows, limit, lambda row: [row.serial])


async def get_meter(pool: ReadPool, serial: str, *, now: datetime, silence_after: timedelta) -> MeterDetail:
    """One meter by its serial. Raises NotFoundError."""
    meter = await pool.fetch_one(MeterRow, _ONE, now - silence_after, serial)
    facts = await pool.fetch_one(MeterFacts, _FACTS, meter.meter_id) if meter else None
    if meter is None or facts is None:
        raise NotFoundError(f"no meter has the serial {serial}")
    return MeterDetail(meter, facts, await pool.fetch(InstallationRow, _INSTALLATIONS, meter.meter_id))


async def meter_id_of(pool: ReadPool, serial: str) -> MeterId:
    """Raises NotFoundError."""
    meter_id = await pool.value("SELECT meter_id FROM meters WHERE serial = $1", serial)
    if meter_id is None:
        raise NotFoundError(f"no meter has the serial {serial}")
    return MeterId(meter_id)


async def list_zones(pool: ReadPool) -> list[ZoneRow]:
    """All zones by code, 5,000 at most."""
    return await pool.fetch(ZoneRow, _ZONES)


def like_pattern(search: str | None) -> str | None:
    """An ILIKE pattern that finds the words of `search` literally, in their order, wherever they stand; None when there
    is nothing to find."""
    text = (search or "").strip()
    if len(text) > MAX_SEARCH_CHARACTERS:
        raise RequestError(f"search is limited to {MAX_SEARCH_CHARACTERS} characters")
    if not text:
        return None
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{'%'.join(escaped.split())}%"
