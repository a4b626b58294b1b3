"""What may listen without TLS, and settings that belong together."""

import pytest

from metering.errors import StartError
from metering.exposure import is_loopback, require_pair


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "meters.example", ""])
def test_everything_else_is_not(host: str) -> None:
    assert not is_loopback(host)


def test_a_certificate_and_its_key_belong_together() -> None:
    require_pair("", "", "NBWATER_API")
    require_pair("a.pem", "a.key", "NBWATER_API")
    for certificate, key in (("a.pem", ""), ("", "a.key")):
        with pytest.raises(StartError, match="NBWATER_API_TLS_CERTIFICATE and NBWATER_API_TLS_KEY"):
            require_pair(certificate, key, "NBWATER_API")
