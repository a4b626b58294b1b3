import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import envelope
from metering.errors import EnvelopeError
from metering.model import Authentication, Door

reports = st.builds(
    envelope.Report,
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**53),
    st.sampled_from(Door),
    st.sampled_from(Authentication),
    st.text(max_size=20),
    st.sampled_from([42, 50, 60]),
    st.binary(max_size=200),
    st.text(max_size=40),
)


@given(st.lists(reports, max_size=5), st.dictionaries(st.sampled_from(["coap", "mqtt"]), st.integers(0, 9)))
def test_what_goes_in_comes_out(batch: list[envelope.Report], repeats: dict[str, int]) -> None:
    assert envelope.decode(envelope.encode(batch, repeats)) == envelope.Batch(repeats, batch)


@given(st.binary(max_size=100))
def test_garbage_raises_only_envelope_error(body: bytes) -> None:
    with pytest.raises(EnvelopeError):
        envelope.decode(body)


@pytest.mark.parametrize(
    "body",
    [
        cbor2.dumps([2, {}, []]),
        cbor2.dumps([1, {}]),
        cbor2.dumps([1, {}, [[b"short", 0, "coap", "claimed", "d", 60, b"", ""]]]),
        cbor2.dumps([1, {}, [[bytes(16), 0, "pigeon", "claimed", "d", 60, b"", ""]]]),
        cbor2.dumps([1, {}, [[bytes(16), "now", "coap", "claimed", "d", 60, b"", ""]]]),
    ],
    ids=["version", "short", "report_id", "door", "received_at"],
)
def test_a_wrong_shape_is_refused(body: bytes) -> None:
    with pytest.raises(EnvelopeError):
        envelope.decode(body)


def test_report_ids_are_uuid7_and_sort_by_time() -> None:
    ids = [envelope.mint_report_id(1_770_000_000_000_000 + n * 1000) for n in range(100)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 100
    assert all(i[6] >> 4 == 7 and i[8] >> 6 == 2 for i in ids)


def test_a_daily_report_costs_few_bytes_more_than_its_payload() -> None:
    received_at_us, source = 1_770_000_000_000_000, "10.0.0.1:5683"
    report = envelope.Report(
        bytes(16), received_at_us, Door.COAP, Authentication.CLAIMED, "8" * 15, 60, bytes(80), source
    )
    assert len(envelope.encode([report])) < 80 + 80


@pytest.mark.parametrize(("device", "expected"), [("861234567890123", 0), ("24170567", 2)])
def test_partition_is_stable_over_processes(device: str, expected: int) -> None:
    assert envelope.partition(device, 1) == 0
    assert envelope.partition(device, 4) == expected
