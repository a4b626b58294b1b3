import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import EnvelopeError
from metering.registry import ENABLED, HAS_KEY, RegistryEntry, decode_entries, encode_entries

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


def test_flags() -> None:
    entry = RegistryEntry("d", ("d",), (), ENABLED | HAS_KEY)
    assert entry.enabled
    assert entry.has_key
    assert not RegistryEntry("d", ("d",), (), 0).enabled


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(EnvelopeError):
        decode_entries(b"\x81\x01")
