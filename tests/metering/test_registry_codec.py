import contextlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import EnvelopeError
from metering.registry import ENABLED, HAS_KEY, WAS_PUSHED, RegistryEntry, decode_entries, encode_entries

names = st.lists(st.text(min_size=1, max_size=15), max_size=2).map(tuple)


@given(
    st.lists(st.builds(RegistryEntry, st.text(min_size=1, max_size=15), names, names, st.integers(0, 3)), max_size=5)
)
def test_what_goes_in_comes_out(entries: list[RegistryEntry]) -> None:
    assert decode_entries(encode_entries(entries)) == entries


@given(st.binary(max_size=60))
def test_garbage_raises_only_envelope_error(body: bytes) -> None:
    with contextlib.suppress(EnvelopeError):
        decode_entries(body)


def test_what_earlier_releases_wrote_is_read() -> None:
    entry = RegistryEntry("d", ("d", "s"), ("10.0.0.0/8",), ENABLED, (), "M 1", ("east",))
    shorter = [list(entry)[:length] for length in (4, 6, 7)]
    assert decode_entries(cbor2.dumps(shorter)) == [
        entry._replace(model="", pushers=()),
        entry._replace(pushers=()),
        entry,
    ]


def test_who_may_push() -> None:
    flags = (ENABLED, ENABLED | HAS_KEY, ENABLED | WAS_PUSHED)
    assert [RegistryEntry("d", (), (), each).only_bound for each in flags] == [False, True, True]


def test_flags() -> None:
    entry = RegistryEntry("d", ("d",), (), ENABLED | HAS_KEY)
    assert entry.enabled
    assert entry.has_key
    assert not RegistryEntry("d", ("d",), (), 0).enabled


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(EnvelopeError):
        decode_entries(b"\x81\x01")
