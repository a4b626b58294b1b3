"""Free ports on loopback."""

import socket


def free_tcp_port() -> int:
    """A port nobody listens on now; somebody may before its user does, which then says so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
