"""Whatever bytes come: an answer for each report, and rows that the database can hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.classify import Message, open_envelopes, prepare
from ingest.report_rows import extra_json
from metering import envelope
from metering.envelope import Report
from metering.model import Authentication, DecodedReport, DeviceState, Door

NOW_US = 1_790_000_000_000_000


def report(payload: bytes = b"", device: str = "1001", content_format: int = 60) -> Report:
    identifier = envelope.mint_report_id(NOW_US)
    return Report(identifier, NOW_US, Door.COAP, Authentication.CLAIMED, device, content_format, payload, "here")


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


@pytest.mark.parametrize(
    ("gateway", "stream", "ours", "taken"),
    [
        (0, 0, 0, 0),
        (3, 0, 0, 0),  # a gateway that is three days ahead
        (0, -3, 0, 0),  # a nats-server that is three days behind
        (0, 0, -3, 0),
        (0, 3, 3, 0),
        (3, 0, 3, 3),  # two say so: who is to know
    ],
)
def test_one_clock_that_is_days_off_dates_no_report(gateway: int, stream: int, ours: int, taken: int) -> None:
    at = {days: NOW_US + days * 86_400_000_000 for days in (-3, 0, 3)}
    body = envelope.encode([report()._replace(received_at_us=at[gateway])])
    ((found,), _, _) = open_envelopes([Message(1, at[stream], body)], {}, at[ours])
    assert found.received_at_us == at[taken]


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
