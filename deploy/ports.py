"""Checks of the ports people chose, before anything is started."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Collection, Iterator

from metering.errors import StartError

ATTEMPTS = 100


def require_udp(host: str, port: int, purpose: str, option: str) -> None:
    """Raises StartError when `port` cannot be had; 0 always can."""
    _require(socket.SOCK_DGRAM, host, port, f"UDP port {port} ({purpose})", option)


def require_tcp(host: str, port: int, purpose: str, option: str) -> None:
    """As `require_udp`, for TCP."""
    _require(socket.SOCK_STREAM, host, port, f"TCP port {port} ({purpose})", option)


def next_free_tcp(host: str, port: int, besides: Collection[int] = ()) -> int:
    """`port`, or the first free one above it but `besides`; 0 when none of the next 100 is, and for 0."""
    return _next_free(socket.SOCK_STREAM, host, port, besides)


def next_free_udp(host: str, port: int, besides: Collection[int] = ()) -> int:
    """As `next_free_tcp`, for UDP."""
    return _next_free(socket.SOCK_DGRAM, host, port, besides)


def _next_free(kind: socket.SocketKind, host: str, port: int, besides: Collection[int]) -> int:
    above = range(port, min(port + ATTEMPTS, 65_536))
    candidates = (candidate for candidate in above if candidate not in besides or candidate == 0)
    return next((candidate for candidate in candidates if _is_free(kind, host, candidate)), 0)


def _require(kind: socket.SocketKind, host: str, port: int, what: str, option: str) -> None:
    try:
        with _bound(kind, host, port):
            return
    except PermissionError as error:
        raise StartError(f"{what} needs more rights: choose one above 1023 with {option}") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"{what} is taken by another program: stop that, or choose another port with {option} "
                "(0 takes a free one)"
            ) from error
        raise StartError(f"{what} cannot be had on the address {host}: {error.strerror or error}") from error


def _is_free(kind: socket.SocketKind, host: str, port: int) -> bool:
    try:
        with _bound(kind, host, port):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _bound(kind: socket.SocketKind, host: str, port: int) -> Iterator[None]:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0]
    with socket.socket(family, kind) as probe:
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        yield
