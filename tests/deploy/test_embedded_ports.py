import socket

from deploy.embedded.ports import SERVER_PORTS, free_tcp_port


def test_a_server_port_is_free_and_no_source_port_of_the_kernel() -> None:
    port = free_tcp_port()
    assert port in SERVER_PORTS
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        first, last = map(int, file.read().split())
    assert not first <= port <= last
    with socket.create_server(("127.0.0.1", port)):
        pass
