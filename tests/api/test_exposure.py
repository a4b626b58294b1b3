import pytest

from api.exposure import check_exposure
from metering.errors import StartError
from metering.settings import ApiSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_needs_no_tls(host: str) -> None:
    check_exposure(ApiSettings(host=host))


def test_another_address_needs_tls_and_the_way_there_is_named() -> None:
    with pytest.raises(StartError, match=r"0\.0\.0\.0 \(--host or NBWATER_API_HOST\).*NBWATER_API_BEHIND_TLS_PROXY"):
        check_exposure(ApiSettings(host="0.0.0.0"), "--host")
    check_exposure(ApiSettings(host="0.0.0.0", behind_tls_proxy=True))
    check_exposure(ApiSettings(host="0.0.0.0", tls_certificate="a.pem", tls_key="a.key"))


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(StartError, match="belong together"):
        check_exposure(ApiSettings(tls_certificate="a.pem"))
