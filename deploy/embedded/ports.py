"""Free ports on loopback."""

import random
import socket

SERVER_PORTS = range(20_000, 32_000)
"""Below the range from which the kernel takes source ports (32768 and up by default): a client that reconnects to a
server that is down must not be given the server's own port, nor anybody else while it starts again."""
ATTEMPTS = 100


def free_tcp_port() -> int:
    """A port nobody listens on now; somebody may before its user does, which then says so."""
    for port in (*random.sample(SERVER_PORTS, ATTEMPTS), 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            taken: int = probe.getsockname()[1]
            return taken
    raise OSError("no free TCP port on 127.0.0.1")
