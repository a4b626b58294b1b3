"""Whatever bytes come: an answer for each report, and rows that the database can hold."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ingest.classify import (
    AHEAD_S,
    EARLIEST_S,
    Decoded,
    Message,
    Placed,
    Refused,
    bounds_of,
    open_envelopes,
    place_report,
    prepare,
)
from ingest.identity import identity_of
from ingest.installations import Device, Installation
from ingest.report_rows import extra_json
from metering import envelope
from metering.envelope import Report
from metering.model import Authentication, DecodedReport, DeviceState, Door

NOW_US = 1_790_000_000_000_000
NOW_S = NOW_US // 1_000_000
DEVICE = Device(
    1, "1001", (Installation(10, "1001", 10**9, EARLIEST_S, NOW_S), Installation(11, "1002", 5, NOW_S, 2**40))
)
int64s = st.integers(-(2**63) + 1, 2**63 - 1)
times = st.one_of(int64s, st.integers(NOW_S - 100, NOW_S + AHEAD_S + 100), st.integers(EARLIEST_S - 9, EARLIEST_S + 9))


def report(payload: bytes = b"", device: str = "1001", content_format: int = 60) -> Report:
    identifier = envelope.mint_report_id(NOW_US)
    return Report(identifier, NOW_US, Door.COAP, Authentication.CLAIMED, device, content_format, payload, "here")


@given(st.lists(st.tuples(times, int64s), max_size=20), st.none() | int64s)
def test_every_reading_is_placed_or_rejected(rows: list[tuple[int, int]], untimed: int | None) -> None:
    content = DecodedReport(DeviceState(), [ts for ts, _ in rows], [ml for _, ml in rows], untimed_index_ml=untimed)
    decoded = Decoded(report(), "x", content, bounds_of([content])[0] if rows else None)
    step = place_report(decoded, DEVICE, mismatch_refuses=True)
    expected = rows if rows else [(NOW_S, untimed)] if untimed is not None else []
    good = []
    for ts, ml in expected:
        installed = DEVICE.at(ts)
        plausible = EARLIEST_S <= ts <= NOW_S + AHEAD_S
        if plausible and installed is not None and 0 <= ml <= installed.register_max_ml:
            good.append((installed.meter_id, ts, ml))
    if isinstance(step, Refused):
        assert expected
        assert not good
        assert step.reason in ("implausible_time", "not_installed", "index_out_of_register")
        return
    assert isinstance(step, Placed)
    kept = [(s.meter_id, ts, ml) for s in step.segments for ts, ml in zip(s.ts_s, s.index_ml, strict=True)]
    assert sorted(kept) == sorted(good)
    assert step.readings == len(expected)
    assert (step.reason is None) == (len(good) == len(expected))
    assert step.identity == identity_of("1001", step.report, content)


@given(st.lists(st.binary(max_size=60), max_size=8), st.sampled_from([-5, 0, 42, 50, 60, 10**9]))
def test_any_payload_has_one_end(payloads: list[bytes], content_format: int) -> None:
    reports = [report(payload, content_format=content_format) for payload in payloads]
    prepared = prepare([Message(1, NOW_US, envelope.encode(reports))])
    ids = [d.report.report_id for d in prepared.decoded] + [r.report.report_id for r in prepared.refused]
    assert sorted(ids) == sorted(r.report_id for r in reports)


@given(st.binary(max_size=200))
def test_a_message_that_is_no_envelope_is_one_refused_report(body: bytes) -> None:
    sequences: dict[bytes, int] = {}
    reports, refused, _ = open_envelopes([Message(7, NOW_US, body)], sequences)
    again = open_envelopes([Message(7, NOW_US, body)], {})
    assert set(sequences.values()) <= {7}
    assert len(sequences) == len(reports) + len(refused)
    if not reports:
        assert [r.report.report_id for r in refused] == [r.report.report_id for r in again[1]]
        assert len(refused[0].report.report_id) == 16 if refused else True


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text() | st.binary() | st.integers() | st.dates(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
        ),
    )
)
def test_extra_fields_become_json_without_nul(extra: dict[str, object]) -> None:
    text = extra_json(DecodedReport(DeviceState(), [], [], extra=extra))
    if extra:
        assert text is not None
        json.loads(text, parse_constant=lambda word: (_ for _ in ()).throw(ValueError(word)))
        text.encode()
        assert "\\u0000" not in text.replace("\\\\", "")
    else:
        assert text is None
