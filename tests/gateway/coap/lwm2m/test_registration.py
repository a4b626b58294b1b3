"""Everything real clients say when they register (PROTOCOLS B)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.coap.lwm2m.links import MAX_LINKS, Offer, read_offer
from gateway.coap.lwm2m.registration import (
    MAX_LIFETIME_S,
    MAX_OBSERVED,
    Query,
    decode_registration,
    names_of,
    read_query,
    registered,
    registration_id,
    updated,
    version_of,
    with_observed,
)
from gateway.coap.lwm2m.tokens import Token, next_request_number, read_token

IMEI = "861234567890123"
WAKAAMA = b"lwm2m=1.1&ep=urn:imei:861234567890123&b=U&lt=60".split(b"&")
ANJAY = b"lwm2m=1.2&ep=urn:imei:861234567890124&lt=60&Q".split(b"&")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (WAKAAMA, Query(f"urn:imei:{IMEI}", 60, "1.1", "U", False)),
        (ANJAY, Query("urn:imei:861234567890124", 60, "1.2", None, True)),
        ([b"lt=300", b"b=UQ", b"ep=x"], Query("x", 300, None, "U", True)),
        ([b"ep=x", b"b=uq"], Query("x", None, None, "U", True)),
        ([b"EP=x", b"Lt=5"], Query("x", 5, None, None, None)),
        ([b"ep=x", b"lt=abc", b"sms=+86", b"d=1", b"\xff\xfe"], Query("x", None, None, None, None)),
        ([b"ep=", b"lt=0"], Query(None, MAX_LIFETIME_S, None, None, None)),
        ([b"ep=x", b"lt=99999999999"], Query("x", MAX_LIFETIME_S, None, None, None)),
        ([b"ep=" + b"x" * 200], Query("x" * 128, None, None, None, None)),
        ([], Query()),
    ],
)
def test_queries(query: list[bytes], expected: Query) -> None:
    assert read_query(query) == expected


@pytest.mark.parametrize(
    ("endpoint", "names"),
    [
        (f"urn:imei:{IMEI}", [IMEI, f"urn:imei:{IMEI}"]),
        (f"urn:imei-imsi:{IMEI}-460012345678901", [IMEI, f"urn:imei-imsi:{IMEI}-460012345678901"]),
        (f"URN:IMEI:{IMEI}", [IMEI, f"URN:IMEI:{IMEI}"]),
        (IMEI, [IMEI]),
        (f"{IMEI};460012345678901", [IMEI, f"{IMEI};460012345678901"]),
        ("urn:dev:ops:001122-meter", ["urn:dev:ops:001122-meter"]),
    ],
)
def test_endpoints(endpoint: str, names: list[str]) -> None:
    assert list(names_of(endpoint)) == names


def test_versions() -> None:
    said = [None, "1.0", "1.1", "1.2", "1.3", "2.0", "nonsense", "1.99999"]
    assert [version_of(each) for each in said] == [
        (1, 0), (1, 0), (1, 1), (1, 2), (1, 2), (1, 2), (1, 0), (1, 0)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("links", "offer"),
    [
        (
            b'</>;rt="oma.lwm2m";ct=110,</1>;ver=1.1,</1/0>,</3/0>,</19/0>',
            Offer(("/1", "/1/0", "/3/0", "/19/0"), "", (110,)),
        ),
        (b"</1/1>,</2>,</3/0>,</19>", Offer(("/1/1", "/2", "/3/0", "/19"))),
        (b'</lwm2m>;rt="oma.lwm2m";ct="110 11544", </lwm2m/3/0>,</lwm2m/4/0>',
         Offer(("/3/0", "/4/0"), "/lwm2m", (110, 11544))),
        (b'<3/0>,</3/0>;title="a, b>;c",</4/0/1/2/3>,</x/1>,<http://x/3/0>', Offer(("/3/0",))),
        (b"", Offer(())),
        (b"\xff\xfe<<<</>>,,;;=", Offer(())),
    ],
)  # fmt: skip
def test_offers(links: bytes, offer: Offer) -> None:
    assert read_offer(links) == offer


def test_an_object_without_instances_is_taken_to_have_one() -> None:
    offer = Offer(("/19", "/3/0", "/10266/1", "/10266/2"))
    assert offer.instances(19) == ("/19/0",)
    assert offer.instances(10266) == ("/10266/1", "/10266/2")
    assert [offer.has(number) for number in (3, 19, 4)] == [True, True, False]


@given(st.binary(max_size=400))
def test_any_bytes_are_an_offer_and_a_query(data: bytes) -> None:
    assert len(read_offer(data).paths) <= MAX_LINKS
    read_query([data])
    record = decode_registration(data)
    assert record is None or record.device is not None


def test_the_number_of_links_is_bounded() -> None:
    assert len(read_offer(b",".join(b"</3/%d>" % n for n in range(2 * MAX_LINKS))).paths) == MAX_LINKS


def test_a_registration_is_kept_and_read_back() -> None:
    offer = Offer(("/3/0", "/19/0"), "/root", (112,))
    record = registered("dev", f"urn:imei:{IMEI}", read_query(ANJAY), offer, "10.0.0.1:5683", 1000, None)
    record = with_observed(record, ["/19/0/0", "/3/0"])._replace(established=frozenset({1}), firmware=b"12345678")
    assert decode_registration(record.encode()) == record
    assert (record.version, record.queue, record.lifetime_s) == ((1, 2), True, 60)
    assert len(record.encode()) < 200
    assert not record.expired(1060 + 300, 300)
    assert record.expired(1061 + 300, 300)
    for spoiled in (b"", b"\x01", record.encode()[:-1], b"\x82\x02\x01"):
        assert decode_registration(spoiled) is None


def test_a_new_registration_keeps_the_numbers_of_tokens_and_no_observation() -> None:
    first = with_observed(registered("dev", "dev", Query("dev"), Offer(()), "", 0, None), ["/19/0/0", "/4/0"])
    first = first._replace(established=frozenset({0, 1}), format=112)
    again = registered("dev", "dev", Query("dev", version="1.1"), Offer(()), "", 9, first)
    again = with_observed(again, ["/4/0", "/3411/0"])
    assert again.observed == ("/19/0/0", "/4/0", "/3411/0")
    assert (again.established, again.format) == (frozenset(), None)
    assert len(with_observed(again, (f"/3/{n}" for n in range(300))).observed) == MAX_OBSERVED


def test_an_update_changes_what_it_names() -> None:
    before = registered("dev", "dev", read_query(ANJAY), Offer(("/3/0",)), "a:1", 0, None)
    heard = updated(before, Query(), None, "a:2", 50)
    assert heard == before._replace(last_heard_s=50, peer="a:2")
    more = updated(before, Query(lifetime_s=600, queue=False), Offer(("/4/0",)), "a:1", 50)
    assert (more.lifetime_s, more.queue, more.offer.paths) == (600, False, ("/4/0",))


def test_tokens_name_registration_and_path() -> None:
    key = registration_id("dev")
    assert read_token(Token(key, 5).encode()) == Token(key, 5)
    assert Token(key, 127).is_observation
    assert not Token(key, 128).is_observation
    assert [read_token(token) for token in (b"", b"1234", b"123456789")] == [None] * 3
    numbers = {number := 200} | {number := next_request_number(number) for _ in range(500)}
    assert numbers == set(range(128, 256))


def test_a_content_format_of_five_thousand_digits_is_left_out() -> None:
    """Python reads no integer of more than 4,300 digits; a registration of blocks has room for them."""
    offer = read_offer(b'</>;rt="oma.lwm2m";ct="60 ' + b"1" * 5000 + b' 110",</3/0>')
    assert offer == Offer(("/3/0",), "", (60, 110))
