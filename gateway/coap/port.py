"""The UDP socket of the CoAP port, and addresses as the rest of the gateway wants them."""

from __future__ import annotations

import errno
import socket
import struct
from typing import NamedTuple

from metering.errors import StartError

RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024
"""Asked of the kernel, which may give less (net.core.rmem_max): what arrives while the process is busy waits there."""

MAX_CACHED_HOSTS = 65_536
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")
"""Linux, sock_diag(7) `SK_MEMINFO_*`: bytes that wait to be read, …, datagrams dropped (the last)."""

_IPV4_MAPPED = 0xFFFF << 32
_MAPPED_PREFIX = "::ffff:"


COAP_PORT_SETTING = "NBWATER_GATEWAY_PORT (of `nbwater up` also --coap-port)"


def bind(
    host: str, port: int, reuse_port: bool = False, what: str = "CoAP", setting: str = COAP_PORT_SETTING
) -> socket.socket:
    """A non-blocking socket; `::` takes IPv4 too. Raises StartError when the port is taken or the address unknown.

    Without `reuse_port` the kernel refuses a port that anyone else has, another gateway included.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise StartError(f"{what} address {host}: {error.strerror or error}") from error
    try:
        return _bound(family, address, reuse_port)
    except OSError as error:
        if host == "::" and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return bind("0.0.0.0", port, reuse_port, what, setting)  # a machine without IPv6
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"udp/{port} is taken by another program: choose another {what} port with {setting}"
            ) from error
        raise StartError(f"{what} port udp/{port} on the address {host}: {error.strerror}") from error


def _bound(family: int, address: tuple[object, ...], reuse_port: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


class Backlog(NamedTuple):
    """What the kernel holds and has dropped of a socket's datagrams; `dropped` since the socket was made."""

    waiting_bytes: int
    dropped: int


def backlog(bound: socket.socket) -> Backlog:
    """Zeros where the kernel cannot be asked (not Linux)."""
    try:
        info = _MEMINFO.unpack(bound.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
    except (OSError, struct.error):
        return Backlog(0, 0)
    return Backlog(info[0], info[-1])


class Hosts:
    """Host strings of received datagrams as (128 bits with IPv4 mapped, text to show), remembered up to a bound."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, str]] = {}

    def read(self, host: str) -> tuple[int, str]:
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= MAX_CACHED_HOSTS:
                self._known.clear()
            known = self._known[host] = read_host(host)
        return known


def read_host(host: str) -> tuple[int, str]:
    """As `Hosts.read`, remembering nothing."""
    if host.startswith(_MAPPED_PREFIX) and "." in host:
        host = host.removeprefix(_MAPPED_PREFIX)
    if ":" in host:
        address = host.partition("%")[0]
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, address), "big"), f"[{host}]"
    return _IPV4_MAPPED | int.from_bytes(socket.inet_pton(socket.AF_INET, host), "big"), host
