"""What every decoder must give for whatever bytes: a report that the database takes, or DecodeError."""

import json
from array import array

from ingest.decoders import STANDARD
from ingest.decoders.contract import MAX_INDEX_ML, MAX_READINGS
from ingest.report_rows import extra_json
from metering.errors import DecodeError
from metering.model import AHEAD_S, EARLIEST_S

NOW = 1_800_000_000


def attempt(content_format, payload, decoders=STANDARD):
    """The report, or None when it is refused in the way that is agreed."""
    try:
        _, report = decoders.decode(content_format, payload, NOW)
    except DecodeError:
        return None
    assert len(report.ts_s) == len(report.index_ml) <= MAX_READINGS
    assert all(EARLIEST_S <= ts <= NOW + AHEAD_S for ts in report.ts_s)
    assert all(0 <= index <= MAX_INDEX_ML for index in report.index_ml)
    assert report.untimed_index_ml is None or 0 <= report.untimed_index_ml <= MAX_INDEX_ML
    array("q", report.ts_s), array("q", report.index_ml)
    json.dumps(report.extra, allow_nan=False)
    text = json.dumps(report.extra, ensure_ascii=False)
    text.encode()
    assert "\\u0000" not in text.replace("\\\\", "")
    extra_json(report)
    state = report.state
    assert all(value is None or type(value) in (int, bool) or value in (0, 1, 2) for value in state)
    assert all(value is None or abs(value) < 2**32 for value in (state.battery_mv, report.seq, state.ecl))
    assert report.meter_address is None or report.meter_address.isascii()
    for result in report.extra.get("results", []):
        assert len(result) == 2
        assert len(bytes.fromhex(result[0])) == 8
        assert type(result[1]) is int
    return report
