import pytest

from gateway.mqtt.topics import content_format, down, fits, sender, subject, up
from metering.model import ContentFormat

IMEI = "861234567890123"


@pytest.mark.parametrize("name", [IMEI, "urn:imei:1", "a-b_c", "x" * 64])
def test_names_that_fit(name: str) -> None:
    assert fits(name)
    assert sender(up(name)) == name


@pytest.mark.parametrize("name", ["", "*", ">", "+", "#", "a.b", "a/b", "a b", "$SYS", "x" * 65, "表", "a\n", "-a"])
def test_names_that_mean_something_to_a_broker_do_not(name: str) -> None:
    assert not fits(name)
    assert sender(up(name)) is None


@pytest.mark.parametrize("topic", [down(IMEI), "nbwater/v1/up", "nbwater/v2/1/up", "nbwater/v1/1/up/2", ""])
def test_other_topics_are_nobodys(topic: str) -> None:
    assert sender(topic) is None


def test_subjects() -> None:
    assert subject(up(IMEI)) == f"nbwater.v1.{IMEI}.up"


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        (b'{"v":1}', ContentFormat.JSON),
        (b"\xa0", ContentFormat.CBOR),
        (b"\xbf\xff", ContentFormat.CBOR),
        (b"\x9f\xff", ContentFormat.OCTET_STREAM),
        (b"\xc0", ContentFormat.OCTET_STREAM),
        (b"\x68\x10", ContentFormat.OCTET_STREAM),
        (b"", ContentFormat.OCTET_STREAM),
    ],
)
def test_the_first_byte_says_what_it_is(payload: bytes, wanted: ContentFormat) -> None:
    assert content_format(payload) == wanted
