"""Sealing, opening, replay: against the other side's own arithmetic."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import given
from hypothesis import strategies as st

from gateway.dtls.key_schedule import SUITES, extended_master_secret, key_block, master_secret, premaster_secret, prf
from gateway.dtls.records import APPLICATION_DATA, read_records
from gateway.dtls.session import WINDOW, Session, SessionState, Speaker

KEYS = bytes(range(40))
SPEAKER = Speaker("861", "urn:imei:861", b"mark")


def session(suite: int = 0xC0A8) -> Session:
    return Session(SPEAKER, SessionState(suite, KEYS, sent=1))


def swapped(suite: int = 0xC0A8) -> Session:
    """The client's side: its keys are the others."""
    keys = KEYS[16:32] + KEYS[:16] + KEYS[36:40] + KEYS[32:36]
    return Session(SPEAKER, SessionState(suite, keys, sent=1))


def test_the_pseudo_random_function() -> None:
    """The vector of the IETF TLS list for P_SHA256, which Mbed TLS and others test by."""
    secret = bytes.fromhex("9bbe436ba940f017b17652849a71db35")
    seed = bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c")
    assert prf(secret, b"test label", seed, 100).hex() == (
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17"
        "abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66"
    )


def test_secrets_have_the_sizes_of_the_rfcs() -> None:
    assert premaster_secret(b"abc") == b"\0\x03\0\0\0\0\x03abc"
    assert len(master_secret(b"k", b"c" * 32, b"s" * 32)) == len(extended_master_secret(b"k", b"messages")) == 48
    assert len(key_block(b"m" * 48, b"c" * 32, b"s" * 32)) == 40


@pytest.mark.parametrize("suite", SUITES)
def test_both_sides_understand_each_other(suite: int) -> None:
    ours, theirs = session(suite), swapped(suite)
    for text in (b"", b"one", b"x" * 1200):
        (record,) = read_records(theirs.seal(APPLICATION_DATA, text))
        assert ours.open(record) == text
        assert ours.open(record) is None  # once
        (record,) = read_records(ours.seal(APPLICATION_DATA, text))
        assert theirs.open(record) == text


def test_the_nonce_is_salt_epoch_and_sequence_number() -> None:
    """RFC 6655 section 3."""
    record = read_records(session().seal(APPLICATION_DATA, b"text"))[0]
    explicit = bytes.fromhex("0001000000000001")
    assert record.fragment[:8] == explicit
    additional = explicit + bytes((23, 0xFE, 0xFD, 0, 4))
    assert AESCCM(KEYS[16:32], 8).decrypt(KEYS[36:40] + explicit, record.fragment[8:], additional) == b"text"


def test_a_changed_record_is_not_opened() -> None:
    record = read_records(swapped().seal(APPLICATION_DATA, b"text"))[0]
    ours = session()
    for changed in (
        record._replace(type=21), record._replace(sequence=2), record._replace(epoch=2), record._replace(epoch=0),
        record._replace(fragment=record.fragment[:-1]), record._replace(fragment=b""),
        record._replace(fragment=record.fragment[:-1] + bytes((record.fragment[-1] ^ 1,))),
    ):  # fmt: skip
        assert ours.open(changed) is None
    assert ours.open(record) == b"text"


@given(st.lists(st.integers(0, 200), max_size=60))
def test_each_record_is_opened_once_whatever_the_order(order: list[int]) -> None:
    theirs = swapped()
    records = [read_records(theirs.seal(APPLICATION_DATA, b"%d" % n))[0] for n in range(201)]
    ours, opened, highest = session(), list[int](), -1
    for n in order:
        expected = n not in opened and highest - n < WINDOW
        assert (ours.open(records[n]) is not None) == expected
        if expected:
            opened.append(n)
            highest = max(highest, n)


def test_a_session_goes_on_from_its_state() -> None:
    theirs, ours = swapped(), session()
    first, second = (read_records(theirs.seal(APPLICATION_DATA, b"%d" % n))[0] for n in range(2))
    ours.open(second)
    again = Session(SPEAKER, ours.state())
    assert again.open(second) is None
    assert again.open(first) == b"0"
