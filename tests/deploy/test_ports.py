import socket

import pytest

from deploy import ports
from metering.errors import StartError


def test_the_next_free_port_passes_over_taken_ones_and_the_one_set_aside() -> None:
    with socket.create_server(("127.0.0.1", 0)) as neighbour:
        taken = neighbour.getsockname()[1]
        found = ports.next_free_tcp("127.0.0.1", taken)
        assert found > taken
        assert ports.next_free_tcp("127.0.0.1", found, besides={found}) != found


def test_zero_stays_zero() -> None:
    assert ports.next_free_tcp("127.0.0.1", 0) == 0
    assert ports.next_free_tcp("127.0.0.1", 0, besides={0}) == 0
    assert ports.next_free_udp("::", 0) == 0


def test_a_taken_port_is_named_with_the_way_out() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
        neighbour.bind(("0.0.0.0", 0))
        taken = neighbour.getsockname()[1]
        with pytest.raises(StartError, match=rf"UDP port {taken} \(CoAP\).*--coap-port"):
            ports.require_udp("::", taken, "CoAP", "--coap-port")
